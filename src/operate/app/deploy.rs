//! `diff` and `deploy` of apps and groups: brings them to what files say.

use std::time::Duration;

use marathon_rules::file::{Definition, FileApp};
use serde_json::Value;

use super::difference::{AppDifference, Differences, GroupDifference};
use super::last_words::LastWords;
use super::order::Foreseen;
use super::{Changed, Manner, Work};
use crate::api::marathon::Change;
use crate::api::mesos::AgentInfo;
use crate::event::in_words;
use crate::operate::RunContext;
use crate::operate::error::{Error, ExitKind};
use crate::operate::target::Target;

/// The longest that Marathon may be away while it is given an app.
const TAKEN: Duration = Duration::from_secs(120);

/// What to do about an app that does not become as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Leave it as it is.
    Keep,
    /// Take the change back: the definition of before, or no app.
    Rollback,
}

/// Why apps are not as their files say.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// An app depends on what is not there.
    #[error(
        "{app} depends on {dependency}, which is neither in these files nor at Marathon: Marathon \
         would take that without a word"
    )]
    Dependency {
        /// The app.
        app: String,
        /// What is not there.
        dependency: String,
    },
    /// An app did not become as it should be.
    #[error("{app} is not as it should be: {why}\n{last_words}{then}")]
    Failed {
        /// The app.
        app: String,
        /// Why.
        why: String,
        /// What the last task that failed wrote; may be empty.
        last_words: String,
        /// What was done about it, or can be.
        then: String,
        /// The kind of this failure.
        kind: ExitKind,
    },
}

impl DeployError {
    /// The kind of this failure.
    pub(in crate::operate) fn kind(&self) -> ExitKind {
        match self {
            Self::Dependency { .. } => ExitKind::Invalid,
            Self::Failed { kind, .. } => *kind,
        }
    }
}

/// What files change, in the order in which it has to be done. What they leave out of their groups
/// is removed with `prune`.
///
/// # Errors
/// When Marathon does not answer, or an app depends on what is nowhere.
pub async fn differ(
    target: &Target,
    files: &[Definition],
    prune: bool,
    ctx: &RunContext<'_>,
) -> Result<Differences, Error> {
    let marathon = target.marathon()?;
    let (there, agents) = tokio::join!(marathon.group("/"), agents(target, ctx));
    let there = there.map_err(|error| target.fails(error))?;
    Ok(Differences::of(files, &there, agents.as_deref(), prune)?)
}

/// The agents; `None` if it is not known where Mesos is, or it does not say them.
async fn agents(target: &Target, ctx: &RunContext<'_>) -> Option<Vec<AgentInfo>> {
    match target.mesos()?.get_agents().await {
        Ok(agents) => Some(agents),
        Err(error) => {
            let error = in_words(&error);
            let text =
                format!("it is not checked whether agents can run what is sent: {error}");
            ctx.events.warn_once(text);
            None
        }
    }
}

/// Brings groups and apps to what files say, one after the other. Those without a difference are
/// left alone.
///
/// # Errors
/// When the operator says no; when Marathon refuses one, or one does not become as it should be in
/// time: then what follows is not begun.
pub async fn deploy(
    target: &Target,
    differences: &Differences,
    (manner, on_failure): (Manner, OnFailure),
    ctx: &RunContext<'_>,
) -> Result<Vec<Changed>, Error> {
    let work = Work { marathon: target.marathon()?, target, manner, ctx };
    if !differences.is_any() {
        return Ok(Vec::new());
    }
    work.agree(&Foreseen { text: differences.show(), asks: true })?;
    let mut done: Vec<Changed> = Vec::new();
    for part in parts(differences) {
        let given = match part {
            Part::Group(group) => itself(&work, group).await,
            Part::App(app) => one(&work, app, on_failure).await,
        };
        match given {
            Ok(changed) => done.push(changed),
            Err(why) if done.is_empty() => return Err(why),
            Err(why) => {
                let ids: Vec<&str> = done.iter().map(|it| it.app.as_str()).collect();
                let done = format!("before it, Marathon was given {}", ids.join(", "));
                return Err(Error::AfterChanges { why: Box::new(why), done });
            }
        }
    }
    Ok(done)
}

