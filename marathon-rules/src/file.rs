//! What a file says: one app, several, or a group; also as saved from Marathon's own answers. Pure.

use crate::advice::advice;
use crate::change::{Change, Judged, Rules};
use crate::finding::{Finding, Kind};
use crate::path::Path;
use crate::root::Root;
use crate::shape::nearest;
use crate::{Spec, id};
use serde_json::Value;
use std::collections::BTreeMap;

/// An app or a group of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Where it is in the file.
    pub place: Path,
    /// What is to be sent, without what only Marathon writes.
    pub body: Value,
    /// Whether it is a group.
    pub is_group: bool,
}

/// An app of a file, alone or in a group.
#[derive(Clone, Debug, PartialEq)]
pub struct FileApp {
    /// Where it is in the file.
    pub place: Path,
    /// Its absolute id.
    pub id: String,
    /// What the file says of it.
    pub body: Value,
    /// The group that it is written in; `None` if it is alone.
    pub group: Option<String>,
    /// What the groups around it depend on, and it with them.
    pub inherited: Vec<String>,
}

/// A group of a file, with what the file says of the group itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileGroup {
    /// Its absolute id.
    pub id: String,
    /// The absolute ids of what it depends on; `None` if the file does not say it.
    pub dependencies: Option<Vec<String>>,
    /// Whether its apps have to run in its role; `None` if the file does not say it.
    pub enforce_role: Option<bool>,
}

/// What only Marathon writes into an app or a group.
pub const OF_MARATHON: [&str; 12] = [
    "version",
    "versionInfo",
    "tasks",
    "tasksStaged",
    "tasksRunning",
    "tasksHealthy",
    "tasksUnhealthy",
    "tasksStats",
    "taskStats",
    "deployments",
    "lastTaskFailure",
    "readinessCheckResults",
];

/// The apps and groups of a file. `{"app": …}`, `{"apps": […]}` without an id, and a list are what
/// Marathon answers, and are taken as well.
pub fn definitions(value: &Value) -> (Vec<Definition>, Vec<Finding>) {
    let is_group = |value: &Value| {
        ["apps", "groups", "enforceRole"].iter().any(|key| value.get(key).is_some())
    };
    let bodies: Vec<(Path, &Value)> = match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| (Path::ROOT.index(index), item))
            .collect(),
        Value::Object(members) => match (members.get("app"), members.get("apps")) {
            (Some(app), _) if app.is_object() => vec![(Path::of(&["app"]), app)],
            (_, Some(Value::Array(apps))) if !members.contains_key("id") => apps
                .iter()
                .enumerate()
                .map(|(index, item)| (Path::of(&["apps"]).index(index), item))
                .collect(),
            _ => vec![(Path::ROOT, value)],
        },
        _ => vec![(Path::ROOT, value)],
    };
    let (mut all, mut found) = (Vec::new(), Vec::new());
    for (place, body) in bodies {
        let (mut body, is_group) = (body.clone(), is_group(body));
        let mut left_out = Vec::new();
        tidy(&mut body, &mut left_out);
        if !left_out.is_empty() {
            let text = format!("only Marathon writes {}: left out", left_out.join(", "));
            found.push(Finding::new(place.clone(), Kind::Advice, text));
        }
        all.push(Definition { place, body, is_group });
    }
    (all, found)
}

/// Takes away what only Marathon writes, and of two forms that say the same, the old one.
fn tidy(body: &mut Value, left_out: &mut Vec<&'static str>) {
    let Some(members) = body.as_object_mut() else { return };
    for key in OF_MARATHON {
        if members.shift_remove(key).is_some() && !left_out.contains(&key) {
            left_out.push(key);
        }
    }
    for key in ["storeUrls", "pods"] {
        if members.get(key).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            members.shift_remove(key);
        }
    }
    let same = |old: &str, new: &str, key: &str| {
        let (old, new) = (members.get(old)?.as_array()?, members.get(new)?.as_array()?);
        Some(old.iter().eq(new.iter().map(|item| &item[key])))
    };
    let ports = same("ports", "portDefinitions", "port") == Some(true);
    let uris = same("uris", "fetch", "uri") == Some(true);
    if ports {
        members.shift_remove("ports");
    }
    if uris {
        members.shift_remove("uris");
    }
    for key in ["apps", "groups"] {
        let inner = members.get_mut(key).and_then(Value::as_array_mut);
        inner.into_iter().flatten().for_each(|body| tidy(body, left_out));
    }
}

impl Definition {
    /// Its absolute id; `None` if it has none.
    pub fn id(&self) -> Option<String> {
        self.body["id"].as_str().map(|id| id::absolute(id, "/"))
    }

