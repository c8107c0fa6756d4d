//! The list of all groups, and one group. Pure.

use serde::Serialize;

use super::super::list::{AppList, AppRow};
use crate::api::marathon::Group;
use crate::operate::columns::{Align, columns};

/// All groups but the one that is all there is, by their ids.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupList {
    /// The groups.
    pub groups: Vec<GroupRow>,
}

/// A group in the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupRow {
    /// How many apps are in it, those of its groups too.
    pub apps: usize,
    /// All these apps together.
    #[serde(flatten)]
    pub sum: AppRow,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupDetails {
    /// Its id.
    pub id: String,
    /// The apps and groups that have to be there before its own apps.
    pub dependencies: Vec<String>,
    /// Whether its apps have to run in its role.
    pub enforce_role: bool,
    /// The groups in it, at any depth.
    pub groups: Vec<String>,
    /// The pods in it, those of its groups too.
    pub pods: Vec<String>,
    /// The apps in it, those of its groups too.
    #[serde(flatten)]
    pub apps: AppList,
}

impl GroupList {
    /// The groups in this one.
    pub(super) fn of(root: &Group) -> Self {
        let inner = root.all().into_iter().skip(1);
        let mut groups: Vec<GroupRow> = inner.map(GroupRow::of).collect();
        groups.sort_by(|one, other| one.sum.id.cmp(&other.sum.id));
        Self { groups }
    }

    /// The list as a table.
    pub fn show(&self) -> String {
        if self.groups.is_empty() {
            return "Marathon has no group.\n".to_owned();
        }
        let head = [
            ("ID", Align::Left),
            ("APPS", Align::Right),
            ("MEMORY (MB)", Align::Right),
            ("CPUS", Align::Right),
            ("TASKS / INSTANCES", Align::Right),
            ("HEALTH", Align::Left),
            ("STATUS", Align::Left),
        ];
        columns(head, self.groups.iter().map(GroupRow::cells))
    }
}

impl GroupRow {
    fn of(group: &Group) -> Self {
        let apps: Vec<AppRow> = group.all_apps().map(|it| AppRow::of(&it.app)).collect();
        Self { apps: apps.len(), sum: AppRow::sum(&group.id, &apps) }
    }

    fn cells(&self) -> [String; 7] {
        let [id, mem, cpus, tasks, health, status] = self.sum.cells();
        [id, self.apps.to_string(), mem, cpus, tasks, health, status]
    }
}

impl GroupDetails {
    /// A group from Marathon's answer.
    pub(in super::super) fn of(group: &Group) -> Self {
        let all = group.all();
        let ids = |id: &String| id.clone();
        Self {
            id: group.id.clone(),
            dependencies: group.dependencies.clone(),
            enforce_role: group.enforce_role,
            groups: all.iter().skip(1).map(|it| ids(&it.id)).collect(),
            pods: all.iter().flat_map(|it| &it.pods).map(|it| ids(&it.id)).collect(),
            apps: AppList::of(group.all_apps().map(|it| &it.app)),
        }
    }

    /// The group as text.
    pub fn show(&self) -> String {
        let mut text = format!("{}\n", self.id);
        let lists = [
            ("depends on", &self.dependencies),
            ("groups", &self.groups),
            ("pods", &self.pods),
        ];
        for (name, ids) in lists.into_iter().filter(|(_, ids)| !ids.is_empty()) {
            text.push_str(&format!("  {name:10}  {}\n", ids.join(", ")));
        }
        if self.enforce_role {
            let role = self.id.trim_start_matches('/');
            text.push_str(&format!("  role        all its apps run in `{role}`\n"));
        }
        match self.apps.apps.is_empty() {
            true => text + "  it has no app\n",
            false => format!("{text}\n{}", self.apps.show()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn group(value: Value) -> Group {
        serde_json::from_value(value).unwrap()
    }

    fn app(id: &str, instances: u32, running: u32) -> Value {
        json!({"id": id, "cpus": 0.1, "mem": 64, "instances": instances,
            "tasksRunning": running, "tasksHealthy": running})
    }

    fn shop() -> Group {
        let back = json!({"id": "/shop/back", "apps": [app("/shop/back/db", 1, 1)]});
        let front = json!({"id": "/shop/front", "dependencies": ["/shop/back"],
            "apps": [app("/shop/front/web", 4, 3)]});
        group(json!({"id": "/shop", "enforceRole": true, "groups": [back, front],
            "pods": [{"id": "/shop/pod"}], "apps": [app("/shop/off", 0, 0)]}))
    }

    #[test]
    fn a_group_is_the_sum_of_all_that_is_in_it() {
        let root = Group { groups: vec![shop()], ..Group::default() };
        assert_eq!(
            GroupList::of(&root).show(),
            "\
ID           APPS  MEMORY (MB)  CPUS  TASKS / INSTANCES  HEALTH        STATUS
/shop           3          320   0.5              4 / 5  [########..]  Waiting
/shop/back      1           64   0.1              1 / 1  [##########]  Running
/shop/front     1          256   0.4              3 / 4  [########..]  Waiting
"
        );
        assert_eq!(GroupList::of(&Group::default()).show(), "Marathon has no group.\n");
        let row = serde_json::to_value(GroupList::of(&root)).unwrap();
        assert_eq!(row["groups"][0]["id"], "/shop");
        assert_eq!(row["groups"][0]["apps"], 3);
    }

    #[test]
    fn a_group_shows_what_it_is_and_its_apps() {
        let shown = GroupDetails::of(&shop()).show();
        let head = "/shop\n  groups      /shop/back, /shop/front\n  pods        /shop/pod\n  \
                    role        all its apps run in `shop`\n\nID ";
        assert!(shown.starts_with(head), "{shown}");
        assert!(shown.contains("\n/shop/off ") && shown.contains("\n/shop/back/db "));
        let front = GroupDetails::of(&shop().groups[1]).show();
        assert!(front.contains("\n  depends on  /shop/back\n"), "{front}");
        let empty = group(json!({"id": "/new"}));
        assert_eq!(GroupDetails::of(&empty).show(), "/new\n  it has no app\n");
    }
}
