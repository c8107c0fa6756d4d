//! One agent, asked itself.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::http::{Access, ApiError, Call, Http};

/// An agent.
pub struct Agent {
    http: Http,
}

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentState {
    /// Its id; empty until it has registered for the first time.
    pub id: String,
    /// Its name.
    pub hostname: String,
    /// Its version.
    pub version: String,
    /// The leader that it is registered with; none where it is registered with none.
    pub master_hostname: Option<String>,
    /// The flags that it runs with.
    pub flags: BTreeMap<String, String>,
    /// Its tasks that have not ended, also those that wait for their executor.
    pub tasks: Vec<AgentTask>,
}

/// A task, as its agent knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AgentTask {
    /// Its id.
    pub id: String,
    /// Whose it is.
    #[serde(default)]
    pub framework_id: String,
    /// What runs it; empty where that is its own command.
    #[serde(default)]
    pub executor_id: String,
    /// Such as `TASK_RUNNING`; empty while it waits.
    #[serde(default)]
    pub state: String,
}

impl Agent {
    /// Prepares to talk to an agent; sends nothing yet.
    pub fn new(access: Access) -> Self {
        Self { http: Http::new(access) }
    }

    /// Proves that the agent's process answers, and no more: it does also while no master
    /// takes it. Needs no password.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn health(&self) -> Result<(), ApiError> {
        self.http.answer(&Call::get("/health")).await.map(drop)
    }

    /// What the agent says of itself and its tasks.
    ///
    /// # Errors
    /// When it does not answer, or refuses the password.
    pub async fn state(&self) -> Result<AgentState, ApiError> {
        self.http.json::<RawState>(&Call::get("/state")).await.map(AgentState::from)
    }

    /// The flags that the agent runs with.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub async fn flags(&self) -> Result<BTreeMap<String, String>, ApiError> {
        super::flags(&self.http).await
    }

    /// Whether a question without a password is refused.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn is_guarded(&self) -> Result<bool, ApiError> {
        self.http.is_guarded(&Call::get("/state")).await
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawState {
    id: String,
    hostname: String,
    version: String,
    master_hostname: Option<String>,
    flags: BTreeMap<String, String>,
    frameworks: Vec<RawFramework>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawFramework {
    executors: Vec<RawExecutor>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawExecutor {
    tasks: Vec<AgentTask>,
    queued_tasks: Vec<AgentTask>,
}

impl From<RawState> for AgentState {
    fn from(raw: RawState) -> Self {
        let executors = raw.frameworks.into_iter().flat_map(|of| of.executors);
        let tasks = executors.flat_map(|of| of.tasks.into_iter().chain(of.queued_tasks));
        Self {
            id: raw.id,
            hostname: raw.hostname,
            version: raw.version,
            master_hostname: raw.master_hostname.filter(|name| !name.is_empty()),
            flags: raw.flags,
            tasks: tasks.collect(),
        }
    }
}
