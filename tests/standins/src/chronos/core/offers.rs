//! Uses offers for the runs that wait, and gives the rest back.

use super::{Call, Core};
use crate::chronos::task::{self, Task};
use crate::framework::offer::{Offer, Pool};
use jiff::Timestamp;
use serde_json::Value;
use std::cmp::Reverse;

impl Core {
    pub(super) fn use_offers(&mut self, offers: Vec<Offer>, now: Timestamp) {
        self.drop_unwanted(now);
        let mut unused = Vec::new();
        for offer in offers {
            let mut pool = offer.pool();
            let mut tasks = Vec::new();
            for id in self.ready(now) {
                tasks.extend(self.launch(&id, &offer, &mut pool));
            }
            let id = offer.id().to_owned();
            match tasks.is_empty() {
                true => unused.push(id),
                false => self.call(Call::Launch { offer: id, tasks }),
            }
        }
        if !unused.is_empty() {
            self.call(Call::Decline(unused));
        }
    }

    /// Drops the turn of jobs that are set aside, and of those that run already.
    fn drop_unwanted(&mut self, now: Timestamp) {
        let unwanted = |id: &String| {
            let job = self.tasks.get(id).and_then(|task| self.jobs.get(&task.job));
            job.is_none_or(|job| job.disabled || self.is_busy(&job.name))
        };
        let unwanted: Vec<String> =
            self.ready(now).into_iter().filter(unwanted).collect();
        for id in unwanted {
            self.drop_task(&id);
        }
    }

    /// Whether a job runs and may not run twice at once.
    fn is_busy(&self, name: &str) -> bool {
        let concurrent = self.jobs.get(name).is_some_and(|job| job.concurrent);
        !concurrent && self.tasks_of(name).any(|task| !task.waits())
    }

    /// The runs whose turn it is, the most urgent first.
    fn ready(&self, now: Timestamp) -> Vec<String> {
        let waits = |task: &&Task| task.waits() && task.due <= now;
        let mut ready: Vec<&Task> = self.tasks.values().filter(waits).collect();
        let is_urgent =
            |task: &Task| self.jobs.get(&task.job).is_some_and(|job| job.high_priority);
        ready.sort_by_key(|task| (Reverse(is_urgent(task)), task.due));
        ready.into_iter().map(|task| task.id.clone()).collect()
    }

    fn launch(&mut self, id: &str, offer: &Offer, pool: &mut Pool) -> Option<Value> {
        let mut task = self.tasks.get(id)?.clone();
        let job = self.jobs.get(&task.job)?;
        if self.is_busy(&job.name) || !task::fits(job, offer) {
            return None;
        }
        let resources = pool.take(&task::needs(job), &[], &self.rules.roles)?;
        let info = task::info(job, &task, offer, &resources);
        task.agent = Some(offer.agent().to_owned());
        self.save_task(&task);
        self.tasks.insert(task.id.clone(), task);
        Some(info)
    }
}
