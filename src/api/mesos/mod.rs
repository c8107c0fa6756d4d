//! Mesos: what the masters and agents say of the cluster, and the orders for agents.
//!
//! Which calls prove what was seen on a real Mesos 1.11: a master's health, metrics and flags
//! are that member's own and say nothing about the cluster; the calls of the v1 API are answered
//! by the leader alone, to which all others redirect, and only once it knows its registry.

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
    /// The longest that a task gets to end by itself, rounded up to seconds; without it each
    /// task's own kill policy decides. A command task's own policy decides in any case.
    pub max_grace: Option<Duration>,
    /// Whether the agent is gone for good afterwards.
    pub mark_gone: bool,
}

impl Master {
    /// Prepares to talk to masters; sends nothing yet.
    pub fn new(access: Access) -> Self {
        Self { http: Http::new(access) }
    }

    /// Proves that the process of the member that is asked answers, and no more: it does also
    /// without a leader or a quorum. Needs no password.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn health(&self) -> Result<(), ApiError> {
        self.http.answer(&Call::get("/health")).await.map(drop)
    }

    /// The leader by the word of the member that is asked; none where it knows of none. It is
    /// named for some seconds after its death. Needs no password.
    ///
    /// # Errors
    /// When the member does not answer, or names one that is not the cluster's own.
    pub async fn leader(&self) -> Result<Option<Endpoint>, ApiError> {
        self.http.redirect(&Call::get("/master/redirect")).await
    }

    /// The leader, by itself. An answer proves that it has finished its recovery, so that a
    /// quorum of masters keeps its registry.
    ///
    /// # Errors
    /// When no leader answers; [`Reason::NotRecovered`] when it has no quorum yet.
    pub async fn get_master(&self) -> Result<MasterInfo, ApiError> {
        self.read::<raw::Master>("GET_MASTER").await.map(MasterInfo::from)
    }

    /// All agents that are registered, also those that are deactivated or away for moments.
    ///
    /// # Errors
    /// As [`get_master`](Self::get_master), and when the user may not see them.
    pub async fn get_agents(&self) -> Result<Vec<AgentInfo>, ApiError> {
        let agents = self.read::<raw::Agents>("GET_AGENTS").await?;
        Ok(agents.agents.into_iter().map(AgentInfo::from).collect())
    }

    /// All frameworks that are registered, and those of the past that the leader remembers.
    ///
    /// # Errors
    /// As [`get_agents`](Self::get_agents).
    pub async fn get_frameworks(&self) -> Result<Frameworks, ApiError> {
        self.read::<raw::Frameworks>("GET_FRAMEWORKS").await.map(Frameworks::from)
    }

    /// All tasks, also those of the past that the leader remembers.
    ///
    /// # Errors
    /// As [`get_agents`](Self::get_agents).
    pub async fn get_tasks(&self) -> Result<Tasks, ApiError> {
        self.read::<raw::Tasks>("GET_TASKS").await.map(Tasks::from)
    }

    /// What the member that is asked measures, such as `master/elected`.
    ///
    /// # Errors
    /// When it does not answer, or refuses the password.
    pub async fn metrics(&self) -> Result<BTreeMap<String, f64>, ApiError> {
        self.http.json(&Call::get("/metrics/snapshot")).await
    }

    /// The flags that the member that is asked runs with.
    ///
    /// # Errors
    /// When it does not answer, or does not let this user see them.
    pub async fn flags(&self) -> Result<BTreeMap<String, String>, ApiError> {
        flags(&self.http).await
    }

    /// The version of the member that is asked. Needs no password.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn version(&self) -> Result<Version, ApiError> {
        self.http.json(&Call::get("/version")).await
    }

    /// Whether a question without a password is refused.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn is_guarded(&self) -> Result<bool, ApiError> {
        self.http.is_guarded(&question("GET_HEALTH")).await
    }

    /// Offers nothing of an agent any more; its tasks go on. Repeated, it changes nothing, so
    /// it is repeated when the connection breaks.
    ///
    /// # Errors
    /// When the leader does not answer, does not know the agent (400), or forbids it.
    pub async fn deactivate_agent(&self, agent: &str) -> Result<(), ApiError> {
        let call = order("DEACTIVATE_AGENT", json!({"agent_id": {"value": agent}}));
        self.http.answer(&call.repeatable()).await.map(drop)
    }

    /// Offers an agent again that was deactivated or is drained. Never repeated: an agent that
    /// is active already is an error (400), as is one that is still draining.
    ///
    /// # Errors
    /// As for [`deactivate_agent`](Self::deactivate_agent), and in these cases.
    pub async fn reactivate_agent(&self, agent: &str) -> Result<(), ApiError> {
        let call = order("REACTIVATE_AGENT", json!({"agent_id": {"value": agent}}));
        self.http.answer(&call).await.map(drop)
    }

    /// Ends all tasks of an agent, and offers nothing of it any more. Comes back at once:
    /// [`get_agents`](Self::get_agents) says when it is [`DrainState::Drained`]. Never repeated
    /// by itself. Given again to an agent that stays `DRAINING` because its framework vanished,
    /// it ends that.
    ///
    /// # Errors
    /// When the leader does not answer, does not know the agent (400), has its machine in the
    /// maintenance schedule (400), or forbids it.
    pub async fn drain_agent(&self, agent: &str, how: Draining) -> Result<(), ApiError> {
        let mut body = json!({"agent_id": {"value": agent}});
        if let Some(grace) = how.max_grace {
            // Mesos reads only this form: it takes nanoseconds for none at all.
            let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
            body["max_grace_period"] = json!({"seconds": seconds});
        }
        if how.mark_gone {
            body["mark_gone"] = json!(true);
        }
        self.http.answer(&order("DRAIN_AGENT", body)).await.map(drop)
    }

    /// Says that an agent will never come back: its tasks are lost, and it may not register
    /// again. Repeated, it changes nothing, so it is repeated when the connection breaks.
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
        let missing = || serde_json::Error::custom("the answer is to another question");
        inner
            .ok_or_else(missing)
            .and_then(serde_json::from_value)
            .map_err(|source| self.http.complaint(kind, Reason::NotUnderstood(source)))
    }
}

async fn flags(http: &Http) -> Result<BTreeMap<String, String>, ApiError> {
    http.json::<raw::Flags>(&Call::get("/flags")).await.map(|flags| flags.flags)
}

/// A question of the v1 API: it is posted, but changes nothing.
fn question(kind: &str) -> Call {
    let call = Call::order(Method::POST, V1).body(&json!({"type": kind}));
    call.named(kind).repeatable()
}

fn order(kind: &str, what: Value) -> Call {
    let body = json!({"type": kind, kind.to_ascii_lowercase(): what});
    Call::order(Method::POST, V1).body(&body).named(kind)
}
