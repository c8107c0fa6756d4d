//! What the stand-ins of Mesos' masters and agents say to each other.
//!
//! Real ones exchange messages of libprocess; an operator never sees those, so these are the
//! stand-ins' own: an agent opens one request that stays open, and the master's words come down
//! it as RecordIO of JSON; what the agent says goes up in requests of its own. Tasks, frameworks
//! and statuses are the JSON of Mesos' v1 API throughout.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where an agent registers; the answer is the stream of [`ToAgent`]. Refusals: 401 for a wrong
/// secret, 202 where none was given and one is needed (a real master logs that and is silent),
/// 410 for an agent that was marked gone, 307 to the leader, 503 before the recovery.
pub const REGISTER: &str = "/standin/register";

/// Where an agent's [`FromAgent`] goes.
pub const SAY: &str = "/standin/say";

/// What an agent registers with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Register {
    /// The id of an earlier registration; none for a new agent.
    pub agent_id: Option<String>,
    /// `AgentInfo` of the v1 API, without the id.
    pub info: Value,
    /// The agent's version, such as `1.11.0`.
    pub version: String,
    /// Where the agent listens, as `ip:port`.
    pub address: String,
    /// `FrameworkInfo`, with its id, of each framework that has tasks here.
    pub frameworks: Vec<Value>,
    /// Tasks that the agent still has: those that run, and those whose end was not acknowledged.
    pub tasks: Vec<Running>,
}

/// A task on an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    /// The framework's id.
    pub framework_id: String,
    /// `TaskInfo` of the v1 API.
    pub task: Value,
    /// The last `TaskStatus`.
    pub status: Value,
}

/// What a master says to an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ToAgent {
    /// It is registered, by this id. Comes first.
    Registered {
        /// The agent's id.
        agent_id: String,
    },
    /// Asks for a [`FromAgent::Pong`].
    Ping,
    /// Runs a task.
    Run {
        /// `FrameworkInfo` with its id.
        framework: Value,
        /// `TaskInfo`.
        task: Value,
    },
    /// Ends a task.
    Kill {
        /// The framework's id.
        framework_id: String,
        /// The task's id.
        task_id: String,
        /// The grace period that overrides the task's own, in seconds.
        grace_seconds: Option<f64>,
        /// The `reason` that the last status is to have, such as `REASON_AGENT_DRAINING`.
        reason: Option<String>,
    },
    /// The framework has seen an update; it is not sent again.
    Acknowledge {
        /// The framework's id.
        framework_id: String,
        /// The task's id.
        task_id: String,
        /// The update's.
        uuid: String,
    },
    /// A framework is no more: its tasks end.
    ShutDown {
        /// The framework's id.
        framework_id: String,
    },
    /// The agent was marked gone: all its tasks end, and it.
    Gone,
}

/// What an agent says to the master that leads. Credentials go with every request, as HTTP's
/// basic authentication.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FromAgent {
    /// The agent's id.
    pub agent_id: String,
    /// What it says.
    #[serde(flatten)]
    pub word: Word,
}

/// A word of an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Word {
    /// The answer to a ping.
    Pong,
    /// A task's state changed. Repeated until it is acknowledged.
    Update {
        /// The framework's id.
        framework_id: String,
        /// `TaskStatus` of the v1 API, with its `uuid`.
        status: Value,
    },
    /// The agent leaves for good, as after SIGUSR1.
    Unregister,
}
