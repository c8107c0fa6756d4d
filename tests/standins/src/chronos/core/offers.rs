//! Uses offers for the runs that wait.

use super::{Core, schedule_of};
use crate::chronos::task::{self, Task};
use crate::framework::offer::{Offer, Pool};
use jiff::Timestamp;
use serde_json::Value;
use std::cmp::Reverse;

impl Core {
    /// Launches what an offer has room for.
    pub(super) fn launch_on(
        &mut self,
        offer: &Offer,
        pool: &mut Pool,
        now: Timestamp,
    ) -> Vec<Value> {
        let ready = self.ready();
        ready.iter().filter_map(|id| self.launch(id, offer, pool, now)).collect()
    }

    /// Whether a job runs and may not run twice at once.
    fn is_busy(&self, name: &str) -> bool {
        let concurrent = self.jobs.get(name).is_some_and(|job| job.concurrent);
        !concurrent && self.tasks_of(name).any(|task| !task.waits())
    }

    /// The runs whose turn it is, the most urgent first.
    fn ready(&self) -> Vec<String> {
        let mut ready: Vec<&Task> =
            self.tasks.values().filter(|task| task.waits()).collect();
        let is_urgent =
            |task: &Task| self.jobs.get(&task.job).is_some_and(|job| job.high_priority);
        ready.sort_by_key(|task| (Reverse(is_urgent(task)), task.due));
        ready.into_iter().map(|task| task.id.clone()).collect()
    }

    /// Launches a run, and counts it off its job's schedule.
    fn launch(
        &mut self,
        id: &str,
        offer: &Offer,
        pool: &mut Pool,
        now: Timestamp,
    ) -> Option<Value> {
        let mut task = self.tasks.get(id)?.clone();
        let job = self.jobs.get(&task.job)?;
        if self.is_stuck || self.is_busy(&job.name) || !task::fits(job, offer) {
            return None;
        }
        let after = schedule_of(job, now).map(|schedule| schedule.launched(now));
        if after == Some(None) {
            self.is_stuck = true;
            return None;
        }
        let resources = pool.take(&task::needs(job), &[], &self.rules.roles)?;
        let info = task::info(job, &task, offer, &resources);
        if let Some(after) = after.flatten() {
            self.reschedule(&task.job, &after);
        }
        task.agent = Some(offer.agent().to_owned());
        self.tasks.insert(task.id.clone(), task);
        Some(info)
    }
}
