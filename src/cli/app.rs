//! `platform app`

use std::io::{self, IsTerminal};
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use super::args::{
    AppLs, AppStop, AppVerb, Global, MannerArgs, OneApp, Output, TargetArgs,
};
use super::exit::Exit;
use super::{client, definition, error, write};
use crate::operate::app::{self, Changed, Manner, Order};
use crate::operate::target::Target;
use crate::operate::{Error, RunContext};

/// The pause between two looks at a list that is watched.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Clears a terminal, and goes to its first line.
const CLEAR: &str = "\x1b[H\x1b[J";

pub(super) async fn run(verb: &AppVerb, global: &Global) -> Exit {
    match verb {
        AppVerb::Ls(args) => ls(args, global).await,
        AppVerb::Validate(args) => definition::validate(args, global),
        AppVerb::Diff(args) => definition::diff(args, global).await,
        AppVerb::Deploy(args) => definition::deploy(args, global).await,
        AppVerb::Show(args) => {
            let OneApp { id, target } = &args.app;
            look(target, global, async |target| {
                let details = app::show(target, id).await?;
                Ok((details.show(), details))
            })
            .await
        }
        AppVerb::Why(args) => {
            let OneApp { id, target } = &args.app;
            look(target, global, async |target| {
                let why = app::why(target, id).await?;
                Ok((why.show(), why))
            })
            .await
        }
        AppVerb::Scale(args) => {
            let order = Order::Scale(args.instances);
            carry_out((&args.id, &args.target), &order, args.manner, global).await
        }
        AppVerb::Restart(args) => {
            let OneApp { id, target } = &args.app;
            carry_out((id, target), &Order::Restart, args.manner, global).await
        }
        AppVerb::Rm(args) => {
            let OneApp { id, target } = &args.app;
            carry_out((id, target), &Order::Remove, args.manner, global).await
        }
        AppVerb::Rollback(args) => {
            let OneApp { id, target } = &args.app;
            let (to, manner) = (args.to.as_deref(), args.manner.manner());
            change(target, global, async |target, ctx| {
                app::roll_back(target, id, to, manner, ctx).await
            })
            .await
        }
        AppVerb::Stop(args) => {
            let AppStop { name, keep, target, manner } = args;
            change(target, global, async |target, ctx| {
                app::stop(target, name, *keep, manner.manner(), ctx).await
            })
            .await
        }
    }
}

async fn carry_out(
    (id, target): (&str, &TargetArgs),
    order: &Order,
    manner: MannerArgs,
    global: &Global,
) -> Exit {
    change(target, global, async |target, ctx| {
        app::carry_out(target, id, order, manner.manner(), ctx).await
    })
    .await
}

/// Prints facts.
async fn look<T: Serialize>(
    target: &TargetArgs,
    global: &Global,
    ask: impl AsyncFn(&Target) -> Result<(String, T), Error>,
) -> Exit {
    let target = match client::open(target, global).await {
        Ok((target, _)) => target,
        Err(exit) => return exit,
    };
    match ask(&target).await {
        Ok((text, facts)) => client::show(&facts, &text, global),
        Err(error) => error::report(&error),
    }
}

/// Makes a change, and prints what was done.
async fn change(
    target: &TargetArgs,
    global: &Global,
    work: impl AsyncFn(&Target, &RunContext<'static>) -> Result<Changed, Error>,
) -> Exit {
    let (target, ctx) = match client::open(target, global).await {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let changed = work(&target, &ctx).await;
    // The display is cleared before anything else is printed.
    drop(ctx);
    match changed {
        Ok(changed) => client::show(&changed, &changed.show(), global),
        Err(error) => error::report(&error),
    }
}

impl MannerArgs {
    pub(super) fn manner(self) -> Manner {
        Manner { agreed: self.yes, wait: self.wait.then_some(self.timeout) }
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
    match app::list(&target).await {
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
        match app::list(target).await {
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
