//! Which tasks are meant, how they are called, and how they ended. Pure.

use crate::api::marathon::{App, Task, TaskFailure, short_name};

/// A task, and the name of its agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::operate::app) struct Placed {
    pub(in crate::operate::app) id: String,
    pub(in crate::operate::app) host: String,
}

/// Whether a task goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It does, as far as is known.
    GoesOn,
    /// It has ended, in this way.
    Ended(String),
}

/// There is no such task.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoTask {
    /// The app has none.
    #[error(
        "no task of {app} runs or has failed: `platform app why {app}` says what it waits for"
    )]
    None {
        /// The app.
        app: String,
    },
    /// It has ended, or has not begun.
    #[error("no such task of {app} runs: `platform app show {app}` shows its tasks")]
    NotRunning {
        /// The app.
        app: String,
    },
    /// None has this name.
    #[error("{app} has no task `{name}`; there are {}", .known.join(", "))]
    Named {
        /// The app.
        app: String,
        /// The name.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
}

/// The tasks that an agent has begun and that have not ended.
pub(super) fn live(app: &App) -> Vec<Placed> {
    let begun = |task: &&Task| !task.has_ended() && !task.host.is_empty();
    app.tasks.iter().filter(begun).map(Placed::of).collect()
}

/// The tasks that are meant: those with this name, also if they have ended; without a name, all
/// that run, or else the one that failed last.
pub(super) fn meant(app: &App, name: Option<&str>) -> Result<Vec<Placed>, NoTask> {
    let of_app = || app.id.clone();
    let all = all(app);
    let Some(name) = name else {
        let live = live(app);
        let last = last_failed(app).into_iter().collect::<Vec<Placed>>();
        let found = if live.is_empty() { last } else { live };
        return match found.is_empty() {
            true => Err(NoTask::None { app: of_app() }),
            false => Ok(found),
        };
    };
    let is_meant = |task: &&Placed| {
        task.id.starts_with(name) || short_name(&task.id).starts_with(name)
    };
    let found: Vec<Placed> = all.iter().filter(is_meant).cloned().collect();
    match found.is_empty() {
        false => Ok(found),
        true if all.is_empty() => Err(NoTask::None { app: of_app() }),
        true => {
            let known = all.iter().map(|task| short_name(&task.id)).collect();
            Err(NoTask::Named { app: of_app(), name: name.to_owned(), known })
        }
    }
}

/// The first task that runs and has this name, or any name, and how many there are.
pub(in crate::operate::app) fn running(
    app: &App,
    name: Option<&str>,
) -> Result<(Placed, usize), NoTask> {
    let live = live(app);
    let mut found = meant(app, name)?;
    found.retain(|task| live.contains(task));
    let first = found.first().cloned();
    let first = first.ok_or_else(|| NoTask::NotRunning { app: app.id.clone() })?;
    Ok((first, found.len()))
}

/// All tasks that are known, also those that have ended.
fn all(app: &App) -> Vec<Placed> {
    let mut all: Vec<Placed> = app.tasks.iter().map(Placed::of).collect();
    all.retain(|task| !task.host.is_empty());
    all.extend(last_failed(app).filter(|last| all.iter().all(|task| task.id != last.id)));
    all
}

/// The task that failed last.
pub(in crate::operate::app) fn last_failed(app: &App) -> Option<Placed> {
    let failure = app.last_task_failure.as_ref()?;
    let TaskFailure { task, host, .. } = failure;
    (!task.is_empty()).then(|| Placed { id: task.clone(), host: host.clone() })
}

/// Whether a task goes on; the app is `None` if it was removed.
pub(super) fn fate(app: Option<&App>, task: &str) -> Fate {
    let Some(app) = app else { return Fate::Ended("the app was removed".to_owned()) };
    let failure = app.last_task_failure.as_ref().filter(|failure| failure.task == task);
    if let Some(TaskFailure { state, message, .. }) = failure {
        return Fate::Ended(format!("{state}: {}", message.trim()));
    }
    match app.tasks.iter().find(|known| known.id == task) {
        Some(known) if known.has_ended() => Fate::Ended(known.state.clone()),
        Some(_) => Fate::GoesOn,
        None => Fate::Ended("Marathon does not have it any more".to_owned()),
    }
}

