//! The API of one agent.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::http::{Access, ApiError, Call, Http};

/// An agent.
pub struct Agent {
    http: Http,
}

/// What an agent reports about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentState {
    /// Its id; empty until it has registered for the first time.
    pub id: String,
    /// Its name.
    pub hostname: String,
    /// Its version.
    pub version: String,
    /// The leader that it is registered with; `None` if it is not registered.
    pub master_hostname: Option<String>,
    /// The flags that it runs with.
    pub flags: BTreeMap<String, String>,
    /// Its tasks that have not ended, including tasks that wait for their executor.
    pub tasks: Vec<AgentTask>,
}

/// A task, as its agent reports it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AgentTask {
    /// Its id.
    pub id: String,
    /// Its framework's id.
    #[serde(default)]
    pub framework_id: String,
    /// Its executor's id; empty for a command task.
    #[serde(default)]
    pub executor_id: String,
    /// For example `TASK_RUNNING`; empty while it waits.
    #[serde(default)]
    pub state: String,
}

impl Agent {
    /// Creates a client for an agent; sends nothing yet.
    pub fn new(access: Access) -> Self {
        Self { http: Http::new(access) }
    }

    /// Checks only that the agent's process answers: it does so even if no master accepts it.
    /// Needs no password.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn health(&self) -> Result<(), ApiError> {
        self.http.answer(&Call::get("/health")).await.map(drop)
    }

    /// What the agent reports about itself and its tasks.
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

    /// Whether a request without a password is refused.
    ///
    /// # Errors
    /// When there is no answer.
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
