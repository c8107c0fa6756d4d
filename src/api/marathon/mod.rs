//! Marathon 1.11: its apps, their changes, and its launch queue.
//!
//! A Marathon member that does not lead forwards every request to the leader. No order is
//! repeated automatically: the deployment that the first order began would cause the second to be
//! refused.

mod settle;
mod types;
mod wait;

use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use super::http::{Access, ApiError, Call, Endpoint, Http, encode};

use self::settle::settled;
pub(crate) use self::types::*;

/// The Marathon of a cluster.
pub(crate) struct Marathon {
    http: Http,
}

#[derive(Deserialize)]
struct Apps {
    apps: Vec<App>,
}

#[derive(Deserialize)]
struct One {
    app: App,
}

#[derive(Deserialize)]
struct Queue {
    queue: Vec<Queued>,
}

impl Marathon {
    /// Creates a client for Marathon; sends nothing yet.
    pub(crate) fn new(access: Access) -> Self {
        Self { http: Http::new(access) }
    }

    /// Checks that Marathon answers. A member that does not lead answers for its leader.
    ///
    /// # Errors
    /// When it does not answer, or refuses the password.
    pub(crate) async fn ping(&self) -> Result<(), ApiError> {
        self.http.ping().await
    }

    /// Whether a request without a password is refused. Marathon accepts everyone if it cannot
    /// read its own credentials, and only its log says so.
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
        self.http.leader("/v2/leader").await
    }

    /// All apps, with their counts and deployments.
    ///
    /// # Errors
    /// When Marathon does not answer, or refuses the password.
    pub(crate) async fn apps(&self) -> Result<Vec<App>, ApiError> {
        self.http.json::<Apps>(&Call::get("/v2/apps")).await.map(|apps| apps.apps)
    }

    /// An app with its counts, deployments, tasks and last failure.
    ///
    /// # Errors
    /// When Marathon does not answer or has no such app (`Reason::NotFound`).
    pub(crate) async fn app(&self, id: &str) -> Result<App, ApiError> {
        self.http.json::<One>(&Call::get(path_of(id))).await.map(|one| one.app)
    }

    /// Creates an app from its definition.
    ///
    /// # Errors
    /// When Marathon does not answer, already has this app (`Reason::Exists`), or rejects the
    /// definition (`Reason::Invalid`).
    pub(crate) async fn create(&self, definition: &Value) -> Result<(), ApiError> {
        let call = Call::order(Method::POST, "/v2/apps?force=false").body(definition);
        self.http.answer(&call).await.map(drop)
    }

    /// Deletes an app and its tasks. A deployment that locks the app stops where it is.
    ///
    /// # Errors
    /// When Marathon does not answer or has no such app (`Reason::NotFound`).
    pub(crate) async fn delete(&self, id: &str) -> Result<Change, ApiError> {
        let path = format!("{}?force=true", path_of(id));
        self.http.json(&Call::order(Method::DELETE, path)).await
    }

    /// Kills one task. A new task replaces it.
    ///
    /// # Errors
    /// When Marathon does not answer or has no such app or task.
    pub(crate) async fn kill_task(&self, app: &str, task: &str) -> Result<(), ApiError> {
        let task = encode(task, "");
        let path = format!("{}/tasks/{task}?scale=false&wipe=false", path_of(app));
        self.http.answer(&Call::order(Method::DELETE, path)).await.map(drop)
    }

    /// All deployments that are under way.
    ///
    /// # Errors
    /// When Marathon does not answer, or refuses the password.
    pub(crate) async fn deployments(&self) -> Result<Vec<Deployment>, ApiError> {
        self.http.json(&Call::get("/v2/deployments")).await
    }

    /// Apps that wait for offers, each with the reasons why the last offers did not fit.
    ///
    /// # Errors
    /// When Marathon does not answer, or refuses the password.
    pub(crate) async fn queue(&self) -> Result<Vec<Queued>, ApiError> {
        self.http.json::<Queue>(&Call::get("/v2/queue")).await.map(|queue| queue.queue)
    }
}

/// An id that is not a path from the root is treated as one, as Marathon does.
fn path_of(id: &str) -> String {
    format!("/v2/apps/{}", encode(id.trim_start_matches('/'), "/"))
}
