//! `platform down`

use super::args::{Down, Global};
use super::exit::Exit;
use super::session::{Session, SessionKind};
use crate::operate::down::{How, down};

pub(super) async fn run(args: &Down, global: &Global) -> Exit {
    match Session::open(&args.inventory.inventory, global, SessionKind::Work("down")) {
        Ok(session) => {
            let how = match (args.expired, args.purge) {
                (true, _) => How::Expired,
                (false, true) => How::Purge,
                (false, false) => How::Keep,
            };
            let work = down(&session.files, args.yes, how, &session.ctx);
            session.run(work).await
        }
        Err(exit) => exit,
    }
}
