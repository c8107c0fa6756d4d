//! `platform up`

use super::args::{Global, Up};
use super::exit::Exit;
use super::session::{For, Session};
use crate::operate::up::up;

pub(super) async fn run(args: &Up, global: &Global) -> Exit {
    match Session::open(&args.inventory.inventory, global, For::Work("up")) {
        Ok(session) => {
            let work = up(&session.lab, args.yes, &session.ambient);
            session.run(work).await
        }
        Err(exit) => exit,
    }
}
