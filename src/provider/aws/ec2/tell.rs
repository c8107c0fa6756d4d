//! Reports steps and waits as they progress.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::Instant;

use super::super::AwsError;
use crate::event::{Event, Events};
use crate::host::HostName;
use crate::progress;

/// The shortest and the longest pause between two checks of a condition that has a deadline.
const PAUSE: Duration = Duration::from_millis(500);
const LONG_PAUSE: Duration = Duration::from_secs(10);

/// Reports for one stage.
#[derive(Clone, Copy)]
pub(super) struct StageReporter<'a> {
    pub(super) stage: &'a str,
    pub(super) events: &'a Events,
}

/// The result of a check during a wait: what was found and what was seen, or what was seen instead.
pub(super) type Observation<T> = ControlFlow<(T, String), String>;

impl StageReporter<'_> {
    /// Carries out a step, and reports its beginning and its end.
    pub(super) async fn step<T>(
        &self,
        host: Option<&HostName>,
        step: &str,
        work: impl Future<Output = Result<T, AwsError>>,
    ) -> Result<T, AwsError> {
        progress::step(self.events, self.stage, host, step, work).await
    }

    /// Checks repeatedly until the condition is met, and reports what is seen meanwhile.
    ///
    /// # Errors
    /// When a check fails, or the deadline passes: the error says what was seen last.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        deadline: Duration,
        look: impl AsyncFnMut() -> Result<Observation<T>, AwsError>,
    ) -> Result<T, AwsError> {
        let (begun, mut pauses) = (Instant::now(), Backoff::new());
        let waiting = |seen: &str| {
            let (gate, seen) = (what.to_owned(), seen.to_owned());
            self.events.emit(&Event::Waiting { gate, seen });
        };
        match progress::poll(deadline, || pauses.next(), waiting, look).await? {
            Ok((found, seen)) => {
                let (gate, took) = (what.to_owned(), begun.elapsed());
                self.events.emit(&Event::GatePassed { gate, seen, took });
                Ok(found)
            }
            Err(seen) => {
                Err(AwsError::TimedOut { what: what.to_owned(), seen, deadline })
            }
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
