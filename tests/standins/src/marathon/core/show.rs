//! What clients are shown.

use super::changes::{Refusal, no_app};
use super::groups::no_group;
use super::{Core, Deployment};
use crate::marathon::app::Record;
use crate::marathon::instance::Instance;
use crate::marathon::plan;
use crate::marathon::service_ports;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What is shown beside the apps themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Embed {
    /// How many tasks there are, and deployments.
    pub counts: bool,
    /// The tasks.
    pub tasks: bool,
    /// The last failure of a task.
    pub failure: bool,
    /// Statistics of tasks.
    pub stats: bool,
}

impl Embed {
    /// All that one app is shown with.
    pub const ONE: Self = Self { counts: true, tasks: true, failure: true, stats: false };

    /// Reads the words of `embed`, which begin with `prefix`.
    pub fn read<'a>(words: impl Iterator<Item = &'a str>, prefix: &str) -> Self {
        let mut embed = Self { counts: true, ..Self::default() };
        for word in words {
            match word.strip_prefix(prefix).unwrap_or_default() {
                "tasks" => embed.tasks = true,
                "lastTaskFailure" => embed.failure = true,
                "failures" => (embed.tasks, embed.failure) = (true, true),
                "taskStats" => embed.stats = true,
                _ => {}
            }
        }
        embed
    }
}

impl Core {
    /// Every app for which `matches` holds.
    pub fn apps_json(&self, embed: Embed, matches: impl Fn(&Record) -> bool) -> Value {
        let apps = self.root.apps.values().filter(|record| matches(record));
        apps.map(|record| self.record_json(record, embed)).collect()
    }

    /// One app.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn app_json(&self, app: &str, embed: Embed) -> Result<Value, Refusal> {
        let record = self.root.apps.get(app).ok_or_else(|| no_app(app))?;
        Ok(self.record_json(record, embed))
    }

    /// All apps in a group, at any depth.
    pub fn apps_within_json(&self, group: &str, embed: Embed) -> Value {
        self.root
            .apps_within(group)
            .map(|(_, record)| self.record_json(record, embed))
            .collect()
    }

    fn record_json(&self, record: &Record, embed: Embed) -> Value {
        let mut shown = record.json();
        let app = record.app();
        let tasks: Vec<_> = self.instances_of(&app.id).collect();
        if embed.counts {
            let n =
                |count: &dyn Fn(&&&Instance) -> bool| tasks.iter().filter(count).count();
            let checked = !app.health_checks.is_empty();
            shown.insert("tasksStaged".into(), n(&|i| staged(i)).into());
            shown.insert("tasksRunning".into(), n(&|i| i.runs()).into());
            let healthy = n(&|i| checked && i.runs() && i.healthy());
            shown.insert("tasksHealthy".into(), healthy.into());
            shown.insert(
                "tasksUnhealthy".into(),
                n(&|i| i.runs() && i.unhealthy()).into(),
            );
            let ids = self.deployments_of(&app.id).map(|d| json!({"id": d.id}));
            shown.insert("deployments".into(), ids.collect());
        }
        if embed.tasks {
            let ports = service_ports::of(&record.spec);
            let shown_tasks = tasks.iter().map(|instance| instance.json(&ports));
            shown.insert("tasks".into(), shown_tasks.collect());
        }
        if let Some(failure) = self.failures.get(&app.id).filter(|_| embed.failure) {
            shown.insert("lastTaskFailure".into(), failure.clone());
        }
        if embed.stats {
            shown.insert("taskStats".into(), stats(&tasks, record));
        }
        shown.into()
    }

    /// The tasks of an app.
    ///
    /// # Errors
    /// When the app does not exist.
    pub fn app_tasks(&self, app: &str) -> Result<Vec<(String, Value)>, Refusal> {
        let record = self.root.apps.get(app).ok_or_else(|| no_app(app))?;
        let ports = service_ports::of(&record.spec);
        let each = |i: &Instance| (i.task.clone(), i.json(&ports));
        Ok(self.instances_of(app).map(each).collect())
    }

    /// All tasks, of `status` `running` or `staging` when one is named.
    pub fn tasks_json(&self, status: Option<&str>) -> Value {
        let fits = |instance: &&Instance| match status {
            Some("running") => instance.runs(),
            Some("staging") => staged(instance),
            _ => true,
        };
        let shown = self.instances.values().filter(fits).map(|instance| {
            let record = self.root.apps.get(&instance.app);
            let ports = record.map(|r| service_ports::of(&r.spec)).unwrap_or_default();
            instance.json(&ports)
        });
        shown.collect()
    }

    /// Those of the tasks that exist.
    pub fn known_tasks(&self, tasks: &[String]) -> Vec<String> {
        tasks.iter().filter(|task| self.instances.contains_key(*task)).cloned().collect()
    }

    /// A group with all that is in it.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn group_json(&self, group: &str, embed: Embed) -> Result<Value, Refusal> {
        if !self.root.has_group(group) {
            return Err(no_group(group));
        }
        let kept = self.root.groups.get(group).cloned().unwrap_or_default();
        let apps =
            self.root.apps_in(group).map(|(_, record)| self.record_json(record, embed));
        let groups = self.root.groups_in(group);
        let groups = groups.iter().filter_map(|inner| self.group_json(inner, embed).ok());
        let version =
            if kept.version.is_empty() { &self.root.version } else { &kept.version };
        Ok(json!({
            "id": group, "dependencies": kept.dependencies, "enforceRole": kept.enforce_role,
            "version": version, "apps": apps.collect::<Value>(),
            "groups": groups.collect::<Value>(), "pods": [],
        }))
    }

    /// The versions of the tree at which a group was changed.
    pub fn group_versions(&self) -> Vec<&String> {
        self.history.keys().collect()
    }

    /// The versions of an app, newest first.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn app_versions(&self, app: &str) -> Result<Vec<&String>, Refusal> {
        if !self.root.apps.contains_key(app) {
            return Err(no_app(app));
        }
        let versions = self.records.get(app);
        Ok(versions.into_iter().flat_map(|versions| versions.keys().rev()).collect())
    }

    /// One version of an app.
    ///
    /// # Errors
    /// When there is no such version.
    pub fn app_version_json(&self, app: &str, version: &str) -> Result<Value, Refusal> {
        Ok(self.version_of(app, version)?.json().into())
    }

    /// Every deployment that goes on.
    pub fn deployments_json(&self) -> Value {
        self.deployments.iter().map(deployment_json).collect()
    }

    /// How much there is of what, as numbers to watch.
    pub fn gauges(&self) -> [(&'static str, usize); 5] {
        [
            ("marathon.apps.active.gauge", self.root.apps.len()),
            ("marathon.deployments.active.gauge", self.deployments.len()),
            ("marathon.groups.active.gauge", self.root.groups.len() + 1),
            (
                "marathon.instances.running.gauge",
                self.instances.values().filter(|i| i.runs()).count(),
            ),
            (
                "marathon.instances.staged.gauge",
                self.instances.values().filter(|i| staged(i)).count(),
            ),
        ]
    }
}

