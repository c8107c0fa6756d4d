//! Mesos: what the masters report about the cluster, and an agent about its tasks.
//!
//! What each call proves was tested on a real Mesos 1.11: a master's metrics are only its
//! own and say nothing about the cluster. Calls of the v1 API are answered only by
//! the leader, to which all others redirect, and only when it has recovered its registry.

mod agent;
mod raw;
mod types;

use std::collections::BTreeMap;

use hyper::Method;
use serde::de::{DeserializeOwned, Error};
use serde_json::{Value, json};

use super::http::{Access, ApiError, Call, Http, Reason};

pub(crate) use self::agent::{Agent, Begin, Found, Reader, TaskRun};
pub(crate) use self::types::{AgentInfo, DrainState, Framework, Resources};

const V1: &str = "/api/v1";

/// The masters of a cluster.
pub(crate) struct Master {
    http: Http,
}

impl Master {
    /// Creates a client for masters; sends nothing yet.
    pub(crate) fn new(access: Access) -> Self {
        Self { http: Http::new(access) }
    }

    /// Checks that the leader answers for itself. Then it has finished its recovery, so a quorum
    /// of masters keeps its registry.
    ///
    /// # Errors
    /// When no leader answers; [`Reason::NotRecovered`] when it has no quorum yet.
    pub(crate) async fn get_master(&self) -> Result<(), ApiError> {
        self.read::<Value>("GET_MASTER").await.map(drop)
    }

    /// All registered agents, including those that are deactivated or briefly disconnected.
    ///
    /// # Errors
    /// As [`get_master`](Self::get_master), and when the user may not see them.
    pub(crate) async fn get_agents(&self) -> Result<Vec<AgentInfo>, ApiError> {
        let agents = self.read::<raw::Agents>("GET_AGENTS").await?;
        Ok(agents.agents.into_iter().map(AgentInfo::from).collect())
    }

    /// All registered frameworks.
    ///
    /// # Errors
    /// As [`get_agents`](Self::get_agents).
    pub(crate) async fn get_frameworks(&self) -> Result<Vec<Framework>, ApiError> {
        let all = self.read::<raw::Frameworks>("GET_FRAMEWORKS").await?;
        Ok(all.frameworks.into_iter().map(Framework::from).collect())
    }

    /// The metrics of the queried member, such as `master/elected`.
    ///
    /// # Errors
    /// When it does not answer, or refuses the password.
    pub(crate) async fn metrics(&self) -> Result<BTreeMap<String, f64>, ApiError> {
        self.http.json(&Call::get("/metrics/snapshot")).await
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

/// A question of the v1 API: it is sent with POST, but changes nothing.
fn question(kind: &str) -> Call {
    let call = Call::order(Method::POST, V1).body(&json!({"type": kind}));
    call.named(kind).repeatable()
}
