//! `platform app`

use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::time::sleep;

use super::args::{AppLs, AppVerb, Global, Output};
use super::exit::Exit;
use super::{client, definition, error, write};
use crate::operate::app::list;
use crate::operate::target::Target;

/// The pause between two looks at a list that is watched.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Clears a terminal, and goes to its first line.
const CLEAR: &str = "\x1b[H\x1b[J";

pub(super) async fn run(verb: &AppVerb, global: &Global) -> Exit {
    match verb {
        AppVerb::Ls(args) => ls(args, global).await,
        AppVerb::Validate(args) => definition::validate(args, global),
    }
}

async fn ls(args: &AppLs, global: &Global) -> Exit {
    let target = match client::open(&args.target, global).await {
        Ok((target, _)) => target,
        Err(exit) => return exit,
    };
    if args.watch {
        return watch(&target, global).await;
    }
    match list(&target).await {
        Ok(apps) => client::show(&apps, &apps.show(), global),
        Err(error) => error::report(&error),
    }
}

/// Shows the list whenever it has changed. A failed look ends it only if the next one would fail
/// too.
async fn watch(target: &Target, global: &Global) -> Exit {
    let clears = global.output == Output::Human && io::stdout().is_terminal();
    let mut shown = None;
    loop {
        match list(target).await {
            Ok(apps) if shown.as_ref() != Some(&apps) => {
                if clears && write(CLEAR) != Exit::Done {
                    return Exit::Failed;
                }
                let printed = client::show(&apps, &apps.show(), global);
                if printed != Exit::Done {
                    return printed;
                }
                shown = Some(apps);
            }
            Ok(_) => {}
            Err(why) if why.may_pass() => {
                error::tell(&why, Exit::Done);
            }
            Err(why) => return error::report(&why),
        }
        sleep(LOOK_AGAIN).await;
    }
}
