//! Which checks are due, and what their results mean.

use super::Core;
use crate::marathon::instance::Instance;
use crate::marathon::task;
use jiff::Timestamp;
use marathon_rules::app::{App, HealthCheck, ReadinessCheck};
use serde_json::{Value, json};
use std::time::Duration;

/// A check that is to be made now, from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Of which task.
    pub task: String,
    /// Which of the app's checks.
    pub check: usize,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u32,
    /// The path of a request; none when a connection is enough.
    pub path: Option<String>,
    /// How long it may take.
    pub timeout: Duration,
    /// Which statuses are good.
    pub good: Vec<u16>,
    /// Whether it is a readiness check, of those which.
    pub is_readiness: bool,
}

/// What a probe found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finding {
    /// What is wrong, if anything.
    pub wrong: Option<String>,
    /// The answer: its status, type and body.
    pub response: Option<Value>,
}

impl Core {
    /// The checks of Marathon that are due; they count as asked.
    pub fn due_probes(&mut self, now: Timestamp) -> Vec<Probe> {
        let mut due = Vec::new();
        for instance in self.instances.values().filter(|i| i.runs()) {
            let Some(record) = self.record_of(&instance.app, &instance.version) else {
                continue;
            };
            let app = record.app();
            for (index, check) in app.health_checks.iter().enumerate() {
                due.extend(probe(&app, check, instance, index, now));
            }
            if self.deployments_of(&app.id).next().is_some() {
                for (index, check) in app.readiness_checks.iter().enumerate() {
                    due.extend(readiness_probe(&app, check, instance, index, now));
                }
            }
        }
        for probe in &due {
            let Some(instance) = self.instances.get_mut(&probe.task) else { continue };
            if probe.is_readiness {
                instance.readiness[probe.check].asked = Some(now);
            } else if let Some(health) = instance.health.get_mut(probe.check) {
                health.asked = Some(now);
            }
        }
        due
    }

    /// What a probe found.
    pub fn probed(&mut self, probe: &Probe, found: Finding, now: Timestamp) {
        if probe.is_readiness {
            let instance = self.instances.get_mut(&probe.task);
            if let Some(check) = instance.and_then(|i| i.readiness.get_mut(probe.check)) {
                check.ready |= found.wrong.is_none();
                check.response = found.response;
            }
        } else {
            let verdict = found.wrong.map_or(Ok(()), |cause| Err(Some(cause)));
            self.judge(&probe.task, probe.check, verdict, now);
        }
        self.advance(now);
    }

    /// What is found of the readiness checks of an app that are not good yet.
    pub(super) fn readiness_json(&self, app: &str) -> Value {
        let names = self.root.apps.get(app).map(|record| record.app().readiness_checks);
        let names = names.unwrap_or_default();
        let waiting = self.instances_of(app).flat_map(|instance| {
            instance.readiness.iter().zip(&names).map(move |pair| (instance, pair))
        });
        let shown =
            waiting.filter(|(_, (check, _))| !check.ready && check.asked.is_some());
        let shown = shown.map(|(instance, (check, rule))| {
            let mut shown =
                json!({"name": rule.name, "taskId": instance.task, "ready": false});
            if let Some(response) =
                check.response.as_ref().filter(|_| rule.preserve_last_response)
            {
                shown["lastResponse"] = response.clone();
            }
            shown
        });
        shown.collect()
    }

