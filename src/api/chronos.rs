//! Chronos 3: jobs that run on a schedule.
//!
//! A Chronos that does not lead hands each request to the leader, but loses the text of a
//! refusal on the way: to have it, ask the [leader](Chronos::leader) itself.

use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use super::http::{Access, ApiError, Call, Endpoint, Http, encode};

const API: &str = "/v1/scheduler";

/// The Chronos of a cluster.
pub struct Chronos {
    http: Http,
}

/// A job. How it runs is in its definition, which only who wrote it has to know.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Job {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub command: String,
    /// When, as ISO 8601 writes repetitions: `R/2030-01-01T00:00:00Z/PT24H`.
    pub schedule: Option<String>,
    /// The jobs after which it runs, where it has no schedule.
    pub parents: Vec<String>,
    /// Who looks after it.
    pub owner: String,
    /// Whether it is set aside.
    pub disabled: bool,
    /// Runs that ended well.
    pub success_count: u64,
    /// Runs that failed.
    pub error_count: u64,
    /// When the last run ended well; empty for never.
    pub last_success: String,
    /// When the last run failed; empty for never.
    pub last_error: String,
}

impl Chronos {
    /// Prepares to talk to Chronos; sends nothing yet.
    pub fn new(access: Access) -> Self {
        Self { http: Http::new(access) }
    }

    /// Proves that Chronos answers. A member that does not lead answers for its leader.
    ///
    /// # Errors
    /// When it does not answer, or refuses the password.
    pub async fn ping(&self) -> Result<(), ApiError> {
        self.http.ping().await
    }

    /// Whether a question without a password is refused.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn is_guarded(&self) -> Result<bool, ApiError> {
        self.http.guards_ping().await
    }

    /// The member that leads; none while there is none.
    ///
    /// # Errors
    /// When no member answers, or what one names is no address.
    pub async fn leader(&self) -> Result<Option<Endpoint>, ApiError> {
        self.http.leader(&format!("{API}/leader")).await
    }

    /// All jobs. None just after a change of the leader may mean that it has not read them yet.
    ///
    /// # Errors
    /// When Chronos does not answer, or refuses the password.
    pub async fn jobs(&self) -> Result<Vec<Job>, ApiError> {
        self.http.json(&Call::get(format!("{API}/jobs"))).await
    }

    /// Creates a job from its definition, or replaces it: with a `schedule`, or with `parents`. It
    /// shows among the [jobs](Self::jobs) up to a second later. Never repeated: the job would run
    /// once more, and its counters begin anew. After a cut connection the jobs tell what became
    /// of it.
    ///
    /// # Errors
    /// When Chronos does not answer, or finds faults in the definition.
    pub async fn put(&self, definition: &Value) -> Result<(), ApiError> {
        let kind = match definition.get("parents") {
            Some(_) => "dependency",
            None => "iso8601",
        };
        let call = Call::order(Method::POST, format!("{API}/{kind}")).body(definition);
        self.http.answer(&call).await.map(drop)
    }

    /// Deletes a job. Never repeated: a job that is gone already is an error.
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
