//! What scaling or removing a group does to its apps, in words, before it does. Pure.

use marathon_rules::id::within;
use serde::Serialize;
use serde_json::Value;

use super::super::Changed;
use super::super::order::{Foreseen, Order};
use crate::api::marathon::Group;
use crate::event::count;
use crate::operate::columns::{Align, columns};

/// What a factor makes of a group's apps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scaled {
    /// The apps, those of its groups too.
    pub apps: Vec<ScaledApp>,
    /// The change at Marathon; `None` if there is nothing to change.
    pub change: Option<Changed>,
}

/// What a factor makes of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScaledApp {
    /// The app.
    pub id: String,
    /// How many instances it has.
    pub before: u32,
    /// How many instances it is to have.
    pub after: u32,
}

/// What a factor makes of a group's apps, as Marathon does it: parts of an instance count as a whole
/// one.
pub(super) fn scale(group: &Group, factor: f64) -> (Scaled, Foreseen) {
    let mut scaled = Scaled { apps: Vec::new(), change: None };
    let mut remarks = String::new();
    for it in group.all_apps() {
        let (id, before) = (it.app.id.clone(), it.app.instances);
        // More than that many is as good as without an end.
        let after = (f64::from(before) * factor).ceil() as u32;
        if before != after {
            let foreseen = Order::Scale(after).foresee(&it.json, &it.app);
            let known = foreseen.text.split_inclusive('\n').skip(1);
            remarks.extend(known.map(|line| format!("{id}: {line}")));
        }
        scaled.apps.push(ScaledApp { id, before, after });
    }
    let text = format!("{}{remarks}", scaled.table());
    (scaled, Foreseen { text, asks: true })
}

impl Scaled {
    /// Whether there is anything to do.
    pub(super) fn is_any(&self) -> bool {
        self.apps.iter().any(|app| app.before != app.after)
    }

    fn table(&self) -> String {
        let head =
            [("APP", Align::Left), ("INSTANCES", Align::Right), ("THEN", Align::Right)];
        let cells = |app: &ScaledApp| {
            [app.id.clone(), app.before.to_string(), app.after.to_string()]
        };
        columns(head, self.apps.iter().map(cells))
    }

    /// What was done, app by app.
    pub fn show(&self) -> String {
        match &self.change {
            _ if self.apps.is_empty() => "the group has no app\n".to_owned(),
            None => format!("{}nothing changes\n", self.table()),
            Some(change) => format!("{}{}", self.table(), change.show()),
        }
    }
}

/// What the removal of a group takes away, if Marathon has all this.
pub(super) fn foresee_removal(group: &Group, root: &Group) -> Foreseen {
    let id = &group.id;
    let tasks = |app: &crate::api::marathon::App| app.tasks_running + app.tasks_staged;
    let apps: Vec<_> = group.all_apps().map(|it| &it.app).collect();
    let n_tasks: u32 = apps.iter().map(|app| tasks(app)).sum();
    let n_groups = group.all().len() - 1;
    let n_pods: usize = group.all().iter().map(|it| it.pods.len()).sum();
    let mut parts = vec![count(apps.len(), "app"), count(n_tasks as usize, "task")];
    for (n, noun) in [(n_pods, "pod"), (n_groups, "group")] {
        if n > 0 {
            parts.push(count(n, noun));
        }
    }
    let mut text = format!("{id} will be removed, with {} in it.\n", parts.join(", "));
    if !apps.is_empty() {
        let head = [("APP", Align::Left), ("TASKS", Align::Right)];
        let cells = apps.iter().map(|app| [app.id.clone(), tasks(app).to_string()]);
        text.push_str(&columns(head, cells));
    }
    for pod in group.all().iter().flat_map(|it| &it.pods) {
        text.push_str(&format!("{} (a pod)\n", pod.id));
    }
    if apps.iter().any(|app| !app.deployments.is_empty()) {
        text.push_str("The deployment that changes it now stops where it is.\n");
    }
    for needs in dependents(group, root) {
        text.push_str(&format!("{needs} depends on it, and stays.\n"));
    }
    Foreseen { text, asks: true }
}

/// The apps and groups outside of a group that depend on it, or on something in it.
fn dependents(group: &Group, root: &Group) -> Vec<String> {
    let apps = root.all_apps().map(|it| {
        let names = it.json["dependencies"].as_array().into_iter().flatten();
        let names = names.filter_map(Value::as_str).map(str::to_owned).collect();
        (&it.app.id, names)
    });
    let groups = root.all().into_iter().map(|it| (&it.id, it.dependencies.clone()));
    let all: Vec<(&String, Vec<String>)> = apps.chain(groups).collect();
    let outside = all.into_iter().filter(|(id, _)| !within(id, &group.id));
    outside
        .filter(|(_, names)| names.iter().any(|name| within(name, &group.id)))
        .map(|(id, _)| id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group(value: Value) -> Group {
        serde_json::from_value(value).unwrap()
    }

    fn shop() -> Value {
        let app = |id: &str, n: u32| json!({"id": id, "instances": n, "tasksRunning": n});
        let mut checked = app("/shop/web", 3);
        checked["healthChecks"] = json!([{"protocol": "HTTP"}]);
        let back = json!({"id": "/shop/back", "apps": [app("/shop/back/db", 1)]});
        json!({"id": "/shop", "apps": [checked, app("/shop/off", 0)], "groups": [back]})
    }

    #[test]
    fn the_result_is_said_for_each_app_with_what_restarts() {
        let (scaled, foreseen) = scale(&group(shop()), 0.5);
        assert!(scaled.is_any() && foreseen.asks);
        let table = "\
APP            INSTANCES  THEN
/shop/web              3     2
/shop/off              0     0
/shop/back/db          1     1
";
        let restarts = "/shop/web: A health check of it names no port.";
        let said = foreseen.text.strip_prefix(table).expect("it begins with the table");
        assert!(said.starts_with(restarts), "{said}");
        let (scaled, _) = scale(&group(shop()), 1.0);
        assert!(!scaled.is_any());
        assert!(scaled.show().ends_with("nothing changes\n"));
        let (scaled, _) = scale(&group(shop()), 1e300);
        assert_eq!(scaled.apps[0].after, u32::MAX);
    }

    #[test]
    fn what_a_group_takes_with_it_is_said_and_who_needs_it() {
        let mut shop = shop();
        shop["pods"] = json!([{"id": "/shop/pod"}]);
        shop["apps"][1]["deployments"] = json!([{"id": "d"}]);
        let mail = json!({"id": "/mail", "dependencies": ["/shop/back/db"]});
        let news = json!({"id": "/news", "dependencies": ["/shop"]});
        let other = json!({"id": "/shopping", "dependencies": ["/shops"]});
        let root = json!({"id": "/", "apps": [mail, other], "groups": [shop, news]});
        let foreseen = foresee_removal(&group(shop), &group(root));
        assert_eq!(
            foreseen.text,
            "\
/shop will be removed, with 3 apps, 4 tasks, 1 pod, 1 group in it.
APP            TASKS
/shop/web          3
/shop/off          0
/shop/back/db      1
/shop/pod (a pod)
The deployment that changes it now stops where it is.
/mail depends on it, and stays.
/news depends on it, and stays.
"
        );
        let empty = group(json!({"id": "/new"}));
        let text = foresee_removal(&empty, &Group::default()).text;
        assert_eq!(text, "/new will be removed, with 0 apps, 0 tasks in it.\n");
    }
}
