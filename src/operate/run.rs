//! The frame of a run: its first and last event, and the locks on this computer and on the hosts.

use std::future::Future;
use std::time::Instant;

use jiff::Timestamp;

use super::cluster_files::ClusterFiles;
use super::error::Error;
use super::{ExitKind, RunContext, ssh_limits};
use crate::component::Stage;
use crate::event::{Event, RunResult, in_words};
use crate::plan::Plan;
use crate::provider::MachinePlan;
use crate::run::Fleet;
use crate::run::apply::Tally;
use crate::run::lock::{self as hosts, Claim, ClusterLock, LockError};
use crate::state::{Environment, Holder, Lock, operator};
use crate::topology::Topology;

/// How a verb ended that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How, in a word.
    pub result: RunResult,
    /// What happened, in a sentence or several.
    pub summary: String,
}

/// Takes this computer's lock on the cluster, for as long as the value is kept.
///
/// # Errors
/// When another run holds it: it says who, since when. When the cluster's folder cannot be made.
pub fn lock(
    files: &ClusterFiles,
    verb: &str,
    env: Environment<'_>,
    now: Timestamp,
) -> Result<Lock, Error> {
    files.state.make()?;
    Ok(files.state.lock(&holder(verb, env, now))?)
}

/// Runs a verb that may change the cluster, and tells its beginning and its end.
///
/// # Errors
/// As the verb itself; the last event has told it.
pub async fn in_run<F: Future<Output = Result<Ended, Error>>>(
    files: &ClusterFiles,
    verb: &str,
    ctx: &RunContext<'_>,
    work: F,
) -> Result<Ended, Error> {
    let begun = Instant::now();
    ctx.events.emit(&Event::RunStarted {
        verb: verb.to_owned(),
        cluster: files.inventory.cluster.to_string(),
        who: operator(ctx.env),
    });
    let ended = work.await;
    let (result, summary) = match &ended {
        Ok(ended) => (ended.result, ended.summary.clone()),
        Err(error) => (result_of(error, ctx), in_words(error)),
    };
    ctx.events.emit(&Event::RunFinished { result, summary, took: begun.elapsed() });
    ended
}

fn result_of(error: &Error, ctx: &RunContext<'_>) -> RunResult {
    match error.kind() {
        _ if ctx.is_stopped() => RunResult::Interrupted,
        ExitKind::Refused | ExitKind::Invalid | ExitKind::Usage => RunResult::Refused,
        ExitKind::Failed | ExitKind::Unreachable | ExitKind::TimedOut => {
            RunResult::Failed
        }
        ExitKind::Interrupted => RunResult::Interrupted,
    }
}

/// Who holds a lock that this run takes.
fn holder(verb: &str, env: Environment<'_>, since: Timestamp) -> Holder {
    Holder { who: operator(env), pid: std::process::id(), verb: verb.to_owned(), since }
}

impl RunContext<'_> {
    /// What another run is told while this one holds the cluster's lock.
    pub(super) fn holder(&self, verb: &str) -> String {
        holder(verb, self.env, (self.clock)()).to_string()
    }
}

/// Whether all was done.
pub(super) fn finish(tally: Tally, ctx: &RunContext<'_>) -> Result<(), Error> {
    if tally.is_complete() {
        return Ok(());
    }
    if ctx.is_stopped() && tally.failed.is_empty() {
        return Err(Error::Interrupted {
            n_done: tally.n_done,
            n_left: tally.n_not_started,
        });
    }
    Err(Error::Incomplete(tally))
}

/// Takes the cluster's lock on its hosts.
///
/// # Errors
/// When another run holds it, or a host does not answer.
pub(super) async fn take_lock(
    topology: &Topology,
    fleet: &Fleet,
    verb: &str,
    ctx: &RunContext<'_>,
) -> Result<ClusterLock, LockError> {
    let claim =
        Claim { run: &ctx.run, holder: &ctx.holder(verb), is_over: &*ctx.is_own_run };
    hosts::take(fleet, &ssh_limits::locked(topology), &claim, &ctx.events).await
}

/// What is done to have all machines, as text.
pub(super) fn shown_machines(machines: &MachinePlan) -> String {
    let mut text = format!("{}\n", Stage::Machines);
    // Writing to a text does not fail.
    let _ = machines.show(&mut text);
    text
}

/// A plan as text.
pub(super) fn shown(plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a text does not fail.
    let _ = plan.show(&mut text);
    text
}