impl Placed {
    fn of(task: &Task) -> Self {
        Self { id: task.id.clone(), host: task.host.clone() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIRST: &str = "web.instance-c08b32c5-ec07-11f1-b99a-26ba1e2ad6e9._app.1";
    const NEXT: &str = "web.instance-c08b32c5-ec07-11f1-b99a-26ba1e2ad6e9._app.2";
    const OTHER: &str = "web.instance-d1a2b3c4-ec07-11f1-b99a-26ba1e2ad6e9._app.1";

    fn app(tasks: &[(&str, &str)]) -> App {
        let task =
            |(id, state): &(&str, &str)| json!({"id": id, "host": "h", "state": state});
        let tasks: Vec<_> = tasks.iter().map(task).collect();
        serde_json::from_value(json!({"id": "/web", "tasks": tasks,
            "lastTaskFailure": {"taskId": FIRST, "host": "h", "state": "TASK_FAILED",
                "message": "Command exited with status 3\n"}}))
        .unwrap()
    }

    fn ids(found: Result<Vec<Placed>, NoTask>) -> Vec<String> {
        found.unwrap().into_iter().map(|task| task.id).collect()
    }

    #[test]
    fn those_that_run_are_meant_or_else_the_last_that_failed() {
        let both = app(&[(NEXT, "TASK_RUNNING"), (OTHER, "TASK_KILLED")]);
        assert_eq!(ids(meant(&both, None)), [NEXT]);
        assert_eq!(ids(meant(&app(&[]), None)), [FIRST]);
        let error = meant(&App { id: "/web".into(), ..App::default() }, None);
        assert!(error.unwrap_err().to_string().contains("`platform app why /web`"));
    }

    #[test]
    fn a_name_means_an_instance_or_one_task_of_it_also_if_it_has_ended() {
        let both = app(&[(NEXT, "TASK_RUNNING"), (OTHER, "TASK_KILLED")]);
        assert_eq!(ids(meant(&both, Some("c08b"))), [NEXT, FIRST]);
        assert_eq!(ids(meant(&both, Some("c08b32c5.1"))), [FIRST]);
        assert_eq!(ids(meant(&both, Some(OTHER))), [OTHER]);
        assert_eq!(
            meant(&both, Some("x")).unwrap_err().to_string(),
            "/web has no task `x`; there are c08b32c5.2, d1a2b3c4.1, c08b32c5.1"
        );
    }

    #[test]
    fn only_a_task_that_runs_can_be_entered() {
        let both = app(&[(NEXT, "TASK_RUNNING"), (OTHER, "TASK_KILLED")]);
        let (task, n_running) = running(&both, None).unwrap();
        assert_eq!((task.id.as_str(), n_running), (NEXT, 1));
        assert_eq!(running(&both, Some("c08b")).unwrap().0.id, NEXT);
        let ended = NoTask::NotRunning { app: "/web".to_owned() };
        assert_eq!(running(&both, Some("d1a2")).unwrap_err(), ended);
        assert_eq!(running(&app(&[]), None).unwrap_err(), ended);
    }

    #[test]
    fn the_end_of_a_task_is_told_with_its_reason() {
        let now = app(&[(NEXT, "TASK_RUNNING"), (OTHER, "TASK_KILLED")]);
        let told = |task| match fate(Some(&now), task) {
            Fate::GoesOn => "goes on".to_owned(),
            Fate::Ended(why) => why,
        };
        assert_eq!(told(NEXT), "goes on");
        assert_eq!(told(FIRST), "TASK_FAILED: Command exited with status 3");
        assert_eq!(told(OTHER), "TASK_KILLED");
        assert_eq!(told("web.x"), "Marathon does not have it any more");
        assert_eq!(fate(None, NEXT), Fate::Ended("the app was removed".to_owned()));
    }
}
