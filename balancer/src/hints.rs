//! What events say before a list does: that a task is going. Pure.
//!
//! Marathon sends `instance_changed_event` when an instance's condition or goal changes. So the
//! same condition twice means another goal: the instance is about to be killed, 14 ms to 600 ms
//! before its SIGTERM. With the feature `task_killing`, TASK_KILLING says the same for all kills.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::marathon::{App, Event, Reading, State, Task, instance_of};

/// A task that runs for so long has been told as running before.
const SETTLED: Duration = Duration::from_secs(4);
/// A hint that no list confirms within this time was wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known about each instance. Times are since the start of the program.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    instances: HashMap<String, Known>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    is_running: bool,
    going: Option<Going>,
    told: Duration,
}

/// The task that is going (`None` if only its instance is known), and since when.
#[derive(Debug, Clone)]
struct Going {
    task: Option<String>,
    since: Duration,
}

impl Hints {
    /// Takes an event in. Returns the instance that is going since now.
    pub fn on_event(&mut self, event: &Event, now: Duration) -> Option<String> {
        match event {
            Event::Instance { instance, condition } => {
                self.on_condition(instance, condition, now)
            }
            Event::Task { task, state } => self.on_state(task, *state, now),
            Event::Other => None,
        }
    }

    fn on_condition(
        &mut self,
        instance: &str,
        condition: &str,
        now: Duration,
    ) -> Option<String> {
        let known = self.instances.entry(instance.to_owned()).or_default();
        known.told = now;
        let is_going = match condition {
            "Running" => std::mem::replace(&mut known.is_running, true),
            "Killing" | "Killed" | "Failed" | "Gone" | "Dropped" | "Error" => true,
            _ => {
                *known = Known { told: now, ..Known::default() };
                false
            }
        };
        if !is_going || known.going.is_some() {
            return None;
        }
        known.going = Some(Going { task: None, since: now });
        Some(instance.to_owned())
    }

    fn on_state(&mut self, task: &str, state: State, now: Duration) -> Option<String> {
        let instance = instance_of(task).to_owned();
        let known = self.instances.entry(instance.clone()).or_default();
        known.told = now;
        if !matches!(state, State::Killing | State::Ended) || known.going.is_some() {
            return None;
        }
        known.going = Some(Going { task: Some(task.to_owned()), since: now });
        Some(instance)
    }

    /// Takes a list in: learns what runs, and takes back what the list contradicts. `date` is
    /// Marathon's time of the list, `now` when it was asked for.
    pub fn on_reading(&mut self, reading: &Reading, date: Timestamp, now: Duration) {
        let mut instances = HashMap::with_capacity(self.instances.len());
        for app in &reading.apps {
            for task in &app.tasks {
                let known = self.instances.remove(task.instance()).unwrap_or_default();
                let known = known.after_list(app, task, date, now);
                instances.insert(task.instance().to_owned(), known);
            }
        }
        // An instance may be told by an event before a list has it, or after: keep it a while.
        self.instances.retain(|_, known| now < known.told + PATIENCE);
        instances.extend(self.instances.drain());
        self.instances = instances;
    }

    /// Whether a task is going.
    pub fn is_going(&self, task: &str) -> bool {
        let going =
            self.instances.get(instance_of(task)).and_then(|at| at.going.as_ref());
        going.is_some_and(|going| going.task.as_deref().is_none_or(|named| named == task))
    }
}

impl Known {
    fn after_list(self, app: &App, task: &Task, date: Timestamp, now: Duration) -> Self {
        let age = task.started_at.map(|at| date.duration_since(at));
        let is_old = age.is_some_and(|age| age.as_secs_f64() > SETTLED.as_secs_f64());
        let runs = task.state == State::Running;
        let is_other =
            |going: &Going| going.task.as_ref().is_some_and(|at| *at != task.id);
        let is_wrong = |going: &Going| {
            runs && app.deployments.is_empty() && now >= going.since + PATIENCE
        };
        Self {
            is_running: task.state != State::Ended && (self.is_running || runs && is_old),
            told: self.told,
            // From now on the hint is about this very task.
            going: self
                .going
                .filter(|going| !is_wrong(going) && !is_other(going))
                .map(|going| Going { task: Some(task.id.clone()), since: going.since }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "web.instance-1._app.1";

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn date() -> Timestamp {
        "2026-11-29T15:13:00Z".parse().unwrap()
    }

    fn running() -> Event {
        Event::Instance {
            instance: "web.instance-1".to_owned(),
            condition: "Running".to_owned(),
        }
    }

    fn list(task: &str, state: &str, started: &str, deployments: &str) -> Reading {
        let text = format!(
            r#"{{"apps":[{{"id":"/web","deployments":[{deployments}],"tasks":[
                {{"id":"{task}","state":"{state}","startedAt":"{started}"}}]}}]}}"#
        );
        Reading::parse(text.as_bytes()).unwrap()
    }

    fn hinted() -> Hints {
        let mut hints = Hints::default();
        assert_eq!(hints.on_event(&running(), at(0)), None);
        assert_eq!(hints.on_event(&running(), at(1)).as_deref(), Some("web.instance-1"));
        hints
    }

    #[test]
    fn the_second_running_of_an_instance_means_that_it_is_going() {
        assert!(hinted().is_going(TASK));
    }

    #[test]
    fn a_task_that_has_run_for_long_goes_at_the_first_running() {
        let mut hints = Hints::default();
        let old = list(TASK, "TASK_RUNNING", "2026-11-29T15:12:50Z", "");
        hints.on_reading(&old, date(), at(1));
        assert!(hints.on_event(&running(), at(2)).is_some());
        let mut hints = Hints::default();
        let young = list(TASK, "TASK_RUNNING", "2026-11-29T15:12:58Z", "");
        hints.on_reading(&young, date(), at(1));
        assert!(hints.on_event(&running(), at(2)).is_none());
    }

    #[test]
    fn killing_and_the_end_of_a_task_are_hints() {
        for state in [State::Killing, State::Ended] {
            let mut hints = Hints::default();
            let event = Event::Task { task: TASK.to_owned(), state };
            assert!(hints.on_event(&event, at(1)).is_some());
            assert!(hints.is_going(TASK) && !hints.is_going("web.instance-1._app.2"));
        }
    }

    #[test]
    fn a_hint_is_taken_back_when_a_later_list_contradicts_it() {
        let mut hints = hinted();
        let runs = list(TASK, "TASK_RUNNING", "2026-11-29T15:12:00Z", "");
        hints.on_reading(&runs, date(), at(5));
        assert!(hints.is_going(TASK));
        let deploys = list(TASK, "TASK_RUNNING", "2026-11-29T15:12:00Z", r#"{"id":"d"}"#);
        hints.on_reading(&deploys, date(), at(12));
        assert!(hints.is_going(TASK));
        hints.on_reading(&runs, date(), at(12));
        assert!(!hints.is_going(TASK));
    }

    #[test]
    fn the_next_task_of_an_instance_is_not_going() {
        let mut hints = hinted();
        let first = list(TASK, "TASK_KILLED", "2026-11-29T15:12:00Z", "");
        hints.on_reading(&first, date(), at(2));
        let next =
            list("web.instance-1._app.2", "TASK_RUNNING", "2026-11-29T15:12:59Z", "");
        hints.on_reading(&next, date(), at(3));
        assert!(!hints.is_going("web.instance-1._app.2"));
        assert!(hints.on_event(&running(), at(3)).is_none());
    }
}
