//! `platform certs`

use super::args::{CertsLs, CertsRotate, Global, Output};
use super::exit::Exit;
use super::session::{Session, SessionKind};
use super::{error, print, print_json};
use crate::operate::certs::{self, Rotated};

pub(super) fn ls(args: &CertsLs, global: &Global) -> Exit {
    let inventory = &args.inventory.inventory;
    let session = match Session::open(inventory, global, SessionKind::Facts) {
        Ok(session) => session,
        Err(exit) => return exit,
    };
    let now = (session.ctx.clock)();
    let listed = match certs::list(&session.files, now) {
        Ok(listed) => listed,
        Err(error) => return error::report(&error),
    };
    let printed = match (global.output, serde_json::to_value(&listed)) {
        (Output::Json, Ok(document)) => print_json(&document),
        (Output::Json, Err(error)) => error::tell(&error, Exit::Failed),
        (Output::Human, _) => {
            let mut text = String::new();
            // Writing to a string does not fail.
            let _ = listed.show(&mut text);
            print(&text)
        }
    };
    match listed.has_expired() {
        true if printed == Exit::Done => Exit::Failed,
        _ => printed,
    }
}

pub(super) async fn rotate(args: &CertsRotate, global: &Global) -> Exit {
    let inventory = &args.inventory.inventory;
    let rotated = if args.ca { Rotated::Authority } else { Rotated::Hosts };
    // What was begun is in the state folder, so `up` finishes it.
    let again = Some(format!("platform up {}", inventory.display()));
    match Session::open_for(inventory, global, SessionKind::Work("certs"), again) {
        Ok(session) => {
            let work = certs::rotate(&session.files, rotated, args.yes, &session.ctx);
            session.run(work).await
        }
        Err(exit) => exit,
    }
}
