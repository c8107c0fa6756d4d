//! Chronos 3: whether a member answers, which one leads, and its jobs.

use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::http::{Access, ApiError, Call, Endpoint, Http, Reason, encode};

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

/// How long the successful runs of a job took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Histogram {
    /// How many there were since Chronos started: a whole number that may be written as `0.0`.
    pub(crate) count: f64,
    /// Half of them took no longer.
    pub(crate) median: f64,
    /// The mean.
    pub(crate) mean: f64,
    /// Three of four took no longer.
    #[serde(rename = "75thPercentile")]
    pub(crate) p75: f64,
    /// 95 of 100 took no longer.
    #[serde(rename = "95thPercentile")]
    pub(crate) p95: f64,
    /// 99 of 100 took no longer.
    #[serde(rename = "99thPercentile")]
    pub(crate) p99: f64,
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

    /// A job as Chronos writes it.
    ///
    /// # Errors
    /// When Chronos does not answer or has no such job, for which it has no status of its own.
    pub(crate) async fn job(&self, name: &str) -> Result<Value, ApiError> {
        self.http.json(&Call::get(path_of(name))).await
    }

    /// How long the runs of a job took.
    ///
    /// # Errors
    /// Those of [`job`](Self::job).
    pub(crate) async fn histogram(&self, name: &str) -> Result<Histogram, ApiError> {
        #[derive(Deserialize)]
        struct Stat {
            histogram: Histogram,
        }
        let path = format!("/v1/scheduler/job/stat/{}", encode(name, ""));
        self.http.json::<Stat>(&Call::get(path)).await.map(|stat| stat.histogram)
    }

    /// Creates a job, or replaces it as a whole. Chronos answers before the job is visible.
    ///
    /// # Errors
    /// When Chronos does not answer or refuses the job.
    pub(crate) async fn put(&self, job: &Value) -> Result<(), ApiError> {
        let kind = if job.get("parents").is_some() { "dependency" } else { "iso8601" };
        let path = format!("/v1/scheduler/{kind}");
        self.order(Call::order(Method::POST, path).body(job)).await
    }

    /// Runs a job now.
    ///
    /// # Errors
    /// Those of [`job`](Self::job).
    pub(crate) async fn run(&self, name: &str) -> Result<(), ApiError> {
        self.order(Call::order(Method::PUT, path_of(name))).await
    }

    /// Kills what a job runs now.
    ///
    /// # Errors
    /// Those of [`job`](Self::job).
    pub(crate) async fn kill(&self, name: &str) -> Result<(), ApiError> {
        let path = format!("/v1/scheduler/task/kill/{}", encode(name, ""));
        self.order(Call::order(Method::DELETE, path)).await
    }

    /// Removes a job, and kills what it runs.
    ///
    /// # Errors
    /// Those of [`job`](Self::job).
    pub(crate) async fn delete(&self, name: &str) -> Result<(), ApiError> {
        self.order(Call::order(Method::DELETE, path_of(name))).await
    }

    async fn order(&self, call: Call) -> Result<(), ApiError> {
        self.http.answer(&call).await.map(drop)
    }
}

fn path_of(name: &str) -> String {
    format!("/v1/scheduler/job/{}", encode(name, ""))
}
