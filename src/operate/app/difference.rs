//! What a file changes of an app, before anything is sent. Pure.

use std::collections::{BTreeMap, BTreeSet};

use marathon_rules::app::{App, Record};
use marathon_rules::compare::{Difference, differences, restart};
use marathon_rules::file::{
    Definition, FileApp, FileGroup, definitions, wanted, wanted_ports,
};
use marathon_rules::id::{ancestors, is_top_level, within};
use marathon_rules::root::Root;
use marathon_rules::{Rules, Spec, Step, normal, service_ports};
use serde::Serialize;
use serde_json::{Value, json};

use super::deploy::DeployError;
use super::fit::{self, doubts};
use crate::api::marathon::{Document, Group};
use crate::api::mesos::AgentInfo;
use crate::event::count;

/// What files change, in the order in which it is done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Differences {
    /// The groups of the files: what changes of themselves.
    pub groups: Vec<GroupDifference>,
    /// The apps of the files, and those that are removed.
    pub apps: Vec<AppDifference>,
    /// Apps that the files leave out of their groups, and that stay.
    pub left_out: Vec<String>,
}

/// What a file changes of a group itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupDifference {
    /// The group.
    pub id: String,
    /// Whether there is no such group yet.
    pub is_new: bool,
    /// Each change of it.
    pub changes: Vec<MemberChange>,
    /// What is sent.
    #[serde(skip)]
    pub(super) body: Value,
}

