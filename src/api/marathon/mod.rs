//! Marathon 1.11: apps, and how they change.
//!
//! A Marathon member that does not lead forwards every request to the leader. No order is
//! repeated automatically: the deployment that the first order began would cause the second to be
//! refused.

mod settle;
mod types;
mod wait;

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{Access, ApiError, Call, Endpoint, Http, encode};

pub use self::settle::{Waiting, settled};
pub use self::types::*;

/// The Marathon of a cluster.
pub struct Marathon {
    http: Http,
}

/// Whether a change waits for deployments that lock its app, or stops them half-way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Refused while another deployment locks the app (`Reason::Locked`).
    No,
    /// Stops that deployment where it is.
    Yes,
}

/// What happens to an app when one of its tasks is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// A new task replaces it.
    Replace,
    /// The app has one instance fewer.
    Scale,
    /// A new task replaces it, without its persistent volumes.
    Wipe,
}

/// How a deployment is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// Another deployment restores the previous state.
    Revert,
    /// It stops half-way.
    Stop,
}

/// What to return for apps, in addition to their counts and deployments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Embed {
    /// Its tasks.
    pub tasks: bool,
    /// How its last task failed.
    pub last_task_failure: bool,
}

#[derive(Deserialize)]
struct Apps {
    apps: Vec<App>,
}

#[derive(Deserialize)]
struct One<T> {
    app: T,
}

#[derive(Deserialize)]
struct Queue {
    queue: Vec<Queued>,
}

impl Marathon {
    /// Creates a client for Marathon; sends nothing yet.
    pub fn new(access: Access) -> Self {
        Self { http: Http::new(access) }
    }

    /// Checks that Marathon answers. A member that does not lead answers for its leader.
    ///
    /// # Errors
    /// When it does not answer, or refuses the password.
    pub async fn ping(&self) -> Result<(), ApiError> {
        self.http.ping().await
    }

