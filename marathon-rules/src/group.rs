//! What a client sends for a group, and what becomes of all groups and apps. Pure.

use crate::change::{Change, Rules};
use crate::finding::{Finding, Kind};
use crate::path::Path;
use crate::root::Root;
use crate::{Spec, id, shape};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

impl Root {
    /// Puts a group as a body says: lists of apps and groups that are given stand for all there
    /// is, and those left out stay. What is to be said of it is returned; where something of it is
    /// refused, the root is of no use any more.
    pub fn put_group(
        &mut self,
        group: &str,
        body: &Value,
        rules: &Rules,
    ) -> Vec<Finding> {
        let mut putting = Putting { before: self.clone(), rules, found: Vec::new() };
        putting.group(self, group, body, &Path::ROOT);
        if let Some(circle) = self.circle() {
            let text = format!("the dependencies go in a circle: {}", circle.join(" → "));
            putting.found.push(Finding::invalid(Path::ROOT, text));
        }
        putting.found
    }

    /// Multiplies the instances of all apps in a group, rounded up.
    pub fn scale_group(&mut self, group: &str, factor: f64) {
        let apps: Vec<_> =
            self.apps_within(group).map(|(app, r)| (app.clone(), r.clone())).collect();
        let version = self.version.clone();
        for (app, record) in apps {
            let wanted = (f64::from(record.instances()) * factor.max(0.0)).ceil();
            self.put_app(&app, record.scaled(wanted as u32, &version));
        }
    }

    /// Apps that depend on one another in a circle, the first named again at the end.
    pub fn circle(&self) -> Option<Vec<String>> {
        let mut waiting = self.dependencies();
        let free = |waiting: &BTreeMap<String, BTreeSet<String>>| {
            waiting.iter().find(|(_, needs)| needs.is_empty()).map(|(app, _)| app.clone())
        };
        while let Some(app) = free(&waiting) {
            waiting.remove(&app);
            for needs in waiting.values_mut() {
                needs.remove(&app);
            }
        }
        let mut way = vec![waiting.keys().next()?.clone()];
        loop {
            // Each that is left needs another that is left.
            let next = waiting.get(way.last()?)?.first()?.clone();
            let known = way.iter().position(|app| *app == next);
            way.push(next);
            if let Some(start) = known {
                return Some(way.split_off(start));
            }
        }
    }
}

struct Putting<'a> {
    before: Root,
    rules: &'a Rules,
    found: Vec<Finding>,
}

impl Putting<'_> {
    fn group(&mut self, root: &mut Root, group: &str, body: &Value, path: &Path) {
        let (update, found) = shape::read("group", body);
        self.found.extend(found.into_iter().map(|finding| finding.within(path)));
        self.itself(root, group, &update, path);
        if root.apps.contains_key(group) {
            // A group that holds no apps gives way to an app.
            root.groups.remove(group);
            if holds_apps(body) {
                let text = format!("there is an app `{group}`");
                self.found.push(Finding::invalid(path.key("id"), text));
            }
            return;
        }
        if let Some(apps) = update.get("apps").and_then(Value::as_array) {
            let path = path.key("apps");
            let named = self.names(apps, group, &path);
            let gone: Vec<String> =
                root.apps_in(group).map(|(app, _)| app.clone()).collect();
            for app in gone.iter().filter(|app| !named.iter().any(|(it, _)| it == *app)) {
                root.remove_app(app);
            }
            for (app, index) in named {
                self.app(root, (&app, group), &apps[index], &path.index(index));
            }
        }
        if let Some(groups) = update.get("groups").and_then(Value::as_array) {
            let path = path.key("groups");
            let named = self.names(groups, group, &path);
            for gone in root.groups_in(group) {
                if !named.iter().any(|(it, _)| *it == gone) {
                    root.remove_group(&gone);
                }
            }
            for (name, index) in named {
                self.group(root, &name, &groups[index], &path.index(index));
            }
        }
    }

    fn app(
        &mut self,
        root: &mut Root,
        (app, base): (&str, &str),
        body: &Value,
        path: &Path,
    ) {
        let judged = root.judge(app, body, (Change::Replace, base), self.rules);
        let refused = !judged.refusals().is_empty();
        self.found.extend(judged.found.into_iter().map(|finding| finding.within(path)));
        let record = match root.apps.get(app) {
            _ if refused => return,
            Some(before) => before.next(judged.spec, &root.version),
            None => crate::app::Record::new(judged.spec, &root.version),
        };
        root.put_app(app, record);
    }

    fn itself(&mut self, root: &mut Root, group: &str, update: &Spec, path: &Path) {
        let names_itself = update.contains_key("id") && update.contains_key("apps");
        let known = self.before.has_group(group) && names_itself;
        let enforces = update.get("enforceRole") == Some(&true.into());
        if (known || enforces) && !id::is_top_level(group) {
            let text = match enforces {
                true => "only groups of the top level may have it",
                false => {
                    "Marathon refuses a group below the top level that is there already, in \
                     whatever is sent for a group above it"
                }
            };
            let help = "put it by its own path, without `id`";
            let finding = Finding::invalid(path.key("enforceRole"), text);
            self.found.push(if enforces { finding } else { finding.help(help) });
        }
        if group == "/" {
            return;
        }
        let version = root.version.clone();
        let kept = root.groups.entry(group.to_owned()).or_default();
        kept.version = version;
        if let Some(dependencies) = update.get("dependencies").and_then(Value::as_array) {
            let texts = dependencies.iter().filter_map(Value::as_str).map(str::to_owned);
            kept.dependencies = texts.collect();
        }
        kept.enforce_role = enforces;
    }

    /// The absolute id of each item, with its place. An item without one, or of another group, is
    /// found and left out.
    fn names(
        &mut self,
        items: &[Value],
        group: &str,
        path: &Path,
    ) -> Vec<(String, usize)> {
        let mut named = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = path.index(index).key("id");
            let Some(name) = item["id"].as_str() else {
                let text = "`id` is missing: Marathon fails over this";
                self.found.push(Finding::new(path, Kind::Fails, text));
                continue;
            };
            let name = id::absolute(name, group);
            if id::parent(&name) == group {
                named.push((name, index));
                continue;
            }
            let text = format!("`{name}` is not directly in the group `{group}`");
            let help = format!("write `{}`", name.rsplit('/').next().unwrap_or_default());
            self.found.push(Finding::invalid(path, text).help(help));
        }
        named
    }
}

fn holds_apps(group: &Value) -> bool {
    let apps = group["apps"].as_array().is_some_and(|apps| !apps.is_empty());
    apps || group["groups"].as_array().into_iter().flatten().any(holds_apps)
}

#[test]
fn a_circle_is_named_alone() {
    let mut root = Root::default();
    let app = |id: &str, needs: &[&str]| serde_json::json!({"id": id, "cmd": "true", "dependencies": needs});
    let body = serde_json::json!({"groups": [
        {"id": "a", "dependencies": ["/c/b"], "apps": [app("one", &[]), app("x", &["one"])]},
        {"id": "b", "apps": [app("two", &["/c/a/one"])]},
    ]});
    let found = root.put_group("/c", &body, &Rules::default());
    let circle = "the dependencies go in a circle: /c/a/one → /c/b/two → /c/a/one";
    assert_eq!(found[0].message, circle);
    assert_eq!(found.len(), 1);
}
