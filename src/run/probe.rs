//! Asks a host everything at once.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::lock;
use crate::event::{Event, Events};
use crate::host::HostName;
use crate::reason;
use crate::remote::{Argv, As, ErrorKind, Exec, Input, Remote, RemoteError};
use crate::resource::Facts;
use crate::resource::probe::{self, BadAnswer, Questions};

/// The longest that a host may take to answer. Hashing a large file on a slow disk takes longest.
const DEADLINE: Duration = Duration::from_secs(60);

/// The longest that a host may still be busy with an earlier run: packages over a slow connection
/// take longest.
const BUSY: Duration = Duration::from_secs(600);

/// How long the host itself waits for the end of that work, each time that it is asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);

/// Reads the script from its input: a command line would limit the number of questions. All
/// answers are sent at once: one packet for each answer costs the host and this computer more
/// than another shell.
const RECEIVER: &str = r#"script=$(cat) && answers=$(eval "$script")
status=$?
printf '%s\n' "$answers"
exit $status"#;

/// Why a host could not be probed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The connection failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The script ended with a failure.
    #[error("the probe of {host} ended with status {status}{}", told(stderr))]
    Failed {
        /// The host.
        host: HostName,
        /// The exit status.
        status: u32,
        /// Its error output, the decisive line first.
        stderr: String,
    },
    /// The answer cannot be parsed.
    #[error("cannot read what {host} answered")]
    Answer {
        /// The host.
        host: HostName,
        /// The cause.
        source: BadAnswer,
    },
    /// The host is still busy.
    #[error(
        "{host} is still busy with an earlier run after {}s: check there with `ps` what is \
         running, and run the command again when it has ended",
        deadline.as_secs()
    )]
    Busy {
        /// The host.
        host: HostName,
        /// How long it was waited for at most.
        deadline: Duration,
    },
    /// Another run is changing the cluster now.
    #[error("{host} is being changed by another run: {holder}; wait until that run ends")]
    Held {
        /// The host.
        host: HostName,
        /// Who, since when, doing what.
        holder: String,
    },
    /// The operator did not want to wait any longer.
    #[error("stopped while waiting until {host} has finished the work of an earlier run")]
    Stopped {
        /// The host.
        host: HostName,
    },
}

impl ProbeError {
    /// What it means for the operator.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Remote(error) => error.kind(),
            Self::Busy { .. } => ErrorKind::TimedOut,
            Self::Held { .. } => ErrorKind::Unsafe,
            Self::Failed { .. } | Self::Answer { .. } | Self::Stopped { .. } => {
                ErrorKind::Failed
            }
        }
    }
}

/// Settings for asking a host.
pub struct Prober<'a> {
    /// This computer's time in seconds since 1970.
    pub clock: &'a (dyn Fn() -> f64 + Send + Sync),
    /// Receives the events.
    pub events: &'a Events,
    /// Whether the operator wants to stop.
    pub stopped: &'a (dyn Fn() -> bool + Send + Sync),
    /// Whether a run was begun on this computer. Such a run has ended, because this run holds
    /// this computer's own lock: the probe waits for its work on a host, but not for that of any
    /// other run.
    pub is_over: &'a (dyn Fn(&str) -> bool + Send + Sync),
    /// The hosts that keep the cluster's lock: a host that is busy need not be one of them.
    pub keepers: &'a [(&'a HostName, &'a dyn Remote)],
}

/// The answer of a host.
#[derive(Debug, Clone, PartialEq)]
pub struct Probed {
    /// The state of the host.
    pub facts: Facts,
    /// Whether the host was still busy with an earlier run. Anything that was seen of its
    /// services before it answered may be out of date.
    pub waited: bool,
}

