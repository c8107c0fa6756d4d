//! Chronos 3: whether a member answers, which one leads, and its jobs.

use serde::Deserialize;

use super::http::{Access, ApiError, Call, Endpoint, Http, Reason};

/// How often a list is asked for. While jobs are added, Chronos may cut it in the middle.
const TRIES: usize = 3;

/// The Chronos of a cluster.
pub(crate) struct Chronos {
    http: Http,
}

/// A job in Chronos' own summary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct JobSummary {
    /// Its name.
    pub(crate) name: String,
    /// How its last run ended: `fresh`, `success` or `failure`.
    pub(crate) status: String,
    /// What it does now: `idle`, `queued` or `2 running`.
    pub(crate) state: String,
    /// When it runs; empty if its parents start it.
    pub(crate) schedule: String,
    /// The jobs that have to succeed first.
    pub(crate) parents: Vec<String>,
    /// Whether it does not run any more.
    pub(crate) disabled: bool,
}

#[derive(Deserialize)]
struct Summary {
    jobs: Vec<JobSummary>,
}

impl Chronos {
    /// Creates a client for Chronos; sends nothing yet.
    pub(crate) fn new(access: Access) -> Self {
        Self { http: Http::new(access) }
    }

    /// Checks that Chronos answers. A member that does not lead answers for its leader.
    ///
    /// # Errors
    /// When it does not answer, or refuses the password.
    pub(crate) async fn ping(&self) -> Result<(), ApiError> {
        self.http.ping().await
    }

    /// Whether a request without a password is refused.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn is_guarded(&self) -> Result<bool, ApiError> {
        self.http.guards_ping().await
    }

    /// The member that leads; `None` if there is none.
    ///
    /// # Errors
    /// When no member answers, or the answer is not an address.
    pub(crate) async fn leader(&self) -> Result<Option<Endpoint>, ApiError> {
        self.http.leader("/v1/scheduler/leader").await
    }

    /// All jobs and their states, in no order.
    ///
    /// # Errors
    /// When Chronos does not answer, or refuses the password.
    pub(crate) async fn summary(&self) -> Result<Vec<JobSummary>, ApiError> {
        let call = Call::get("/v1/scheduler/jobs/summary");
        for _ in 1..TRIES {
            match self.http.json::<Summary>(&call).await {
                Err(ApiError { reason: Reason::NotUnderstood(_), .. }) => {}
                answer => return answer.map(|summary| summary.jobs),
            }
        }
        self.http.json::<Summary>(&call).await.map(|summary| summary.jobs)
    }
}
