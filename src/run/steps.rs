//! The result of every step: done, failed, or not started.

use std::time::Instant;

use super::apply::ApplyContext;
use crate::event::{Event, Events, Outcome, in_words};
use crate::host::HostName;
use crate::plan::HostChanges;
use crate::reason;
use crate::remote::{ErrorKind, Output, RemoteError};
use crate::resource::apply::{self, Progress};
use crate::resource::{Action, Firewall};
use crate::secret::Redactor;

/// Why a step was not tried.
pub(super) const NOT_STARTED: &str = "an earlier step failed or the run was stopped";

/// The result of a plan.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Steps that were done.
    pub n_done: usize,
    /// Steps that failed, with the message.
    pub failed: Vec<Failure>,
    /// Steps that were not tried.
    pub n_not_started: usize,
    /// Whether the operator stopped it.
    pub interrupted: bool,
}

/// A step or a gate that failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// The stage.
    pub stage: String,
    /// The host; `None` for a gate of several hosts.
    pub host: Option<HostName>,
    /// The step.
    pub step: String,
    /// The cause.
    pub why: Why,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// What it means for the operator.
    pub kind: ErrorKind,
    /// The message.
    pub said: String,
}

impl Why {
    pub(super) fn failed(said: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Failed, said: said.into() }
    }
}

impl From<RemoteError> for Why {
    fn from(error: RemoteError) -> Self {
        Self { kind: error.kind(), said: in_words(&error) }
    }
}

impl Tally {
    /// Whether every step was done.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.n_not_started == 0
    }
}

/// The steps of one host in one stage, as they progress.
pub(super) struct Steps<'a> {
    pub(super) stage: &'a str,
    changes: &'a HostChanges,
    events: &'a Events,
    redactor: &'a Redactor,
    /// Steps before this one were done.
    pub(super) n_done: usize,
    /// Whether the host has begun the step after them.
    is_started: bool,
    begun: Instant,
    /// The firewall that the host has loaded, and takes back unless it is confirmed.
    on_trial: Option<&'a Firewall>,
    /// The step that failed; the steps between the done ones and it were not started.
    failed: Option<(usize, Why)>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(
        stage: &'a str,
        changes: &'a HostChanges,
        ctx: &ApplyContext<'a>,
    ) -> Self {
        Self {
            stage,
            changes,
            events: ctx.events,
            redactor: ctx.redactor,
            n_done: 0,
            is_started: false,
            begun: Instant::now(),
            on_trial: None,
            failed: None,
        }
    }

    /// Handles a line from the host.
    pub(super) fn hear(&mut self, line: &str) {
        match apply::progress(line) {
            Some(Progress::Started(step)) => self.start(step),
            Some(Progress::Done(step)) => match self.action(step) {
                Some(Action::LoadFirewall(firewall)) => self.on_trial = Some(firewall),
                _ => self.done(step),
            },
            Some(Progress::Failed { said, .. }) => self.fail_current(Why::failed(said)),
            Some(Progress::Refused(said)) => {
                self.fail_current(Why { kind: ErrorKind::Unsafe, said });
            }
            None => {}
        }
    }

    fn action(&self, step: usize) -> Option<&'a Action> {
        self.changes.changes.get(step).map(|change| &change.action)
    }

    fn done(&mut self, step: usize) {
        self.finish(step, Outcome::Done);
        (self.n_done, self.is_started) = (step + 1, false);
    }

    /// The firewall that has to be confirmed now. Its step is the last of its stage.
    pub(super) fn on_trial(&self) -> Option<&'a Firewall> {
        self.on_trial.filter(|_| self.failed.is_none())
    }

    /// Handles the end of the trial.
    pub(super) fn conclude_trial(&mut self, ended: Result<(), Why>) {
        match ended {
            Ok(()) => self.done(self.n_done),
            Err(why) => self.fail_current(why),
        }
    }

    fn start(&mut self, step: usize) {
        (self.begun, self.is_started) = (Instant::now(), true);
        let Some(change) = self.changes.changes.get(step) else { return };
        self.events.emit(&Event::StepStarted {
            stage: self.stage.to_owned(),
            host: Some(self.changes.host.clone()),
            step: change.step(),
        });
    }

    fn finish(&self, step: usize, outcome: Outcome) {
        let Some(change) = self.changes.changes.get(step) else { return };
        self.events.emit(&Event::StepFinished {
            stage: self.stage.to_owned(),
            host: Some(self.changes.host.clone()),
            step: change.step(),
            took: self.begun.elapsed(),
            outcome,
        });
    }

    fn is_going_down(&self) -> bool {
        let current = self.changes.changes.get(self.n_done);
        self.is_started
            && current
                .is_some_and(|change| matches!(change.action, Action::Reboot { .. }))
    }

    pub(super) fn fail_current(&mut self, why: Why) {
        self.fail(self.n_done, why);
    }

    pub(super) fn fail(&mut self, step: usize, Why { kind, said }: Why) {
        let said = self.redactor.clean(&said);
        self.failed = Some((step, Why { kind, said }));
    }

    /// Handles the end of the host's command. Silence is a failure: every step must be reported
    /// as done.
    pub(super) fn conclude(&mut self, ended: Result<Output, RemoteError>) {
        if self.failed.is_some() || self.n_done == self.changes.changes.len() {
            return;
        }
        // A machine that reboots may lose its last output: whether it reboots is seen when it is
        // back.
        if self.is_going_down() && matches!(ended, Err(RemoteError::Lost { .. })) {
            self.finish(self.n_done, Outcome::Done);
            self.n_done += 1;
            return;
        }
        self.fail_current(match ended {
            Err(error) => error.into(),
            Ok(output) => {
                let said =
                    reason::decisive_first(&String::from_utf8_lossy(&output.stderr));
                let status = output.status;
                Why::failed(match said.is_empty() {
                    true => format!("ended early with status {status} without a message"),
                    false => format!("ended early with status {status}: {said}"),
                })
            }
        });
    }

    /// Counts every step as done, failed, or not started.
    pub(super) fn close(self, tally: &mut Tally) {
        tally.n_done += self.n_done;
        for (step, change) in self.changes.changes.iter().enumerate().skip(self.n_done) {
            match self.failed.as_ref().filter(|(failed, _)| *failed == step) {
                Some((_, why)) => {
                    self.finish(step, Outcome::Failed { reason: why.said.clone() });
                    tally.failed.push(Failure {
                        stage: self.stage.to_owned(),
                        host: Some(self.changes.host.clone()),
                        step: change.step(),
                        why: why.clone(),
                    });
                }
                None => {
                    let reason = NOT_STARTED.to_owned();
                    self.finish(step, Outcome::NotStarted { reason });
                    tally.n_not_started += 1;
                }
            }
        }
    }
}
