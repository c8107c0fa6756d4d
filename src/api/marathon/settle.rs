//! Whether an app has reached its wanted state. Pure.
//!
//! A deployment that is no longer listed proves nothing: it may have been cancelled. Only the
//! state of the app counts.

use std::collections::BTreeMap;
use std::fmt;

use super::types::{App, Deployment, Task, short_name};

/// What an app still waits for; shown as a fragment of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Deployments that change it, by their ids.
    Deployments(Vec<String>),
    /// Tasks that do not run yet.
    Staged(u32),
    /// Too few or too many tasks.
    Running {
        /// Running tasks.
        have: u32,
        /// Wanted tasks.
        want: u32,
    },
    /// Tasks that have not passed their health checks.
    Healthy {
        /// Healthy tasks.
        have: u32,
        /// Wanted tasks.
        want: u32,
    },
    /// A task that runs an older or an unknown definition.
    Old(
        /// The task's id.
        String,
    ),
}

/// Whether an app has reached its wanted state, from its own data with its tasks, and from the
/// deployments that were under way before it was queried.
///
/// # Errors
/// With the first thing that it still waits for.
pub(crate) fn settled(app: &App, deployments: &[Deployment]) -> Result<(), Waiting> {
    let under_way = under_way(app, deployments);
    let (running, want) = (app.tasks_running, app.instances);
    let tasks = || app.tasks.iter().filter(|task| !task.has_ended());
    let old = tasks().find(|task| is_old(app, task));
    let n_checks = app.health_checks.len();
    let healthy = tasks().filter(|task| task.passes(n_checks)).count();
    // Marathon's own number includes results that a task inherited from its predecessor.
    let healthy = app.tasks_healthy.min(u32::try_from(healthy).unwrap_or(u32::MAX));
    if !under_way.is_empty() {
        return Err(Waiting::Deployments(under_way));
    }
    if app.tasks_staged > 0 {
        return Err(Waiting::Staged(app.tasks_staged));
    }
    if running != want {
        return Err(Waiting::Running { have: running, want });
    }
    if n_checks > 0 && (app.tasks_healthy != want || healthy != want) {
        return Err(Waiting::Healthy { have: healthy, want });
    }
    old.map_or(Ok(()), |task| Err(Waiting::Old(task.id.clone())))
}

/// What was seen of each task; `None` before anything was.
#[derive(Debug, Default)]
pub(crate) struct Told(Option<BTreeMap<String, &'static str>>);

impl Told {
    /// What has become of tasks since this was asked last, one sentence for each; nothing at first.
    pub(crate) fn changes(&mut self, app: &App) -> Vec<String> {
        let is_first = self.0.is_none();
        let told = self.0.get_or_insert_default();
        let mut changes = Vec::new();
        for task in app.tasks.iter().filter(|task| !task.host.is_empty()) {
            let now = stage(app, task);
            if told.insert(task.id.clone(), now) != Some(now) && !is_first {
                let name = short_name(&task.id);
                changes.push(format!("task {name} on {} {now}", task.host));
            }
        }
        changes
    }
}

/// How far a task is.
fn stage(app: &App, task: &Task) -> &'static str {
    match (task.state.as_str(), app.health_checks.len()) {
        _ if task.has_ended() => "has ended",
        ("TASK_UNREACHABLE", _) => "is out of reach",
        ("TASK_KILLING", _) => "is being ended",
        _ if task.started_at.is_none() => "is being started",
        (_, 0) => "runs",
        (_, n) if task.passes(n) => "runs and is healthy",
        _ => "runs and is not healthy yet",
    }
}

fn under_way(app: &App, deployments: &[Deployment]) -> Vec<String> {
    let of_app = deployments.iter().filter(|under| under.affected_apps.contains(&app.id));
    let listed = of_app.map(|deployment| &deployment.id);
    let mut ids: Vec<String> =
        app.deployments.iter().map(|own| &own.id).chain(listed).cloned().collect();
    ids.sort();
    ids.dedup();
    ids
}