/// What a file changes of an app.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppDifference {
    /// The app.
    pub id: String,
    /// Whether there is no such app yet.
    pub is_new: bool,
    /// Whether it is removed: its group's file leaves it out.
    pub is_removed: bool,
    /// Whether all its tasks will be replaced.
    pub restarts: bool,
    /// How many instances it has, and how many it is to have.
    pub instances: (u64, u64),
    /// Each change of its definition.
    pub changes: Vec<MemberChange>,
    /// What cannot work on this cluster.
    pub doubts: Vec<String>,
    /// The app as it will be.
    #[serde(skip)]
    after: Spec,
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
    /// `enforced` is the role of its group, if that gives it to all of its apps.
    pub fn of(app: &FileApp, document: Option<&Value>, enforced: Option<&str>) -> Self {
        let before = document.and_then(definition);
        let mut app = app.clone();
        let mut rules = Rules::default();
        // A role that the file does not name stays.
        let kept = before.as_ref().and_then(|it| it["role"].as_str());
        if let Some(role) = enforced.or(kept)
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
        if body.get("dependencies").is_some() {
            body["dependencies"] = dependencies.clone();
        }
        let own: Vec<String> = serde_json::from_value(dependencies).unwrap_or_default();
        Self {
            is_new: before.is_none(),
            is_removed: false,
            restarts: before.is_some() && restart(&found),
            instances,
            changes: found.iter().map(MemberChange::of).collect(),
            doubts: Vec::new(),
            after,
            body,
            before,
            dependencies: own.into_iter().chain(app.inherited).collect(),
            id: app.id,
        }
    }

    /// The removal of an app.
    fn removal(Document { json, app }: &Document) -> Self {
        let before = definition(json);
        let dependencies = json["dependencies"].clone();
        Self {
            id: app.id.clone(),
            is_new: false,
            is_removed: true,
            restarts: false,
            instances: (app.instances.into(), 0),
            changes: Vec::new(),
            doubts: Vec::new(),
            after: Spec::new(),
            body: Value::Null,
            before,
            dependencies: serde_json::from_value(dependencies).unwrap_or_default(),
        }
    }

    /// Whether there is anything to do.
    pub fn is_any(&self) -> bool {
        self.is_removed || !self.changes.is_empty()
    }

    /// It in lines for people.
    pub fn show(&self) -> String {
        let (has, wants) = self.instances;
        let running = count(usize::try_from(has).unwrap_or(usize::MAX), "task");
        let id = &self.id;
        let head = match self {
            Self { is_removed: true, .. } => {
                return format!(
                    "{id}: its group's file leaves it out; it and its {running} will be removed\n"
                );
            }
            _ if !self.is_any() => return format!("{id}: no difference\n"),
            Self { is_new: true, .. } => {
                let wants =
                    count(usize::try_from(wants).unwrap_or(usize::MAX), "instance");
                return format!("{id}: a new app with {wants}\n{}", self.doubted());
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
        format!("{head}\n{lines}{}", self.doubted())
    }

    fn doubted(&self) -> String {
        self.doubts.iter().map(|doubt| format!("  warning: {doubt}\n")).collect()
    }

    /// What cannot work of an app that is sent.
    fn doubts(&self, agents: Option<&[AgentInfo]>, taken: &[(u32, &str)]) -> Vec<String> {
        let Ok(app) = App::read(&self.after) else { return Vec::new() };
        let ports = wanted_ports(&self.body);
        // Of an app that keeps data Marathon ends an old task before a new one.
        let restarts = self.restarts && !normal::keeps_data(&self.after);
        let wanted = fit::Wanted { app: &app, ports: &ports, restarts };
        doubts(wanted, agents, taken)
    }
}

impl Differences {
    /// What files change, if Marathon has these groups and apps, and Mesos these agents, if they
    /// are known. What the files leave out of their groups stays, or is removed with `prune`.
    ///
    /// # Errors
    /// When an app depends on what is nowhere.
    pub(super) fn of(
        files: &[Definition],
        there: &Group,
        agents: Option<&[AgentInfo]>,
        prune: bool,
    ) -> Result<Self, DeployError> {
        let groups: Vec<FileGroup> = files.iter().flat_map(Definition::groups).collect();
        let apps: Vec<FileApp> = files.iter().flat_map(Definition::apps).collect();
        let known: BTreeMap<&str, &Document> =
            there.all_apps().map(|it| (it.app.id.as_str(), it)).collect();
        let difference = |app: &FileApp| {
            let document = known.get(app.id.as_str()).map(|it| &it.json);
            AppDifference::of(app, document, enforced(&app.id, &groups, there))
        };
        let mut differing: Vec<AppDifference> = apps.iter().map(difference).collect();
        let own: BTreeSet<&str> = apps.iter().map(|app| app.id.as_str()).collect();
        let is_there = |name: &str| {
            own.iter().chain(known.keys()).any(|id| within(id, name))
                || groups.iter().any(|group| group.id == name)
        };
        for app in &differing {
            if let Some(missing) = app.dependencies.iter().find(|it| !is_there(it)) {
                let (app, dependency) = (app.id.clone(), missing.clone());
                return Err(DeployError::Dependency { app, dependency });
            }
        }
        let taken: Vec<(u32, &str)> = known
            .iter()
            .filter(|(id, _)| !own.contains(*id))
            .flat_map(|(id, it)| {
                chosen_ports(&it.json).into_iter().map(|port| (port, *id))
            })
            .collect();
        for app in differing.iter_mut().filter(|app| app.is_any()) {
            app.doubts = app.doubts(agents, &taken);
        }
        let gone: Vec<&Document> = left_out(files, there)
            .into_iter()
            .filter(|it| !own.contains(it.app.id.as_str()))
            .collect();
        let mut apps = in_order(differing);
        let mut stay = Vec::new();
        if prune {
            // Each before those that it depends on.
            let gone = gone.into_iter().map(AppDifference::removal).collect();
            apps.extend(in_order(gone).into_iter().rev());
        } else {
            stay.extend(gone.into_iter().map(|it| it.app.id.clone()));
        }
        let of_group = |group: &FileGroup| {
            let now = there.all().into_iter().find(|it| it.id == group.id);
            GroupDifference::of(group, now)
        };
        let groups = groups.iter().map(of_group).collect();
        Ok(Self { groups, apps, left_out: stay })
    }

    /// Whether there is anything to do.
    pub fn is_any(&self) -> bool {
        self.groups.iter().any(GroupDifference::is_any)
            || self.apps.iter().any(AppDifference::is_any)
    }

    /// It in lines for people.
    pub fn show(&self) -> String {
        let groups = self.groups.iter().map(GroupDifference::show);
        let apps = self.apps.iter().map(AppDifference::show);
        let stay = self.left_out.iter().map(|id| {
            format!(
                "{id}: its group's file leaves it out; it stays (`group deploy --prune` removes \
                 it)\n"
            )
        });
        groups.chain(apps).chain(stay).collect()
    }
}

/// The service ports of an app.
fn chosen_ports(document: &Value) -> Vec<u32> {
    match definition(document) {
        Some(Value::Object(spec)) => service_ports::of(&spec),
        _ => Vec::new(),
    }
}

/// The role that an app's group of the top level gives to all of its apps, if it does.
fn enforced<'a>(app: &'a str, groups: &[FileGroup], there: &Group) -> Option<&'a str> {
    let top = ancestors(app).get(1).copied()?;
    let said = groups.iter().find(|it| it.id == top).and_then(|it| it.enforce_role);
    let is_now = || there.groups.iter().any(|it| it.id == top && it.enforce_role);
    said.unwrap_or_else(is_now).then(|| top.trim_start_matches('/'))
}

