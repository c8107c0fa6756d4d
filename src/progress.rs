//! Reports when stages and steps begin and end, and waits for conditions. All work that takes
//! time uses these functions.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::event::{Event, Events, Outcome, in_words};
use crate::host::HostName;

/// A stage that was reported as begun. It has to be ended.
#[must_use]
pub struct StageReport<'a> {
    events: &'a Events,
    stage: String,
    begun: Instant,
}

impl<'a> StageReport<'a> {
    /// Reports that a stage begins, on these hosts, with this number of steps on all of them
    /// together.
    pub fn begin(
        events: &'a Events,
        stage: impl ToString,
        hosts: Vec<HostName>,
        n_steps: usize,
    ) -> Self {
        let stage = stage.to_string();
        events.emit(&Event::StageStarted { stage: stage.clone(), hosts, n_steps });
        Self { events, stage, begun: Instant::now() }
    }

    /// The stage's name.
    pub fn name(&self) -> &str {
        &self.stage
    }

    /// Reports its end, and whether all its steps were done.
    pub fn end(self, ok: bool) {
        let (stage, took) = (self.stage, self.begun.elapsed());
        self.events.emit(&Event::StageFinished { stage, took, ok });
    }
}

/// A step that was reported as begun. It has to be ended.
#[must_use]
pub struct StepReport<'a> {
    events: &'a Events,
    /// The stage.
    pub stage: String,
    /// The host.
    pub host: Option<HostName>,
    /// What is done.
    pub step: String,
    begun: Instant,
}

impl<'a> StepReport<'a> {
    /// Reports that a step begins: on a host, or on this computer if `host` is `None`.
    pub fn begin(
        events: &'a Events,
        stage: &str,
        host: Option<&HostName>,
        step: impl Into<String>,
    ) -> Self {
        let (stage, host, step) = (stage.to_owned(), host.cloned(), step.into());
        events.emit(&Event::StepStarted {
            stage: stage.clone(),
            host: host.clone(),
            step: step.clone(),
        });
        Self { events, stage, host, step, begun: Instant::now() }
    }

    /// Reports its end.
    pub fn end(self, outcome: Outcome) {
        let Self { events, stage, host, step, begun } = self;
        let took = begun.elapsed();
        events.emit(&Event::StepFinished { stage, host, step, took, outcome });
    }
}

/// Does a step, and reports when it begins and ends.
///
/// # Errors
/// Those of the work itself.
pub async fn step<T, E: std::error::Error>(
    events: &Events,
    stage: &str,
    host: Option<&HostName>,
    name: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let report = StepReport::begin(events, stage, host, name);
    let done = work.await;
    report.end(outcome(&done));
    done
}

/// How a step ended, with the error and its causes if it failed.
pub fn outcome<T, E: std::error::Error>(done: &Result<T, E>) -> Outcome {
    match done {
        Ok(_) => Outcome::Done,
        Err(error) => Outcome::Failed { reason: in_words(error) },
    }
}

/// Reports that a step is not started, and why.
pub fn not_started(
    events: &Events,
    stage: &str,
    host: Option<&HostName>,
    step: impl Into<String>,
    reason: &str,
) {
    events.emit(&Event::StepFinished {
        stage: stage.to_owned(),
        host: host.cloned(),
        step: step.into(),
        took: Duration::ZERO,
        outcome: Outcome::NotStarted { reason: reason.to_owned() },
    });
}

/// Checks again and again until something is found, or the deadline passes. A check breaks with
/// what it found, or returns what it saw instead, in words. `on_seen` gets these words each time
/// they change. `pause` gives the time to the next check.
///
/// # Errors
/// The outer error is an error of a check; the inner one is what was seen last before the
/// deadline.
pub async fn poll<T, E>(
    deadline: Duration,
    mut pause: impl FnMut() -> Duration,
    mut on_seen: impl FnMut(&str),
    mut look: impl AsyncFnMut() -> Result<ControlFlow<T, String>, E>,
) -> Result<Result<T, String>, E> {
    let begun = Instant::now();
    let mut last = String::new();
    loop {
        match look().await? {
            ControlFlow::Break(found) => return Ok(Ok(found)),
            ControlFlow::Continue(seen) if seen != last => {
                on_seen(&seen);
                last = seen;
            }
            ControlFlow::Continue(_) => {}
        }
        if begun.elapsed() > deadline {
            return Ok(Err(last));
        }
        sleep(pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    async fn polled(
        answers: &[ControlFlow<u8, &str>],
    ) -> (Result<u8, String>, Vec<String>) {
        let (mut answers, mut seen) = (answers.iter().cycle(), Vec::new());
        let look = async || -> Result<_, Infallible> {
            Ok(match answers.next().expect("they begin again") {
                ControlFlow::Break(found) => ControlFlow::Break(*found),
                ControlFlow::Continue(seen) => ControlFlow::Continue((*seen).to_owned()),
            })
        };
        let minute = || Duration::from_secs(60);
        let on_seen = |what: &str| seen.push(what.to_owned());
        let Ok(found) = poll(Duration::from_secs(600), minute, on_seen, look).await;
        (found, seen)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_found_ends_the_wait_and_what_is_seen_is_told_once() {
        let [down, up] = ["down", "starting"].map(ControlFlow::Continue);
        let (found, seen) = polled(&[down, down, up, ControlFlow::Break(7)]).await;
        assert_eq!(
            (found, seen),
            (Ok(7), vec!["down".to_owned(), "starting".to_owned()])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_deadline_with_what_was_seen_last() {
        let (found, seen) = polled(&[ControlFlow::Continue("down")]).await;
        assert_eq!((found, seen), (Err("down".to_owned()), vec!["down".to_owned()]));
    }
}
