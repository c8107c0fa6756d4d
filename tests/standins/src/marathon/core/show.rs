//! What clients are shown.

use super::changes::{Refusal, no_app};
use super::groups::no_group;
use super::{Core, Deployment};
use crate::marathon::instance::{Instance, is_terminal};
use crate::marathon::plan;
use marathon_rules::app::Record;
use marathon_rules::id;
use marathon_rules::service_ports;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What is shown beside the apps themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Embed {
    /// How many tasks there are.
    pub counts: bool,
    /// The deployments.
    pub deployments: bool,
    /// The tasks.
    pub tasks: bool,
    /// The last failure of a task.
    pub failure: bool,
    /// Statistics of tasks.
    pub stats: bool,
    /// What readiness checks found.
    pub readiness: bool,
}

impl Embed {
    /// All that one app is shown with.
    pub const ONE: Self = Self { tasks: true, failure: true, ..Self::LIST };

    /// What apps of a list are shown with.
    pub const LIST: Self = Self {
        counts: true,
        deployments: true,
        tasks: false,
        failure: false,
        stats: false,
        readiness: false,
    };

    /// With what the words of `embed` name, which begin with `prefix`.
    #[must_use]
    pub fn with<'a>(self, words: impl Iterator<Item = &'a str>, prefix: &str) -> Self {
        let mut embed = self;
        for word in words {
            match word.strip_prefix(prefix).unwrap_or_default() {
                "tasks" => (embed.tasks, embed.deployments) = (true, true),
                "counts" => embed.counts = true,
                "deployments" => embed.deployments = true,
                "readiness" => embed.readiness = true,
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
    ///
    /// # Errors
    /// When there is no such group.
    pub fn apps_within_json(&self, group: &str, embed: Embed) -> Result<Value, Refusal> {
        if !self.root.has_group(group) {
            return Err(no_group(group));
        }
        let apps = self.root.apps_within(group);
        Ok(apps.map(|(_, record)| self.record_json(record, embed)).collect())
    }

    fn record_json(&self, record: &Record, embed: Embed) -> Value {
        let mut shown = record.json();
        let app = record.app();
        let ended = self.ended.iter().filter(|instance| instance.app == app.id);
        let tasks: Vec<_> = self.instances_of(&app.id).chain(ended).collect();
        if embed.counts {
            let n =
                |count: &dyn Fn(&&&Instance) -> bool| tasks.iter().filter(count).count();
            let checked = !app.health_checks.is_empty();
            shown.insert("tasksStaged".into(), n(&|i| staged(i)).into());
            shown.insert("tasksRunning".into(), n(&|i| i.runs()).into());
            let healthy = n(&|i| checked && i.healthy() && !is_terminal(&i.state));
            shown.insert("tasksHealthy".into(), healthy.into());
            shown.insert(
                "tasksUnhealthy".into(),
                n(&|i| i.runs() && i.unhealthy()).into(),
            );
        }
        if embed.deployments {
            let ids = self.deployments_of(&app.id).map(|d| json!({"id": d.id}));
            shown.insert("deployments".into(), ids.collect());
        }
        if embed.readiness {
            shown.insert("readinessCheckResults".into(), self.readiness_json(&app.id));
        }
        if embed.tasks {
            let ports = service_ports::shown(&record.spec);
            let shown_tasks = tasks.iter().map(|instance| instance.json(&ports));
            shown.insert("tasks".into(), shown_tasks.collect());
        }
        if let Some(failure) = self.failures.get(&app.id).filter(|_| embed.failure) {
            shown.insert("lastTaskFailure".into(), failure.clone());
        }
        if embed.stats {
            shown.insert("tasksStats".into(), stats(&tasks, record));
        }
        shown.into()
    }

    /// The tasks of an app.
    ///
    /// # Errors
    /// When the app does not exist.
    pub fn app_tasks(&self, app: &str) -> Result<Vec<(String, Value)>, Refusal> {
        let record = self.root.apps.get(app).ok_or_else(|| no_app(app))?;
        let ports = service_ports::shown(&record.spec);
        let each = |i: &Instance| (i.task.clone(), i.json(&ports));
        let ended = self.ended.iter().filter(|instance| instance.app == app);
        Ok(self.instances_of(app).chain(ended).map(each).collect())
    }

    /// All tasks, of `status` `running` or `staging` when one is named.
    pub fn tasks_json(&self, status: Option<&str>) -> Value {
        let fits = |instance: &&Instance| match status {
            Some("running") => instance.runs(),
            Some("staging") => staged(instance),
            _ => true,
        };
        let all = self.instances.values().chain(&self.ended);
        let shown = all.filter(fits).map(|instance| {
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
    pub fn group_json(
        &self,
        group: &str,
        embed: Embed,
        (with_groups, with_apps): (bool, bool),
    ) -> Result<Value, Refusal> {
        if !self.root.has_group(group) {
            return Err(no_group(group));
        }
        let kept = self.root.groups.get(group).cloned().unwrap_or_default();
        let apps = self.root.apps_in(group).filter(|_| with_apps);
        let apps = apps.map(|(_, record)| self.record_json(record, embed));
        let with = (with_groups, with_apps);
        let groups = self.root.groups_in(group);
        let groups = groups.iter().filter(|_| with_groups);
        let groups = groups.filter_map(|inner| self.group_json(inner, embed, with).ok());
        let version =
            if kept.version.is_empty() { &self.root.version } else { &kept.version };
        let mut shown = json!({
            "id": group, "dependencies": kept.dependencies, "version": version,
            "apps": apps.collect::<Value>(), "groups": groups.collect::<Value>(), "pods": [],
        });
        if id::is_top_level(group) {
            shown["enforceRole"] = kept.enforce_role.into();
        }
        Ok(shown)
    }

    /// The versions of the tree.
    ///
    /// # Errors
    /// When there is no such group.
    pub fn group_versions(&self, group: &str) -> Result<Value, Refusal> {
        match self.root.has_group(group) {
            true => Ok(self.history.keys().map(|version| json!(version)).collect()),
            false => Err(no_group(group)),
        }
    }

    /// The versions of an app and of those of its id before it, in no order, as there.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn app_versions(&self, app: &str) -> Result<Vec<&String>, Refusal> {
        if !self.root.apps.contains_key(app) {
            return Err(no_app(app));
        }
        let versions = self.records.get(app);
        let versions = versions.into_iter().flat_map(BTreeMap::keys);
        let mut versions: Vec<&String> = versions.collect();
        versions.sort_by_key(|version| version.bytes().rev().collect::<Vec<_>>());
        Ok(versions)
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
        self.deployments
            .iter()
            .map(|deployment| self.deployment_json(deployment))
            .collect()
    }

    fn deployment_json(&self, deployment: &Deployment) -> Value {
        let none = Vec::new();
        let step = deployment.steps.get(deployment.current);
        let current = step.map_or(&none, |step| &step.actions).iter().map(|action| {
            json!({"action": action.action, "app": action.app,
                "readinessCheckResults": self.readiness_json(&action.app)})
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

fn stats(tasks: &[&Instance], record: &Record) -> Value {
    let group = |fits: &dyn Fn(&Instance) -> bool| {
        let live = tasks.iter().copied().filter(|i| !is_terminal(&i.state));
        let chosen: Vec<&Instance> = live.filter(|i| fits(i)).collect();
        let n =
            |counts: fn(&Instance) -> bool| chosen.iter().filter(|i| counts(i)).count();
        (!chosen.is_empty()).then(|| {
            json!({"stats": {"counts": {
                "staged": n(staged), "running": n(Instance::runs),
                "healthy": n(|i| i.runs() && !i.health.is_empty() && i.healthy()),
                "unhealthy": n(|i| i.runs() && i.unhealthy()),
            }}})
        })
    };
    let groups = [
        ("startedAfterLastScaling", group(&|i| i.version >= record.last_scaling)),
        ("withLatestConfig", group(&|i| i.version >= record.last_config)),
        ("withOutdatedConfig", group(&|i| i.version < record.last_config)),
        ("totalSummary", group(&|_| true)),
    ];
    groups
        .into_iter()
        .filter_map(|(name, group)| Some((name.to_owned(), group?)))
        .collect()
}
