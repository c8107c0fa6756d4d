//! What Marathon knows and decides, as the leader.
//!
//! Pure: the time is passed in, and what is to be done comes out as [`Effect`]s, which the shell
//! around it carries out in their order. Nothing here waits or fails because of the world.

mod advance;
mod changes;
mod groups;
mod health;
mod offers;
mod recover;
mod show;
#[cfg(test)]
mod tests;
mod updates;

pub use changes::{AppChange, Deployed, Fault, Killing, Refusal};
pub use health::{Finding, Probe};
pub use show::Embed;

use super::backoff::Backoff;
use super::instance::Instance;
use super::matching::Reason;
use super::plan::Step;
use crate::framework::effect::{Call, Effect};
use crate::framework::leader;
use crate::framework::link::Link;
use crate::framework::offer::Offer;
use crate::framework::stamp;
use crate::framework::store::Unreadable;
use crate::scheduler::Status;
use jiff::{SignedDuration, Timestamp};
use marathon_rules::app::Record;
use marathon_rules::id;
use marathon_rules::root::{Root, RootNote};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What the flags decide of it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The role of apps that name none.
    pub role: String,
    /// The user of tasks that name none.
    pub user: Option<String>,
    /// Put before `PORT…` and `HOST`.
    pub env_prefix: Option<String>,
    /// Where service ports are taken from.
    pub service_ports: RangeInclusive<u32>,
    /// How many versions are kept.
    pub max_versions: usize,
    /// How many deployments may run.
    pub max_deployments: usize,
    /// How many tasks one offer may get.
    pub max_per_offer: usize,
    /// How long a task may take to run.
    pub launch_timeout: SignedDuration,
    /// How long between two asks for offers.
    pub min_revive_interval: SignedDuration,
    /// Whether offers are stopped when nothing is to be started.
    pub suppress: bool,
    /// Whether agents that go into maintenance are left alone.
    pub maintenance_mode: bool,
}

/// A deployment that goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: String,
    /// The version of the tree that it brings.
    pub version: String,
    /// All that it does.
    pub steps: Vec<Step>,
    /// Which step goes on, from 0.
    pub current: usize,
    /// What was wanted before.
    pub original: RootNote,
}

impl Deployment {
    /// What events tell of it.
    fn plan_json(&self) -> Value {
        json!({"id": self.id, "version": self.version, "steps": self.steps})
    }
}

/// What the queue says of an app beside how many are to start.
#[derive(Clone, Debug, Default)]
struct Queued {
    since: Option<Timestamp>,
    processed: u64,
    /// Since the last offers came.
    in_round: u64,
    unused: u64,
    rejected: BTreeMap<Reason, u64>,
    last_used: Option<Timestamp>,
    last_unused: Option<Timestamp>,
    unused_offers: BTreeMap<String, Value>,
}

/// Marathon.
#[derive(Debug)]
pub struct Core {
    rules: Rules,
    root: Root,
    history: BTreeMap<String, RootNote>,
    records: BTreeMap<String, BTreeMap<String, Arc<Record>>>,
    deployments: Vec<Deployment>,
    instances: BTreeMap<String, Instance>,
    /// Those whose task has ended, until their next one is launched.
    ended: Vec<Instance>,
    /// Whether the launch queue has died of a constraint.
    is_stuck: bool,
    /// Since when it leads; tasks of lost agents are given up only later.
    leads_since: Timestamp,
    backoffs: BTreeMap<String, Backoff>,
    failures: BTreeMap<String, Value>,
    queue: BTreeMap<String, Queued>,
    wanted: BTreeMap<String, u32>,
    suppressed: bool,
    last_version: Timestamp,
    pub(super) link: Link,
}

