//! `platform plan`

use super::args::{Global, Output, Plan};
use super::exit::Exit;
use super::session::{Session, SessionKind};
use super::{error, print, print_json};
use crate::operate::plan::{Pending, plan};

pub(super) async fn run(args: &Plan, global: &Global) -> Exit {
    let inventory = &args.inventory.inventory;
    let session = match Session::open(inventory, global, SessionKind::Facts) {
        Ok(session) => session,
        Err(exit) => return exit,
    };
    let report = match plan(&session.files, &session.ctx).await {
        Ok(report) => report,
        Err(error) => return error::report(&error),
    };
    let printed = match global.output {
        Output::Json => print_json(&report.to_json()),
        _ => print(&report.text()),
    };
    match report.pending {
        _ if printed != Exit::Done => printed,
        Pending::Nothing => Exit::Done,
        Pending::Machines { .. } | Pending::Changes(_) => Exit::Pending,
    }
}