fn staged(instance: &Instance) -> bool {
    instance.started_at.is_none() && instance.unreachable_since.is_none()
}

fn deployment_json(deployment: &Deployment) -> Value {
    let none = Vec::new();
    let step = deployment.steps.get(deployment.current);
    let current = step.map_or(&none, |step| &step.actions).iter().map(|action| {
        json!({"action": action.action, "app": action.app, "readinessCheckResults": []})
    });
    let affected: BTreeSet<String> = plan::affected(&deployment.steps);
    let total = deployment.steps.len();
    json!({
        "id": deployment.id, "version": deployment.version, "affectedApps": affected,
        "affectedPods": [], "steps": deployment.steps,
        "currentActions": current.collect::<Value>(),
        "currentStep": (deployment.current + 1).min(total), "totalSteps": total,
    })
}

fn stats(tasks: &[&Instance], record: &Record) -> Value {
    let group = |fits: &dyn Fn(&Instance) -> bool| {
        let chosen: Vec<&Instance> = tasks.iter().copied().filter(|i| fits(i)).collect();
        let n =
            |counts: fn(&Instance) -> bool| chosen.iter().filter(|i| counts(i)).count();
        json!({"stats": {"counts": {
            "staged": n(staged), "running": n(Instance::runs),
            "healthy": n(|i| i.runs() && i.healthy()),
            "unhealthy": n(|i| i.runs() && i.unhealthy()),
        }}})
    };
    json!({
        "startedAfterLastScaling": group(&|i| i.version >= record.last_scaling),
        "withLatestConfig": group(&|i| i.version >= record.last_config),
        "withOutdatedConfig": group(&|i| i.version < record.last_config),
        "totalSummary": group(&|_| true),
    })
}
