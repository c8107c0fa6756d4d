//! The beginning and end of a run: its first and last event, and the locks on this computer and
//! on the hosts.

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

/// The result of a verb that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The result.
    pub result: RunResult,
    /// What happened, in a sentence or several.
    pub summary: String,
}

/// Takes this computer's lock on the cluster; the lock is held as long as the value exists.
///
/// # Errors
/// When another run holds it: the error says who and since when. When the state folder cannot be
/// made.
pub fn lock(
    files: &ClusterFiles,
    verb: &str,
    env: Environment<'_>,
    now: Timestamp,
) -> Result<Lock, Error> {
    files.state.make()?;
    Ok(files.state.lock(&holder(verb, env, now))?)
}

/// Runs a verb that may change the cluster, and reports its beginning and its end.
///
/// # Errors
/// Those of the verb itself; the last event reports the error.
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
        // Ctrl-C at a question is the answer no: there is nothing to finish.
        _ if ctx.is_stopped() && !matches!(error, Error::Declined) => {
            RunResult::Interrupted
        }
        ExitKind::Refused | ExitKind::Invalid | ExitKind::Usage => RunResult::Refused,
        ExitKind::Failed | ExitKind::Unreachable | ExitKind::TimedOut => {
            RunResult::Failed
        }
        ExitKind::Interrupted => RunResult::Interrupted,
    }
}

/// The holder of a lock that this run takes.
fn holder(verb: &str, env: Environment<'_>, since: Timestamp) -> Holder {
    Holder { who: operator(env), pid: std::process::id(), verb: verb.to_owned(), since }
}

impl RunContext<'_> {
    /// The text for other runs while this run holds the cluster's lock.
    pub(super) fn holder(&self, verb: &str) -> String {
        holder(verb, self.env, (self.clock)()).to_string()
    }
}

/// An error if a part of the plan was not done.
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

/// What is done to have all machines and what is done on the hosts then, as text. `then` is `None`
/// if that is planned once all machines run.
pub(super) fn shown_with(
    machines: &MachinePlan,
    then: Option<&Plan>,
    notes: &[String],
) -> String {
    let mut text = shown_machines(machines) + "\n";
    match then {
        None => {
            text.push_str(
                "The rest of the plan, for all hosts, is made once these machines run. It is \
                 shown then, and you are asked again.\n",
            );
        }
        Some(plan) if plan.is_empty() => {
            text.push_str("Nothing is changed on the machines themselves.\n");
            text.extend(plan.stays.iter().map(|stay| format!("{stay}\n")));
        }
        Some(plan) => text.push_str(&shown(plan)),
    }
    text.extend(notes.iter().map(|note| format!("{note}\n")));
    text
}

/// The machines that will be made or changed, as text.
pub(super) fn shown_machines(machines: &MachinePlan) -> String {
    let mut text = format!("{}\n", Stage::Machines);
    // Writing to a string does not fail.
    let _ = machines.show(&mut text);
    text
}

/// A plan as text.
pub(super) fn shown(plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = plan.show(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::super::fixture::ctx;
    use super::*;

    #[test]
    fn a_run_that_is_stopped_at_a_question_has_nothing_to_finish() {
        assert_eq!(result_of(&Error::Declined, &ctx(true)), RunResult::Refused);
        assert_eq!(result_of(&Error::Declined, &ctx(false)), RunResult::Refused);
        let (why, done) = (Box::new(Error::Declined), "made 3 machines".to_owned());
        let later = Error::AfterMachines { why, done };
        assert_eq!(result_of(&later, &ctx(true)), RunResult::Interrupted);
    }
}