/// The apps that Marathon would delete if it were given the groups of these files as they are.
fn left_out<'a>(files: &[Definition], there: &'a Group) -> Vec<&'a Document> {
    let mut root = Root::default();
    for Document { json, app } in there.all_apps() {
        if let Some(Value::Object(spec)) = definition(json) {
            root.put_app(&app.id, Record::new(spec, ""));
        }
    }
    for file in files.iter().filter(|file| file.is_group) {
        if let Some(id) = file.id() {
            // What is to be said of it was said before.
            let _ = root.put_group(&id, &file.body, &Rules::default());
        }
    }
    there.all_apps().filter(|it| !root.apps.contains_key(&it.app.id)).collect()
}

impl GroupDifference {
    /// What a file changes of a group itself, if Marathon shows this of it. What the file does not
    /// say stays as it is.
    fn of(file: &FileGroup, now: Option<&Group>) -> Self {
        let has = now.cloned().unwrap_or_default();
        let enforce_role = file.enforce_role.unwrap_or(has.enforce_role);
        let dependencies = file.dependencies.as_ref().unwrap_or(&has.dependencies);
        let mut body = json!({"dependencies": dependencies});
        // Not given, it is turned off; and below the top level it is refused.
        if enforce_role && is_top_level(&file.id) {
            body["enforceRole"] = true.into();
        }
        let sorted = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
        let list = |names: &[String]| (!names.is_empty()).then(|| json!(names));
        let flag = |is_on: bool| is_on.then_some(Value::Bool(true));
        let mut changes = Vec::new();
        let mut change = |path: &str, before, after| {
            changes.push(MemberChange { path: path.to_owned(), before, after });
        };
        if sorted(dependencies) != sorted(&has.dependencies) {
            change("/dependencies", list(&has.dependencies), list(dependencies));
        }
        if enforce_role != has.enforce_role {
            change("/enforceRole", flag(has.enforce_role), flag(enforce_role));
        }
        Self { id: file.id.clone(), is_new: now.is_none(), changes, body }
    }

    /// Whether the group itself has to be sent: its apps make a group that has nothing to say.
    pub fn is_any(&self) -> bool {
        !self.changes.is_empty()
    }

    /// It in lines for people.
    fn show(&self) -> String {
        let head = match (self.is_new, self.is_any()) {
            (false, false) => return String::new(),
            (true, _) => "a new group",
            (false, true) => "the group itself changes; that touches no task",
        };
        let lines: String = self.changes.iter().map(MemberChange::show).collect();
        format!("{}: {head}\n{lines}", self.id)
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
        AppDifference::of(&apps.remove(0), document, None)
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
        let all = apps.iter().rev().map(|app| AppDifference::of(app, None, None));
        let ordered = in_order(all.collect());
        let place = |id: &str| ordered.iter().position(|app| app.id == id).unwrap();
        let print = &ordered[place("/reports/print/one")];
        assert!(print.body.get("dependencies").is_none(), "the group has it");
        assert!(place("/reports/print/one") > place("/reports/collect/two"));
    }

    fn group(value: Value) -> Group {
        serde_json::from_value(value).unwrap()
    }

    fn differences_of(file: &str, there: Value, prune: bool) -> Differences {
        let there = group(json!({"id": "/", "groups": there}));
        Differences::of(&File::read(file).definitions, &there, None, prune).unwrap()
    }

