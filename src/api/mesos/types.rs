//! What Mesos says, as callers need it.

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
    /// Where it listens.
    pub address: Option<Endpoint>,
    /// Its version, such as `1.11.0`.
    pub version: String,
}

/// A program's version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// Such as `1.11.0`.
    pub version: String,
    /// The commit that it was built from.
    #[serde(default)]
    pub git_sha: Option<String>,
}

/// An agent as the leader knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentInfo {
    /// Its id: it stays over restarts, unless its work folder is emptied.
    pub id: String,
    /// Its name.
    pub hostname: String,
    /// Where it listens; none where its pid cannot be read.
    pub address: Option<Endpoint>,
    /// Its version.
    pub version: String,
    /// Whether it is offered to frameworks: connected, and not deactivated.
    pub active: bool,
    /// Whether an operator deactivated or drained it.
    pub deactivated: bool,
    /// When it first registered with this leader's registry.
    pub registered: Option<Timestamp>,
    /// Its attributes, each as Mesos would show it.
    pub attributes: BTreeMap<String, String>,
    /// What it has.
    pub total: Resources,
    /// What of it is in use.
    pub allocated: Resources,
    /// Its drain, under way or done.
    pub drain: Option<Drain>,
}

/// A drain of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// How far it is.
    pub state: DrainState,
    /// Whether the agent is gone for good afterwards.
    pub mark_gone: bool,
    /// About when it began.
    pub started: Option<Timestamp>,
}

/// How far a drain is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum DrainState {
    /// Tasks are ending, or their frameworks have not heard of it.
    #[serde(rename = "DRAINING")]
    Draining,
    /// No task is left.
    #[serde(rename = "DRAINED")]
    Drained,
    /// Something that this program does not know: never taken for drained.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Amounts of an agent or task, over all roles.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources {
    /// Processors.
    pub cpus: f64,
    /// Memory in MiB.
    pub mem_mib: f64,
    /// Disk in MiB.
    pub disk_mib: f64,
    /// Ports, in the order that Mesos tells them.
    pub ports: Vec<RangeInclusive<u16>>,
}

/// What the leader knows of frameworks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frameworks {
    /// Those that are registered.
    pub current: Vec<Framework>,
    /// Those that have ended.
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
    /// Who it authenticated as.
    pub principal: Option<String>,
    /// The host that its scheduler runs on.
    pub hostname: Option<String>,
    /// Its page.
    pub webui_url: Option<String>,
}

/// What the leader knows of tasks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tasks {
    /// Those that run, or will.
    pub current: Vec<Task>,
    /// Those on agents that cannot be reached.
    pub unreachable: Vec<Task>,
    /// Those that have ended.
    pub completed: Vec<Task>,
}

/// A task.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its id; only its framework keeps it from being used twice.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub framework_id: String,
    /// Where it is.
    pub agent_id: String,
    /// Such as `TASK_RUNNING`.
    pub state: String,
    /// What it uses.
    pub resources: Resources,
}
