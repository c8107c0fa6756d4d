//! Takes in what the master says of runs.

use super::{Call, Core, stamp};
use crate::chronos::task::Task;
use crate::mesos::is_terminal;
use crate::scheduler::Status;
use jiff::Timestamp;

/// How many lengths of runs are kept for statistics.
const KEPT_LENGTHS: usize = 1000;

impl Core {
    pub(super) fn take_in(&mut self, status: &Status, now: Timestamp) {
        let id = &status.task_id.value;
        if is_terminal(&status.state) {
            // Of a run that an earlier leader launched its id tells.
            let known = self.tasks.remove(id).or_else(|| Task::of_id(id));
            if let Some(task) = known.filter(|task| self.jobs.contains_key(&task.job)) {
                self.ended(&task, &status.state, now);
            }
        } else {
            self.goes_on(status);
        }
        self.link.call(Call::Acknowledge(Box::new(status.clone())));
    }

    fn goes_on(&mut self, status: &Status) {
        let Some(task) = self.tasks.get_mut(&status.task_id.value) else { return };
        task.agent = Some(status.agent_id.value.clone());
        self.graph.started(&task.job);
    }

    fn ended(&mut self, task: &Task, state: &str, now: Timestamp) {
        match state {
            "TASK_FINISHED" => {
                self.note_length(task, now);
                self.succeeded(&task.job, now);
            }
            // Somebody wanted it so: it is neither tried again nor counted.
            "TASK_KILLED" => {}
            _ => self.failed(task, now),
        }
    }

    fn note_length(&mut self, task: &Task, now: Timestamp) {
        let lengths = self.lengths.entry(task.job.clone()).or_default();
        lengths.push(now.duration_since(task.due).as_millis() as i64);
        if lengths.len() > KEPT_LENGTHS {
            lengths.remove(0);
        }
    }

    /// Tries again what may be tried again; the rest has failed for good.
    fn failed(&mut self, task: &Task, now: Timestamp) {
        let Some(job) = self.jobs.get_mut(&task.job) else { return };
        // One that failed for good and did not end well since gets no second try.
        let may_retry = job.last_error.is_empty() || job.last_success >= job.last_error;
        if task.attempt < job.retries && may_retry {
            let due = now + self.rules.failure_retry;
            let (attempt, arguments) = (task.attempt + 1, &task.arguments);
            return self.retries.push(Task::new(job, due, attempt, arguments));
        }
        job.error_count += 1;
        job.errors_since_last_success += 1;
        job.last_error = stamp(now);
        let most = self.rules.disable_after_failures;
        // A failure decides anew whether a job is set aside, as there.
        job.disabled = most > 0 && job.errors_since_last_success >= most;
        let soft = job.soft_error;
        self.save_job(&task.job);
        if soft {
            self.run_children(&task.job, now);
        }
    }
}