impl Core {
    /// One that knows nothing yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            root: Root { version: stamp(Timestamp::UNIX_EPOCH), ..Root::default() },
            history: BTreeMap::new(),
            records: BTreeMap::new(),
            deployments: Vec::new(),
            instances: BTreeMap::new(),
            ended: Vec::new(),
            is_stuck: false,
            leads_since: Timestamp::UNIX_EPOCH,
            backoffs: BTreeMap::new(),
            failures: BTreeMap::new(),
            queue: BTreeMap::new(),
            wanted: BTreeMap::new(),
            suppressed: false,
            last_version: Timestamp::UNIX_EPOCH,
            link: Link::default(),
        }
    }

    /// A version that no other has, near to now.
    fn new_version(&mut self, now: Timestamp) -> String {
        let next = self.last_version + SignedDuration::from_millis(1);
        self.last_version = now.max(next);
        stamp(self.last_version)
    }

    fn publish(&mut self, event: &'static str, mut body: Value, now: Timestamp) {
        body["eventType"] = event.into();
        body["timestamp"] = stamp(now).into();
        self.link.effects.push(Effect::Publish(event, body));
    }

    fn save_instance(&mut self, task: &str) {
        if let Some(instance) = self.instances.get(task) {
            let value = json!(instance);
            self.link.save(format!("instances/{task}"), value);
        }
    }

    fn save_deployment(&mut self, index: usize) {
        let deployment = &self.deployments[index];
        let (path, value) = (format!("deployments/{}", deployment.id), json!(deployment));
        self.link.save(path, value);
    }

    fn instances_of(&self, app: &str) -> impl Iterator<Item = &Instance> {
        self.instances.values().filter(move |instance| instance.app == app)
    }

    /// The app that an instance was started from, or that is wanted now.
    fn record_of(&self, app: &str, version: &str) -> Option<&Arc<Record>> {
        let exact = self.records.get(app).and_then(|versions| versions.get(version));
        exact.or_else(|| self.root.apps.get(app))
    }

    /// The deployments that touch an app.
    fn deployments_of(&self, app: &str) -> impl Iterator<Item = &Deployment> {
        self.deployments.iter().filter(move |deployment| {
            deployment
                .steps
                .iter()
                .flat_map(|s| &s.actions)
                .any(|action| action.app == app)
        })
    }
}

/// The path at which a version of an app is kept.
fn record_path(app: &str, version: &str) -> String {
    format!("apps/{}/{version}", id::joined(app, "_"))
}

impl leader::Core for Core {
    fn recover(&mut self, kept: &BTreeMap<String, Vec<u8>>) -> Result<(), Unreadable> {
        self.recover(kept)
    }

    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn subscribed(&mut self, framework_id: &str, again: bool, now: Timestamp) {
        self.link.subscribed(framework_id, "framework-id");
        if self.leads_since == Timestamp::UNIX_EPOCH {
            self.leads_since = now;
            if self.root.version == stamp(Timestamp::UNIX_EPOCH) {
                self.root.version = self.new_version(now);
            }
        }
        self.suppressed = false;
        let event = if again {
            "scheduler_reregistered_event"
        } else {
            "scheduler_registered_event"
        };
        self.publish(event, json!({"frameworkId": framework_id}), now);
        self.advance(now);
    }

    fn disconnected(&mut self, now: Timestamp) {
        self.link.is_subscribed = false;
        self.publish("scheduler_disconnected_event", json!({}), now);
    }

    fn offers(&mut self, offers: Vec<Offer>, now: Timestamp) {
        self.offers(offers, now);
    }

    fn update(&mut self, status: &Status, now: Timestamp) {
        self.update(status, now);
    }

    fn reconcile(&mut self) {
        let tasks = self.instances.values();
        let tasks =
            tasks.map(|i| (i.task.clone(), Some(i.agent.clone()))).collect::<Vec<_>>();
        if !tasks.is_empty() {
            self.link.call(Call::Reconcile(tasks));
        }
        self.link.call(Call::Reconcile(Vec::new()));
    }

    fn tick(&mut self, now: Timestamp) {
        self.tick(now);
    }
}
