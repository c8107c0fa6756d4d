//! `platform app`: the apps of a Marathon.
//!
//! What is shown, what is sent, and what that will do is decided on values by the files beside
//! this one.

mod agents;
mod deploy;
mod details;
mod difference;
mod exec;
mod fit;
pub mod group;
mod last_words;
mod list;
mod logs;
mod order;
mod why;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::order::{Foreseen, foresee_rollback, foresee_stop, goal, has_app, scale_body};
use super::RunContext;
use super::error::Error;
use super::target::Target;
use crate::api::http::{ApiError, Reason};
use crate::api::marathon::{App, Change, Deployment, Marathon, version_name};
use crate::event::Event;
use crate::progress::StageReport;

pub use agents::AgentError;
pub use deploy::{DeployError, OnFailure, deploy, differ};
pub use details::AppDetails;
pub use difference::{AppDifference, Differences, GroupDifference, MemberChange};
pub use exec::{Ran, exec};
pub use last_words::{LastWords, Stderr};
pub use list::{AppList, AppRow, AppState, HealthBar};
pub use logs::{Line, LogFile, NoTask, Print, Wanted, logs};
pub use order::{NoVersion, Order};
pub use why::Why;

/// The number of moments of the past at which an app is looked for, before a rollback.
const MOMENTS: usize = 20;

/// How a change is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// The operator agreed in advance.
    pub agreed: bool,
    /// How long to wait until it is done; `None` to leave it to Marathon.
    pub wait: Option<Duration>,
}

/// A change that Marathon has begun, or has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The app, or the group.
    pub app: String,
    /// The deployment that carries it out.
    pub deployment: String,
    /// Whether it is done: it is not known if nobody waited.
    pub done: bool,
}

/// All apps, by one request.
///
/// # Errors
/// When Marathon does not answer, or refuses the password.
pub async fn list(target: &Target) -> Result<AppList, Error> {
    let apps = target.marathon()?.apps().await.map_err(|error| target.fails(error))?;
    Ok(AppList::of(&apps))
}

/// One app.
///
/// # Errors
/// When Marathon does not answer, or has no such app.
pub async fn show(target: &Target, id: &str) -> Result<AppDetails, Error> {
    let marathon = target.marathon()?;
    let found = async {
        let (app, versions, deployments) = tokio::try_join!(
            marathon.document(id),
            marathon.versions(id),
            marathon.deployments()
        )?;
        AppDetails::of(app, &versions, deployments)
            .map_err(|error| marathon.unreadable(id, error))
    };
    found.await.map_err(|error| target.fails(error))
}

/// Why an app has fewer tasks than it should have, and what the last task that failed wrote, if its
/// agent can be asked.
///
/// # Errors
/// When Marathon does not answer, or has no such app.
pub async fn why(target: &Target, id: &str, ctx: &RunContext<'_>) -> Result<Why, Error> {
    let marathon = target.marathon()?;
    let asked = tokio::try_join!(marathon.app(id), marathon.queue());
    let (app, queue) = asked.map_err(|error| target.fails(error))?;
    let last_words = LastWords::of(&app, target, ctx).await;
    Ok(Why { last_words, ..Why::of(&app, &queue) })
}

/// Removes, scales or restarts an app.
///
/// # Errors
/// When Marathon does not answer, has no such app, or another deployment changes it; when the
/// operator says no; and when it is waited for in vain.
pub async fn carry_out(
    target: &Target,
    id: &str,
    order: &Order,
    manner: Manner,
    ctx: &RunContext<'_>,
) -> Result<Changed, Error> {
    let work = Work { marathon: target.marathon()?, target, manner, ctx };
    let (document, app) = work.app(id).await?;
    work.agree(&order.foresee(&document, &app))?;
    let (marathon, id) = (&work.marathon, app.id.as_str());
    let change = match order {
        Order::Remove => marathon.delete(id).await,
        Order::Restart => marathon.restart(id).await,
        Order::Scale(n) => marathon.update(id, &scale_body(*n, &document)).await,
    };
    let change = change.map_err(|error| target.fails(error))?;
    match order {
        Order::Remove => work.until_ended(id, &change).await,
        Order::Restart | Order::Scale(_) => work.until_settled(id, &change).await,
    }
}

/// Takes an app back to an earlier version: the one that is named, or the one before.
///
/// # Errors
/// Those of [`carry_out`]; and when there is no such version, or it is one of an earlier app of
/// the same id.
pub async fn roll_back(
    target: &Target,
    id: &str,
    to: Option<&str>,
    manner: Manner,
    ctx: &RunContext<'_>,
) -> Result<Changed, Error> {
    let work = Work { marathon: target.marathon()?, target, manner, ctx };
    let (document, app) = work.app(id).await?;
    let (marathon, id) = (&work.marathon, app.id.as_str());
    let fails = |error| target.fails(error);
    let versions = marathon.versions(id).await.map_err(fails)?;
    let goal = goal(&app, &versions, to)?;
    let is_certain = work.was_there_since(&app, goal).await?;
    let then = marathon.document_at(id, goal).await.map_err(fails)?;
    work.agree(&foresee_rollback(&app, goal, (&then, &document), is_certain))?;
    let body = json!({"version": version_name(goal)});
    let change = marathon.update(id, &body).await.map_err(fails)?;
    work.until_settled(id, &change).await
}

