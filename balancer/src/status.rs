//! What the balancer tells about itself, as JSON and for Prometheus.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use platform_daemon::journal::say;
use platform_daemon::pages::{self, age};
use serde::Serialize;
use serde_json::Value;

use crate::marathon::{App, State};
use crate::mesos::Mesos;
use crate::servers_state::SlotState;
use crate::services::{Check, Clash, Quarantined};
use crate::wanted::Role;

/// Everything that is told.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Status {
    /// The Marathon whose events are followed.
    pub leader: Option<String>,
    /// Why events are not followed.
    pub stream_error: Option<String>,
    /// Why the last list could not be read.
    pub list_error: Option<String>,
    /// Why HAProxy does not do what is wanted; it goes on with what it did before.
    pub haproxy_error: Option<String>,
    /// What the leading master said last, for the landing page.
    #[serde(skip)]
    pub mesos: Option<Mesos>,
    /// Why the masters did not say more since then.
    pub mesos_error: Option<String>,
    /// What is counted.
    pub counts: Counts,
    /// When the last good list was asked for.
    #[serde(skip)]
    pub last_list: Option<Instant>,
    /// When HAProxy last did all that was wanted.
    #[serde(skip)]
    pub last_good: Option<Instant>,
    /// What is served.
    pub services: Vec<ServiceRow>,
    /// What is not served, with the reasons.
    pub quarantined: Vec<Quarantined>,
    /// Service ports that several apps want.
    pub clashes: Vec<Clash>,
    /// All apps.
    pub apps: Vec<AppRow>,
}

/// What is counted since the start.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Counts {
    /// Lists that were read.
    pub lists: u64,
    /// Lists that could not be read.
    pub failed_lists: u64,
    /// Events.
    pub events: u64,
    /// Times that the stream was opened.
    pub connections: u64,
    /// Reloads of HAProxy.
    pub reloads: u64,
    /// Reloads that failed.
    pub failed_reloads: u64,
    /// Commands to HAProxy.
    pub commands: u64,
    /// Commands that HAProxy objected to.
    pub objections: u64,
}

/// A service.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceRow {
    /// The app.
    pub app: String,
    /// The port's place among the app's ports.
    pub index: usize,
    /// The service port.
    pub port: u16,
    /// The protocol.
    pub mode: &'static str,
    /// The virtual hosts.
    pub vhosts: Vec<String>,
    /// The path at the virtual hosts.
    pub path: Option<String>,
    /// How Marathon checks it.
    pub check: Option<Check>,
    /// Whether the tasks have addresses of their own, to which this host needs a route.
    pub needs_route: bool,
    /// Its servers.
    pub servers: Vec<ServerRow>,
}

/// A server.
#[derive(Debug, Clone, Serialize)]
pub struct ServerRow {
    /// The task.
    pub task: String,
    /// Where it listens.
    pub address: String,
    /// Whether it is going: it leaves when another one is up.
    pub is_going: bool,
    /// What it does in HAProxy: `up`, `down`, `draining` or `none`.
    pub state: &'static str,
}

/// An app, whether it is served or not.
#[derive(Debug, Clone, Serialize)]
pub struct AppRow {
    /// Its id.
    pub id: String,
    /// The memory of each task, in MiB.
    pub mem: f64,
    /// The share of CPUs of each task.
    pub cpus: f64,
    /// How many tasks it should have.
    pub instances: u32,
    /// Tasks that do not run yet.
    pub staged: u32,
    /// Tasks that run.
    pub running: u32,
    /// Tasks that pass their health checks; `None` if it has none.
    pub healthy: Option<u32>,
    /// Tasks that fail them.
    pub unhealthy: u32,
    /// How many of its running tasks are on each host.
    pub hosts: BTreeMap<String, usize>,
    /// What it does: `deploying`, `suspended`, `running` or `waiting`.
    pub status: &'static str,
    /// Where it answers: service ports and virtual hosts.
    pub addresses: Vec<String>,
}

impl AppRow {
    /// A row without addresses.
    pub fn of(app: &App) -> Self {
        let status = match () {
            () if !app.deployments.is_empty() => "deploying",
            () if app.instances == 0 => "suspended",
            () if app.tasks_running < app.instances => "waiting",
            () => "running",
        };
        Self {
            id: app.id.clone(),
            mem: app.mem,
            cpus: app.cpus,
            instances: app.instances,
            staged: app.tasks_staged,
            running: app.tasks_running,
            healthy: (!app.health_checks.is_empty()).then_some(app.tasks_healthy),
            unhealthy: app.tasks_unhealthy,
            hosts: hosts(app),
            status,
            addresses: Vec::new(),
        }
    }

