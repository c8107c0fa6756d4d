//! What the stand-ins of Mesos' masters and agents say to each other.
//!
//! Real ones exchange messages of libprocess; an operator never sees those, so these are the
//! stand-ins' own: an agent opens one request that stays open, and the master's words come down
//! it as RecordIO of JSON; what the agent says goes up in requests of its own. Tasks, frameworks
//! and statuses are the JSON of Mesos' v1 API throughout.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where an agent registers; the answer is the stream of [`ToAgent`]. Refusals: 401 for a wrong
/// secret, 403 where none was given and one is needed (a real master logs that and is silent),
/// 307 to the leader, 503 before the recovery.
pub const REGISTER: &str = "/standin/agent/register";

/// An id as the v1 API wraps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Id {
    /// The id.
    pub value: String,
}

impl From<&str> for Id {
    fn from(value: &str) -> Self {
        Self { value: value.to_owned() }
    }
}

/// What an agent registers with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Register {
    /// `AgentInfo` of the v1 API, with the id of an earlier registration.
    pub info: Value,
    /// Where the agent listens, as `slave(1)@ip:port`.
    pub pid: String,
    /// Tasks that the agent still has: those that run, and those whose end was not acknowledged.
    pub tasks: Vec<Running>,
}

/// A task on an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    /// `FrameworkInfo` of its framework, with the id.
    pub framework: Value,
    /// `TaskInfo` of the v1 API.
    pub task: Value,
    /// Its state, such as `TASK_RUNNING`.
    pub state: String,
    /// Every `TaskStatus` so far.
    pub statuses: Vec<Value>,
}

/// What a master says to an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ToAgent {
    /// It is registered, by this id. Comes first.
    Registered {
        /// The agent's id.
        agent_id: Id,
    },
    /// Asks for a [`Word::Pong`].
    Ping,
    /// Runs a task.
    Launch {
        /// `FrameworkInfo` with its id.
        framework: Value,
        /// `TaskInfo`.
        task: Value,
    },
    /// Ends a task.
    Kill {
        /// The framework's id.
        framework_id: Id,
        /// The task's id.
        task_id: Id,
        /// The kill policy that overrides the task's own.
        #[serde(default)]
        kill_policy: Value,
    },
    /// The framework has seen an update; it is not sent again.
    Acknowledge {
        /// The framework's id.
        framework_id: Id,
        /// The task's id.
        task_id: Id,
        /// The update's.
        uuid: String,
    },
    /// Ends all tasks, because the agent is drained; none where it is not, or not any more.
    Drain {
        /// `DrainConfig` of the v1 API.
        config: Option<Value>,
    },
    /// A framework is back: what it has not acknowledged is sent again.
    Flush {
        /// The framework's id.
        framework_id: Id,
    },
    /// A framework is no more: its tasks end.
    ShutdownFramework {
        /// The framework's id.
        framework_id: Id,
    },
    /// The agent is not wanted, as one that was marked gone: all its tasks end, and it.
    Shutdown {
        /// Why.
        message: String,
    },
}

/// A word of an agent. Credentials go with every request, as HTTP's basic authentication.
#[derive(Debug, Clone)]
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

impl Word {
    /// The path that it is posted to.
    pub fn path(&self) -> &'static str {
        match self {
            Self::Pong => "/standin/agent/pong",
            Self::Update { .. } => "/standin/agent/update",
            Self::Unregister => "/standin/agent/unregister",
        }
    }

    /// The body that is posted there.
    pub fn body(self, agent_id: &str) -> Value {
        match self {
            Self::Update { framework_id, status } => serde_json::json!({
                "agent_id": agent_id,
                "framework_id": Id { value: framework_id },
                "status": status,
            }),
            Self::Pong | Self::Unregister => serde_json::json!({ "agent_id": agent_id }),
        }
    }
}