/// One thing that is sent.
enum Part<'a> {
    Group(&'a GroupDifference),
    App(&'a AppDifference),
}

/// What differs. The groups come first, as their roles hold for their apps.
fn parts(differences: &Differences) -> impl Iterator<Item = Part<'_>> {
    let groups = differences.groups.iter().filter(|group| group.is_any());
    let apps = differences.apps.iter().filter(|app| app.is_any());
    groups.map(Part::Group).chain(apps.map(Part::App))
}

/// Changes a group itself, which touches no app.
async fn itself(work: &Work<'_>, group: &GroupDifference) -> Result<Changed, Error> {
    let put = work.marathon.put_group(&group.id, &group.body).await;
    let change = put.map_err(|error| work.target.fails(error))?;
    work.until_ended(&group.id, &change).await
}

async fn one(
    work: &Work<'_>,
    app: &AppDifference,
    on_failure: OnFailure,
) -> Result<Changed, Error> {
    if app.is_removed {
        let deleted = work.marathon.delete(&app.id).await;
        let change = deleted.map_err(|error| work.target.fails(error))?;
        return work.until_ended(&app.id, &change).await;
    }
    let has_it = |document: &Value| {
        let file = FileApp {
            place: marathon_rules::Path::ROOT,
            id: app.id.clone(),
            body: app.body.clone(),
            group: None,
            inherited: Vec::new(),
        };
        !AppDifference::of(&file, Some(document), None).is_any()
    };
    let put = work.marathon.replace_surely(&app.id, &app.body, TAKEN, has_it).await;
    let change = put.map_err(|error| work.target.fails(error))?;
    match work.until_settled(&app.id, &change).await {
        Err(error) if error.kind() == ExitKind::TimedOut => {
            Err(failed(work, app, on_failure, error).await)
        }
        ended => ended,
    }
}

/// What is done about an app that is not as it should be in time.
async fn failed(
    work: &Work<'_>,
    app: &AppDifference,
    on_failure: OnFailure,
    error: Error,
) -> Error {
    let id = app.id.clone();
    let kind = error.kind();
    // Before the app is removed, and that with it.
    let last_words = last_words(work, &id).await;
    let then = match on_failure {
        OnFailure::Keep => format!(
            "it is left as it is, and Marathon goes on; `platform app why {id}` says more, and \
             `platform app stop {id}` takes the change back"
        ),
        OnFailure::Rollback => match take_back(work, app).await {
            Ok(_) if app.is_new => "it was a new app, and was removed".to_owned(),
            Ok(_) => "the change was taken back: the app is as before".to_owned(),
            Err(why) => format!(
                "and it cannot be taken back: {}; `platform app show {id}` shows it as it is",
                in_words(&why)
            ),
        },
    };
    DeployError::Failed { app: id, why: in_words(&error), last_words, then, kind }.into()
}

/// What the last task that failed wrote, as lines. Without an answer of Marathon there is none: the
/// error that is told says that already.
async fn last_words(work: &Work<'_>, id: &str) -> String {
    let Ok(app) = work.marathon.app(id).await else { return String::new() };
    let words = LastWords::of(&app, work.target, work.ctx).await;
    words.map(|words| words.show(id)).unwrap_or_default()
}

/// Takes a change back. A deployment that goes on stops where it is.
async fn take_back(work: &Work<'_>, app: &AppDifference) -> Result<Changed, Error> {
    let fails = |error| work.target.fails(error);
    match &app.before {
        Some(before) => {
            let change = work.marathon.replace(&app.id, before, true).await;
            work.until_settled(&app.id, &change.map_err(fails)?).await
        }
        None => {
            let change: Change = work.marathon.delete(&app.id).await.map_err(fails)?;
            work.until_ended(&app.id, &change).await
        }
    }
}
