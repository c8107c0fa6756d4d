//! The list of all apps, with the columns of Marathon's own page. Pure.

use std::fmt;

use serde::Serialize;

use super::super::columns::{Align, amount, columns};
use crate::api::marathon::App;

/// The number of signs in a bar.
const BAR: usize = 10;

/// All apps, by their ids.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppList {
    /// The apps.
    pub apps: Vec<AppRow>,
}

/// An app in the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppRow {
    /// Its id.
    pub id: String,
    /// The memory of all its instances, in MB.
    pub mem: f64,
    /// The CPUs of all its instances.
    pub cpus: f64,
    /// How many tasks run.
    pub running: u32,
    /// How many tasks should run.
    pub instances: u32,
    /// How its tasks are.
    pub health: HealthBar,
    /// What Marathon does with it.
    pub status: AppState,
}

/// How many tasks are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HealthBar {
    /// Tasks that pass their health checks.
    pub healthy: u32,
    /// Tasks that fail them.
    pub unhealthy: u32,
    /// Tasks that run without a health check, or before its first result.
    pub unknown: u32,
    /// Tasks that do not run yet.
    pub staged: u32,
    /// Tasks that should exist and do not.
    pub missing: u32,
}

/// What Marathon does with an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum AppState {
    /// All tasks run.
    Running,
    /// A deployment changes it.
    Deploying,
    /// Tasks wait for an agent, or for the pause after a failure.
    Waiting,
    /// It should have no task, and has none.
    Suspended,
}

impl AppList {
    /// The list of these apps.
    pub(super) fn of<'a>(apps: impl IntoIterator<Item = &'a App>) -> Self {
        let mut apps: Vec<AppRow> = apps.into_iter().map(AppRow::of).collect();
        apps.sort_by(|one, other| one.id.cmp(&other.id));
        Self { apps }
    }

    /// The list as a table.
    pub fn show(&self) -> String {
        if self.apps.is_empty() {
            return "Marathon has no app.\n".to_owned();
        }
        let head = [
            ("ID", Align::Left),
            ("MEMORY (MB)", Align::Right),
            ("CPUS", Align::Right),
            ("TASKS / INSTANCES", Align::Right),
            ("HEALTH", Align::Left),
            ("STATUS", Align::Left),
        ];
        columns(head, self.apps.iter().map(AppRow::cells))
    }
}

impl AppRow {
    pub(super) fn of(app: &App) -> Self {
        let n_instances = f64::from(app.instances);
        Self {
            id: app.id.clone(),
            mem: app.mem * n_instances,
            cpus: app.cpus * n_instances,
            running: app.tasks_running,
            instances: app.instances,
            health: HealthBar::of(app),
            status: AppState::of(app),
        }
    }

    /// Several apps as one.
    pub(super) fn sum(id: &str, apps: &[Self]) -> Self {
        let all = |number: fn(&Self) -> u32| apps.iter().map(number).sum();
        let health = HealthBar {
            healthy: all(|app| app.health.healthy),
            unhealthy: all(|app| app.health.unhealthy),
            unknown: all(|app| app.health.unknown),
            staged: all(|app| app.health.staged),
            missing: all(|app| app.health.missing),
        };
        let weighs = [AppState::Waiting, AppState::Deploying, AppState::Running];
        let heaviest =
            weighs.into_iter().find(|state| apps.iter().any(|app| app.status == *state));
        Self {
            id: id.to_owned(),
            mem: apps.iter().map(|app| app.mem).sum(),
            cpus: apps.iter().map(|app| app.cpus).sum(),
            running: all(|app| app.running),
            instances: all(|app| app.instances),
            health,
            status: heaviest.unwrap_or(AppState::Suspended),
        }
    }

    pub(super) fn cells(&self) -> [String; 6] {
        [
            self.id.clone(),
            amount(self.mem),
            amount(self.cpus),
            format!("{} / {}", self.running, self.instances),
            self.health.to_string(),
            format!("{:?}", self.status),
        ]
    }
}

impl HealthBar {
    fn of(app: &App) -> Self {
        let running = app.tasks_running;
        // A task that does not run yet inherits the results of the one that it replaces.
        let healthy = app.tasks_healthy.min(running);
        let unhealthy = app.tasks_unhealthy.min(running - healthy);
        Self {
            healthy,
            unhealthy,
            unknown: running - healthy - unhealthy,
            staged: app.tasks_staged,
            missing: app.instances.saturating_sub(running + app.tasks_staged),
        }
    }
}

