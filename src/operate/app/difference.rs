//! What a file changes of an app, before anything is sent. Pure.

use marathon_rules::app::Record;
use marathon_rules::compare::{Difference, differences, restart};
use marathon_rules::file::{FileApp, definitions, wanted};
use marathon_rules::id::within;
use marathon_rules::root::Root;
use marathon_rules::{Rules, Step};
use serde::Serialize;
use serde_json::{Value, json};

use crate::event::count;

/// What a file changes of an app.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppDifference {
    /// The app.
    pub id: String,
    /// Whether there is no such app yet.
    pub is_new: bool,
    /// Whether all its tasks will be replaced.
    pub restarts: bool,
    /// How many instances it has, and how many it is to have.
    pub instances: (u64, u64),
    /// Each change of its definition.
    pub changes: Vec<MemberChange>,
    /// What is sent.
    #[serde(skip)]
    pub(super) body: Value,
    /// What takes it back: the definition of now.
    #[serde(skip)]
    pub(super) before: Option<Value>,
    /// What has to be there before it.
    #[serde(skip)]
    pub(super) dependencies: Vec<String>,
}

/// A change of one member. Values of `env` may be secrets, and are never shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberChange {
    /// The member, as Marathon names it: `/container/docker/image`.
    pub path: String,
    /// What is there.
    pub before: Option<Value>,
    /// What will be there.
    pub after: Option<Value>,
}

impl AppDifference {
    /// What a file changes, if Marathon shows this of the app; `None` if it has no such app.
    pub fn of(app: &FileApp, document: Option<&Value>) -> Self {
        let before = document.and_then(definition);
        let mut app = app.clone();
        let mut rules = Rules::default();
        // A role that the file does not name stays.
        if let Some(role) = before.as_ref().and_then(|it| it["role"].as_str())
            && app.body.get("role").is_none()
        {
            role.clone_into(&mut rules.role);
            app.body["role"] = role.into();
        }
        let mut root = Root::default();
        if let Some(Value::Object(spec)) = &before {
            root.put_app(&app.id, Record::new(spec.clone(), ""));
        }
        let after = wanted(&app, &root, &rules);
        let empty = serde_json::Map::new();
        let now = before.as_ref().and_then(Value::as_object).unwrap_or(&empty);
        let found = differences(now, &after);
        let number = |spec: &serde_json::Map<String, Value>| {
            spec.get("instances").and_then(Value::as_u64).unwrap_or_default()
        };
        let instances = (number(now), number(&after));
        let mut body = app.body;
        body["id"] = app.id.clone().into();
        let dependencies = after.get("dependencies").cloned().unwrap_or_default();
        if body.get("dependencies").is_some() || !app.inherited.is_empty() {
            body["dependencies"] = dependencies.clone();
        }
        Self {
            is_new: before.is_none(),
            restarts: before.is_some() && restart(&found),
            instances,
            changes: found.iter().map(MemberChange::of).collect(),
            body,
            before,
            dependencies: serde_json::from_value(dependencies).unwrap_or_default(),
            id: app.id,
        }
    }

    /// Whether there is anything to do.
    pub fn is_any(&self) -> bool {
        !self.changes.is_empty()
    }

    /// It in lines for people.
    pub fn show(&self) -> String {
        let (has, wants) = self.instances;
        let running = count(usize::try_from(has).unwrap_or(usize::MAX), "task");
        let id = &self.id;
        let head = match self {
            _ if !self.is_any() => return format!("{id}: no difference\n"),
            Self { is_new: true, .. } => {
                let wants =
                    count(usize::try_from(wants).unwrap_or(usize::MAX), "instance");
                return format!("{id}: a new app with {wants}\n");
            }
            Self { restarts: true, .. } if has == 0 => format!("{id}: no task runs"),
            Self { restarts: true, .. } => {
                format!(
                    "{id}: all {running} will be replaced, because the definition changes"
                )
            }
            _ => {
                format!("{id}: {has} → {wants} instances; running tasks are not touched")
            }
        };
        let lines: String = self.changes.iter().map(MemberChange::show).collect();
        format!("{head}\n{lines}")
    }
}

/// The definition in what Marathon shows of an app: without what only Marathon writes.
fn definition(document: &Value) -> Option<Value> {
    let (mut all, _) = definitions(&json!({"app": document}));
    all.pop().map(|definition| definition.body)
}

impl MemberChange {
    fn of(difference: &Difference) -> Self {
        let Difference { path, before, after } = difference;
        let is_env = path.steps().first() == Some(&Step::Key("env".to_owned()));
        let shown = |value: &Option<Value>| match value {
            Some(Value::Object(members)) if is_env => {
                Some(members.keys().map(String::as_str).collect())
            }
            Some(_) if is_env => Some("(not shown)".into()),
            value => value.clone(),
        };
        Self { path: path.to_string(), before: shown(before), after: shown(after) }
    }

