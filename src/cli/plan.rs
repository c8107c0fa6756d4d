//! `platform plan`

use super::args::{Global, Output, Plan};
use super::exit::Exit;
use super::session::{Session, SessionKind};
use super::{error, print, print_json};
use crate::operate::plan::{Pending, PlanReport, plan};
use crate::plan::Plan as Changes;

pub(super) async fn run(args: &Plan, global: &Global) -> Exit {
    let session =
        match Session::open(&args.inventory.inventory, global, SessionKind::Facts) {
            Ok(session) => session,
            Err(exit) => return exit,
        };
    let json = global.output == Output::Json;
    let PlanReport { pending, notes } = match plan(&session.files, &session.ctx).await {
        Ok(report) => report,
        Err(error) => return error::report(&error),
    };
    let (printed, exit) = match pending {
        Pending::Nothing => (show(&Changes::default(), &notes, json), Exit::Done),
        Pending::Changes(plan) => (show(&plan, &notes, json), Exit::Pending),
        Pending::Machines { text, json: machines } => match json {
            true => {
                let document =
                    serde_json::json!({ "machines": machines, "notes": notes });
                (print_json(&document), Exit::Pending)
            }
            false => (print(&(text + &lines(&notes))), Exit::Pending),
        },
    };
    if printed == Exit::Done { exit } else { printed }
}

fn lines(notes: &[String]) -> String {
    notes.iter().map(|note| format!("{note}\n")).collect()
}

fn show(plan: &Changes, notes: &[String], json: bool) -> Exit {
    if json {
        return print_json(&plan.to_json(notes));
    }
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = plan.show_with(notes, &mut text);
    print(&text)
}
