//! One instance of an app: its task, what is known of it, and how it is shown. Pure.

use super::constraint::Place;
use crate::framework::stamp;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An instance and its one task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// The task's id: `prod_rabbit.instance-<uuid>._app.1`.
    pub task: String,
    /// The app.
    pub app: String,
    /// The version of the app that it was started from.
    pub version: String,
    /// The agent's id.
    pub agent: String,
    /// Where it is.
    #[serde(skip)]
    pub place: Place,
    /// Where it is, for the store.
    pub host: String,
    /// The agent's attributes, for the store.
    pub attributes: BTreeMap<String, String>,
    /// The agent's region and zone.
    pub domain: (Option<String>, Option<String>),
    /// Ports of the host.
    pub ports: Vec<u32>,
    /// The role of it.
    pub role: String,
    /// The state that Mesos told last; `TASK_STAGING` before.
    pub state: String,
    /// When it was launched.
    pub staged_at: Timestamp,
    /// When it first ran.
    pub started_at: Option<Timestamp>,
    /// Since when it cannot be reached.
    pub unreachable_since: Option<Timestamp>,
    /// Whether it is to end.
    pub killing: bool,
    /// Whether nothing is to take its place when it has ended.
    pub leaving: bool,
    /// When its end was last asked for.
    #[serde(skip)]
    pub kill_sent: Option<Timestamp>,
    /// Addresses of its container.
    pub addresses: Vec<String>,
    /// What is known of its health: one for each check.
    #[serde(skip)]
    pub health: Vec<Health>,
    /// What its readiness checks found, while a deployment waits for them.
    #[serde(skip)]
    pub readiness: Vec<Readiness>,
}

/// What a readiness check found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readiness {
    /// Whether it was good once.
    pub ready: bool,
    /// The last answer.
    pub response: Option<Value>,
    /// When it was last asked.
    pub asked: Option<Timestamp>,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// The last verdict; none before the first.
    pub alive: Option<bool>,
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// The first success.
    pub first_success: Option<Timestamp>,
    /// The last success.
    pub last_success: Option<Timestamp>,
    /// The last failure.
    pub last_failure: Option<Timestamp>,
    /// Why it failed last.
    pub cause: Option<String>,
    /// When it was last asked.
    pub asked: Option<Timestamp>,
}

/// Whether a state is the end of a task.
pub fn is_terminal(state: &str) -> bool {
    crate::mesos::is_terminal(state) || state == "TASK_UNKNOWN"
}

impl Instance {
    /// The instance's id, without the part that counts its tasks.
    pub fn id(&self) -> &str {
        self.task.split("._app").next().unwrap_or(&self.task)
    }

    /// Puts back what the store does not keep.
    pub fn restored(mut self, n_checks: usize) -> Self {
        self.place = Place {
            host: self.host.clone(),
            attributes: self.attributes.clone(),
            region: self.domain.0.clone(),
            zone: self.domain.1.clone(),
        };
        self.health.resize(n_checks, Health::default());
        self
    }

    /// The id of the task that takes the place of its own.
    pub fn next_task(&self) -> String {
        let number = self.task.rsplit('.').next().and_then(|n| n.parse::<u64>().ok());
        format!("{}._app.{}", self.id(), number.unwrap_or_default() + 1)
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.state == "TASK_RUNNING"
    }

    /// Whether every check has found it alive; so it is when there is no check.
    pub fn healthy(&self) -> bool {
        self.health.iter().all(|health| health.alive == Some(true))
    }

    /// Whether a check has found it dead.
    pub fn unhealthy(&self) -> bool {
        self.health.iter().any(|health| health.alive == Some(false))
    }

    /// What a check found, on record.
    ///
    /// Returns whether the verdict is another than before.
    pub fn judge(
        &mut self,
        check: usize,
        alive: bool,
        cause: Option<String>,
        now: Timestamp,
    ) -> bool {
        let Some(health) = self.health.get_mut(check) else { return false };
        let before = health.alive.replace(alive);
        if alive {
            health.first_success.get_or_insert(now);
            health.last_success = Some(now);
            health.consecutive_failures = 0;
        } else {
            health.last_failure = Some(now);
            health.cause = cause;
            health.consecutive_failures += 1;
        }
        before != Some(alive)
    }

    /// How the task is shown.
    pub fn json(&self, service_ports: &[u32]) -> Value {
        let addresses = self
            .addresses
            .iter()
            .map(|address| json!({"ipAddress": address, "protocol": "IPv4"}));
        let mut shown = json!({
            "id": self.task, "appId": self.app, "host": self.host, "slaveId": self.agent,
            "state": self.state, "ports": [], "servicePorts": service_ports,
            "ipAddresses": addresses.collect::<Value>(), "localVolumes": [], "role": self.role,
            "healthCheckResults": self.health_json(),
        });
        // Of one that has ended less is told.
        if !is_terminal(&self.state) {
            shown["version"] = self.version.clone().into();
            shown["ports"] = json!(self.ports);
            shown["stagedAt"] = stamp(self.staged_at).into();
            if let Some(started) = self.started_at {
                shown["startedAt"] = stamp(started).into();
            }
        }
        for (key, value) in [("region", &self.domain.0), ("zone", &self.domain.1)] {
            if let Some(value) = value {
                shown[key] = value.clone().into();
            }
        }
        shown
    }

    fn health_json(&self) -> Value {
        let known = self.health.iter().filter(|health| health.alive.is_some());
        let each = known.map(|health| {
            let mut shown = json!({
                "instanceId": format!("instance [{}]", self.id()), "alive": health.alive,
                "consecutiveFailures": health.consecutive_failures,
            });
            let times = [
                ("firstSuccess", health.first_success),
                ("lastSuccess", health.last_success),
                ("lastFailure", health.last_failure),
            ];
            for (key, time) in times {
                if let Some(time) = time {
                    shown[key] = stamp(time).into();
                }
            }
            if let Some(cause) = &health.cause {
                shown["lastFailureCause"] = cause.clone().into();
            }
            shown
        });
        each.collect()
    }
}
