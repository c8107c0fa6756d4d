//! How long to wait before an app that keeps failing is started again. Pure.

use jiff::{SignedDuration, Timestamp};
use marathon_rules::app::App;

/// A task that lived so long proves its app able to run, in seconds.
const VIABLE_AFTER: f64 = 60.0;

/// The delay of one app.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backoff {
    seconds: f64,
    until: Option<Timestamp>,
}

impl Backoff {
    /// Until when to wait; none when there is nothing to wait for.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        self.until.filter(|until| *until > now)
    }

    /// One more failure.
    pub fn fail(&mut self, app: &App, now: Timestamp) {
        self.seconds = match self.seconds > 0.0 {
            true => self.seconds * app.backoff_factor,
            false => app.backoff_seconds,
        };
        self.seconds = self.seconds.clamp(0.0, app.max_launch_delay_seconds.max(0.0));
        self.until = now.checked_add(SignedDuration::from_secs_f64(self.seconds)).ok();
    }

    /// A task of the app ran this long.
    pub fn ran(&mut self, seconds: f64) {
        if seconds >= VIABLE_AFTER {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> App {
        App {
            backoff_seconds: 1.0,
            backoff_factor: 2.0,
            max_launch_delay_seconds: 3.0,
            ..App::default()
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn delays_grow_to_a_limit_and_end() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.until(at(0)), None);
        backoff.fail(&app(), at(0));
        assert_eq!(backoff.until(at(0)), Some(at(1)));
        backoff.fail(&app(), at(0));
        assert_eq!(backoff.until(at(0)), Some(at(2)));
        backoff.fail(&app(), at(0));
        assert_eq!(backoff.until(at(0)), Some(at(3)));
        assert_eq!(backoff.until(at(3)), None);
    }

    #[test]
    fn a_task_that_lived_ends_the_delay() {
        let mut backoff = Backoff::default();
        backoff.fail(&app(), at(0));
        backoff.ran(10.0);
        assert!(backoff.until(at(0)).is_some());
        backoff.ran(60.0);
        assert_eq!(backoff.until(at(0)), None);
    }
}