/// A task keeps its definition if only the number of instances changes.
fn is_old(app: &App, task: &Task) -> bool {
    let changed = app.version_info.as_ref().and_then(|info| info.last_config_change_at);
    changed.is_some_and(|changed| task.version.is_none_or(|version| version < changed))
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployments(ids) => {
                write!(f, "still under way: deployment {}", ids.join(", "))
            }
            Self::Staged(count) => write!(f, "tasks that do not run yet: {count}"),
            Self::Running { have, want } => write!(f, "{have} of {want} tasks run"),
            Self::Healthy { have, want } => {
                write!(f, "{have} of {want} tasks are healthy")
            }
            Self::Old(task) => write!(f, "task {task} runs an older definition"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn app(changes: &Value) -> App {
        let task = |id: &str, version: &str| {
            json!({"id": id, "version": version, "state": "TASK_RUNNING",
                   "startedAt": "2020-10-29T11:00:01.000Z",
                   "healthCheckResults": [
                       {"alive": true, "lastSuccess": "2020-10-29T11:00:02.000Z"}]})
        };
        let mut app = json!({
            "id": "/web", "instances": 2, "tasksStaged": 0, "tasksRunning": 2,
            "tasksHealthy": 2, "healthChecks": [{"protocol": "MESOS_TCP"}],
            "versionInfo": {"lastConfigChangeAt": "2020-10-29T10:00:00.000Z",
                            "lastScalingAt": "2020-10-29T11:00:00.000Z"},
            "tasks": [task("a", "2020-10-29T10:00:00.000Z"),
                      task("b", "2020-10-29T11:00:00.000Z")]
        });
        for (key, value) in changes.as_object().unwrap() {
            app[key] = value.clone();
        }
        serde_json::from_value(app).unwrap()
    }

    fn check(changes: Value, expected: Result<(), Waiting>) {
        assert_eq!(settled(&app(&changes), &[]), expected, "{changes}");
    }

    fn deployment(id: &str, app: &str) -> Deployment {
        let affected_apps = vec![app.to_owned()];
        Deployment { id: id.to_owned(), affected_apps, ..Deployment::default() }
    }

    #[test]
    fn an_app_with_all_its_tasks_healthy_and_current_is_settled() {
        check(json!({}), Ok(()));
        check(json!({"healthChecks": [], "tasksHealthy": 0}), Ok(()));
        let none =
            json!({"instances": 0, "tasksRunning": 0, "tasksHealthy": 0, "tasks": []});
        check(none, Ok(()));
    }

    #[test]
    fn each_missing_part_is_waited_for() {
        check(json!({"tasksStaged": 1}), Err(Waiting::Staged(1)));
        check(json!({"tasksRunning": 1}), Err(Waiting::Running { have: 1, want: 2 }));
        check(json!({"tasksRunning": 3}), Err(Waiting::Running { have: 3, want: 2 }));
        check(json!({"tasksHealthy": 1}), Err(Waiting::Healthy { have: 1, want: 2 }));
    }

    #[test]
    fn a_task_of_an_older_or_unknown_definition_is_waited_for() {
        let old = json!([{"id": "a", "version": "2020-10-29T09:59:59.999Z"}]);
        let unchecked = |tasks: &Value| json!({"tasks": tasks, "healthChecks": []});
        check(unchecked(&old), Err(Waiting::Old("a".to_owned())));
        check(unchecked(&json!([{"id": "a"}])), Err(Waiting::Old("a".to_owned())));
        let unversioned = json!({"tasks": old, "healthChecks": [], "versionInfo": null});
        check(unversioned, Ok(()));
    }

    /// Both, as Marathon 1.11 shows them after a task has failed.
    #[test]
    fn neither_a_task_that_ended_nor_the_health_that_it_left_counts() {
        let ended = json!({"id": "c", "state": "TASK_FAILED", "ports": []});
        let own = |started: &str| {
            json!({"id": "a", "version": "2020-10-29T11:00:00.000Z", "state": "TASK_RUNNING",
                   "startedAt": started, "healthCheckResults": [
                       {"alive": true, "lastSuccess": "2020-10-29T11:00:02.000Z"}]})
        };
        let before = own("2020-10-29T11:00:01.000Z");
        check(json!({"tasks": [before, before, ended]}), Ok(()));
        let inherits = own("2020-10-29T11:00:03.000Z");
        check(
            json!({"tasks": [before, inherits]}),
            Err(Waiting::Healthy { have: 1, want: 2 }),
        );
        let staging = json!({"id": "a", "state": "TASK_STAGING", "version": "2020-10-29T11:00:00.000Z",
                   "healthCheckResults": [{"alive": true, "lastSuccess": "2020-10-29T11:00:02.000Z"}]});
        check(
            json!({"tasks": [before, staging]}),
            Err(Waiting::Healthy { have: 1, want: 2 }),
        );
    }

    #[test]
    fn each_change_of_a_task_is_told_once() {
        let mut told = Told::default();
        let mut changes = |tasks: Value| told.changes(&app(&json!({"tasks": tasks})));
        let task = |state: &str, started: Value, results: Value| {
            json!([{"id": "w.instance-c08b32c5-ec07._app.1", "host": "h", "state": state,
                "startedAt": started, "healthCheckResults": results}, {"id": "waits"}])
        };
        let (started, passed) =
            (json!("2020-10-29T11:00:01.000Z"), "2020-10-29T11:00:02.000Z");
        let passes = json!([{"alive": true, "lastSuccess": passed}]);
        assert!(
            changes(json!([{"id": "old", "host": "h", "state": "TASK_RUNNING"}]))
                .is_empty()
        );
        let staging = task("TASK_STAGING", Value::Null, json!([]));
        assert_eq!(changes(staging.clone()), ["task c08b32c5.1 on h is being started"]);
        assert!(changes(staging).is_empty());
        let said = changes(task("TASK_RUNNING", started.clone(), json!([])));
        assert_eq!(said, ["task c08b32c5.1 on h runs and is not healthy yet"]);
        let said = changes(task("TASK_RUNNING", started.clone(), passes.clone()));
        assert_eq!(said, ["task c08b32c5.1 on h runs and is healthy"]);
        let said = changes(task("TASK_FAILED", started, passes));
        assert_eq!(said, ["task c08b32c5.1 on h has ended"]);
    }

    #[test]
    fn deployments_of_the_app_are_waited_for_and_those_of_others_not() {
        let own = app(&json!({"deployments": [{"id": "d1"}]}));
        let listed =
            [deployment("d2", "/web"), deployment("d1", "/web"), deployment("x", "/db")];
        let both = Waiting::Deployments(vec!["d1".to_owned(), "d2".to_owned()]);
        assert_eq!(settled(&own, &listed), Err(both));
        assert_eq!(settled(&app(&json!({})), &[deployment("x", "/db")]), Ok(()));
    }
}