    /// Its apps, those of groups in it too.
    pub fn apps(&self) -> Vec<FileApp> {
        let mut all = Vec::new();
        match (self.id(), self.is_group) {
            (Some(id), true) => {
                apps_in(&self.body, (&id, &[]), &self.place, &mut all);
            }
            (Some(id), false) => {
                let (place, body) = (self.place.clone(), self.body.clone());
                let inherited = Vec::new();
                all.push(FileApp { place, id, body, group: None, inherited });
            }
            (None, _) => {}
        }
        all
    }

    /// Its groups, each before those in it.
    pub fn groups(&self) -> Vec<FileGroup> {
        let mut all = Vec::new();
        if let Some(id) = self.id().filter(|_| self.is_group) {
            groups_in(&self.body, id, &mut all);
        }
        all
    }
}

fn groups_in(body: &Value, id: String, all: &mut Vec<FileGroup>) {
    let dependencies = body["dependencies"].as_array().map(|names| {
        let names = names.iter().filter_map(Value::as_str);
        names.map(|name| id::absolute(name, &id)).collect()
    });
    let enforce_role = body["enforceRole"].as_bool();
    let inner = body["groups"].as_array().into_iter().flatten();
    let inner: Vec<(String, &Value)> = inner
        .filter_map(|body| Some((id::absolute(body["id"].as_str()?, &id), body)))
        .collect();
    all.push(FileGroup { id, dependencies, enforce_role });
    for (id, body) in inner {
        groups_in(body, id, all);
    }
}

fn apps_in(
    body: &Value,
    (group, above): (&str, &[String]),
    place: &Path,
    all: &mut Vec<FileApp>,
) {
    let items = |key: &str| body[key].as_array().into_iter().flatten().enumerate();
    let own = items("dependencies").filter_map(|(_, name)| name.as_str());
    let own = own.map(|name| id::absolute(name, group));
    let wanted: Vec<String> = above.iter().cloned().chain(own).collect();
    for (index, app) in items("apps") {
        if let Some(id) = app["id"].as_str() {
            let id = id::absolute(id, group);
            let others = wanted.iter().filter(|name| !id::within(&id, name));
            all.push(FileApp {
                place: place.key("apps").index(index),
                inherited: others.cloned().collect(),
                id,
                body: app.clone(),
                group: Some(group.to_owned()),
            });
        }
    }
    for (index, inner) in items("groups") {
        if let Some(id) = inner["id"].as_str() {
            let place = place.key("groups").index(index);
            apps_in(inner, (&id::absolute(id, group), &wanted), &place, all);
        }
    }
}

/// All that is to be said of the apps and groups of a file, as Marathon would take them if it had
/// nothing else.
pub fn judge(definitions: &[Definition], rules: &Rules) -> Vec<Finding> {
    let (mut root, mut found) = (Root::default(), Vec::new());
    for definition in definitions {
        let id = definition.id().unwrap_or_else(|| "/".to_owned());
        let body = &definition.body;
        let judged = if definition.is_group {
            if definition.id().is_none() {
                let path = Path::of(&["id"]);
                found.push(Finding::invalid(path, "a group of a file needs an id"));
            }
            root.put_group(&id, body, rules)
        } else {
            let Judged { spec, found } =
                root.judge(&id, body, (Change::Create, "/"), rules);
            if !found.iter().any(|finding| finding.kind.refuses()) {
                root.put_app(&id, crate::app::Record::new(spec, ""));
            }
            found
        };
        found.extend(judged.into_iter().map(|finding| finding.within(&definition.place)));
    }
    let apps: Vec<FileApp> = definitions.iter().flat_map(Definition::apps).collect();
    found.extend(apps.iter().flat_map(|app| of_app(app, &root)));
    found.extend(twice(&apps, &root));
    found.extend(apps.iter().flat_map(|app| unknown_dependencies(app, &root)));
    found
}

/// What is to be said of an app that Marathon takes.
fn of_app(app: &FileApp, root: &Root) -> Vec<Finding> {
    let Some(record) = root.apps.get(&app.id) else { return Vec::new() };
    let found = advice(&record.app(), &app.body, app.group.is_none());
    found.into_iter().map(|finding| finding.within(&app.place)).collect()
}

/// Service ports that two apps of the file want.
fn twice(apps: &[FileApp], root: &Root) -> Vec<Finding> {
    let (mut taken, mut found) = (BTreeMap::<u32, &str>::new(), Vec::new());
    for app in apps {
        let wanted = wanted_ports(&app.body);
        for port in wanted.into_iter().filter(|_| root.apps.contains_key(&app.id)) {
            match taken.insert(port, &app.id) {
                Some(other) if other != app.id => {
                    let text = format!("{other} wants the service port {port} as well");
                    let help =
                        "of two apps, the balancer serves one; Marathon takes both";
                    let place = app.place.key("id");
                    found.push(Finding::new(place, Kind::Doubtful, text).help(help));
                }
                _ => {}
            }
        }
    }
    found
}

