//! Chronos 3: jobs that run on a schedule.
//!
//! A Chronos member that does not lead forwards each request to the leader, but loses the text of
//! an error: to get it, ask the [leader](Chronos::leader) directly.

use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use super::http::{Access, ApiError, Call, Endpoint, Http, encode};

const API: &str = "/v1/scheduler";

/// The Chronos of a cluster.
pub struct Chronos {
    http: Http,
}

/// A job. Its other settings are in its definition, which only the author of the job needs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Job {
    /// Its name.
    pub name: String,
    /// The command.
    pub command: String,
    /// Its schedule, as an ISO 8601 repetition: `R/2030-01-01T00:00:00Z/PT24H`.
    pub schedule: Option<String>,
    /// The jobs after which it runs, if it has no schedule.
    pub parents: Vec<String>,
    /// The owner.
    pub owner: String,
    /// Whether it is disabled.
    pub disabled: bool,
    /// Successful runs.
    pub success_count: u64,
    /// Failed runs.
    pub error_count: u64,
    /// When the last run succeeded; empty for never.
    pub last_success: String,
    /// When the last run failed; empty for never.
    pub last_error: String,
}

impl Chronos {
    /// Creates a client for Chronos; sends nothing yet.
    pub fn new(access: Access) -> Self {
        Self { http: Http::new(access) }
    }

    /// Checks that Chronos answers. A member that does not lead answers for its leader.
    ///
    /// # Errors
    /// When it does not answer, or refuses the password.
    pub async fn ping(&self) -> Result<(), ApiError> {
        self.http.ping().await
    }

    /// Whether a request without a password is refused.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn is_guarded(&self) -> Result<bool, ApiError> {
        self.http.guards_ping().await
    }

    /// The member that leads; `None` if there is none.
    ///
    /// # Errors
    /// When no member answers, or the answer is not an address.
    pub async fn leader(&self) -> Result<Option<Endpoint>, ApiError> {
        self.http.leader(&format!("{API}/leader")).await
    }

    /// All jobs. An empty list just after a change of leader may mean that it has not read them
    /// yet.
    ///
    /// # Errors
    /// When Chronos does not answer, or refuses the password.
    pub async fn jobs(&self) -> Result<Vec<Job>, ApiError> {
        self.http.json(&Call::get(format!("{API}/jobs"))).await
    }

    /// Creates a job from its definition, or replaces it: with a `schedule`, or with `parents`.
    /// It appears in the [jobs](Self::jobs) up to a second later. Never repeated: the job would
    /// run once more, and its counters would restart. After a lost connection, the list of jobs
    /// shows whether the request was carried out.
    ///
    /// # Errors
    /// When Chronos does not answer, or rejects the definition.
    pub async fn put(&self, definition: &Value) -> Result<(), ApiError> {
        let kind = match definition.get("parents") {
            Some(_) => "dependency",
            None => "iso8601",
        };
        let call = Call::order(Method::POST, format!("{API}/{kind}")).body(definition);
        self.http.answer(&call).await.map(drop)
    }

    /// Deletes a job. Never repeated: it is an error if the job is already deleted.
    ///
    /// # Errors
    /// When Chronos does not answer, or has no such job.
    pub async fn delete(&self, name: &str) -> Result<(), ApiError> {
        self.http.answer(&job(Method::DELETE, name)).await.map(drop)
    }

    /// Runs a job now. Never repeated: it would run twice.
    ///
    /// # Errors
    /// When Chronos does not answer, or has no such job.
    pub async fn run(&self, name: &str) -> Result<(), ApiError> {
        self.http.answer(&job(Method::PUT, name)).await.map(drop)
    }
}

fn job(method: Method, name: &str) -> Call {
    Call::order(method, format!("{API}/job/{}", encode(name, "")))
}
