//! `platform add-node`

use super::args::{AddNode, Global};
use super::exit::Exit;
use super::session::{Session, SessionKind};
use crate::operate::add_node::{Request, add_node};

pub(super) async fn run(args: &AddNode, global: &Global) -> Exit {
    let (inventory, addition) = match args.target() {
        Ok(target) => target,
        Err(error) => error.exit(),
    };
    let request = Request { group: args.group.clone(), addition };
    let again = format!("platform add-node {}", args.words().join(" "));
    match Session::open_for(inventory, global, SessionKind::Work("add-node"), Some(again))
    {
        Ok(session) => {
            let work = add_node(&session.files, &request, args.yes, &session.ctx);
            session.run(work).await
        }
        Err(exit) => exit,
    }
}
