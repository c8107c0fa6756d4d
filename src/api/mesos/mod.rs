//! Mesos: what the masters and agents report about the cluster, and the orders for agents.
//!
//! What each call proves was tested on a real Mesos 1.11: a master's health, metrics and flags
//! are only its own and say nothing about the cluster. Calls of the v1 API are answered only by
//! the leader, to which all others redirect, and only when it has recovered its registry.

mod agent;
mod raw;
mod types;

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use serde::de::{DeserializeOwned, Error};
use serde_json::{Value, json};

use super::http::{Access, ApiError, Call, Endpoint, Http, Reason};

pub use self::agent::{Agent, AgentState, AgentTask};
pub use self::types::{
    AgentInfo, Drain, DrainState, Framework, Frameworks, MasterInfo, Resources, Task,
    Tasks, Version,
};

const V1: &str = "/api/v1";

/// The masters of a cluster.
pub struct Master {
    http: Http,
}

/// How an agent is drained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Draining {
    /// The longest time that a task gets to end by itself, rounded up to seconds; if `None`, each
    /// task's own kill policy decides. For a command task, its own policy always decides.
    pub max_grace: Option<Duration>,
    /// Whether the agent is marked gone for good afterwards.
    pub mark_gone: bool,
}

impl Master {
    /// Creates a client for masters; sends nothing yet.
    pub fn new(access: Access) -> Self {
        Self { http: Http::new(access) }
    }