    pub(super) fn judge(
        &mut self,
        task: &str,
        check: usize,
        verdict: Result<(), Option<String>>,
        now: Timestamp,
    ) {
        let (alive, cause) = (verdict.is_ok(), verdict.err().flatten());
        let Some(instance) = self.instances.get_mut(task) else { return };
        let first = instance.health.get(check).is_some_and(|h| h.first_success.is_none());
        let (app, version) = (instance.app.clone(), instance.version.clone());
        let grace = self.record_of(&app, &version).and_then(|record| {
            let checks = record.app().health_checks;
            checks.get(check).map(|check| check.grace_period_seconds)
        });
        let Some(instance) = self.instances.get_mut(task) else { return };
        let age = instance.started_at.map(|t| now.duration_since(t).as_secs_f64());
        let in_grace = first && age.zip(grace).is_some_and(|(age, grace)| age < grace);
        if !alive && in_grace {
            if let Some(health) = instance.health.get_mut(check) {
                health.alive.get_or_insert(false);
            }
            return;
        }
        let id = instance.id().to_owned();
        if instance.judge(check, alive, cause, now) {
            let body = json!({
                "instanceId": id, "runSpecId": app, "healthy": alive, "runSpecVersion": version,
            });
            self.publish("instance_health_changed_event", body, now);
            let body = json!({
                "appId": app, "instanceId": id, "version": version, "alive": alive,
            });
            self.publish("health_status_changed_event", body, now);
        }
        if !alive {
            self.kill_unhealthy(task, check, now);
        }
    }

    /// Ends a task that failed too often. Of checks that the agent makes, the agent does that.
    fn kill_unhealthy(&mut self, task: &str, check: usize, now: Timestamp) {
        let Some(instance) = self.instances.get(task).cloned() else { return };
        let Some(record) = self.record_of(&instance.app, &instance.version) else {
            return;
        };
        let app = record.app();
        let Some(rule) = app.health_checks.get(check).filter(|check| !check.by_agent())
        else {
            return;
        };
        let failures = instance.health.get(check).map_or(0, |h| h.consecutive_failures);
        let body = json!({
            "appId": app.id, "taskId": task, "instanceId": instance.id(),
            "version": instance.version, "host": instance.host, "slaveId": instance.agent,
        });
        self.publish("failed_health_check_event", body.clone(), now);
        let most = rule.max_consecutive_failures;
        if most > 0 && failures >= most && !instance.killing {
            self.publish("unhealthy_instance_kill_event", body, now);
            let cause = instance.health[check].cause.clone().unwrap_or_default();
            let text =
                format!("Task was killed since health check failed. Reason: {cause}");
            self.note_failure(&instance, "TASK_KILLED", &text, now);
            self.kill_instance(task, now);
        }
    }
}

fn probe(
    app: &App,
    check: &HealthCheck,
    instance: &Instance,
    index: usize,
    now: Timestamp,
) -> Option<Probe> {
    let known = instance.health.get(index)?;
    if check.by_agent() || !rested(known.asked, check.interval_seconds, now) {
        return None;
    }
    let ports: Vec<_> = instance.ports.iter().copied().map(Some).collect();
    let port = task::check_port(app, check, &ports)?;
    let path = check.path.clone().unwrap_or_else(|| "/".to_owned());
    let host = match app.mode() {
        "container" => instance.addresses.first().unwrap_or(&instance.host),
        _ => &instance.host,
    };
    Some(Probe {
        task: instance.task.clone(),
        check: index,
        host: host.clone(),
        port,
        path: check.protocol.starts_with("HTTP").then_some(path),
        timeout: Duration::from_secs_f64(check.timeout_seconds.clamp(0.1, 3600.0)),
        good: (200..400).collect(),
        is_readiness: false,
    })
}

fn rested(asked: Option<Timestamp>, interval: f64, now: Timestamp) -> bool {
    asked.is_none_or(|asked| now.duration_since(asked).as_secs_f64() >= interval)
}

fn readiness_probe(
    app: &App,
    check: &ReadinessCheck,
    instance: &Instance,
    index: usize,
    now: Timestamp,
) -> Option<Probe> {
    let known = instance.readiness.get(index).filter(|known| !known.ready)?;
    let port = app.ports().iter().position(|port| port.name == check.port_name)?;
    Some(Probe {
        task: instance.task.clone(),
        check: index,
        host: instance.host.clone(),
        port: instance
            .ports
            .get(port)
            .copied()
            .filter(|_| rested(known.asked, check.interval_seconds, now))?,
        path: Some(check.path.clone()),
        timeout: Duration::from_secs_f64(check.timeout_seconds.clamp(0.1, 3600.0)),
        good: check.http_status_codes_for_ready.clone(),
        is_readiness: true,
    })
}
