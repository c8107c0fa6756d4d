//! What every verb on apps and jobs needs first: whom to talk to, and a display.

use serde::Serialize;

use super::args::{Global, Output, TargetArgs};
use super::exit::Exit;
use super::session::{SessionKind, ctx, screen};
use super::{error, print, print_json};
use crate::event::Events;
use crate::operate::target::{self, Target};
use crate::operate::{Error, RunContext};

/// Finds out whom to talk to. Errors are printed.
pub(super) async fn open(
    args: &TargetArgs,
    global: &Global,
) -> Result<(Target, RunContext<'static>), Exit> {
    let ctx = display(global);
    let target = target::open(args.inventory.as_deref(), &ctx).await;
    target.map(|target| (target, ctx)).map_err(|error| error::report(&error))
}

/// A display for a verb that needs no lock of the cluster.
pub(super) fn display(global: &Global) -> RunContext<'static> {
    let screen = screen(global, SessionKind::Change, None);
    let events = Events::to(screen.sink());
    ctx(global, screen, events, String::new())
}

/// Asks, and prints the answer.
pub(super) async fn look<T: Serialize>(
    target: &TargetArgs,
    global: &Global,
    ask: impl AsyncFn(&Target) -> Result<(String, T), Error>,
) -> Exit {
    change(target, global, async |target, _| ask(target).await).await
}

/// Makes a change, and prints what was done.
pub(super) async fn change<T: Serialize>(
    target: &TargetArgs,
    global: &Global,
    work: impl AsyncFn(&Target, &RunContext<'static>) -> Result<(String, T), Error>,
) -> Exit {
    let (target, ctx) = match open(target, global).await {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let done = work(&target, &ctx).await;
    conclude(ctx, done, global)
}

/// Prints what was done.
pub(super) fn conclude<T: Serialize>(
    ctx: RunContext<'static>,
    done: Result<(String, T), Error>,
    global: &Global,
) -> Exit {
    // The display is cleared before anything else is printed.
    drop(ctx);
    match done {
        Ok((text, facts)) => show(&facts, &text, global),
        Err(error) => error::report(&error),
    }
}

/// Prints facts for people, or for programs.
pub(super) fn show(facts: &impl Serialize, text: &str, global: &Global) -> Exit {
    match (global.output, serde_json::to_value(facts)) {
        (Output::Json, Ok(document)) => print_json(&document),
        (Output::Json, Err(error)) => error::tell(&error, Exit::Failed),
        (Output::Human, _) => print(text),
    }
}