    /// How many tasks are in each state of health; `missing` are those that do not exist.
    pub fn health(&self) -> [(&'static str, u32); 5] {
        let (healthy, unhealthy) = self.healthy.map_or((0, 0), |n| (n, self.unhealthy));
        [
            ("healthy", healthy),
            ("unhealthy", unhealthy),
            ("unchecked", self.running.saturating_sub(healthy + unhealthy)),
            ("staged", self.staged),
            ("missing", self.instances.saturating_sub(self.running + self.staged)),
        ]
    }
}

fn hosts(app: &App) -> BTreeMap<String, usize> {
    let mut hosts = BTreeMap::new();
    for task in app.tasks.iter().filter(|task| task.state == State::Running) {
        *hosts.entry(task.host.clone()).or_default() += 1;
    }
    hosts
}

impl ServerRow {
    /// A row of a server that does this in HAProxy.
    pub fn new(
        task: &str,
        address: String,
        role: Role,
        state: Option<SlotState>,
    ) -> Self {
        let state = match state {
            Some(SlotState::Up) => "up",
            Some(SlotState::Down) => "down",
            Some(SlotState::Draining) => "draining",
            Some(SlotState::Free) | None => "none",
        };
        Self { task: task.to_owned(), address, is_going: role == Role::Going, state }
    }
}

impl Status {
    /// Takes what the masters answered, or why they did not: then the answer before stays, whose age
    /// the page tells.
    pub fn note_mesos(&mut self, answer: Result<Mesos, String>) {
        match answer {
            Ok(mesos) => {
                self.mesos = Some(mesos);
                self.mesos_error = None;
            }
            Err(reason) if self.mesos_error.as_ref() == Some(&reason) => {}
            Err(reason) => {
                say(format_args!("no summary of Mesos for the page: {reason}"));
                self.mesos_error = Some(reason);
            }
        }
    }

    /// The text of `/status.json`.
    pub fn json(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(members) = &mut value {
            members.insert("last_list_seconds_ago".to_owned(), age(self.last_list));
            members.insert("last_good_seconds_ago".to_owned(), age(self.last_good));
        }
        value.to_string()
    }

    /// The text of `/metrics`.
    pub fn metrics(&self) -> String {
        let mut out = String::new();
        self.write_gauges(&mut out);
        self.write_counters(&mut out);
        out
    }

    fn write_gauges(&self, out: &mut String) {
        let servers = || self.services.iter().flat_map(|service| &service.servers);
        let n_in = |state: &str| servers().filter(|server| server.state == state).count();
        let number = |n: usize| Value::from(n);
        for (name, help, value) in [
            (
                "configuration_age_seconds",
                "Time since HAProxy did all that was wanted",
                age(self.last_good),
            ),
            ("list_age_seconds", "Time since the last good list", age(self.last_list)),
            (
                "stream_connected",
                "Whether events are followed",
                Value::from(u8::from(self.leader.is_some())),
            ),
            ("services", "Ports that are served", number(self.services.len())),
            ("servers_up", "Servers that take requests", number(n_in("up"))),
            ("servers_down", "Servers that do not answer", number(n_in("down"))),
            ("quarantined", "Ports that are not served", number(self.quarantined.len())),
            ("clashes", "Ports that several apps want", number(self.clashes.len())),
        ] {
            metric(out, "gauge", name, help, &value);
        }
    }

    fn write_counters(&self, out: &mut String) {
        let counts = &self.counts;
        for (name, help, value) in [
            ("lists_total", "Lists that were read", counts.lists),
            ("failed_lists_total", "Lists that could not be read", counts.failed_lists),
            ("events_total", "Events", counts.events),
            ("connections_total", "Times that the stream was opened", counts.connections),
            ("reloads_total", "Reloads of HAProxy", counts.reloads),
            ("failed_reloads_total", "Reloads that failed", counts.failed_reloads),
            ("commands_total", "Commands to HAProxy", counts.commands),
            ("objections_total", "Commands that HAProxy objected to", counts.objections),
        ] {
            metric(out, "counter", name, help, &Value::from(value));
        }
    }
}

fn metric(out: &mut String, kind: &str, name: &str, help: &str, value: &Value) {
    pages::metric(out, kind, &format!("platform_balancer_{name}"), help, value);
}

/// The status, which the loop changes and the server shows.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Status>>);

impl Board {
    /// The status, until the guard is dropped.
    pub fn status(&self) -> MutexGuard<'_, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::Summary;
    use crate::tests::app;

    #[test]
    fn a_failure_keeps_what_was_known_of_mesos() {
        let mut status = Status::default();
        let summary = Summary::parse(br#"{"slaves":[{},{}]}"#).unwrap();
        let leader = "10.0.0.1:5050".to_owned();
        status.note_mesos(Ok(Mesos { leader, summary, asked: Instant::now() }));
        status.note_mesos(Err("it is silent".to_owned()));
        assert_eq!(status.mesos.unwrap().summary.agents.len(), 2);
        assert_eq!(status.mesos_error.as_deref(), Some("it is silent"));
    }

    #[test]
    fn every_task_is_counted_once() {
        let mut row = AppRow::of(&app("/a", 10001, &[]));
        (row.instances, row.running, row.staged) = (7, 4, 1);
        let counts = |row: &AppRow| row.health().map(|(_, n)| n);
        assert_eq!(counts(&row), [0, 0, 4, 1, 2]);
        (row.healthy, row.unhealthy) = (Some(2), 1);
        assert_eq!(counts(&row), [2, 1, 1, 1, 2]);
        row.instances = 2;
        assert_eq!(counts(&row), [2, 1, 1, 1, 0]);
    }

    #[test]
    fn what_never_happened_has_no_age() {
        let mut status = Status::default();
        assert!(!status.metrics().contains("configuration_age"));
        assert!(status.json().contains(r#""last_good_seconds_ago":null"#));
        status.last_good = Some(Instant::now());
        assert!(
            status
                .metrics()
                .contains("\nplatform_balancer_configuration_age_seconds 0.0")
        );
    }
}
