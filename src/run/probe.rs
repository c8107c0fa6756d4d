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

/// The longest that a host may take to answer. Hashing a large file on a slow disk is what
/// takes long.
const DEADLINE: Duration = Duration::from_secs(60);

/// The longest that a host may be at work on what an earlier run began: packages over a slow
/// line take longest.
const BUSY: Duration = Duration::from_secs(600);

/// How long a host itself waits for the end of that work, each time that it is asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to rest between two times.
const PAUSE: Duration = Duration::from_millis(250);

/// Takes the script as its input: a command line would bound the number of questions. All answers
/// are sent at once: a packet of its own for each costs the host and this computer more than
/// another shell.
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
        /// What it said, the decisive line first.
        stderr: String,
    },
    /// The answer cannot be read.
    #[error("cannot read what {host} answered")]
    Answer {
        /// The host.
        host: HostName,
        /// Why.
        source: BadAnswer,
    },
    /// The host is still at work.
    #[error(
        "{host} is still at work on what an earlier run began, after {}s: look there with \
         `ps` at what goes on, and run again when it has ended",
        deadline.as_secs()
    )]
    Busy {
        /// The host.
        host: HostName,
        /// The longest that it was waited for.
        deadline: Duration,
    },
    /// Another run changes the cluster at this moment.
    #[error("{host} is being changed by another run: {holder}; wait for it to end")]
    Held {
        /// The host.
        host: HostName,
        /// Who, since when, doing what.
        holder: String,
    },
    /// The operator did not want to wait any longer.
    #[error("stopped while waiting until {host} has ended what an earlier run began")]
    Stopped {
        /// The host.
        host: HostName,
    },
}

impl ProbeError {
    /// What it means for the one who must act on it.
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

/// How a host is asked.
pub struct Prober<'a> {
    /// This computer's time in seconds since 1970.
    pub clock: &'a (dyn Fn() -> f64 + Send + Sync),
    /// Takes what happens.
    pub events: &'a Events,
    /// Whether the operator wants to stop.
    pub stopped: &'a (dyn Fn() -> bool + Send + Sync),
    /// Whether a run was begun on this computer. It cannot go on, since this computer's own lock
    /// is held: its work on a host is waited for, that of any other run is not.
    pub is_over: &'a (dyn Fn(&str) -> bool + Send + Sync),
}

/// What a host answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Probed {
    /// What it has.
    pub facts: Facts,
    /// Whether it was still at work on what an earlier run began. What was seen of its services
    /// before it answered may be of before, too.
    pub waited: bool,
}

impl Prober<'_> {
    /// Asks a host, in one command, as soon as no script of an earlier run changes it any more.
    /// It only reads; it can be repeated at any time.
    ///
    /// # Errors
    /// When the connection fails, a deadline passes, the answer is not whole, or the operator
    /// stops the wait.
    pub async fn probe(
        &self,
        host: &HostName,
        remote: &dyn Remote,
        questions: &Questions,
    ) -> Result<Probed, ProbeError> {
        let begun = Instant::now();
        let gate = || format!("{host} has ended what an earlier run began");
        let mut patience = Duration::ZERO;
        loop {
            let script = questions.script_when_free(patience.as_secs());
            if let Some(facts) = self.ask(host, remote, script).await? {
                let waited = patience > Duration::ZERO;
                if waited {
                    let (seen, took) =
                        ("nothing changes it any more".to_owned(), begun.elapsed());
                    self.events.emit(&Event::GatePassed { gate: gate(), seen, took });
                }
                return Ok(Probed { facts, waited });
            }
            let host = host.clone();
            if let Some((run, holder)) = lock::holder(remote).await
                && !(self.is_over)(&run)
            {
                return Err(ProbeError::Held { host, holder });
            }
            if (self.stopped)() {
                return Err(ProbeError::Stopped { host });
            }
            if begun.elapsed() > BUSY {
                return Err(ProbeError::Busy { host, deadline: BUSY });
            }
            if patience == Duration::ZERO {
                let seen = "its script still runs there".to_owned();
                self.events.emit(&Event::Waiting { gate: gate(), seen });
            }
            patience = PATIENCE;
            // A pause between two looks at a condition that has a deadline.
            sleep(PAUSE).await;
        }
    }

    /// Asks a host how it is now, whatever changes it meanwhile.
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

    /// What a host answers; none where it is busy.
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
        "" => " and said nothing".to_owned(),
        said => format!(": {said}"),
    }
}
