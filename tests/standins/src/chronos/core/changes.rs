//! What clients change.

use super::{Call, Core, Effect, schedule_of, stamp};
use crate::chronos::job::{Job, Timing};
use jiff::Timestamp;
use serde_json::Value;

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client's fault.
    Wrong(String),
    /// As the real one fails over it.
    Failed(String),
}

impl Core {
    /// Creates or replaces a job that runs at its times.
    ///
    /// # Errors
    /// When the definition is faulty.
    pub fn put_scheduled(
        &mut self,
        definition: &Value,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let mut job = self.read(definition)?;
        let found = schedule_of(&job, now);
        let Some(found) = found.filter(|found| found.left != Some(0) || job.disabled)
        else {
            return Err(Refusal::Wrong("the job's schedule cannot be parsed".to_owned()));
        };
        // Without a start it is now, and stays that.
        if let Timing::At { schedule, .. } = &mut job.timing
            && schedule.contains("//")
        {
            *schedule = found.to_string();
        }
        self.put(job);
        self.queue_due(now);
        Ok(())
    }

    /// Creates or replaces a job that runs after others.
    ///
    /// # Errors
    /// When the definition is faulty, or a parent is not there.
    pub fn put_dependent(&mut self, definition: &Value) -> Result<(), Refusal> {
        let job = self.read(definition)?;
        let parents = job.parents();
        if parents.is_empty() {
            return Err(Refusal::Failed("Error, parent does not exist".to_owned()));
        }
        if !parents.iter().all(|parent| self.jobs.contains_key(parent)) {
            let name = &job.name;
            let text = format!(
                "requirement failed: JobSchedule {name} does not have all parents defined!"
            );
            return Err(Refusal::Wrong(text));
        }
        if self.graph.would_circle(&job.name, parents) {
            return Err(Refusal::Failed("Edge would induce a cycle".to_owned()));
        }
        self.put(job);
        Ok(())
    }

    fn read(&self, definition: &Value) -> Result<Job, Refusal> {
        Job::read(definition, &self.rules.defaults)
            .map_err(|invalid| Refusal::Wrong(invalid.to_string()))
    }

    fn put(&mut self, job: Job) {
        let name = job.name.clone();
        self.graph.connect(&name, job.parents());
        self.jobs.insert(name.clone(), job);
        self.save_job(&name);
    }

    /// Deletes a job with its runs. Its children get its parents, or its schedule.
    ///
    /// # Errors
    /// When there is no such job.
    pub fn delete(&mut self, name: &str) -> Result<(), Refusal> {
        let job = self.job(name)?.clone();
        for child in self.graph.children(name) {
            self.inherit(&child, &job);
        }
        self.kill_tasks(name)?;
        let waiting: Vec<String> =
            self.tasks_of(name).filter(|t| t.waits()).map(|t| t.id.clone()).collect();
        for id in waiting {
            self.drop_task(&id);
        }
        self.graph.connect(name, &[]);
        self.jobs.remove(name);
        self.lengths.remove(name);
        self.effects.push(Effect::Forget(format!("J_{name}")));
        Ok(())
    }

    fn inherit(&mut self, child: &str, gone: &Job) {
        let Some(mut heir) = self.jobs.get(child).cloned() else { return };
        heir.timing = match (&heir.timing, &gone.timing) {
            (Timing::After { parents }, Timing::After { parents: above }) => {
                let mut parents: Vec<String> = parents.clone();
                parents.retain(|parent| *parent != gone.name);
                parents.extend(
                    above
                        .iter()
                        .filter(|p| !parents.contains(p))
                        .cloned()
                        .collect::<Vec<_>>(),
                );
                Timing::After { parents }
            }
            (_, timing) => timing.clone(),
        };
        self.put(heir);
    }

    /// Runs a job now.
    ///
    /// # Errors
    /// When there is no such job.
    pub fn run_now(
        &mut self,
        name: &str,
        arguments: &str,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.job(name)?;
        self.enqueue(name, now, 0, arguments);
        Ok(())
    }

    /// Counts a success of a job that it did not have; whether there is such a job.
    pub fn mark_success(&mut self, name: &str, now: Timestamp) -> bool {
        if !self.jobs.contains_key(name) {
            return false;
        }
        self.graph.started(name);
        self.succeeded(name, now);
        true
    }

    /// Ends the launched runs of a job.
    ///
    /// # Errors
    /// When there is no such job.
    pub fn kill_tasks(&mut self, name: &str) -> Result<(), Refusal> {
        self.job(name)?;
        let launched = self.tasks_of(name).filter(|task| !task.waits());
        let kills: Vec<Call> = launched
            .map(|task| Call::Kill { task: task.id.clone(), agent: task.agent.clone() })
            .collect();
        for kill in kills {
            self.call(kill);
        }
        Ok(())
    }

    /// A job by its name.
    ///
    /// # Errors
    /// When there is no such job.
    pub fn job(&self, name: &str) -> Result<&Job, Refusal> {
        let missing = || format!("requirement failed: Job '{name}' not found");
        self.jobs.get(name).ok_or_else(|| Refusal::Wrong(missing()))
    }

    /// A run ended well, or is said to have.
    pub(super) fn succeeded(&mut self, name: &str, now: Timestamp) {
        let Some(job) = self.jobs.get_mut(name) else { return };
        job.success_count += 1;
        job.errors_since_last_success = 0;
        job.last_success = stamp(now);
        if schedule_of(job, now).is_some_and(|schedule| schedule.left == Some(0)) {
            job.disabled = true;
        }
        self.save_job(name);
        self.run_children(name, now);
    }

    /// Runs the children of a job that have waited for it.
    pub(super) fn run_children(&mut self, name: &str, now: Timestamp) {
        for child in self.graph.ended_well(name) {
            if self.jobs.get(&child).is_some_and(|job| !job.disabled) {
                self.enqueue(&child, now, 0, "");
            }
        }
    }
}
