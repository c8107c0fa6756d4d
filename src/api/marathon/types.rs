//! The answers of Marathon 1.11, with the fields that callers need. Missing fields are empty.
//!
//! Ports are wider than TCP's: Marathon accepts and shows any up to 2³¹ − 1, and one such app
//! must not make a whole list unreadable.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// An app.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct App {
    /// Its id, such as `/prod/web`.
    pub(crate) id: String,
    /// How many tasks it should have.
    pub(crate) instances: u32,
    /// The CPUs of one task.
    pub(crate) cpus: f64,
    /// The memory of one task, in MiB.
    pub(crate) mem: f64,
    /// When it was changed last.
    pub(crate) version: Option<Timestamp>,
    /// When which part of the definition changed.
    pub(crate) version_info: Option<VersionInfo>,
    /// Tasks that do not run yet.
    pub(crate) tasks_staged: u32,
    /// Tasks that run.
    pub(crate) tasks_running: u32,
    /// Tasks that pass their health checks.
    pub(crate) tasks_healthy: u32,
    /// Tasks that fail their health checks.
    pub(crate) tasks_unhealthy: u32,
    /// Deployments that change it now.
    pub(crate) deployments: Vec<Reference>,
    /// Its health checks.
    pub(crate) health_checks: Vec<HealthCheck>,
    /// Its tasks; empty in a list of apps.
    pub(crate) tasks: Vec<Task>,
    /// How its last task failed; `None` in a list of apps.
    pub(crate) last_task_failure: Option<TaskFailure>,
    /// Which agents may run its tasks, such as `["hostname", "UNIQUE"]`.
    pub(crate) constraints: Vec<Vec<String>>,
}

/// An app as Marathon writes it, and what callers need of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct Document {
    /// All of it.
    pub(crate) json: Value,
    /// What callers need.
    pub(crate) app: App,
}

impl TryFrom<Value> for Document {
    type Error = serde_json::Error;

    fn try_from(json: Value) -> Result<Self, serde_json::Error> {
        let app = App::deserialize(&json)?;
        Ok(Self { json, app })
    }
}

/// A group, with what is in it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Group {
    /// Its id, such as `/shop`.
    pub(crate) id: String,
    /// The apps and groups that have to be there before its own apps.
    pub(crate) dependencies: Vec<String>,
    /// Whether its apps have to run in its role.
    pub(crate) enforce_role: bool,
    /// The apps directly in it.
    pub(crate) apps: Vec<Document>,
    /// The pods directly in it.
    pub(crate) pods: Vec<Reference>,
    /// The groups directly in it.
    pub(crate) groups: Vec<Self>,
}

impl Group {
    /// The group itself and all groups in it.
    pub(crate) fn all(&self) -> Vec<&Self> {
        let inner = self.groups.iter().flat_map(Self::all);
        std::iter::once(self).chain(inner).collect()
    }

    /// All apps in it, those of its groups too.
    pub(crate) fn all_apps(&self) -> impl Iterator<Item = &Document> {
        self.all().into_iter().flat_map(|group| &group.apps)
    }
}

/// When which part of an app's definition changed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct VersionInfo {
    /// The last change that is more than another number of instances or a restart.
    pub(crate) last_config_change_at: Option<Timestamp>,
}

/// How long a health check may take until a task is healthy or is killed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct HealthCheck {
    /// Failures after a task's start are ignored for so long.
    pub(crate) grace_period_seconds: u32,
    /// The time between two checks.
    pub(crate) interval_seconds: u32,
    /// After so many failures in a row the task is killed.
    pub(crate) max_consecutive_failures: u32,
}

/// The id of a deployment, inside an app, or of a pod, inside a group.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Reference {
    /// The id.
    pub(crate) id: String,
}

/// A task of an app, or one that has ended: Marathon keeps its entry, without ports and version,
/// until the next task replaces it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Task {
    /// Its id, at Mesos too.
    pub(crate) id: String,
    /// The name of its agent.
    pub(crate) host: String,
    /// For example `TASK_RUNNING`.
    pub(crate) state: String,
    /// The version of the app that it runs.
    pub(crate) version: Option<Timestamp>,
    /// When it started; `None` if it does not run yet.
    pub(crate) started_at: Option<Timestamp>,
    /// Its ports on the host, in the order of the app's ports.
    pub(crate) ports: Vec<u32>,
    /// The last result of each health check; empty before the first result.
    pub(crate) health_check_results: Vec<HealthCheckResult>,
}

/// The number of letters of an instance's id that tell it from others: the first part of a UUID
/// that was made from the time.
const SHORT: usize = 8;

