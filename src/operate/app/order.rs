//! What will happen to an app, in words, before it does. Pure.

use jiff::Timestamp;
use marathon_rules::file::OF_MARATHON;
use serde_json::{Value, json};

use super::super::columns::{Align, columns};
use crate::api::marathon::{App, Deployment, version_name};
use crate::event::count;

/// What to do with an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Remove it, and its tasks.
    Remove,
    /// Run so many instances.
    Scale(u32),
    /// Replace all of its tasks.
    Restart,
}

/// What Marathon will do, and whether to ask first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Foreseen {
    /// In sentences, one each line.
    pub(super) text: String,
    /// Whether tasks are lost that nobody would expect to lose.
    pub(super) asks: bool,
}

impl Order {
    /// What Marathon will do with this app.
    pub(super) fn foresee(&self, document: &Value, app: &App) -> Foreseen {
        let (id, n_tasks) = (&app.id, app.tasks_running + app.tasks_staged);
        let tasks = count(n_tasks as usize, "task");
        match self {
            Self::Remove => {
                let locked = match app.deployments.is_empty() {
                    true => "",
                    false => "The deployment that changes it now stops where it is.\n",
                };
                let text = format!("{id} and its {tasks} will be removed.\n{locked}");
                Foreseen { text, asks: true }
            }
            Self::Restart => {
                let text = format!("All {tasks} of {id} will be replaced by new ones.\n");
                Foreseen { text, asks: false }
            }
            Self::Scale(n) => scaled(*n, document, app),
        }
    }
}

fn scaled(n: u32, document: &Value, app: &App) -> Foreseen {
    let App { id, instances, .. } = app;
    let mut text = match n.checked_sub(*instances) {
        Some(0) => format!("{id} has {} already.\n", count(n as usize, "instance")),
        Some(more) => {
            format!("{} of {id} will be started.\n", count(more as usize, "task"))
        }
        None => {
            let fewer = count((instances - n) as usize, "task");
            format!("{fewer} of {id} will be killed.\n")
        }
    };
    let restarts = n != *instances && has_check_without_port(document);
    if restarts {
        text.push_str(
            "A health check of it names no port. With the next change of any kind Marathon \
             writes `portIndex: 0` into it, which replaces all tasks, once.\n",
        );
    }
    Foreseen { text, asks: restarts || (n == 0 && *instances > 0) }
}

/// Whether an app has a check of its port that says neither which, nor its number.
fn has_check_without_port(document: &Value) -> bool {
    let checks = document["healthChecks"].as_array().into_iter().flatten();
    checks.into_iter().any(|check| {
        check["protocol"] != "COMMAND"
            && check.get("portIndex").is_none()
            && check.get("port").is_none()
    })
}

/// The body that changes the number of instances. Without the limits, Marathon drops them and
/// replaces all tasks.
pub(super) fn scale_body(n: u32, document: &Value) -> Value {
    let mut body = json!({"instances": n});
    if let Some(limits) = document.get("resourceLimits") {
        body["resourceLimits"] = limits.clone();
    }
    body
}

/// Why an app cannot go back to a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoVersion {
    /// There is no such version.
    #[error("{app} has no version {version}: `platform app show {app}` lists them")]
    Unknown {
        /// The app.
        app: String,
        /// The version.
        version: String,
    },
    /// There is only one version.
    #[error("{0} has no earlier version; nothing was changed")]
    None(String),
    /// An earlier app of the same id had it.
    #[error(
        "version {version} is of an earlier app {app}, which was deleted: at {absent} there was \
         none; nothing was changed"
    )]
    OfAnother {
        /// The app.
        app: String,
        /// The version.
        version: String,
        /// When the app was not there.
        absent: String,
    },
}

/// The version to go back to: the wanted one, or the one before the app's own.
///
/// # Errors
/// When there is none.
pub(super) fn goal(
    app: &App,
    versions: &[Timestamp],
    wanted: Option<&str>,
) -> Result<Timestamp, NoVersion> {
    match wanted {
        None => {
            let is_earlier = |version: &&Timestamp| Some(**version) < app.version;
            let earlier = versions.iter().filter(is_earlier).max();
            earlier.copied().ok_or_else(|| NoVersion::None(app.id.clone()))
        }
        Some(wanted) => {
            let named = versions.iter().find(|version| version_name(**version) == wanted);
            named.copied().ok_or_else(|| NoVersion::Unknown {
                app: app.id.clone(),
                version: wanted.to_owned(),
            })
        }
    }
}