/// Ends a deployment, which is named, or is that of an app: Marathon takes its changes back, or
/// leaves them as they are with `keep`.
///
/// # Errors
/// When Marathon does not answer, or has no such deployment; and when the operator says no.
pub async fn stop(
    target: &Target,
    name: &str,
    keep: bool,
    manner: Manner,
    ctx: &RunContext<'_>,
) -> Result<Changed, Error> {
    let work = Work { marathon: target.marathon()?, target, manner, ctx };
    let marathon = &work.marathon;
    let fails = |error| target.fails(error);
    let all = marathon.deployments().await.map_err(fails)?;
    let deployment = named(&all, name)?;
    let mut apps = Vec::new();
    for id in &deployment.affected_apps {
        match marathon.app(id).await {
            // The deployment removes it, or has not created it yet.
            Err(ApiError { reason: Reason::NotFound(_), .. }) => {}
            app => apps.push(app.map_err(fails)?),
        }
    }
    work.agree(&foresee_stop(deployment, &apps, keep))?;
    let app = deployment.affected_apps.join(", ");
    if keep {
        marathon.abandon(&deployment.id).await.map_err(fails)?;
        return Ok(Changed { app, deployment: deployment.id.clone(), done: true });
    }
    let change = marathon.take_back(&deployment.id).await.map_err(fails)?;
    work.until_ended(&app, &change).await
}

/// There is no such deployment.
#[derive(Debug, thiserror::Error)]
#[error("no deployment is `{name}` or changes it{}", under_way(.running))]
pub struct NoDeployment {
    name: String,
    running: Vec<String>,
}

fn under_way(running: &[String]) -> String {
    match running {
        [] => "; none is under way".to_owned(),
        running => format!("; under way: {}", running.join("; ")),
    }
}

fn named<'a>(all: &'a [Deployment], name: &str) -> Result<&'a Deployment, NoDeployment> {
    let app = format!("/{}", name.trim_start_matches('/'));
    let found = all.iter().find(|it| it.id == name || it.affected_apps.contains(&app));
    let tell = |it: &Deployment| format!("{} of {}", it.id, it.affected_apps.join(", "));
    found.ok_or_else(|| NoDeployment {
        name: name.to_owned(),
        running: all.iter().map(tell).collect(),
    })
}

/// A change of an app.
struct Work<'a> {
    marathon: Marathon,
    target: &'a Target,
    manner: Manner,
    ctx: &'a RunContext<'a>,
}

impl Work<'_> {
    async fn app(&self, id: &str) -> Result<(Value, App), Error> {
        let found = async {
            let document = self.marathon.document(id).await?;
            let app = App::deserialize(&document)
                .map_err(|error| self.marathon.unreadable(id, error))?;
            Ok((document, app))
        };
        found.await.map_err(|error| self.target.fails(error))
    }

    /// Says what will happen, and asks if something is lost.
    fn agree(&self, foreseen: &Foreseen) -> Result<(), Error> {
        match foreseen.asks && !self.manner.agreed {
            true => self.ctx.agree(&foreseen.text),
            false => Ok(()),
        }
    }

    /// Whether the app was there at all times since this one. `false` if that is not known.
    ///
    /// # Errors
    /// When it was not there: the version is one of an app that was deleted.
    async fn was_there_since(&self, app: &App, goal: Timestamp) -> Result<bool, Error> {
        let fails = |error| self.target.fails(error);
        let all = self.marathon.history().await.map_err(fails)?;
        let is_between = |at: &&Timestamp| **at >= goal && Some(**at) < app.version;
        let between: Vec<&Timestamp> = all.iter().filter(is_between).collect();
        let mut is_certain =
            between.len() <= MOMENTS && all.first().is_some_and(|oldest| *oldest <= goal);
        for at in between.into_iter().rev().take(MOMENTS) {
            match self.marathon.root_at(*at).await {
                Ok(root) if has_app(&root, &app.id) => {}
                Ok(_) => {
                    let version = version_name(goal);
                    let absent = version_name(*at);
                    let app = app.id.clone();
                    return Err(NoVersion::OfAnother { app, version, absent }.into());
                }
                // Marathon has forgotten it meanwhile.
                Err(ApiError { reason: Reason::NotFound(_), .. }) => is_certain = false,
                Err(error) => return Err(fails(error)),
            }
        }
        Ok(is_certain)
    }

    /// Waits until an app is as it should be, if that is wanted.
    async fn until_settled(&self, app: &str, change: &Change) -> Result<Changed, Error> {
        let gate = format!("{app} is as it should be");
        let follow = async |deadline, on_seen: &(dyn Fn(&str) + Sync)| {
            self.marathon.follow_app(app, deadline, on_seen).await
        };
        self.wait(app, change, gate, follow).await
    }

    /// Waits until a deployment has ended, if that is wanted.
    async fn until_ended(&self, app: &str, change: &Change) -> Result<Changed, Error> {
        let gate = format!("the deployment of {app} has ended");
        let follow = async |deadline, on_seen: &(dyn Fn(&str) + Sync)| {
            let deployment = &change.deployment;
            self.marathon.follow_deployment(deployment, deadline, on_seen).await
        };
        self.wait(app, change, gate, follow).await
    }

    async fn wait<Follow>(
        &self,
        app: &str,
        change: &Change,
        gate: String,
        follow: Follow,
    ) -> Result<Changed, Error>
    where
        Follow: AsyncFn(Duration, &(dyn Fn(&str) + Sync)) -> Result<(), ApiError>,
    {
        let done = self.manner.wait.is_some();
        let (app, deployment) = (app.to_owned(), change.deployment.clone());
        if let Some(deadline) = self.manner.wait {
            let events = &self.ctx.events;
            let on_seen = |seen: &str| {
                let (gate, seen) = (gate.clone(), seen.to_owned());
                events.emit(&Event::Waiting { gate, seen });
            };
            let stage = StageReport::begin(events, "deployment", Vec::new(), 1);
            let waited = tokio::select! {
                waited = follow(deadline, &on_seen) => Some(waited),
                // Without this, Ctrl-C would end the program without a word.
                _ = tokio::signal::ctrl_c() => None,
            };
            stage.end(matches!(waited, Some(Ok(()))));
            let waited = waited
                .ok_or(StillGoes { app: app.clone(), deployment: deployment.clone() })?;
            waited.map_err(|error| self.target.fails(error))?;
        }
        Ok(Changed { app, deployment, done })
    }
}

