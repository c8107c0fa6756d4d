//! What Chronos knows and decides, as the leader.
//!
//! Pure: the time is passed in, and what is to be done comes out as [`Effect`]s. Jobs are kept, with
//! a launch counted off its schedule; runs are not, so that the next leader knows of none.

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
use crate::framework::link::Link;
use crate::framework::offer::{Offer, Roles};
use crate::framework::stamp;
use crate::framework::store::{Unreadable, below, read, read_if_kept};
use crate::scheduler::Status;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

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
    /// Jobs that are kept and that nobody sees yet, or not before their parents are there.
    pending: Vec<Job>,
    graph: Graph,
    tasks: BTreeMap<String, Task>,
    /// Attempts that are to be made later.
    retries: Vec<Task>,
    /// Whether the scheduler has died of a period below one second.
    is_stuck: bool,
    /// How long the runs of each job took, in milliseconds.
    lengths: BTreeMap<String, Vec<i64>>,
    link: Link,
}

impl Core {
    /// One that knows nothing yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            jobs: BTreeMap::new(),
            pending: Vec::new(),
            graph: Graph::default(),
            tasks: BTreeMap::new(),
            retries: Vec::new(),
            is_stuck: false,
            lengths: BTreeMap::new(),
            link: Link::default(),
        }
    }

    /// Takes up the jobs that are kept, those that run after others once these are there. Two that
    /// wait for each other come together, and are the end of it.
    fn take_up(&mut self) {
        let pending = self.pending.iter().map(|job| &job.name);
        let mut known: BTreeSet<String> =
            self.jobs.keys().chain(pending).cloned().collect();
        while let Some(job) = self.pending.iter().find(|job| {
            known.contains(&job.name)
                && !job.parents().iter().all(|it| known.contains(it))
        }) {
            known.remove(&job.name);
        }
        let (ready, later) =
            self.pending.drain(..).partition(|job: &Job| known.contains(&job.name));
        self.pending = later;
        for job in ready {
            if self.graph.would_circle(&job.name, job.parents()) {
                let reason = "a job runs after itself".to_owned();
                return self.link.effects.push(Effect::End(reason));
            }
            self.graph.connect(&job.name, job.parents());
            self.jobs.insert(job.name.clone(), job);
        }
    }

    /// Queues what is due, each job once.
    fn queue_due(&mut self, now: Timestamp) {
        let due = |job: &Job| {
            let schedule =
                schedule_of(job, now).filter(|schedule| schedule.is_due(now))?;
            Some((job.name.clone(), schedule.start.timestamp()))
        };
        let due: Vec<_> =
            self.jobs.values().filter(|job| !job.disabled).filter_map(due).collect();
        for (name, start) in due {
            self.enqueue(&name, start, 0, "");
        }
        let (again, later) =
            self.retries.drain(..).partition(|task: &Task| task.due <= now);
        self.retries = later;
        for task in again {
            self.enqueue(&task.job, task.due, task.attempt, &task.arguments);
        }
    }

    /// Makes a run of a job, which waits until there is room for it; one at a time.
    fn enqueue(&mut self, name: &str, due: Timestamp, attempt: u64, arguments: &str) {
        let Some(job) = self.jobs.get(name).filter(|job| !job.disabled) else { return };
        if !self.tasks_of(name).any(Task::waits) {
            let mut task = Task::new(job, due, attempt, arguments);
            // An id is used once, whatever else was asked for in the same instant.
            while self.tasks.contains_key(&task.id) {
                let later = task.due + SignedDuration::from_millis(1);
                task = Task::new(job, later, attempt, arguments);
            }
            self.tasks.insert(task.id.clone(), task);
        }
    }

    fn reschedule(&mut self, name: &str, next: &Schedule) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        if let Timing::At { schedule, .. } = &mut job.timing {
            *schedule = next.to_string();
        }
        self.save_job(name);
    }

    fn ask_for_offers(&mut self, now: Timestamp) {
        if self.rules.revive_for_new_jobs && self.tasks.values().any(Task::waits) {
            self.link.revive(self.rules.min_revive_interval, now);
        }
    }

    fn save_job(&mut self, name: &str) {
        if let Some(job) = self.jobs.get(name) {
            let value = json!(job);
            self.link.save(format!("J_{name}"), value);
        }
    }

    fn tasks_of<'a>(&'a self, job: &'a str) -> impl Iterator<Item = &'a Task> {
        self.tasks.values().filter(move |task| task.job == job)
    }
}

impl leader::Core for Core {
    fn recover(&mut self, kept: &BTreeMap<String, Vec<u8>>) -> Result<(), Unreadable> {
        self.link.framework_id = read_if_kept(kept, "frameworkId")?;
        for path in below(kept, "J_") {
            self.pending.push(read(kept, path)?);
        }
        Ok(())
    }

    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn subscribed(&mut self, framework_id: &str, _again: bool, now: Timestamp) {
        self.link.subscribed(framework_id, "frameworkId");
        self.link.revive(self.rules.min_revive_interval, now);
        self.reconcile();
    }

    fn offers(&mut self, offers: Vec<Offer>, now: Timestamp) {
        if !self.is_stuck {
            self.use_offers(offers, |core, offer, pool| core.launch_on(offer, pool, now));
        }
    }

    fn update(&mut self, status: &Status, now: Timestamp) {
        self.take_in(status, now);
    }

    fn reconcile(&mut self) {
        let launched = self.tasks.values().filter(|task| !task.waits());
        let launched: Vec<_> =
            launched.map(|task| (task.id.clone(), task.agent.clone())).collect();
        if !launched.is_empty() {
            self.link.call(Call::Reconcile(launched));
        }
    }

    fn tick(&mut self, now: Timestamp) {
        self.take_up();
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