    fn show(&self) -> String {
        let path = &self.path;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) if before == after => {
                format!("  ~ {path} changes\n")
            }
            (Some(before), Some(after)) => format!("  ~ {path}: {before} → {after}\n"),
            (None, Some(after)) => format!("  + {path}: {after}\n"),
            (Some(before), None) => format!("  - {path}: {before}\n"),
            (None, None) => String::new(),
        }
    }
}

/// Apps in an order in which each comes after those of them that it depends on; in a circle, in
/// the order that they are given in.
pub(super) fn in_order(mut waiting: Vec<AppDifference>) -> Vec<AppDifference> {
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let is_free = |app: &AppDifference| {
            let needs = |id: &str| app.dependencies.iter().any(|name| within(id, name));
            !waiting.iter().any(|it| it.id != app.id && needs(&it.id))
        };
        let next = waiting.iter().position(is_free).unwrap_or(0);
        ordered.push(waiting.remove(next));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::File;

    fn of(file: &str, document: Option<&Value>) -> AppDifference {
        let mut apps = File::read(file).apps();
        AppDifference::of(&apps.remove(0), document)
    }

    /// As a real Marathon shows the file below.
    fn shown() -> Value {
        json!({"id": "/web", "backoffFactor": 1.15, "backoffSeconds": 1, "cmd": "exec serve",
            "cpus": 1, "disk": 0, "executor": "", "instances": 2, "labels": {},
            "maxLaunchDelaySeconds": 300, "mem": 128, "gpus": 0,
            "networks": [{"mode": "host"}], "portDefinitions": [{"port": 10007, "protocol": "tcp"}],
            "requirePorts": false, "upgradeStrategy": {"maximumOverCapacity": 1,
            "minimumHealthCapacity": 1}, "killSelection": "YOUNGEST_FIRST",
            "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0},
            "env": {"PASSWORD": "geheim"}, "role": "dev", "version": "2026-11-30T10:00:00.000Z",
            "tasks": [], "tasksRunning": 2})
    }

    const FILE: &str =
        "{id: web, cmd: exec serve, instances: 2, ports: [0], env: {PASSWORD: geheim}}";

    #[test]
    fn an_unchanged_file_shows_nothing() {
        let found = of(FILE, Some(&shown()));
        assert_eq!(
            (found.show().as_str(), found.is_any()),
            ("/web: no difference\n", false)
        );
    }

    #[test]
    fn what_restarts_and_why_is_said_without_a_secret() {
        let file =
            FILE.replace("geheim", "other").replace("exec serve", "exec serve --all");
        let found = of(&file, Some(&shown()));
        let expected = "/web: all 2 tasks will be replaced, because the definition changes\n  \
                        ~ /cmd: \"exec serve\" → \"exec serve --all\"\n  ~ /env/PASSWORD changes\n";
        assert_eq!(found.show(), expected);
        assert!(!serde_json::to_string(&found).unwrap().contains("geheim"));
        let file = FILE.replace(", env: {PASSWORD: geheim}", "");
        let found = of(&file, Some(&shown())).show();
        assert!(
            found.contains("- /env: [\"PASSWORD\"]") && !found.contains("geheim"),
            "{found}"
        );
    }

    #[test]
    fn another_number_of_instances_touches_no_task() {
        let found = of(&FILE.replace("instances: 2", "instances: 3"), Some(&shown()));
        assert!(!found.restarts);
        assert!(found.show().starts_with("/web: 2 → 3 instances; running tasks"));
    }

    #[test]
    fn what_is_sent_is_the_file_with_whole_ids() {
        let file = "{id: shop/web, cmd: exec serve, dependencies: [../db]}";
        let found = of(file, None);
        let sent =
            json!({"id": "/shop/web", "cmd": "exec serve", "dependencies": ["/shop/db"]});
        assert_eq!((found.is_new, &found.body), (true, &sent));
    }

    #[test]
    fn apps_of_a_group_come_after_what_the_group_depends_on() {
        let file = include_str!("../../../inventories/services/group.json");
        let apps = File::read(file).apps();
        let all = apps.iter().rev().map(|app| AppDifference::of(app, None)).collect();
        let ordered = in_order(all);
        let place = |id: &str| ordered.iter().position(|app| app.id == id).unwrap();
        let print = &ordered[place("/reports/print/one")];
        assert_eq!(print.body["dependencies"], json!(["/reports/collect"]));
        assert!(place("/reports/print/one") > place("/reports/collect/two"));
        assert!(ordered[place("/reports/files")].body.get("dependencies").is_none());
    }

    #[test]
    fn what_an_app_depends_on_comes_first() {
        let app = |id: &str, needs: &str| {
            of(&format!("{{id: {id}, cmd: exec serve, dependencies: [{needs}]}}"), None)
        };
        let ordered = in_order(vec![app("/a", "/b"), app("/b", "/c"), app("/c", "")]);
        let ids: Vec<&str> = ordered.iter().map(|app| app.id.as_str()).collect();
        assert_eq!(ids, ["/c", "/b", "/a"]);
    }
}
