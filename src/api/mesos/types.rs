//! The answers of Mesos, with the fields that callers need.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde::Deserialize;

use super::super::http::Endpoint;

/// The leading master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterInfo {
    /// Its id: a new one at each start.
    pub id: String,
    /// Its name.
    pub hostname: String,
    /// The address at which it listens.
    pub address: Option<Endpoint>,
    /// Its version, for example `1.11.0`.
    pub version: String,
}

/// A program's version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// For example `1.11.0`.
    pub version: String,
    /// The commit that it was built from.
    #[serde(default)]
    pub git_sha: Option<String>,
}

/// An agent, as the leader reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentInfo {
    /// Its id: it survives restarts, unless its work folder is emptied.
    pub id: String,
    /// Its name.
    pub hostname: String,
    /// The address at which it listens; `None` if its pid cannot be parsed.
    pub address: Option<Endpoint>,
    /// Its version.
    pub version: String,
    /// Whether it is offered to frameworks: connected, and not deactivated.
    pub active: bool,
    /// Whether an operator deactivated or drained it.
    pub deactivated: bool,
    /// When it first registered with this leader's registry.
    pub registered: Option<Timestamp>,
    /// Its attributes, each as Mesos shows it.
    pub attributes: BTreeMap<String, String>,
    /// Its total resources.
    pub total: Resources,
    /// Its resources in use.
    pub allocated: Resources,
    /// Its drain, under way or finished.
    pub drain: Option<Drain>,
}

/// A drain of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// Its progress.
    pub state: DrainState,
    /// Whether the agent is marked gone for good afterwards.
    pub mark_gone: bool,
    /// Its approximate start.
    pub started: Option<Timestamp>,
}

/// The progress of a drain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum DrainState {
    /// Tasks are ending, or their frameworks have not received the request.
    #[serde(rename = "DRAINING")]
    Draining,
    /// No task is left.
    #[serde(rename = "DRAINED")]
    Drained,
    /// A state that this program does not know: never treated as drained.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Resources of an agent or task, over all roles.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources {
    /// Processors.
    pub cpus: f64,
    /// Memory in MiB.
    pub mem_mib: f64,
    /// Disk in MiB.
    pub disk_mib: f64,
    /// Ports, in the order in which Mesos lists them.
    pub ports: Vec<RangeInclusive<u16>>,
}

/// The frameworks that the leader knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frameworks {
    /// Registered frameworks.
    pub current: Vec<Framework>,
    /// Completed frameworks.
    pub completed: Vec<Framework>,
}

/// A framework, such as Marathon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framework {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it gets offers.
    pub active: bool,
    /// Whether its scheduler is connected.
    pub connected: bool,
    /// The principal that it authenticated as.
    pub principal: Option<String>,
    /// The host that its scheduler runs on.
    pub hostname: Option<String>,
    /// Its web page.
    pub webui_url: Option<String>,
}

/// The tasks that the leader knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tasks {
    /// Tasks that run, or will run.
    pub current: Vec<Task>,
    /// Those on agents that cannot be reached.
    pub unreachable: Vec<Task>,
    /// Tasks that have ended.
    pub completed: Vec<Task>,
}

/// A task.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its id; only its framework prevents a second use.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its framework's id.
    pub framework_id: String,
    /// Its agent's id.
    pub agent_id: String,
    /// For example `TASK_RUNNING`.
    pub state: String,
    /// Its resources.
    pub resources: Resources,
}
