//! `platform app`

use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::time::sleep;

use super::args::{
    AppLs, AppStop, AppVerb, Global, MannerArgs, OneApp, Output, TargetArgs,
};
use super::exit::Exit;
use super::{app_exec, client, definition, error, logs, write};
use crate::operate::app::{self, Manner, Order};
use crate::operate::target::Target;

/// The pause between two looks at a list that is watched.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Clears a terminal, and goes to its first line.
const CLEAR: &str = "\x1b[H\x1b[J";

pub(super) async fn run(verb: &AppVerb, global: &Global) -> Exit {
    match verb {
        AppVerb::Ls(args) => ls(args, global).await,
        AppVerb::Validate(args) => definition::validate(args, global),
        AppVerb::Diff(args) => {
            definition::diff((&args.files, &args.set), false, global).await
        }
        AppVerb::Deploy(args) => {
            definition::deploy((&args.files, &args.set), false, args.how, global).await
        }
        AppVerb::Show(args) => {
            let OneApp { id, target } = &args.app;
            client::look(target, global, async |target| {
                let details = app::show(target, id).await?;
                Ok((details.show(), details))
            })
            .await
        }
        AppVerb::Why(args) => {
            let OneApp { id, target } = &args.app;
            client::change(target, global, async |target, ctx| {
                let why = app::why(target, id, ctx).await?;
                Ok((why.show(), why))
            })
            .await
        }
        AppVerb::Logs(args) => logs::run(args, global).await,
        AppVerb::Exec(args) => app_exec::run(args, global).await,
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
            client::change(target, global, async |target, ctx| {
                let done = app::roll_back(target, id, to, manner, ctx).await?;
                Ok((done.show(), done))
            })
            .await
        }
        AppVerb::Stop(args) => {
            let AppStop { name, keep, target, manner } = args;
            client::change(target, global, async |target, ctx| {
                let done = app::stop(target, name, *keep, manner.manner(), ctx).await?;
                Ok((done.show(), done))
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
    client::change(target, global, async |target, ctx| {
        let done = app::carry_out(target, id, order, manner.manner(), ctx).await?;
        Ok((done.show(), done))
    })
    .await
}

impl MannerArgs {
    pub(super) fn manner(self) -> Manner {
        Manner { agreed: self.yes, wait: self.wait.then_some(self.timeout) }
    }
}

async fn ls(args: &AppLs, global: &Global) -> Exit {
    if !args.watch {
        return client::look(&args.target, global, async |target| {
            let apps = app::list(target).await?;
            Ok((apps.show(), apps))
        })
        .await;
    }
    let target = match client::open(&args.target, global).await {
        Ok((target, _)) => target,
        Err(exit) => return exit,
    };
    watch(&target, global).await
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