/// Whether a group, or a group in it, has an app.
pub(super) fn has_app(group: &Value, id: &str) -> bool {
    let all = |name: &str| group[name].as_array().into_iter().flatten();
    all("apps").any(|app| app["id"] == id)
        || all("groups").any(|group| has_app(group, id))
}

/// What going back to a version means.
pub(super) fn foresee_rollback(
    app: &App,
    goal: Timestamp,
    (then, now): (&Value, &Value),
    is_certain: bool,
) -> Foreseen {
    let (id, version) = (&app.id, version_name(goal));
    let mut text = format!("{id} will be as it was at {version}");
    let differing: Vec<&str> = members(then)
        .chain(members(now))
        .filter(|name| then.get(*name) != now.get(*name))
        .fold(Vec::new(), |mut names, name| {
            if !names.contains(&name) {
                names.push(name);
            }
            names
        });
    match differing.as_slice() {
        [] => text.push_str(": nothing in its definition differs.\n"),
        ["instances"] => text.push_str(": another number of instances.\n"),
        names => text.push_str(&format!(
            ": {} will be other ones, so all tasks are replaced.\n",
            names.join(", ")
        )),
    }
    if !is_certain {
        text.push_str(&format!(
            "Marathon does not tell whether that version is of this {id}, or of an earlier one \
             that was deleted.\n"
        ));
    }
    Foreseen { text, asks: true }
}

/// What an operator writes into a definition; the rest Marathon writes.
fn members(definition: &Value) -> impl Iterator<Item = &str> {
    let names = definition.as_object().into_iter().flat_map(serde_json::Map::keys);
    names.map(String::as_str).filter(|name| !OF_MARATHON.contains(name))
}

/// What ending a deployment means for these apps of it, which were asked for their tasks.
pub(super) fn foresee_stop(
    deployment: &Deployment,
    apps: &[App],
    keep: bool,
) -> Foreseen {
    let Deployment { id, affected_apps, current_step, total_steps, .. } = deployment;
    let what = affected_apps.join(", ");
    let head =
        format!("Deployment {id} of {what} is at step {current_step} of {total_steps}. ");
    if keep {
        let text = format!(
            "{head}It will end where it is: the definition stays the new one, and tasks of the \
             old one may stay with it.\n"
        );
        return Foreseen { text, asks: true };
    }
    let mut text = format!("{head}Marathon will take it back.\n");
    let tasks: Vec<[String; 2]> = apps.iter().flat_map(running).collect();
    if !tasks.is_empty() {
        text.push_str(
            "For that it can kill tasks that run, also healthy ones, while others still wait to \
             start. These run:\n",
        );
        text.push_str(&columns([("TASK", Align::Left), ("HOST", Align::Left)], tasks));
    }
    Foreseen { text, asks: true }
}

