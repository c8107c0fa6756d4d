//! `platform up`

use super::args::{Global, Up};
use super::exit::Exit;
use super::session::{Session, SessionKind};
use crate::operate::up::{Extent, up};

pub(super) async fn run(args: &Up, global: &Global) -> Exit {
    match Session::open(&args.inventory.inventory, global, SessionKind::Work("up")) {
        Ok(session) => {
            let extent = if args.machines_only { Extent::Machines } else { Extent::All };
            let work = up(&session.files, args.yes, extent, &session.ctx);
            session.run(work).await
        }
        Err(exit) => exit,
    }
}
