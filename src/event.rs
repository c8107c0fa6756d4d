//! Everything that a display or the journal ever sees of a run.
//!
//! The work says what happens by emitting an [`Event`]; the screen, the JSON lines and the
//! journal are each a [`Sink`] and know nothing else. No event carries a secret: there is no
//! conversion from [`Secret`](crate::secret::Secret) to anything in here.

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
    /// A host's one connection stands; it is kept for the whole run, and made anew only where it
    /// was lost while the run waited: by a reboot that it ordered, or by a host that was away.
    Connected {
        /// The host.
        host: HostName,
        /// From the first packet to the end of the login.
        #[serde(with = "millis")]
        took: Duration,
    },
    /// A command was sent to a host.
    Executed {
        /// The host.
        host: HostName,
        /// What for, such as `probe` or `apply zookeeper`.
        purpose: String,
    },
    /// A plan exists.
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
        /// The host; none where the step is this computer's.
        host: Option<HostName>,
        /// What is done, such as `write /etc/platform/zoo.cfg`.
        step: String,
    },
    /// A step ended, or will not be run.
    StepFinished {
        /// The stage.
        stage: String,
        /// The host; none where the step is this computer's.
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
    /// Bytes of one transfer so far, such as an image's push.
    Progress {
        /// What is transferred, such as `push zookeeper 3.8.0`.
        what: String,
        /// Bytes sent so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A gate is not open yet; sent when what it saw changes.
    Waiting {
        /// What it waits for.
        gate: String,
        /// What it saw last.
        seen: String,
    },
    /// A gate opened: the component itself says that it works.
    GatePassed {
        /// What it waited for.
        gate: String,
        /// What the component said.
        seen: String,
        /// How long it took.
        #[serde(with = "millis")]
        took: Duration,
    },
    /// A gate did not open, and is not waited for any longer.
    GateFailed {
        /// What it waited for.
        gate: String,
        /// Why, in whole lines, the decisive one first.
        reason: String,
        /// How long it was waited for.
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
    /// Something the operator should know that stops nothing.
    Warned {
        /// What and where.
        message: String,
    },
    /// The run ended; the last event of every run that was not killed.
    RunFinished {
        /// How it ended.
        result: RunResult,
        /// One sentence: what happened.
        summary: String,
        /// How long it took.
        #[serde(with = "millis")]
        took: Duration,
    },
}

/// A stage of a plan, in numbers.
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
    /// It was tried, and failed.
    Failed {
        /// What the host said.
        reason: String,
    },
    /// It was not tried.
    NotStarted {
        /// Why, such as `an earlier step failed`.
        reason: String,
    },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunResult {
    /// Changes were made, all of them.
    Changed,
    /// There was nothing to do.
    Unchanged,
    /// It only looked.
    Looked,
    /// The operator said no, or nothing was allowed to happen.
    Refused,
    /// Something failed.
    Failed,
    /// The operator stopped it.
    Interrupted,
}

/// Takes events: a screen, a journal, a test.
pub trait Sink: Send + Sync {
    /// Takes one event; called in the order in which things happen, from several tasks.
    fn take(&self, event: &Event);
}

/// The way events go; cheap to clone.
#[derive(Clone)]
pub struct Events {
    sink: Arc<dyn Sink>,
    /// The warnings that were sent.
    warned: Arc<Mutex<BTreeSet<String>>>,
}

impl Events {
    /// Sends all events to `sink`.
    pub fn to(sink: Arc<dyn Sink>) -> Self {
        Self { sink, warned: Arc::default() }
    }

    /// Sends one event. A warning that was sent before is not sent again: a run may look twice,
    /// and its second look finds the same.
    pub fn emit(&self, event: &Event) {
        if let Event::Warned { message } = event
            && !self.warned().insert(message.clone())
        {
            return;
        }
        self.sink.take(event);
    }

    fn warned(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.warned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number and its noun: `1 host`, `2 hosts`.
pub fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// An error with all of its causes, in one line: how errors are told in events.
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
