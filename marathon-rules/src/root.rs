//! The tree of groups and apps that is wanted, and changes of it. Pure.

use crate::app::Record;
use crate::id;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Every group and app that is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Root {
    /// The version of the whole.
    pub version: String,
    /// Groups that someone made, the root aside, by id.
    pub groups: BTreeMap<String, Group>,
    /// Apps by id.
    pub apps: BTreeMap<String, Arc<Record>>,
}

/// What a group has beside what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Group {
    /// Apps and groups that must be there before any app of this.
    pub dependencies: Vec<String>,
    /// Whether its apps must run in its role.
    pub enforce_role: bool,
    /// When it last changed.
    pub version: String,
}

/// The root as it is kept: apps by their versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RootNote {
    /// The version of the whole.
    pub version: String,
    /// Groups by id.
    pub groups: BTreeMap<String, Group>,
    /// The version of each app.
    pub apps: BTreeMap<String, String>,
}

impl Root {
    /// Whether there is such a group; made by someone, or because something is in it.
    pub fn has_group(&self, group: &str) -> bool {
        group == "/"
            || self.groups.keys().any(|other| id::within(other, group))
            || self.apps.keys().any(|app| app != group && id::within(app, group))
    }

    /// The groups directly in a group.
    pub fn groups_in(&self, group: &str) -> BTreeSet<String> {
        let all = self.groups.keys().map(String::as_str);
        let above_apps = self.apps.keys().flat_map(|app| id::ancestors(app));
        let above_groups = self.groups.keys().flat_map(|other| id::ancestors(other));
        all.chain(above_apps)
            .chain(above_groups)
            .filter(|other| *other != "/" && id::parent(other) == group)
            .map(str::to_owned)
            .collect()
    }

    /// The apps directly in a group.
    pub fn apps_in(&self, group: &str) -> impl Iterator<Item = (&String, &Arc<Record>)> {
        self.apps.iter().filter(move |(app, _)| id::parent(app) == group)
    }

    /// The apps in a group or below it.
    pub fn apps_within(
        &self,
        group: &str,
    ) -> impl Iterator<Item = (&String, &Arc<Record>)> {
        self.apps.iter().filter(move |(app, _)| id::within(app, group) && *app != group)
    }

    /// Takes away a group and all that is in it.
    pub fn remove_group(&mut self, group: &str) {
        self.apps.retain(|app, _| !id::within(app, group));
        self.groups.retain(|other, _| !id::within(other, group));
    }

    /// Takes away an app. Groups that someone made stay.
    pub fn remove_app(&mut self, app: &str) {
        self.apps.remove(app);
    }

    /// Adds or replaces an app; the groups above it are made.
    pub fn put_app(&mut self, app: &str, record: Record) {
        for group in id::ancestors(app).into_iter().filter(|group| *group != "/") {
            self.groups.entry(group.to_owned()).or_default();
        }
        self.apps.insert(app.to_owned(), Arc::new(record));
    }

    /// How it is kept.
    pub fn note(&self) -> RootNote {
        RootNote {
            version: self.version.clone(),
            groups: self.groups.clone(),
            apps: self
                .apps
                .iter()
                .map(|(id, app)| (id.clone(), app.version.clone()))
                .collect(),
        }
    }

    /// The apps that must be there before each app: its own dependencies, those of the groups
    /// above it, groups standing for all that is in them. What a group depends on counts from the
    /// group itself.
    pub fn dependencies(&self) -> BTreeMap<String, BTreeSet<String>> {
        let of_app = |(app, record): (&String, &Arc<Record>)| {
            let own = record.app().dependencies;
            let mut wanted = BTreeSet::new();
            for name in &own {
                wanted.extend(self.named(&id::absolute(name, id::parent(app))));
            }
            for group in id::ancestors(app) {
                let names = self.groups.get(group).map(|g| g.dependencies.as_slice());
                for name in names.unwrap_or_default() {
                    wanted.extend(self.named(&id::absolute(name, group)));
                }
            }
            wanted.remove(app);
            (app.clone(), wanted)
        };
        self.apps.iter().map(of_app).collect()
    }

    /// The apps that an id stands for: itself, or all in a group.
    fn named(&self, name: &str) -> Vec<String> {
        match self.apps.contains_key(name) {
            true => vec![name.to_owned()],
            false => self.apps_within(name).map(|(app, _)| app.clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn root(apps: &[(&str, &[&str])]) -> Root {
        let mut root = Root::default();
        for (app, dependencies) in apps {
            let spec = json!({"id": app, "dependencies": dependencies});
            root.put_app(app, Record::new(spec.as_object().unwrap().clone(), "v1"));
        }
        root
    }

    #[test]
    fn groups_are_there_because_of_what_is_in_them() {
        let root = root(&[("/a/b/x", &[]), ("/y", &[])]);
        assert!(root.has_group("/a") && root.has_group("/a/b") && !root.has_group("/y"));
        assert_eq!(root.groups_in("/"), BTreeSet::from(["/a".to_owned()]));
        assert_eq!(root.apps_in("/").count(), 1);
        assert_eq!(root.apps_within("/a").count(), 1);
    }

    #[test]
    fn dependencies_of_groups_are_those_of_their_apps() {
        let mut root = root(&[("/db/one", &[]), ("/db/two", &["one"]), ("/web/a", &[])]);
        root.groups.get_mut("/web").unwrap().dependencies = vec!["/db".into()];
        let found = root.dependencies();
        assert_eq!(found["/db/two"], BTreeSet::from(["/db/one".to_owned()]));
        assert_eq!(found["/web/a"].len(), 2);
    }
}