    /// Whether a request without a password is refused. Marathon accepts everyone if it cannot
    /// read its own credentials, and only its log says so.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn is_guarded(&self) -> Result<bool, ApiError> {
        self.http.guards_ping().await
    }

    /// What Marathon reports about itself.
    ///
    /// # Errors
    /// When it does not answer, or refuses the password.
    pub async fn info(&self) -> Result<Info, ApiError> {
        self.http.json(&Call::get("/v2/info")).await
    }

    /// The member that leads; `None` if there is none.
    ///
    /// # Errors
    /// When no member answers, or the answer is not an address.
    pub async fn leader(&self) -> Result<Option<Endpoint>, ApiError> {
        self.http.leader("/v2/leader").await
    }

    /// All apps, with their counts and deployments.
    ///
    /// # Errors
    /// When Marathon does not answer, or refuses the password.
    pub async fn apps(&self, embed: Embed) -> Result<Vec<App>, ApiError> {
        let call = Call::get(format!("/v2/apps{}", embed.query()));
        self.http.json::<Apps>(&call).await.map(|apps| apps.apps)
    }

    /// An app with its counts, deployments, tasks and last failure.
    ///
    /// # Errors
    /// When Marathon does not answer or has no such app (`Reason::NotFound`).
    pub async fn app(&self, id: &str) -> Result<App, ApiError> {
        self.http.json::<One<App>>(&Call::get(path_of(id))).await.map(|one| one.app)
    }

    /// The full JSON that Marathon returns for an app.
    ///
    /// # Errors
    /// As [`app`](Self::app).
    pub async fn definition(&self, id: &str) -> Result<Value, ApiError> {
        self.http.json::<One<Value>>(&Call::get(path_of(id))).await.map(|one| one.app)
    }

    /// Creates an app from its definition.
    ///
    /// # Errors
    /// When Marathon does not answer, already has this app (`Reason::Exists`), or rejects the
    /// definition (`Reason::Invalid`).
    pub async fn create(&self, definition: &Value) -> Result<Change, ApiError> {
        let call = Call::order(Method::POST, "/v2/apps?force=false").body(definition);
        let app: App = self.http.json(&call).await?;
        let deployment = app.deployments.into_iter().next().unwrap_or_default().id;
        Ok(Change { version: app.version, deployment })
    }

    /// Sets an app to exactly its definition: anything that the definition omits is reset to its
    /// default. Creates the app if it does not exist.
    ///
    /// # Errors
    /// As [`create`](Self::create), and when a deployment locks the app (`Reason::Locked`).
    pub async fn update(
        &self,
        id: &str,
        definition: &Value,
        force: Force,
    ) -> Result<Change, ApiError> {
        let path = format!("{}?{}&partialUpdate=false", path_of(id), force.query());
        self.http.json(&Call::order(Method::PUT, path).body(definition)).await
    }

    /// Changes the number of instances of an app.
    ///
    /// # Errors
    /// When Marathon does not answer or has no such app, or a deployment locks it.
    pub async fn scale(
        &self,
        id: &str,
        instances: u32,
        force: Force,
    ) -> Result<Change, ApiError> {
        // PATCH, unlike PUT, never creates an app.
        let path = format!("{}?{}", path_of(id), force.query());
        let body = json!({"instances": instances});
        self.http.json(&Call::order(Method::PATCH, path).body(&body)).await
    }

    /// Replaces all tasks of an app, as its upgrade strategy says.
    ///
    /// # Errors
    /// As [`scale`](Self::scale).
    pub async fn restart(&self, id: &str, force: Force) -> Result<Change, ApiError> {
        let path = format!("{}/restart?{}", path_of(id), force.query());
        self.http.json(&Call::order(Method::POST, path)).await
    }

    /// Deletes an app and its tasks.
    ///
    /// # Errors
    /// As [`scale`](Self::scale).
    pub async fn delete(&self, id: &str, force: Force) -> Result<Change, ApiError> {
        // Always set, because Marathon's default here is true.
        let path = format!("{}?{}", path_of(id), force.query());
        self.http.json(&Call::order(Method::DELETE, path)).await
    }

    /// Kills one task.
    ///
    /// # Errors
    /// When Marathon does not answer or has no such app or task, or a deployment locks the app
    /// that should be scaled.
    pub async fn kill_task(
        &self,
        app: &str,
        task: &str,
        then: Then,
    ) -> Result<Killed, ApiError> {
        let task = encode(task, "");
        let path = format!("{}/tasks/{task}?{}", path_of(app), then.query());
        self.kill(&Call::order(Method::DELETE, path)).await
    }

    /// Kills tasks of any apps. Tasks that are gone are missing in the answer.
    ///
    /// # Errors
    /// When Marathon does not answer, or a deployment locks an app that should be scaled.
    pub async fn kill_tasks(
        &self,
        tasks: &[String],
        then: Then,
    ) -> Result<Killed, ApiError> {
        let path = format!("/v2/tasks/delete?{}", then.query());
        let call = Call::order(Method::POST, path).body(&json!({"ids": tasks}));
        self.kill(&call).await
    }

    /// Marathon returns one killed task as `task`, several as `tasks`.
    async fn kill(&self, call: &Call) -> Result<Killed, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            task: Option<Task>,
            #[serde(flatten)]
            killed: Killed,
        }
        let Answer { task, mut killed } = self.http.json(call).await?;
        killed.tasks.extend(task);
        Ok(killed)
    }

    /// All deployments that are under way.
    ///
    /// # Errors
    /// When Marathon does not answer, or refuses the password.
    pub async fn deployments(&self) -> Result<Vec<Deployment>, ApiError> {
        self.http.json(&Call::get("/v2/deployments")).await
    }

    /// Cancels a deployment; returns the deployment that restores the previous state.
    ///
    /// # Errors
    /// When Marathon does not answer or has no such deployment.
    pub async fn cancel_deployment(
        &self,
        id: &str,
        how: Cancel,
    ) -> Result<Option<Change>, ApiError> {
        let force = how == Cancel::Stop;
        let path = format!("/v2/deployments/{}?force={force}", encode(id, ""));
        let call = Call::order(Method::DELETE, path);
        match how {
            Cancel::Revert => self.http.json(&call).await.map(Some),
            Cancel::Stop => self.http.answer(&call).await.map(|_| None),
        }
    }

    /// Apps that wait for offers, each with the reasons why the last offers did not fit.
    ///
    /// # Errors
    /// When Marathon does not answer, or refuses the password.
    pub async fn queue(&self) -> Result<Vec<Queued>, ApiError> {
        self.http.json::<Queue>(&Call::get("/v2/queue")).await.map(|queue| queue.queue)
    }

    /// The root group and everything in it.
    ///
    /// # Errors
    /// When Marathon does not answer, or refuses the password.
    pub async fn groups(&self) -> Result<Group, ApiError> {
        let path =
            "/v2/groups?embed=group.groups&embed=group.apps&embed=group.apps.counts";
        self.http.json(&Call::get(path)).await
    }
}

impl Force {
    fn query(self) -> String {
        format!("force={}", self == Self::Yes)
    }
}

impl Then {
    fn query(self) -> String {
        format!("scale={}&wipe={}", self == Self::Scale, self == Self::Wipe)
    }
}

impl Embed {
    fn query(self) -> &'static str {
        match (self.tasks, self.last_task_failure) {
            (false, false) => "",
            (true, false) => "?embed=apps.tasks",
            (false, true) => "?embed=apps.lastTaskFailure",
            (true, true) => "?embed=apps.tasks&embed=apps.lastTaskFailure",
        }
    }
}

/// An id that is not a path from the root is treated as one, as Marathon does.
fn path_of(id: &str) -> String {
    format!("/v2/apps/{}", encode(id.trim_start_matches('/'), "/"))
}