impl Prober<'_> {
    /// Asks a host, in one command, as soon as no script of an earlier run changes it any more.
    /// It only reads and may be repeated at any time.
    ///
    /// # Errors
    /// When the connection fails, a deadline passes, the answer is incomplete, or the operator
    /// stops the wait.
    pub async fn probe(
        &self,
        host: &HostName,
        remote: &dyn Remote,
        questions: &Questions,
    ) -> Result<Probed, ProbeError> {
        let begun = Instant::now();
        let gate = || format!("{host} has finished the work of an earlier run");
        let mut patience = Duration::ZERO;
        loop {
            let script = questions.script_when_free(patience.as_secs());
            if let Some(facts) = self.ask(host, remote, script).await? {
                let waited = patience > Duration::ZERO;
                if waited {
                    let (seen, took) =
                        ("nothing changes the host any more".to_owned(), begun.elapsed());
                    self.events.emit(&Event::GatePassed { gate: gate(), seen, took });
                }
                return Ok(Probed { facts, waited });
            }
            self.check_lock((host, remote)).await?;
            if (self.stopped)() {
                return Err(ProbeError::Stopped { host: host.clone() });
            }
            if begun.elapsed() > BUSY {
                return Err(ProbeError::Busy { host: host.clone(), deadline: BUSY });
            }
            if patience == Duration::ZERO {
                let seen = "the script of that run is still running".to_owned();
                self.events.emit(&Event::Waiting { gate: gate(), seen });
            }
            patience = PATIENCE;
            // A pause between two checks of a condition that has a deadline.
            sleep(PAUSE).await;
        }
    }

    /// Checks that no other run holds the cluster's lock, on a host that is busy and on those that
    /// keep the lock.
    ///
    /// # Errors
    /// When another run holds it, which has not ended as far as is known here.
    async fn check_lock(&self, busy: (&HostName, &dyn Remote)) -> Result<(), ProbeError> {
        let keepers = self.keepers.iter().filter(|(host, _)| *host != busy.0);
        for (host, remote) in keepers.copied().chain([busy]) {
            if let Some((run, holder)) = lock::holder(remote).await
                && !(self.is_over)(&run)
            {
                return Err(ProbeError::Held { host: host.clone(), holder });
            }
        }
        Ok(())
    }

    /// Asks a host for its state now, even if something is changing it.
    ///
    /// # Errors
    /// As [`Prober::probe`].
    pub async fn look(
        &self,
        host: &HostName,
        remote: &dyn Remote,
        questions: &Questions,
    ) -> Result<Probed, ProbeError> {
        let facts = self.ask(host, remote, questions.script()).await?;
        let busy = || ProbeError::Answer { host: host.clone(), source: BadAnswer::Busy };
        Ok(Probed { facts: facts.ok_or_else(busy)?, waited: false })
    }

    /// The answer of a host; `None` if it is busy.
    async fn ask(
        &self,
        host: &HostName,
        remote: &dyn Remote,
        script: String,
    ) -> Result<Option<Facts>, ProbeError> {
        let asked = (self.clock)();
        let exec = Exec {
            purpose: "probe".to_owned(),
            argv: Argv::new(["sh", "-c", RECEIVER]),
            user: As::Root,
            input: Input::Bytes(script.into_bytes()),
            on_line: None,
            deadline: DEADLINE,
        };
        let output = remote.exec(exec).await?;
        let now = f64::midpoint(asked, (self.clock)());
        if output.status != 0 {
            let stderr = reason::decisive_first(&String::from_utf8_lossy(&output.stderr));
            return Err(ProbeError::Failed {
                host: host.clone(),
                status: output.status,
                stderr,
            });
        }
        let answer = String::from_utf8_lossy(&output.stdout);
        match probe::parse(&answer, now) {
            Ok(facts) => Ok(Some(facts)),
            Err(BadAnswer::Busy) => Ok(None),
            Err(source) => Err(ProbeError::Answer { host: host.clone(), source }),
        }
    }
}

fn told(stderr: &str) -> String {
    match stderr {
        "" => " without a message".to_owned(),
        said => format!(": {said}"),
    }
}