    /// Checks only that the process of the queried member answers: it does so even without a
    /// leader or a quorum. Needs no password.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn health(&self) -> Result<(), ApiError> {
        self.http.answer(&Call::get("/health")).await.map(drop)
    }

    /// The leader that the queried member names; `None` if it knows none. It still names a leader
    /// for some seconds after that leader's death. Needs no password.
    ///
    /// # Errors
    /// When the member does not answer, or names one that is not the cluster's own.
    pub async fn leader(&self) -> Result<Option<Endpoint>, ApiError> {
        self.http.redirect(&Call::get("/master/redirect")).await
    }

    /// The leader's own answer. It proves that the leader has finished its recovery, so a quorum
    /// of masters keeps its registry.
    ///
    /// # Errors
    /// When no leader answers; [`Reason::NotRecovered`] when it has no quorum yet.
    pub async fn get_master(&self) -> Result<MasterInfo, ApiError> {
        self.read::<raw::Master>("GET_MASTER").await.map(MasterInfo::from)
    }

    /// All registered agents, including those that are deactivated or briefly disconnected.
    ///
    /// # Errors
    /// As [`get_master`](Self::get_master), and when the user may not see them.
    pub async fn get_agents(&self) -> Result<Vec<AgentInfo>, ApiError> {
        let agents = self.read::<raw::Agents>("GET_AGENTS").await?;
        Ok(agents.agents.into_iter().map(AgentInfo::from).collect())
    }

    /// All registered frameworks, and completed ones that the leader remembers.
    ///
    /// # Errors
    /// As [`get_agents`](Self::get_agents).
    pub async fn get_frameworks(&self) -> Result<Frameworks, ApiError> {
        self.read::<raw::Frameworks>("GET_FRAMEWORKS").await.map(Frameworks::from)
    }

    /// All tasks, including completed ones that the leader remembers.
    ///
    /// # Errors
    /// As [`get_agents`](Self::get_agents).
    pub async fn get_tasks(&self) -> Result<Tasks, ApiError> {
        self.read::<raw::Tasks>("GET_TASKS").await.map(Tasks::from)
    }

    /// The metrics of the queried member, such as `master/elected`.
    ///
    /// # Errors
    /// When it does not answer, or refuses the password.
    pub async fn metrics(&self) -> Result<BTreeMap<String, f64>, ApiError> {
        self.http.json(&Call::get("/metrics/snapshot")).await
    }

    /// The flags that the queried member runs with.
    ///
    /// # Errors
    /// When it does not answer, or does not allow this user to see them.
    pub async fn flags(&self) -> Result<BTreeMap<String, String>, ApiError> {
        flags(&self.http).await
    }

    /// The version of the queried member. Needs no password.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn version(&self) -> Result<Version, ApiError> {
        self.http.json(&Call::get("/version")).await
    }

    /// Whether a request without a password is refused.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn is_guarded(&self) -> Result<bool, ApiError> {
        self.http.is_guarded(&question("GET_HEALTH")).await
    }

    /// Stops offering an agent's resources; its tasks keep running. If repeated, it changes
    /// nothing, so it is repeated if the connection breaks.
    ///
    /// # Errors
    /// When the leader does not answer, does not know the agent (400), or forbids it.
    pub async fn deactivate_agent(&self, agent: &str) -> Result<(), ApiError> {
        let call = order("DEACTIVATE_AGENT", json!({"agent_id": {"value": agent}}));
        self.http.answer(&call.repeatable()).await.map(drop)
    }

    /// Offers the resources of a deactivated or drained agent again. Never repeated: it is an
    /// error (400) if the agent is already active, or still draining.
    ///
    /// # Errors
    /// As for [`deactivate_agent`](Self::deactivate_agent), and in these cases.
    pub async fn reactivate_agent(&self, agent: &str) -> Result<(), ApiError> {
        let call = order("REACTIVATE_AGENT", json!({"agent_id": {"value": agent}}));
        self.http.answer(&call).await.map(drop)
    }

    /// Ends all tasks of an agent, and stops offering its resources. Returns at once:
    /// [`get_agents`](Self::get_agents) shows when it is [`DrainState::Drained`]. Never repeated
    /// automatically. If an agent stays `DRAINING` because its framework vanished, a second call
    /// ends that.
    ///
    /// # Errors
    /// When the leader does not answer, does not know the agent (400), has its machine in the
    /// maintenance schedule (400), or forbids it.
    pub async fn drain_agent(&self, agent: &str, how: Draining) -> Result<(), ApiError> {
        let mut body = json!({"agent_id": {"value": agent}});
        if let Some(grace) = how.max_grace {
            // The only form that Mesos reads; it ignores a grace period in nanoseconds.
            let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
            body["max_grace_period"] = json!({"seconds": seconds});
        }
        if how.mark_gone {
            body["mark_gone"] = json!(true);
        }
        self.http.answer(&order("DRAIN_AGENT", body)).await.map(drop)
    }

    /// Marks an agent as gone for good: its tasks are lost, and it may not register again. If
    /// repeated, it changes nothing, so it is repeated if the connection breaks.
    ///
    /// # Errors
    /// When the leader does not answer, forbids it, or never knew the agent
    /// ([`Reason::NotFound`]).
    pub async fn mark_agent_gone(&self, agent: &str) -> Result<(), ApiError> {
        let call = order("MARK_AGENT_GONE", json!({"agent_id": {"value": agent}}));
        self.http.answer(&call.repeatable()).await.map(drop)
    }

    async fn read<T: DeserializeOwned>(&self, kind: &str) -> Result<T, ApiError> {
        let mut answer: Value = self.http.json(&question(kind)).await?;
        let inner = answer.get_mut(kind.to_ascii_lowercase()).map(Value::take);
        let missing =
            || serde_json::Error::custom("the answer is for a different request");
        inner
            .ok_or_else(missing)
            .and_then(serde_json::from_value)
            .map_err(|source| self.http.complaint(kind, Reason::NotUnderstood(source)))
    }
}

async fn flags(http: &Http) -> Result<BTreeMap<String, String>, ApiError> {
    http.json::<raw::Flags>(&Call::get("/flags")).await.map(|flags| flags.flags)
}

/// A question of the v1 API: it is sent with POST, but changes nothing.
fn question(kind: &str) -> Call {
    let call = Call::order(Method::POST, V1).body(&json!({"type": kind}));
    call.named(kind).repeatable()
}

fn order(kind: &str, what: Value) -> Call {
    let body = json!({"type": kind, kind.to_ascii_lowercase(): what});
    Call::order(Method::POST, V1).body(&body).named(kind)
}
