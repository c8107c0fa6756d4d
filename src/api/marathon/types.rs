//! The answers of Marathon 1.11, with the fields that callers need. Missing fields are empty; all
//! settings of an app are in its [definition](super::Marathon::definition).
//!
//! Ports are wider than TCP's: Marathon accepts and shows any up to 2³¹ − 1, and one such app
//! must not make a whole list unreadable.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// What Marathon reports about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Info {
    /// For example `marathon`.
    pub name: String,
    /// For example `1.11.24`.
    pub version: String,
    /// Whether the member that answers leads.
    pub elected: Option<bool>,
    /// The leader, as `HOST:PORT`.
    pub leader: Option<String>,
    /// Its framework id at Mesos; `None` until it has registered.
    #[serde(rename = "frameworkId")]
    pub framework_id: Option<String>,
}

/// An app.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct App {
    /// Its id, such as `/prod/web`.
    pub id: String,
    /// How many tasks it should have.
    pub instances: u32,
    /// The version of its definition.
    pub version: String,
    /// When which part of the definition changed.
    pub version_info: Option<VersionInfo>,
    /// Tasks that do not run yet.
    pub tasks_staged: u32,
    /// Tasks that run.
    pub tasks_running: u32,
    /// Tasks that pass their health checks.
    pub tasks_healthy: u32,
    /// Tasks that fail their health checks.
    pub tasks_unhealthy: u32,
    /// Deployments that change it now.
    pub deployments: Vec<Reference>,
    /// Its health checks.
    pub health_checks: Vec<HealthCheck>,
    /// Its tasks; empty unless asked for.
    pub tasks: Vec<Task>,
    /// How its last task failed, if asked for.
    pub last_task_failure: Option<TaskFailure>,
    /// Which agents may run its tasks, such as `["hostname", "UNIQUE"]`.
    pub constraints: Vec<Vec<String>>,
    /// How far a deployment may go below and above its instances.
    pub upgrade_strategy: Option<UpgradeStrategy>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its networks.
    pub networks: Vec<Network>,
    /// Its container.
    pub container: Option<Container>,
    /// Its ports, in host mode.
    pub port_definitions: Vec<PortDefinition>,
    /// Whether exactly these ports are used on the host.
    pub require_ports: bool,
}

/// When which part of an app's definition changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VersionInfo {
    /// The last change of the number of instances or a restart.
    pub last_scaling_at: Option<Timestamp>,
    /// The last change of anything else.
    pub last_config_change_at: Option<Timestamp>,
}

/// A deployment's id, inside an app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Reference {
    /// The id.
    pub id: String,
}

/// A health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// For example `MESOS_HTTP`.
    pub protocol: String,
}

/// How far a deployment may go below and above an app's instances, as fractions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UpgradeStrategy {
    /// The fraction that must stay healthy.
    pub minimum_health_capacity: f64,
    /// The fraction that may run in addition.
    pub maximum_over_capacity: f64,
}

/// A network that an app is on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Network {
    /// `host`, `container/bridge` or `container`.
    pub mode: String,
}

/// An app's container.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    /// Its ports.
    pub port_mappings: Vec<PortMapping>,
    /// Its volumes as raw JSON, because they have many forms.
    pub volumes: Vec<Value>,
}

/// A port of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PortMapping {
    /// Inside the container.
    pub container_port: u32,
    /// On the host; 0 or `None` means any.
    pub host_port: Option<u32>,
    /// On the balancer.
    pub service_port: Option<u32>,
    /// `tcp`, `udp` or `udp,tcp`.
    pub protocol: String,
    /// Its name.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A port of an app in host mode.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PortDefinition {
    /// On the balancer; also on the host if the app requires its ports.
    pub port: u32,
    /// `tcp`, `udp` or `udp,tcp`.
    pub protocol: String,
    /// Its name.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A task of an app, or one that has ended: Marathon keeps its entry, without ports and version,