impl fmt::Display for HealthBar {
    /// A bar of ten signs. Each state that a task is in has at least one of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ('#', self.healthy),
            ('!', self.unhealthy),
            ('=', self.unknown),
            ('+', self.staged),
            ('.', self.missing),
        ];
        let total: u32 = parts.iter().map(|(_, n)| n).sum();
        let bar = if total == 0 { String::new() } else { bar(parts, total) };
        f.pad(&format!("[{bar:BAR$}]"))
    }
}

/// The signs by the share of each state. The largest state makes room for those that are rare.
fn bar(parts: [(char, u32); 5], total: u32) -> String {
    let share = |n: u32| (n as usize * BAR / total as usize).max(usize::from(n > 0));
    let mut widths = parts.map(|(_, n)| share(n));
    while let n @ 1.. = widths.iter().sum::<usize>().abs_diff(BAR) {
        let is_short = widths.iter().sum::<usize>() < BAR;
        let largest = widths.iter_mut().max().expect("there are five");
        *largest = if is_short { *largest + n } else { *largest - 1 };
    }
    let signs = parts.iter().zip(widths);
    signs.map(|((sign, _), width)| sign.to_string().repeat(width)).collect()
}

impl AppState {
    pub(super) fn of(app: &App) -> Self {
        let n_tasks = app.tasks_running + app.tasks_staged;
        if n_tasks < app.instances {
            Self::Waiting
        } else if !app.deployments.is_empty() || app.tasks_staged > 0 {
            Self::Deploying
        } else if app.instances == 0 && n_tasks == 0 {
            Self::Suspended
        } else {
            Self::Running
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn app(id: &str, changes: Value) -> App {
        let mut app = json!({"id": id, "cpus": 0.1, "mem": 5, "instances": 6,
            "tasksRunning": 6});
        for (key, value) in changes.as_object().unwrap() {
            app[key] = value.clone();
        }
        serde_json::from_value(app).unwrap()
    }

    #[test]
    fn the_table_has_the_columns_of_the_lab_with_the_sums_of_all_instances() {
        let deployed = json!({"tasksRunning": 5, "deployments": [{"id": "d"}]});
        let rabbit = json!({"cpus": 0.5, "mem": 512, "instances": 3, "tasksRunning": 3,
            "tasksHealthy": 2, "tasksUnhealthy": 1});
        let list = AppList::of(&[app("/rabbitmq-03", rabbit), app("/basic-0", deployed)]);
        assert_eq!(
            list.show(),
            "\
ID            MEMORY (MB)  CPUS  TASKS / INSTANCES  HEALTH        STATUS
/basic-0               30   0.6              5 / 6  [=========.]  Waiting
/rabbitmq-03         1536   1.5              3 / 3  [#######!!!]  Running
"
        );
        assert_eq!(AppList::of(&[]).show(), "Marathon has no app.\n");
        let row = serde_json::to_value(&list.apps[1]).unwrap();
        assert_eq!(row["status"], "Running");
        assert_eq!(row["health"]["unhealthy"], 1);
    }

    #[test]
    fn the_status_is_what_marathon_does_now() {
        let check = |changes: Value, expected| {
            assert_eq!(AppState::of(&app("/a", changes.clone())), expected, "{changes}");
        };
        check(json!({}), AppState::Running);
        check(json!({"deployments": [{"id": "d"}]}), AppState::Deploying);
        check(json!({"tasksRunning": 5, "tasksStaged": 1}), AppState::Deploying);
        check(json!({"tasksRunning": 5}), AppState::Waiting);
        check(json!({"instances": 0, "tasksRunning": 0}), AppState::Suspended);
        let ending = json!({"instances": 0, "deployments": [{"id": "d"}]});
        check(ending, AppState::Deploying);
    }

    #[test]
    fn each_state_of_a_task_is_seen_in_the_bar() {
        let check = |[healthy, unhealthy, unknown, staged, missing]: [u32; 5], bar| {
            let health = HealthBar { healthy, unhealthy, unknown, staged, missing };
            assert_eq!(health.to_string(), bar);
        };
        check([0, 0, 0, 0, 0], "[          ]");
        check([3, 0, 0, 0, 0], "[##########]");
        check([1, 1, 1, 0, 0], "[###!!!====]");
        check([996, 1, 1, 1, 1], "[######!=+.]");
        check([0, 0, 999, 0, 1], "[=========.]");
    }

    #[test]
    fn results_that_a_task_inherits_do_not_count_before_it_runs() {
        let inherits = json!({"instances": 2, "tasksRunning": 1, "tasksStaged": 1,
            "tasksHealthy": 2});
        let health = HealthBar::of(&app("/a", inherits));
        assert_eq!((health.healthy, health.staged, health.missing), (1, 1, 0));
    }
}