fn running(app: &App) -> impl Iterator<Item = [String; 2]> {
    let running = app.tasks.iter().filter(|task| task.state == "TASK_RUNNING");
    running.map(|task| [task.id.clone(), task.host.clone()])
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    fn foreseen(order: &Order, changes: Value) -> Foreseen {
        let mut document = json!({"id": "/web", "instances": 3, "tasksRunning": 3});
        for (key, value) in changes.as_object().unwrap() {
            document[key] = value.clone();
        }
        order.foresee(&document, &App::deserialize(&document).unwrap())
    }

    #[test]
    fn what_is_lost_is_said_and_asked_for() {
        let check = |order: Order, changes, text: &str, asks| {
            let foreseen = foreseen(&order, changes);
            assert_eq!((foreseen.text.as_str(), foreseen.asks), (text, asks));
        };
        let none = || json!({});
        check(Order::Remove, none(), "/web and its 3 tasks will be removed.\n", true);
        let locked = "/web and its 3 tasks will be removed.\n\
                      The deployment that changes it now stops where it is.\n";
        check(Order::Remove, json!({"deployments": [{"id": "d"}]}), locked, true);
        let all = "All 3 tasks of /web will be replaced by new ones.\n";
        check(Order::Restart, none(), all, false);
        check(Order::Scale(4), none(), "1 task of /web will be started.\n", false);
        check(Order::Scale(1), none(), "2 tasks of /web will be killed.\n", false);
        check(Order::Scale(0), none(), "3 tasks of /web will be killed.\n", true);
        check(Order::Scale(3), none(), "/web has 3 instances already.\n", false);
    }

    #[test]
    fn a_check_without_a_port_restarts_everything_and_that_is_said() {
        let with = |check| foreseen(&Order::Scale(4), json!({"healthChecks": [check]}));
        let restarts = with(json!({"protocol": "HTTP"}));
        assert!(
            restarts.asks && restarts.text.contains("`portIndex: 0`"),
            "{restarts:?}"
        );
        for check in [
            json!({"protocol": "HTTP", "portIndex": 0}),
            json!({"protocol": "HTTP", "port": 80}),
            json!({"protocol": "COMMAND", "command": {"value": "true"}}),
        ] {
            assert!(!with(check.clone()).asks, "{check}");
        }
    }

    #[test]
    fn a_new_number_of_instances_keeps_the_limits() {
        let limits = json!({"cpus": 1.0, "mem": "unlimited"});
        let document = json!({"id": "/web", "resourceLimits": limits});
        let body = json!({"instances": 2, "resourceLimits": limits});
        assert_eq!(scale_body(2, &document), body);
        assert_eq!(scale_body(2, &json!({"id": "/web"})), json!({"instances": 2}));
    }

    #[test]
    fn the_version_before_is_found_by_time() {
        let versions =
            ["2020-01-01T00:00:00Z", "2020-01-03T00:00:00Z", "2020-01-02T00:00:00Z"]
                .map(|version| version.parse::<Timestamp>().unwrap());
        let app = |version: &str| {
            App::deserialize(&json!({"id": "/web", "version": version})).unwrap()
        };
        let newest = app("2020-01-03T00:00:00.000Z");
        assert_eq!(goal(&newest, &versions, None), Ok(versions[2]));
        let named = goal(&newest, &versions, Some("2020-01-01T00:00:00.000Z"));
        assert_eq!(named, Ok(versions[0]));
        let oldest = app("2020-01-01T00:00:00.000Z");
        assert!(matches!(goal(&oldest, &versions, None), Err(NoVersion::None(_))));
        let unknown = goal(&newest, &versions, Some("yesterday"));
        assert!(matches!(unknown, Err(NoVersion::Unknown { .. })));
    }

    #[test]
    fn an_app_is_found_in_the_groups_of_groups() {
        let root = json!({"id": "/", "apps": [], "groups": [
            {"id": "/shop", "apps": [{"id": "/shop/cart"}], "groups": [
                {"id": "/shop/fresh", "apps": [{"id": "/shop/fresh/db"}]}]}]});
        assert!(has_app(&root, "/shop/cart") && has_app(&root, "/shop/fresh/db"));
        assert!(!has_app(&root, "/shop"));
    }

    #[test]
    fn a_rollback_names_what_differs() {
        let said = |then: Value, is_certain| {
            let now = json!({"id": "/web", "cmd": "new", "instances": 2, "version": "b",
                "tasksRunning": 2});
            let app = App::deserialize(&now.clone()).unwrap_or_default();
            let goal = "2020-01-01T00:00:00Z".parse().unwrap();
            foresee_rollback(&app, goal, (&then, &now), is_certain).text
        };
        let then = json!({"id": "/web", "cmd": "old", "instances": 2, "env": {"A": "1"},
            "version": "a"});
        assert!(
            said(then, true)
                .ends_with("cmd, env will be other ones, so all tasks are replaced.\n")
        );
        let scaled = json!({"id": "/web", "cmd": "new", "instances": 3});
        let text = said(scaled, false);
        assert!(text.contains("another number of instances"), "{text}");
        assert!(text.contains("an earlier one that was deleted"), "{text}");
    }

    #[test]
    fn a_stop_names_the_tasks_that_may_be_killed() {
        let deployment = json!({"id": "d1", "affectedApps": ["/web"], "currentStep": 1,
            "totalSteps": 1});
        let deployment = Deployment::deserialize(&deployment).unwrap();
        let app = json!({"id": "/web", "tasks": [
            {"id": "web.1", "host": "w1", "state": "TASK_RUNNING"},
            {"id": "web.2", "host": "w2", "state": "TASK_STAGING"}]});
        let apps = [App::deserialize(&app).unwrap()];
        let taken_back = foresee_stop(&deployment, &apps, false).text;
        assert!(taken_back.contains("can kill tasks that run"), "{taken_back}");
        assert!(taken_back.contains("web.1  w1") && !taken_back.contains("web.2"));
        let kept = foresee_stop(&deployment, &apps, true).text;
        assert!(kept.contains("where it is") && !kept.contains("web.1"), "{kept}");
    }
}
