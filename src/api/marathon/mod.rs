//! Marathon 1.11: its apps, their changes, and its launch queue.
//!
//! A Marathon member that does not lead forwards every request to the leader. No order is
//! repeated automatically: the deployment that the first order began would cause the second to be
//! refused.

mod settle;
mod types;
mod wait;

use hyper::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::http::{Access, ApiError, Call, Endpoint, Http, Reason, encode};

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

    /// The same as Marathon writes it, with its whole definition.
    ///
    /// # Errors
    /// Those of [`app`](Self::app).
    pub(crate) async fn document(&self, id: &str) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        struct One {
            app: Value,
        }
        self.http.json::<One>(&Call::get(path_of(id))).await.map(|one| one.app)
    }

    /// The versions of an app, from the oldest to the newest. Marathon gives them in no order, and
    /// among them those of an earlier app of the same id that was deleted.
    ///
    /// # Errors
    /// When Marathon does not answer or has no such app (`Reason::NotFound`).
    pub(crate) async fn versions(&self, id: &str) -> Result<Vec<Timestamp>, ApiError> {
        #[derive(Deserialize)]
        struct Versions {
            versions: Vec<Timestamp>,
        }
        let call = Call::get(format!("{}/versions", path_of(id)));
        let mut versions = self.http.json::<Versions>(&call).await?.versions;
        versions.sort_unstable();
        Ok(versions)
    }

    /// The definition of an app at one of its versions.
    ///
    /// # Errors
    /// When Marathon does not answer or has no such version (`Reason::NotFound`).
    pub(crate) async fn document_at(
        &self,
        id: &str,
        version: Timestamp,
    ) -> Result<Value, ApiError> {
        let path = format!("{}/versions/{}", path_of(id), version_name(version));
        self.http.json(&Call::get(path)).await
    }

    /// A group with all that is in it; `/` is all there is.
    ///
    /// # Errors
    /// When Marathon does not answer or has no such group (`Reason::NotFound`).
    pub(crate) async fn group(&self, id: &str) -> Result<Group, ApiError> {
        let path = format!(
            "{}?embed=group.groups&embed=group.apps&embed=group.pods\
             &embed=group.apps.counts&embed=group.apps.deployments",
            group_path_of(id)
        );
        self.http.json(&Call::get(path)).await
    }

    /// Changes these members of a group, or makes the group: by its own path, and without its `id`,
    /// since Marathon refuses a group below the top level otherwise. Lists that are not given stay,
    /// and `enforceRole` is turned off.
    ///
    /// # Errors
    /// When Marathon does not answer, rejects the members (`Reason::Invalid`), or a deployment
    /// locks an app that would change (`Reason::Locked`).
    pub(crate) async fn put_group(
        &self,
        id: &str,
        members: &Value,
    ) -> Result<Change, ApiError> {
        let path = format!("{}?force=false", group_path_of(id));
        self.http.json(&Call::order(Method::PUT, path).body(members)).await
    }

    /// Deletes a group with all that is in it. Deployments of it stop where they are.
    ///
    /// # Errors
    /// When Marathon does not answer or has no such group (`Reason::NotFound`).
    pub(crate) async fn delete_group(&self, id: &str) -> Result<Change, ApiError> {
        let path = format!("{}?force=true", group_path_of(id));
        self.http.json(&Call::order(Method::DELETE, path)).await
    }

    /// The error of an answer that is not an app.
    pub(crate) fn unreadable(&self, id: &str, error: serde_json::Error) -> ApiError {
        let what = format!("GET {}", path_of(id));
        self.http.complaint(&what, Reason::NotUnderstood(error))
    }

    /// The times for which Marathon knows all apps, from the oldest to the newest.
    ///
    /// # Errors
    /// When Marathon does not answer.
    pub(crate) async fn history(&self) -> Result<Vec<Timestamp>, ApiError> {
        let call = Call::get("/v2/groups/versions");
        let mut versions: Vec<Timestamp> = self.http.json(&call).await?;
        versions.sort_unstable();
        Ok(versions)
    }

    /// All groups with their apps at one of these times.
    ///
    /// # Errors
    /// When Marathon does not answer or does not know that time (`Reason::NotFound`).
    pub(crate) async fn root_at(&self, time: Timestamp) -> Result<Value, ApiError> {
        let path = format!(
            "/v2/groups/versions/{}?embed=group.groups&embed=group.apps",
            version_name(time)
        );
        self.http.json(&Call::get(path)).await
    }

    /// Changes these members of an app's definition, and leaves the others. The number of
    /// instances has to come with the app's `resourceLimits`: otherwise Marathon drops them.
    ///
    /// # Errors
    /// When Marathon does not answer, has no such app (`Reason::NotFound`), or a deployment locks
    /// it (`Reason::Locked`).
    pub(crate) async fn update(
        &self,
        id: &str,
        members: &Value,
    ) -> Result<Change, ApiError> {
        let path = format!("{}?force=false", path_of(id));
        self.http.json(&Call::order(Method::PUT, path).body(members)).await
    }

    /// Replaces the definition of an app, or creates the app: what is not named goes back to its
    /// default. With `force`, a deployment that locks the app stops where it is.
    ///
    /// # Errors
    /// When Marathon does not answer, rejects the definition (`Reason::Invalid`), or a deployment
    /// locks the app (`Reason::Locked`).
    pub(crate) async fn replace(
        &self,
        id: &str,
        definition: &Value,
        force: bool,
    ) -> Result<Change, ApiError> {
        let path = format!("{}?partialUpdate=false&force={force}", path_of(id));
        self.http.json(&Call::order(Method::PUT, path).body(definition)).await
    }

    /// Replaces all tasks of an app.
    ///
    /// # Errors
    /// Those of [`update`](Self::update).
    pub(crate) async fn restart(&self, id: &str) -> Result<Change, ApiError> {
        let path = format!("{}/restart?force=false", path_of(id));
        self.http.json(&Call::order(Method::POST, path)).await
    }

    /// Ends a deployment and begins another one, which takes its changes back.
    ///
    /// # Errors
    /// When Marathon does not answer or has no such deployment (`Reason::NotFound`).
    pub(crate) async fn take_back(&self, deployment: &str) -> Result<Change, ApiError> {
        let path = format!("/v2/deployments/{}?force=false", encode(deployment, ""));
        self.http.json(&Call::order(Method::DELETE, path)).await
    }

    /// Ends a deployment where it is.
    ///
    /// # Errors
    /// Those of [`take_back`](Self::take_back).
    pub(crate) async fn abandon(&self, deployment: &str) -> Result<(), ApiError> {
        let path = format!("/v2/deployments/{}?force=true", encode(deployment, ""));
        self.http.answer(&Call::order(Method::DELETE, path)).await.map(drop)
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

/// A version as Marathon writes it: with milliseconds.
pub(crate) fn version_name(version: Timestamp) -> String {
    format!("{version:.3}")
}

/// An id that is not a path from the root is treated as one, as Marathon does.
fn path_of(id: &str) -> String {
    format!("/v2/apps/{}", encode(id.trim_start_matches('/'), "/"))
}

fn group_path_of(id: &str) -> String {
    format!("/v2/groups/{}", encode(id.trim_start_matches('/'), "/"))
}
