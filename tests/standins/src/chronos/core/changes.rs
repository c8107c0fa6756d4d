//! What clients change.

use super::{Call, Core, schedule_of, stamp};
use crate::chronos::job::{Job, Timing};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client's fault.
    Wrong(String),
    /// As the real one fails over it, and tells.
    Failed(String),
    /// As the real one fails over it before it knows what to tell.
    Unreadable,
}

/// The refusal of what the real one requires.
fn required(text: &str) -> Refusal {
    Refusal::Wrong(format!(
        "java.lang.IllegalArgumentException: requirement failed: {text}"
    ))
}

impl Core {
    /// Creates or replaces a job that runs at its times; it shows a little later. Of one that is
    /// there less is asked.
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
        let Timing::At { schedule, .. } = &mut job.timing else {
            return Err(Refusal::Unreadable);
        };
        let Some(found) = found else {
            return Err(Refusal::Wrong(format!(
                "Cannot parse schedule '{schedule}' (wtf bro)"
            )));
        };
        // Without a start it is now, and stays that.
        if schedule.contains("//") {
            *schedule = found.to_string();
        }
        if !self.jobs.contains_key(&job.name) {
            check_name(&job.name)?;
            if found.start.year() < 1970 {
                let start = found.start.timestamp();
                let text = format!("Scheduled start date '{start}' is before 1970!");
                return Err(Refusal::Wrong(text));
            }
            if !job.fetch.is_empty() && !job.uris.is_empty() {
                let text = "Tried to add both uri (deprecated) and fetch parameters on";
                return Err(Refusal::Wrong(format!("{text} {}", job.name)));
            }
        }
        self.put(job);
        Ok(())
    }

    /// Creates or replaces a job that runs after others; a new one shows once these are there.
    ///
    /// # Errors
    /// When the definition is faulty, or one that is there is to run after what is not.
    pub fn put_dependent(&mut self, definition: &Value) -> Result<(), Refusal> {
        let job = self.read(definition)?;
        let Timing::After { parents } = &job.timing else {
            return Err(Refusal::Unreadable);
        };
        let name = &job.name;
        match (self.jobs.contains_key(name), parents.is_empty()) {
            (true, true) => return Err(required("Error, parent does not exist")),
            (true, false) if !parents.iter().all(|it| self.jobs.contains_key(it)) => {
                let text =
                    format!("JobSchedule {name} does not have all parents defined!");
                return Err(required(&text));
            }
            (true, false) if self.graph.would_circle(name, parents) => {
                let text = "org.jgrapht.experimental.dag.DirectedAcyclicGraph$CycleFoundException";
                return Err(Refusal::Failed(text.to_owned()));
            }
            (true, false) => {}
            (false, is_empty) => {
                check_name(name)?;
                if is_empty {
                    let text = "java.lang.Exception: Error, parent does not exist";
                    return Err(Refusal::Failed(text.to_owned()));
                }
            }
        }
        self.put(job);
        Ok(())
    }

    fn read(&self, definition: &Value) -> Result<Job, Refusal> {
        Job::read(definition, &self.rules.defaults).map_err(|_| Refusal::Unreadable)
    }

    fn put(&mut self, job: Job) {
        self.link.save(format!("J_{}", job.name), json!(job));
        self.pending.push(job);
    }

    /// Deletes a job with its runs. Its children get its parents, or its schedule.
    ///
    /// # Errors
    /// When there is no such job.
    pub fn delete(&mut self, name: &str) -> Result<(), Refusal> {
        let job = self.job(name)?.clone();
        for child in self.graph.children(name) {
            let Some(heir) = self.jobs.remove(&child) else { continue };
            let heir = heir.without_parent(&job);
            self.graph.connect(&child, heir.parents());
            self.jobs.insert(child.clone(), heir);
            self.save_job(&child);
        }
        self.kill_tasks(name)?;
        self.tasks.retain(|_, task| task.job != name || !task.waits());
        self.retries.retain(|task| task.job != name);
        self.graph.connect(name, &[]);
        self.jobs.remove(name);
        self.link.forget(format!("J_{name}"));
        Ok(())
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
            self.link.call(kill);
        }
        Ok(())
    }

    /// A job by its name.
    ///
    /// # Errors
    /// When there is no such job.
    pub fn job(&self, name: &str) -> Result<&Job, Refusal> {
        self.jobs.get(name).ok_or_else(|| required(&format!("Job '{name}' not found")))
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
            self.enqueue(&child, now, 0, "");
        }
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    match !name.is_empty() && name.chars().all(fits) {
        true => Ok(()),
        false => {
            Err(required("the job's name is invalid. Allowed names: '([\\w\\.-]+)'"))
        }
    }
}
