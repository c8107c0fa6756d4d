//! The events of a run: all that a display or the journal sees of it.
//!
//! The work emits an [`Event`] for everything that happens; the screen, the JSON lines and the
//! journal are each a [`Sink`] and get nothing else. No event has a secret: there is no
//! conversion from [`Secret`](crate::secret::Secret) to any type here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::HostName;

/// One thing that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run began; the first event of every run.
    RunStarted {
        /// The verb, such as `up`.
        verb: String,
        /// The cluster it works on.
        cluster: String,
        /// Who started it, as `user@machine`.
        who: String,
    },
    /// The one connection to a host is made. It is kept for the whole run, and made again only if
    /// it was lost while the run waited: in a reboot by this run, or because the host was away.
    Connected {
        /// The host.
        host: HostName,
        /// The time from the first packet to the end of the login.
        #[serde(with = "millis")]
        took: Duration,
    },
    /// A command was sent to a host.
    Executed {
        /// The host.
        host: HostName,
        /// Its purpose, such as `probe` or `apply zookeeper`.
        purpose: String,
    },
    /// The plan is made.
    Planned {
        /// Each stage that changes something, in order.
        stages: Vec<PlannedStage>,
    },
    /// A stage began.
    StageStarted {
        /// The stage.
        stage: String,
        /// The hosts it works on.
        hosts: Vec<HostName>,
        /// How many steps it has on all hosts together.
        n_steps: usize,
    },
    /// A step on a host began.
    StepStarted {
        /// The stage.
        stage: String,
        /// The host; `None` if the step runs on this computer.
        host: Option<HostName>,
        /// What it does, such as `write /etc/platform/zoo.cfg`.
        step: String,
    },
    /// A step ended, or will not be run.
    StepFinished {
        /// The stage.
        stage: String,
        /// The host; `None` if the step runs on this computer.
        host: Option<HostName>,
        /// The same text as in [`Event::StepStarted`].
        step: String,
        /// How long it took.
        #[serde(with = "millis")]
        took: Duration,
        /// How it ended.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// The progress of one transfer, such as the push of an image.
    Progress {
        /// What is transferred, such as `push zookeeper 3.8.0`.
        what: String,
        /// Bytes sent so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A gate is not open yet; sent again whenever it sees something else.
    Waiting {
        /// What it waits for.
        gate: String,
        /// What it saw last.
        seen: String,
    },
    /// A gate opened: the component itself reports that it works.
    GatePassed {
        /// What it waited for.
        gate: String,
        /// What the component reported.
        seen: String,
        /// How long it took.
        #[serde(with = "millis")]
        took: Duration,
    },
    /// A gate did not open, and the run stopped waiting for it.
    GateFailed {
        /// What it waited for.
        gate: String,
        /// Why it did not open: whole lines, the decisive one first.
        reason: String,
        /// How long the run waited.
        #[serde(with = "millis")]
        took: Duration,
    },
    /// A stage ended.
    StageFinished {
        /// The stage.
        stage: String,
        /// How long it took.
        #[serde(with = "millis")]
        took: Duration,
        /// Whether every step of it was done.
        ok: bool,
    },
    /// A warning; the run goes on.
    Warned {
        /// What and where.
        message: String,
    },
    /// The run ended; the last event of every run that was not killed.
    RunFinished {
        /// How it ended.
        result: RunResult,
        /// What happened, in one sentence.
        summary: String,
        /// How long it took.
        #[serde(with = "millis")]
        took: Duration,
    },
}

/// A stage of a plan, with its numbers of changes and hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStage {
    /// Its name.
    pub stage: String,
    /// How many changes it makes.
    pub n_changes: usize,
    /// How many hosts it changes.
    pub n_hosts: usize,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It failed.
    Failed {
        /// The output of the host.
        reason: String,
    },
    /// It was not started.
    NotStarted {
        /// Why, such as `an earlier step failed`.
        reason: String,
    },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunResult {
    /// All changes were made.
    Changed,
    /// There was nothing to do.
    Unchanged,
    /// It only read.
    Looked,
    /// The operator said no, or the run was not allowed.
    Refused,
    /// Something failed.
    Failed,
    /// The operator stopped it.
    Interrupted,
}

/// Takes events: a screen, a journal, a test.
pub trait Sink: Send + Sync {
    /// Takes one event; called in the order of the events, from several tasks.
    fn take(&self, event: &Event);
}

/// Sends events to a sink; cheap to clone.
#[derive(Clone)]
pub struct Events {
    sink: Arc<dyn Sink>,
    /// The warnings that are sent only once.
    warned: Arc<Mutex<BTreeSet<String>>>,
}

impl Events {
    /// Sends all events to `sink`.
    pub fn to(sink: Arc<dyn Sink>) -> Self {
        Self { sink, warned: Arc::default() }
    }

    /// Sends one event.
    pub fn emit(&self, event: &Event) {
        self.sink.take(event);
    }

    /// Warns of something that a run may find more than once. The same warning is sent only once.
    pub fn warn_once(&self, message: String) {
        if self.warned().insert(message.clone()) {
            self.emit(&Event::Warned { message });
        }
    }

    fn warned(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.warned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number and its noun: `1 host`, `2 hosts`.
pub fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// An error with all of its causes, in one line: the form of errors in events.
pub fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        took: &Duration,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.serialize_u64(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_thing_is_singular() {
        assert_eq!(
            [count(0, "host"), count(1, "host"), count(2, "host")],
            ["0 hosts", "1 host", "2 hosts"]
        );
    }
}
