//! `platform status`

use super::args::{Global, Output, Status};
use super::exit::Exit;
use super::session::{Session, SessionKind};
use super::{error, print, print_json};
use crate::operate::status::status;

pub(super) async fn run(args: &Status, global: &Global) -> Exit {
    let session =
        match Session::open(&args.inventory.inventory, global, SessionKind::Facts) {
            Ok(session) => session,
            Err(exit) => return exit,
        };
    let status = match status(&session.files, &args.limit.limit, &session.ctx).await {
        Ok(status) => status,
        Err(error) => return error::report(&error),
    };
    let printed = match (global.output, serde_json::to_value(&status)) {
        (Output::Json, Ok(document)) => print_json(&document),
        (Output::Json, Err(error)) => error::tell(&error, Exit::Failed),
        (Output::Human, _) => {
            let mut text = String::new();
            // Writing to a string does not fail.
            let _ = status.show(&mut text);
            print(&text)
        }
    };
    let well = if status.problems.is_empty() { Exit::Done } else { Exit::Failed };
    if printed == Exit::Done { well } else { printed }
}
