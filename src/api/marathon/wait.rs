//! Waits until Marathon has finished a change, with a deadline.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::super::http::{ApiError, Reason};
use super::settle::Told;
use super::{App, Change, Marathon, TaskFailure, settled};

const POLL: Duration = Duration::from_secs(1);

/// The last observation: done, or what is still missing.
type Seen = Result<(), String>;

/// Is told what is still missing.
pub(crate) type OnSeen<'a> = &'a (dyn Fn(&str) + Sync);

impl Marathon {
    /// Waits until an app has reached its wanted state: see [`settled`]. It also waits while
    /// Marathon is away or elects a leader.
    ///
    /// # Errors
    /// [`Reason::NotSettled`] with what is still missing, when the deadline passes; and when
    /// Marathon has no such app, or refuses.
    pub(crate) async fn wait_settled(
        &self,
        id: &str,
        deadline: Duration,
    ) -> Result<(), ApiError> {
        self.follow_app(id, deadline, &|_| ()).await
    }

    /// The same; `on_seen` is told what is still missing and what has become of each task, each time
    /// that it changes.
    ///
    /// # Errors
    /// Those of [`wait_settled`](Self::wait_settled).
    pub(crate) async fn follow_app(
        &self,
        id: &str,
        deadline: Duration,
        on_seen: OnSeen<'_>,
    ) -> Result<(), ApiError> {
        let what = format!("wait for {id}");
        let told = Mutex::new(Told::default());
        let look = async || {
            let (app, seen) = self.health(id).await?;
            let changes =
                told.lock().unwrap_or_else(PoisonError::into_inner).changes(&app);
            changes.iter().for_each(|change| on_seen(change));
            Ok(seen)
        };
        self.wait(&what, deadline, on_seen, look).await
    }

    /// Waits until a deployment has ended, with success or not: for deleted apps, which cannot be
    /// queried any more.
    ///
    /// # Errors
    /// [`Reason::NotSettled`] when the deadline passes; and when Marathon refuses.
    pub(crate) async fn wait_deployment(
        &self,
        deployment: &str,
        deadline: Duration,
    ) -> Result<(), ApiError> {
        self.follow_deployment(deployment, deadline, &|_| ()).await
    }

    /// The same; `on_seen` is told its step, each time that it changes.
    ///
    /// # Errors
    /// Those of [`wait_deployment`](Self::wait_deployment).
    pub(crate) async fn follow_deployment(
        &self,
        deployment: &str,
        deadline: Duration,
        on_seen: OnSeen<'_>,
    ) -> Result<(), ApiError> {
        let what = format!("wait for deployment {deployment}");
        let look = async || {
            let under_way = self.deployments().await?;
            let found = under_way.iter().find(|other| other.id == deployment);
            Ok(found.map_or(Ok(()), |found| {
                let (step, of) = (found.current_step, found.total_steps);
                Err(format!("it is at step {step} of {of}"))
            }))
        };
        self.wait(&what, deadline, on_seen, look).await
    }

    /// Replaces the definition of an app, also while Marathon is away or elects a leader. What a
    /// leader had taken before it went is found by `has_it`, and not sent again.
    ///
    /// # Errors
    /// Those of [`replace`](Self::replace), and [`Reason::NotSettled`] when the deadline passes.
    pub(crate) async fn replace_surely(
        &self,
        id: &str,
        definition: &Value,
        deadline: Duration,
        has_it: impl Fn(&Value) -> bool,
    ) -> Result<Change, ApiError> {
        let (was_sent, taken) = (OnceLock::new(), OnceLock::new());
        let send = async || {
            if was_sent.set(()).is_err() {
                let document = match self.document(id).await {
                    Ok(document) => document,
                    Err(ApiError { reason: Reason::NotFound(_), .. }) => Value::Null,
                    Err(error) => return Err(error),
                };
                if has_it(&document) {
                    let deployment = &document["deployments"][0]["id"];
                    let deployment = deployment.as_str().unwrap_or_default().to_owned();
                    let _ = taken.set(Change { deployment });
                    return Ok(Ok(()));
                }
            }
            let change = self.replace(id, definition, false).await?;
            let _ = taken.set(change);
            Ok(Ok(()))
        };
        let what = format!("change {id}");
        self.wait(&what, deadline, &|_| (), send).await?;
        Ok(taken.into_inner().unwrap_or_default())
    }

    async fn health(&self, id: &str) -> Result<(App, Seen), ApiError> {
        // In this order: a deployment that begins after the first request is visible in the
        // second answer.
        let under_way = self.deployments().await?;
        let app = self.app(id).await?;
        let seen = settled(&app, &under_way).map_err(|waiting| {
            let failure = app.last_task_failure.as_ref().map(tell).unwrap_or_default();
            format!("{waiting}{failure}")
        });
        Ok((app, seen))
    }

    async fn wait<Look>(
        &self,
        what: &str,
        deadline: Duration,
        on_seen: OnSeen<'_>,
        look: Look,
    ) -> Result<(), ApiError>
    where
        Look: AsyncFn() -> Result<Seen, ApiError>,
    {
        let until = Instant::now() + deadline;
        let mut still = "no answer yet".to_owned();
        while let Ok(seen) = tokio::time::timeout_at(until, look()).await {
            let missing = match seen {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(missing)) => missing,
                Err(error) if error.is_transient() => error.to_string(),
                Err(error) => return Err(error),
            };
            if missing != still {
                on_seen(&missing);
                still = missing;
            }
            sleep_until(until.min(Instant::now() + POLL)).await;
        }
        Err(self.http.complaint(what, Reason::NotSettled { after: deadline, still }))
    }
}

fn tell(failure: &TaskFailure) -> String {
    let TaskFailure { host, state, message, .. } = failure;
    format!("; its last failure: {state} on {host}: {message}")
}