/// The service ports that a body chooses itself.
pub fn wanted_ports(body: &Value) -> Vec<u32> {
    let port = |value: &Value| value.as_u64().and_then(|port| u32::try_from(port).ok());
    let list = |value: &Value, key: &str| -> Vec<u32> {
        let items = value.as_array().into_iter().flatten();
        items
            .filter_map(|item| port(if key.is_empty() { item } else { &item[key] }))
            .collect()
    };
    let container = &body["container"];
    let all = [
        list(&body["ports"], ""),
        list(&body["portDefinitions"], "port"),
        list(&container["portMappings"], "servicePort"),
        list(&container["docker"]["portMappings"], "servicePort"),
    ];
    all.concat().into_iter().filter(|port| *port != 0).collect()
}

/// Dependencies on what is in none of the file's own groups though it would have to be.
fn unknown_dependencies(app: &FileApp, root: &Root) -> Vec<Finding> {
    let Some(record) = root.apps.get(&app.id) else { return Vec::new() };
    let known = |name: &str| root.apps.contains_key(name) || root.has_group(name);
    let group = app
        .group
        .as_deref()
        .map(|group| id::ancestors(group).get(1).copied().unwrap_or(group));
    let is_own = |name: &&String| group.is_some_and(|group| id::within(name, group));
    let dependencies = record.app().dependencies;
    let unknown = dependencies.iter().filter(|name| !known(name)).filter(is_own);
    unknown
        .map(|name| {
            let text = format!("`{name}` is not in this file: Marathon does not say so");
            let near = nearest(name, root.apps.keys().map(String::as_str));
            let finding =
                Finding::new(app.place.key("dependencies"), Kind::Doubtful, text);
            let help = near.map(|near| format!("did you mean `{near}`?"));
            Finding { help, ..finding }
        })
        .collect()
}

/// An app as Marathon would keep it, where it has what `root` says.
pub fn wanted(app: &FileApp, root: &Root, rules: &Rules) -> Spec {
    let base = app.group.as_deref().unwrap_or(&app.id);
    root.judge(&app.id, &app.body, (Change::Replace, base), rules).spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_only_marathon_writes_is_left_out_and_named_once() {
        let saved = json!({"app": {"id": "/web", "cmd": "serve", "version": "v", "tasks": [],
            "uris": ["a"], "fetch": [{"uri": "a"}], "ports": [80],
            "portDefinitions": [{"port": 80}], "storeUrls": [], "tasksRunning": 1}});
        let (all, found) = definitions(&saved);
        let rest = json!({"id": "/web", "cmd": "serve", "fetch": [{"uri": "a"}],
            "portDefinitions": [{"port": 80}]});
        assert_eq!(all[0].body, rest);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].message,
            "only Marathon writes version, tasks, tasksRunning: left out"
        );
        let differ =
            json!({"id": "/web", "cmd": "serve", "uris": ["b"], "fetch": [{"uri": "a"}]});
        let (all, _) = definitions(&differ);
        assert!(judge(&all, &Rules::default()).iter().any(|it| it.kind.refuses()));
    }

    #[test]
    fn apps_of_groups_have_their_whole_ids() {
        let (all, _) = definitions(
            &json!({"id": "/a", "dependencies": ["/x"], "groups": [
            {"id": "b", "apps": [{"id": "c", "cmd": "serve", "dependencies": ["../d"]}]}]}),
        );
        let apps = all[0].apps();
        assert_eq!(apps[0].id, "/a/b/c");
        assert_eq!(apps[0].place.to_string(), "/groups(0)/apps(0)");
        assert_eq!(apps[0].inherited, ["/x"]);
        let spec = wanted(&apps[0], &Root::default(), &Rules::default());
        assert_eq!(spec["dependencies"], json!(["/a/d"]));
        let found = judge(&all, &Rules::default());
        assert!(
            found.iter().any(|it| it.message.starts_with("`/a/d` is not in this file"))
        );
    }

    #[test]
    fn groups_say_what_they_are_themselves() {
        let (all, _) = definitions(&json!({"id": "a", "enforceRole": true, "apps": [],
            "groups": [{"id": "b", "dependencies": ["c", "/x"]}]}));
        let [outer, inner] = all[0].groups().try_into().unwrap();
        let id = "/a".to_owned();
        let enforce_role = Some(true);
        assert_eq!(outer, FileGroup { id, dependencies: None, enforce_role });
        let id = "/a/b".to_owned();
        let dependencies = Some(vec!["/a/b/c".to_owned(), "/x".to_owned()]);
        assert_eq!(inner, FileGroup { id, dependencies, enforce_role: None });
    }
}
