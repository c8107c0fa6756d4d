//! `platform status`

use super::args::{Global, Output, Status};
use super::exit::Exit;
use super::session::{For, Session};
use super::{print, print_json, trouble};
use crate::operate::status::status;

pub(super) async fn run(args: &Status, global: &Global) -> Exit {
    let session = match Session::open(&args.inventory.inventory, global, For::Facts) {
        Ok(session) => session,
        Err(exit) => return exit,
    };
    let status = match status(&session.lab, &args.limit.limit, &session.ambient).await {
        Ok(status) => status,
        Err(error) => return trouble::report(&error),
    };
    let printed = match (global.output, serde_json::to_value(&status)) {
        (Output::Json, Ok(document)) => print_json(&document),
        (Output::Json, Err(error)) => trouble::tell(&error, Exit::Failed),
        (Output::Human, _) => {
            let mut text = String::new();
            // Writing to a text does not fail.
            let _ = status.show(&mut text);
            print(&text)
        }
    };
    let well = if status.problems.is_empty() { Exit::Done } else { Exit::Failed };
    if printed == Exit::Done { well } else { printed }
}