    /// The groups are put by their own paths, with nothing of what is in them, and without `id`.
    #[test]
    fn a_group_is_sent_alone_and_keeps_what_the_file_does_not_say() {
        let file = "{id: shop, apps: [], groups: [{id: front, dependencies: [/shop/back], \
                    apps: []}, {id: back, apps: []}]}";
        let there = json!([{"id": "/shop", "enforceRole": true, "dependencies": ["/db"],
            "groups": [{"id": "/shop/back"}, {"id": "/shop/front"}]}]);
        let found = differences_of(file, there, false);
        let bodies: Vec<(&str, bool, &Value)> = found
            .groups
            .iter()
            .map(|it| (it.id.as_str(), it.is_any(), &it.body))
            .collect();
        let kept = json!({"enforceRole": true, "dependencies": ["/db"]});
        let front = json!({"dependencies": ["/shop/back"]});
        let back = json!({"dependencies": []});
        assert_eq!(
            bodies,
            [
                ("/shop", false, &kept),
                ("/shop/front", true, &front),
                ("/shop/back", false, &back)
            ]
        );
        assert_eq!(
            found.show(),
            "/shop/front: the group itself changes; that touches no task\n  \
             + /dependencies: [\"/shop/back\"]\n"
        );
        let file = "{id: shop, enforceRole: false, dependencies: []}";
        let there =
            json!([{"id": "/shop", "enforceRole": true, "dependencies": ["/db"]}]);
        let found = differences_of(file, there, false);
        assert_eq!(found.groups[0].body, json!({"dependencies": []}));
        assert_eq!(
            found.show(),
            "/shop: the group itself changes; that touches no task\n  \
             - /dependencies: [\"/db\"]\n  - /enforceRole: true\n"
        );
    }

    #[test]
    fn apps_of_a_group_that_enforces_its_role_have_it() {
        let there = json!([{"id": "/shop", "apps": [shown_as("/shop/web")]}]);
        let file = format!("{{id: shop, enforceRole: true, apps: [{FILE}]}}");
        let found = differences_of(&file, there, false);
        let web = &found.apps[0];
        assert_eq!(web.body["role"], "shop");
        assert!(web.restarts && web.changes[0].path == "/role", "{web:?}");
        // Without it the role that the app has stays.
        let there = json!([{"id": "/shop", "apps": [shown_as("/shop/web")]}]);
        let found = differences_of(&file.replace("true", "false"), there, false);
        assert!(!found.apps[0].is_any(), "{}", found.show());
    }

    fn shown_as(id: &str) -> Value {
        let mut app = shown();
        app["id"] = id.into();
        app
    }

    #[test]
    fn what_a_file_leaves_out_stays_or_is_removed_those_that_need_others_first() {
        let mut needs = shown_as("/shop/old");
        needs["dependencies"] = json!(["/shop/older"]);
        let inner = json!({"id": "/shop/in", "apps": [shown_as("/shop/in/db")]});
        let there = json!([{"id": "/shop", "groups": [inner],
            "apps": [shown_as("/shop/web"), shown_as("/shop/older"), needs]}]);
        let file = format!("{{id: shop, apps: [{FILE}]}}");
        let found = differences_of(&file, there.clone(), false);
        assert!(!found.is_any());
        // The file says nothing of groups in the group.
        assert_eq!(found.left_out, ["/shop/older", "/shop/old"]);
        assert!(found.show().ends_with("it stays (`group deploy --prune` removes it)\n"));
        let found = differences_of(&file, there.clone(), true);
        let ids: Vec<&str> = found.apps.iter().map(|app| app.id.as_str()).collect();
        assert_eq!(ids, ["/shop/web", "/shop/old", "/shop/older"]);
        assert!(found.show().ends_with(
            "/shop/older: its group's file leaves it out; it and its 2 tasks will be removed\n"
        ));
        let none = format!("{{id: shop, groups: [], apps: [{FILE}]}}");
        let found = differences_of(&none, there, false);
        assert!(found.left_out.contains(&"/shop/in/db".to_owned()));
    }

    #[test]
    fn what_cannot_work_is_said_of_what_is_sent() {
        let there = json!([{"id": "/shop", "apps": [shown_as("/shop/web")]}]);
        let file = "{id: other, cmd: exec serve, ports: [10007]}";
        let found = differences_of(file, there.clone(), false);
        assert!(
            found.show().starts_with(
                "/other: a new app with 1 instance\n  warning: /shop/web has the service port"
            ),
            "{}",
            found.show()
        );
        let same = format!("{{id: shop, apps: [{}]}}", FILE.replace("[0]", "[10007]"));
        assert!(!differences_of(&same, there, false).show().contains("warning"));
    }

    #[test]
    fn what_is_nowhere_cannot_be_depended_on() {
        let file = "{id: web, cmd: exec serve, dependencies: [/shop/db]}";
        let check = |groups: Value| {
            let there = group(json!({"id": "/", "groups": groups}));
            Differences::of(&File::read(file).definitions, &there, None, false).map(drop)
        };
        let refused = check(json!([])).unwrap_err().to_string();
        assert!(refused.starts_with("/web depends on /shop/db, which is neither"));
        check(json!([{"id": "/shop", "apps": [shown_as("/shop/db")]}])).unwrap();
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
