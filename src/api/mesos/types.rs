//! The answers of Mesos, with the fields that callers need.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::http::Endpoint;

/// An agent, as the leader reports it.
#[derive(Debug, Clone)]
pub(crate) struct AgentInfo {
    /// Its id: it survives restarts, unless its work folder is emptied.
    pub(crate) id: String,
    /// Its name.
    pub(crate) hostname: String,
    /// The address at which it listens; `None` if its pid cannot be parsed.
    pub(crate) address: Option<Endpoint>,
    /// Whether it is offered to frameworks: connected, and not deactivated.
    pub(crate) active: bool,
    /// Whether an operator deactivated or drained it.
    pub(crate) deactivated: bool,
    /// Its attributes, each as Mesos shows it.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Its total resources.
    pub(crate) total: Resources,
    /// Its resources in use.
    pub(crate) allocated: Resources,
    /// Its drain, under way or finished.
    pub(crate) drain: Option<DrainState>,
}

/// The progress of a drain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum DrainState {
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

/// Resources of an agent, over all roles.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resources {
    /// Processors.
    pub(crate) cpus: f64,
    /// Memory in MiB.
    pub(crate) mem_mib: f64,
    /// Disk in MiB.
    pub(crate) disk_mib: f64,
    /// Graphics processors.
    pub(crate) gpus: f64,
    /// Ports, as ranges with their ends.
    pub(crate) ports: Vec<(u64, u64)>,
}

/// A framework, such as Marathon.
#[derive(Debug, Clone)]
pub(crate) struct Framework {
    /// Its name.
    pub(crate) name: String,
    /// Whether it gets offers.
    pub(crate) active: bool,
    /// Whether its scheduler is connected.
    pub(crate) connected: bool,
    /// The host that its scheduler runs on.
    pub(crate) hostname: Option<String>,
    /// Its web page.
    pub(crate) webui_url: Option<String>,
}
