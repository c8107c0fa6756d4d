//! What Chronos knows and decides, as the leader.
//!
//! Pure: the time is passed in, and what is to be done comes out as [`Effect`]s. A run is kept
//! before it is launched, and a schedule is kept without a run before that run is: so the next
//! leader starts none twice.

mod changes;
mod offers;
mod show;
#[cfg(test)]
mod tests;
mod updates;

pub use changes::Refusal;

use super::graph::Graph;
use super::job::{Defaults, Job, Timing};
use super::schedule::Schedule;
use super::task::Task;
use crate::framework::effect::{Call, Effect};
use crate::framework::leader;
use crate::framework::offer::{Offer, Roles};
use crate::framework::store::{Unreadable, below, read};
use crate::scheduler::Status;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What the flags decide of it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What jobs have that say nothing of it.
    pub defaults: Defaults,
    /// The roles whose resources may be taken.
    pub roles: Roles,
    /// How long until a failed run is tried again.
    pub failure_retry: SignedDuration,
    /// After how many failures a job is set aside; never when 0.
    pub disable_after_failures: u64,
    /// Whether offers are asked for when there is something to run.
    pub revive_for_new_jobs: bool,
    /// How long between two asks for offers.
    pub min_revive_interval: SignedDuration,
}

/// Chronos.
#[derive(Debug)]
pub struct Core {
    rules: Rules,
    jobs: BTreeMap<String, Job>,
    graph: Graph,
    tasks: BTreeMap<String, Task>,
    /// How long the runs of each job took, in milliseconds.
    lengths: BTreeMap<String, Vec<i64>>,
    framework_id: Option<String>,
    subscribed: bool,
    revived: Option<Timestamp>,
    effects: Vec<Effect>,
}

impl Core {
    /// One that knows nothing yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            jobs: BTreeMap::new(),
            graph: Graph::default(),
            tasks: BTreeMap::new(),
            lengths: BTreeMap::new(),
            framework_id: None,
            subscribed: false,
            revived: None,
            effects: Vec::new(),
        }
    }

    /// Queues what is due. One run of a job for each second is enough: the rest follows.
    fn queue_due(&mut self, now: Timestamp) {
        let names: Vec<String> = self.jobs.keys().cloned().collect();
        for name in names {
            let Some(job) = self.jobs.get(&name).filter(|job| !job.disabled) else {
                continue;
            };
            let Some(known) = schedule_of(job, now) else { continue };
            let mut schedule = known.clone().without_missed(now - job.lateness());
            let due = schedule.is_due(now).then(|| schedule.start.timestamp());
            if due.is_some() {
                schedule = schedule.advanced();
            }
            if schedule != known {
                self.reschedule(&name, &schedule);
            }
            if let Some(due) = due {
                self.enqueue(&name, due, 0, "");
            }
        }
    }

    fn reschedule(&mut self, name: &str, next: &Schedule) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        if let Timing::At { schedule, .. } = &mut job.timing {
            *schedule = next.to_string();
        }
        self.save_job(name);
    }

    /// Makes a run of a job, which waits until it is due and there is room for it.
    fn enqueue(&mut self, name: &str, due: Timestamp, attempt: u64, arguments: &str) {
        let Some(job) = self.jobs.get(name) else { return };
        let mut task = Task::new(job, due, attempt, arguments);
        // An id is used once, whatever else was asked for in the same instant.
        while self.tasks.contains_key(&task.id) {
            let later = task.due + SignedDuration::from_millis(1);
            task = Task::new(job, later, attempt, arguments);
        }
        self.save_task(&task);
        self.tasks.insert(task.id.clone(), task);
    }

    fn ask_for_offers(&mut self, now: Timestamp) {
        let interval = self.rules.min_revive_interval;
        let rested = self.revived.is_none_or(|last| now.duration_since(last) >= interval);
        let wanting = self.tasks.values().any(|task| task.waits() && task.due <= now);
        if self.rules.revive_for_new_jobs && self.subscribed && rested && wanting {
            self.revived = Some(now);
            self.call(Call::Revive);
        }
    }

    fn save_job(&mut self, name: &str) {
        if let Some(job) = self.jobs.get(name) {
            let value = json!(job);
            self.save(format!("J_{name}"), value);
        }
    }

    fn save_task(&mut self, task: &Task) {
        self.save(task.path(), json!(task));
    }

    fn drop_task(&mut self, id: &str) -> Option<Task> {
        let task = self.tasks.remove(id)?;
        self.effects.push(Effect::Forget(task.path()));
        Some(task)
    }

    fn save(&mut self, path: impl Into<String>, value: Value) {
        self.effects.push(Effect::Save(path.into(), value));
    }

    fn call(&mut self, call: Call) {
        self.effects.push(Effect::Call(call));
    }

    fn tasks_of<'a>(&'a self, job: &'a str) -> impl Iterator<Item = &'a Task> {
        self.tasks.values().filter(move |task| task.job == job)
    }
}

impl leader::Core for Core {
    fn recover(&mut self, kept: &BTreeMap<String, Vec<u8>>) -> Result<(), Unreadable> {
        self.framework_id = kept
            .contains_key("frameworkId")
            .then(|| read(kept, "frameworkId"))
            .transpose()?;
        for path in below(kept, "J_") {
            let job: Job = read(kept, path)?;
            self.graph.connect(&job.name, job.parents());
            self.jobs.insert(job.name.clone(), job);
        }
        for path in below(kept, "T_") {
            let task: Task = read(kept, path)?;
            self.tasks.insert(task.id.clone(), task);
        }
        Ok(())
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    fn framework_id(&self) -> Option<&str> {
        self.framework_id.as_deref()
    }

    fn subscribed(&mut self, framework_id: &str, _again: bool, now: Timestamp) {
        if self.framework_id.as_deref() != Some(framework_id) {
            self.framework_id = Some(framework_id.to_owned());
            self.save("frameworkId", framework_id.into());
        }
        self.subscribed = true;
        self.revived = Some(now);
        self.call(Call::Revive);
        self.reconcile();
    }

    fn disconnected(&mut self, _now: Timestamp) {
        self.subscribed = false;
    }

    fn offers(&mut self, offers: Vec<Offer>, now: Timestamp) {
        self.use_offers(offers, now);
    }

    fn update(&mut self, status: &Status, now: Timestamp) {
        self.take_in(status, now);
    }

    fn reconcile(&mut self) {
        let launched = self.tasks.values().filter(|task| !task.waits());
        let launched: Vec<_> =
            launched.map(|task| (task.id.clone(), task.agent.clone())).collect();
        if !launched.is_empty() {
            self.call(Call::Reconcile(launched));
        }
    }

    fn tick(&mut self, now: Timestamp) {
        self.queue_due(now);
        self.ask_for_offers(now);
    }
}

/// The repetitions of a job that are to come; none of one that runs after others.
fn schedule_of(job: &Job, now: Timestamp) -> Option<Schedule> {
    match &job.timing {
        Timing::At { schedule, schedule_time_zone } => {
            Schedule::parse(schedule, schedule_time_zone, now)
        }
        Timing::After { .. } => None,
    }
}

/// A time as jobs show it.
fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
