//! Reports steps and waits as they progress.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::AwsError;
use crate::event::{Event, Events, Outcome, in_words};
use crate::host::HostName;

/// The shortest and the longest pause between two checks of a condition that has a deadline.
const PAUSE: Duration = Duration::from_millis(500);
const LONG_PAUSE: Duration = Duration::from_secs(10);

/// Reports for one stage.
#[derive(Clone, Copy)]
pub(super) struct StageReporter<'a> {
    pub(super) stage: &'a str,
    pub(super) events: &'a Events,
}

/// The result of a check during a wait, as text.
pub(super) enum Observation<T> {
    Done(T, String),
    NotYet(String),
}

impl StageReporter<'_> {
    /// Carries out a step, and reports its beginning and its end.
    pub(super) async fn step<T>(
        &self,
        host: Option<&HostName>,
        step: &str,
        work: impl Future<Output = Result<T, AwsError>>,
    ) -> Result<T, AwsError> {
        let (stage, begun) = (|| self.stage.to_owned(), Instant::now());
        let (host, step) = (|| host.cloned(), || step.to_owned());
        self.events.emit(&Event::StepStarted {
            stage: stage(),
            host: host(),
            step: step(),
        });
        let done = work.await;
        let outcome = match &done {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::Failed { reason: in_words(error) },
        };
        let took = begun.elapsed();
        let (stage, host, step) = (stage(), host(), step());
        self.events.emit(&Event::StepFinished { stage, host, step, took, outcome });
        done
    }

    /// Checks repeatedly until the condition is met, and reports what is seen meanwhile.
    ///
    /// # Errors
    /// When a check fails, or the deadline passes: the error says what was seen last.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        deadline: Duration,
        look: impl AsyncFn() -> Result<Observation<T>, AwsError>,
    ) -> Result<T, AwsError> {
        let (begun, mut pauses) = (Instant::now(), Backoff::new());
        let mut last = String::new();
        loop {
            match look().await? {
                Observation::Done(found, seen) => {
                    let (gate, took) = (what.to_owned(), begun.elapsed());
                    self.events.emit(&Event::GatePassed { gate, seen, took });
                    return Ok(found);
                }
                Observation::NotYet(seen) if seen != last => {
                    last.clone_from(&seen);
                    self.events.emit(&Event::Waiting { gate: what.to_owned(), seen });
                }
                Observation::NotYet(_) => {}
            }
            if begun.elapsed() > deadline {
                let what = what.to_owned();
                return Err(AwsError::TimedOut { what, seen: last, deadline });
            }
            sleep(pauses.next()).await;
        }
    }
}

/// The pauses between two checks, each longer than the one before.
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) fn new() -> Self {
        Self(PAUSE)
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 3 / 2).min(LONG_PAUSE);
        pause
    }
}