/// The operator does not wait any more.
#[derive(Debug, thiserror::Error)]
#[error(
    "stopped waiting; Marathon goes on with deployment {deployment} of {app}: `platform app show` \
     shows how far it is, `platform app stop {deployment}` takes it back"
)]
pub struct StillGoes {
    app: String,
    deployment: String,
}

impl Changed {
    /// What was done, in a sentence.
    pub fn show(&self) -> String {
        let Self { app, deployment, done } = self;
        match done {
            true => format!("{app}: done, by deployment {deployment}.\n"),
            false => format!(
                "{app}: Marathon has begun deployment {deployment}; `--wait` waits until it is \
                 done.\n"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::group::GroupDetails;
    use super::*;
    use crate::api::marathon::{Group, Queued};

    #[test]
    fn a_deployment_is_named_by_its_id_or_by_its_app() {
        let all = json!([{"id": "d1", "affectedApps": ["/db", "/web"]},
            {"id": "d2", "affectedApps": ["/shop/cart"]}]);
        let all: Vec<Deployment> = serde_json::from_value(all).unwrap();
        let id = |name| named(&all, name).unwrap().id.as_str();
        assert_eq!([id("d1"), id("/web"), id("shop/cart")], ["d1", "d1", "d2"]);
        assert_eq!(
            named(&all, "/mail").unwrap_err().to_string(),
            "no deployment is `/mail` or changes it; under way: d1 of /db, /web; d2 of /shop/cart"
        );
        let none = named(&[], "x").unwrap_err().to_string();
        assert!(none.ends_with("none is under way"), "{none}");
    }

    /// Answers of a real Marathon 1.11.24.
    #[test]
    fn every_recorded_app_list_and_queue_is_shown() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = folder.join("tests/recordings/marathon-1.11.24.jsonl");
        let text = std::fs::read_to_string(file).unwrap();
        let mut n_shown = 0;
        for line in text.lines() {
            let answer: Value = serde_json::from_str(line).unwrap();
            let body = &answer["body"];
            match answer["kind"].as_str().unwrap() {
                "app" => {
                    let app = body["app"].clone();
                    let id = app["id"].as_str().unwrap().to_owned();
                    let details = AppDetails::of(app, &[], Vec::new()).unwrap();
                    assert!(
                        details.show().starts_with(&format!("{id}\n  runs ")),
                        "{id}"
                    );
                }
                "group" => {
                    let details = GroupDetails::of(&Group::deserialize(body).unwrap());
                    let n_apps = body.to_string().matches("\"cmd\":").count();
                    assert_eq!(details.apps.apps.len(), n_apps, "{}", details.show());
                }
                "apps" => {
                    let apps = Vec::<App>::deserialize(&body["apps"]).unwrap();
                    let n_lines = AppList::of(&apps).show().lines().count();
                    assert_eq!(n_lines, apps.len() + 1, "{answer}");
                }
                "queue" => {
                    let queue = Vec::<Queued>::deserialize(&body["queue"]).unwrap();
                    for entry in &queue {
                        let id = entry.app.id.clone();
                        let app = App { id, instances: entry.count, ..App::default() };
                        let why = Why::of(&app, &queue);
                        assert!(why.reasons.len() > 1, "{}", why.show());
                        let told = why.show();
                        assert!(!told.contains("Insufficient"), "{told}");
                    }
                }
                _ => continue,
            }
            n_shown += 1;
        }
        assert!(n_shown > 10, "{n_shown}");
    }
}
