//! `platform down`

use super::args::{Down, Global};
use super::exit::Exit;
use super::session::{For, Session};
use crate::operate::down::down;

pub(super) async fn run(args: &Down, global: &Global) -> Exit {
    match Session::open(&args.inventory.inventory, global, For::Work("down")) {
        Ok(session) => {
            let work = down(&session.lab, args.yes, args.purge, &session.ambient);
            session.run(work).await
        }
        Err(exit) => exit,
    }
}
