//! `platform plan`

use super::args::{Global, Output, Plan};
use super::exit::Exit;
use super::session::{For, Session};
use super::{print, print_json, trouble};
use crate::operate::plan::{Pending, plan};
use crate::plan::Plan as Changes;

pub(super) async fn run(args: &Plan, global: &Global) -> Exit {
    let session = match Session::open(&args.inventory.inventory, global, For::Facts) {
        Ok(session) => session,
        Err(exit) => return exit,
    };
    let json = global.output == Output::Json;
    let (printed, exit) = match plan(&session.lab, &session.ambient).await {
        Err(error) => return trouble::report(&error),
        Ok(Pending::Nothing) => (show(&Changes::default(), json), Exit::Done),
        Ok(Pending::Changes(plan)) => (show(&plan, json), Exit::Pending),
        Ok(Pending::Machines { text, json: machines }) => match json {
            true => {
                (print_json(&serde_json::json!({ "machines": machines })), Exit::Pending)
            }
            false => (print(&text), Exit::Pending),
        },
    };
    if printed == Exit::Done { exit } else { printed }
}

fn show(plan: &Changes, json: bool) -> Exit {
    if json {
        return print_json(&plan.to_json());
    }
    let mut text = String::new();
    // Writing to a text does not fail.
    let _ = plan.show(&mut text);
    print(&text)
}