/// until the next task replaces it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Task {
    /// Its id, at Mesos too.
    pub id: String,
    /// The app's id.
    pub app_id: String,
    /// The name of its agent.
    pub host: String,
    /// The id of its agent.
    #[serde(rename = "slaveId")]
    pub agent_id: Option<String>,
    /// For example `TASK_RUNNING`.
    pub state: String,
    /// The version of the app that it runs.
    pub version: Option<Timestamp>,
    /// When it started; `None` if it does not run yet.
    pub started_at: Option<Timestamp>,
    /// Its ports on the host, in the order of the app's ports.
    pub ports: Vec<u32>,
    /// The balancer's ports for them, in the same order.
    pub service_ports: Vec<u32>,
    /// The task's own addresses.
    pub ip_addresses: Vec<IpAddress>,
    /// The last result of each health check; empty before the first result.
    pub health_check_results: Vec<HealthCheckResult>,
}

impl Task {
    /// Whether it has ended, with success or not.
    pub fn has_ended(&self) -> bool {
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
    pub fn passes(&self, n_checks: usize) -> bool {
        let is_own = |result: &HealthCheckResult| {
            result.alive && result.last_success > self.started_at
        };
        self.started_at.is_some()
            && self.health_check_results.iter().filter(|result| is_own(result)).count()
                >= n_checks
    }
}

/// An address of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IpAddress {
    /// The address.
    pub ip_address: String,
}

/// The result of a health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HealthCheckResult {
    /// Whether the task passed.
    pub alive: bool,
    /// The last success; it may be from before the task's start.
    pub last_success: Option<Timestamp>,
    /// Why the last check failed.
    pub last_failure_cause: Option<String>,
}

/// How a task failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TaskFailure {
    /// The task.
    pub task_id: String,
    /// The host that it ran on.
    pub host: String,
    /// For example `TASK_FAILED`.
    pub state: String,
    /// Why.
    pub message: String,
    /// When.
    pub timestamp: Option<Timestamp>,
}

/// A change that Marathon has begun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Change {
    /// The resulting version.
    pub version: String,
    /// The deployment that carries it out.
    #[serde(rename = "deploymentId")]
    pub deployment: String,
}

/// Tasks that Marathon was asked to kill.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Killed {
    /// These tasks; empty if a deployment kills them.
    pub tasks: Vec<Task>,
    /// That deployment, if the app has fewer instances afterwards.
    #[serde(rename = "deploymentId")]
    pub deployment: Option<String>,
}

/// A change under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Deployment {
    /// Its id.
    pub id: String,
    /// The apps that it changes.
    pub affected_apps: Vec<String>,
    /// What it does now.
    pub current_actions: Vec<Action>,
    /// Its current step, from 1.
    pub current_step: u32,
    /// The number of its steps.
    pub total_steps: u32,
}

/// A part of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Action {
    /// For example `ScaleApplication`.
    pub action: String,
    /// The app.
    pub app: Option<String>,
}

/// An app or a pod that waits for offers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Queued {
    /// The app or the pod.
    #[serde(alias = "pod")]
    pub app: Reference,
    /// Tasks that have not been launched yet.
    pub count: u32,
    /// How long launches are held back after failures.
    pub delay: Delay,
    /// Since when it waits.
    pub since: Option<Timestamp>,
    /// Why offers were declined.
    #[serde(rename = "processedOffersSummary")]
    pub offers: Offers,
}

/// How long launches are held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Delay {
    /// The remaining time.
    pub time_left_seconds: f64,
    /// Whether it is over.
    pub overdue: bool,
}

/// What happened to offers for an app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Offers {
    /// Offers that were processed.
    pub processed_offers_count: u64,
    /// Offers among them that did not fit.
    pub unused_offers_count: u64,
    /// When the last one fitted.
    pub last_used_offer_at: Option<Timestamp>,
    /// When the last one did not fit.
    pub last_unused_offer_at: Option<Timestamp>,
    /// Why the last ones did not fit.
    #[serde(rename = "rejectSummaryLastOffers")]
    pub rejected: Vec<Rejected>,
}

/// A reason why offers were declined.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Rejected {
    /// For example `InsufficientCpus`.
    pub reason: String,
    /// Offers declined for it.
    pub declined: u64,
    /// Offers that were processed.
    pub processed: u64,
}

/// A group of apps.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Group {
    /// Its id; `/` for the root.
    pub id: String,
    /// The apps in it.
    pub apps: Vec<App>,
    /// The groups in it.
    pub groups: Vec<Group>,
}