/// The short name of a task: `8f2c1d4e.2` is the second task of the instance of
/// `web.instance-8f2c1d4e-….._app.2`.
pub(crate) fn short_name(id: &str) -> String {
    let Some((_, instance)) = id.rsplit_once(".instance-") else {
        // Before Marathon 1.5 a task had no instance.
        return match id.rsplit_once('.') {
            Some((_, uuid)) => uuid.chars().take(SHORT).collect(),
            None => id.to_owned(),
        };
    };
    let number = instance.rsplit_once('.').map_or("", |(_, number)| number);
    format!("{}.{number}", instance.chars().take(SHORT).collect::<String>())
}

impl Task {
    /// Whether it has ended, with success or not.
    pub(crate) fn has_ended(&self) -> bool {
        const ENDS: [&str; 7] = [
            "TASK_FINISHED",
            "TASK_FAILED",
            "TASK_KILLED",
            "TASK_ERROR",
            "TASK_DROPPED",
            "TASK_GONE",
            "TASK_GONE_BY_OPERATOR",
        ];
        ENDS.contains(&self.state.as_str())
    }

    /// Whether it has passed this many health checks itself. A task that replaces another
    /// inherits that task's results, which date from before its own start.
    pub(crate) fn passes(&self, n_checks: usize) -> bool {
        let is_own = |result: &HealthCheckResult| {
            result.alive && result.last_success > self.started_at
        };
        self.started_at.is_some()
            && self.health_check_results.iter().filter(|result| is_own(result)).count()
                >= n_checks
    }
}

/// The result of a health check.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct HealthCheckResult {
    /// Whether the task passed.
    pub(crate) alive: bool,
    /// The last success; it may be from before the task's start.
    pub(crate) last_success: Option<Timestamp>,
    /// The last failure; it may be from before the task's start.
    pub(crate) last_failure: Option<Timestamp>,
    /// Why it failed.
    pub(crate) last_failure_cause: Option<String>,
}

/// How a task failed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct TaskFailure {
    /// Its id.
    #[serde(rename = "taskId")]
    pub(crate) task: String,
    /// The name of its agent.
    pub(crate) host: String,
    /// For example `TASK_FAILED`.
    pub(crate) state: String,
    /// Why.
    pub(crate) message: String,
    /// When.
    pub(crate) timestamp: Option<Timestamp>,
}

/// A change that Marathon has begun.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Change {
    /// The deployment that carries it out.
    #[serde(rename = "deploymentId")]
    pub(crate) deployment: String,
}

/// A change under way.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Deployment {
    /// Its id.
    pub(crate) id: String,
    /// The apps that it changes.
    pub(crate) affected_apps: Vec<String>,
    /// When it began.
    pub(crate) version: Option<Timestamp>,
    /// Its current step, from 1.
    pub(crate) current_step: u32,
    /// The number of its steps.
    pub(crate) total_steps: u32,
}

/// An app or a pod that waits for offers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Queued {
    /// The app or the pod.
    #[serde(alias = "pod")]
    pub(crate) app: Reference,
    /// Tasks that have not been launched yet.
    pub(crate) count: u32,
    /// How long launches are held back after failures.
    pub(crate) delay: Delay,
    /// Since when it waits.
    pub(crate) since: Option<Timestamp>,
    /// Why offers were declined.
    #[serde(rename = "processedOffersSummary")]
    pub(crate) offers: Offers,
}

/// How long launches are held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Delay {
    /// The remaining time.
    pub(crate) time_left_seconds: f64,
    /// Whether it is over.
    pub(crate) overdue: bool,
}

/// What happened to offers for an app.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Offers {
    /// Offers that were processed.
    pub(crate) processed_offers_count: u64,
    /// Offers among them that did not fit.
    pub(crate) unused_offers_count: u64,
    /// When the last one fitted.
    pub(crate) last_used_offer_at: Option<Timestamp>,
    /// When the last one did not fit.
    pub(crate) last_unused_offer_at: Option<Timestamp>,
    /// Why the last ones did not fit.
    #[serde(rename = "rejectSummaryLastOffers")]
    pub(crate) rejected: Vec<Rejected>,
}

/// A reason why offers were declined.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Rejected {
    /// For example `InsufficientCpus`.
    pub(crate) reason: String,
    /// Offers declined for it.
    pub(crate) declined: u64,
    /// Offers that were processed.
    pub(crate) processed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_tell_the_tasks_of_an_instance_apart() {
        const TASK: &str = "web.instance-c08b32c5-ec07-11f1-b99a-26ba1e2ad6e9._app.";
        let short = |number: &str| short_name(&format!("{TASK}{number}"));
        assert_eq!([short("1"), short("2")], ["c08b32c5.1", "c08b32c5.2"]);
        assert_eq!(short_name("web.c08b32c5-ec07-11f1-b99a-26ba1e2ad6e9"), "c08b32c5");
        assert_eq!(short_name("plain"), "plain");
    }
}
