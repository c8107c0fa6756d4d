//! Takes in what the master says of tasks and agents.

use super::{Call, Core};
use crate::framework::stamp;
use crate::marathon::instance::{self, Instance};
use crate::scheduler::Status;
use jiff::Timestamp;
use serde_json::json;

impl Core {
    /// A task's state.
    pub fn update(&mut self, status: &Status, now: Timestamp) {
        let task = &status.task_id.value;
        if self.instances.contains_key(task) {
            self.publish_update(status, now);
            if instance::is_terminal(&status.state) {
                self.ended(status, now);
            } else {
                self.goes_on(status, now);
            }
        } else if !instance::is_terminal(&status.state)
            && status.state != "TASK_UNREACHABLE"
        {
            // A task that nobody knows, of an app that is long gone.
            let agent = Some(status.agent_id.value.clone()).filter(|id| !id.is_empty());
            self.link.call(Call::Kill { task: task.clone(), agent });
        }
        self.link.call(Call::Acknowledge(Box::new(status.clone())));
        self.advance(now);
    }

    fn goes_on(&mut self, status: &Status, now: Timestamp) {
        let task = &status.task_id.value;
        let Some(instance) = self.instances.get_mut(task) else { return };
        let is_new = instance.state != status.state;
        status.state.clone_into(&mut instance.state);
        if status.state == "TASK_UNREACHABLE" {
            instance.unreachable_since.get_or_insert(now);
        } else {
            instance.unreachable_since = None;
        }
        if status.state == "TASK_RUNNING" {
            instance.started_at.get_or_insert(now);
            instance.addresses = status.addresses();
            if let Some(alive) = status.healthy {
                self.judged_by_agent(task, alive, now);
            }
        }
        self.save_instance(task);
        if let Some(instance) = self.instances.get(task).cloned().filter(|_| is_new) {
            self.publish_condition(&instance, now);
        }
    }

    /// Tells what an instance has come to.
    pub(super) fn publish_condition(&mut self, instance: &Instance, now: Timestamp) {
        let state = instance.state.trim_start_matches("TASK_");
        let condition = format!("{}{}", &state[..1], state[1..].to_lowercase());
        let body = json!({
            "instanceId": instance.id(), "condition": condition, "runSpecId": instance.app,
            "agentId": instance.agent, "host": instance.host, "runSpecVersion": instance.version,
        });
        self.publish("instance_changed_event", body, now);
    }

    /// The agent runs one check at most: the first that is its to run.
    fn judged_by_agent(&mut self, task: &str, alive: bool, now: Timestamp) {
        let Some(instance) = self.instances.get(task) else { return };
        let record = self.record_of(&instance.app, &instance.version);
        let checks = record.map(|record| record.app().health_checks).unwrap_or_default();
        if let Some(index) = checks.iter().position(|check| check.by_agent()) {
            self.judge(task, index, if alive { Ok(()) } else { Err(None) }, now);
        }
    }

    fn ended(&mut self, status: &Status, now: Timestamp) {
        let task = &status.task_id.value;
        let Some(mut instance) = self.instances.remove(task) else { return };
        status.state.clone_into(&mut instance.state);
        self.publish_condition(&instance, now);
        if instance.leaving {
            self.link.forget(format!("instances/{task}"));
        } else {
            // It is shown until its place is taken.
            self.link.save(format!("instances/{task}"), json!(instance));
            self.ended.push(instance.clone());
        }
        if instance.killing && matches!(&*status.state, "TASK_KILLED" | "TASK_FINISHED") {
            return;
        }
        if status.state != "TASK_KILLED" && status.state != "TASK_FINISHED" {
            self.note_failure(&instance, &status.state, &status.message, now);
        }
        if status.state != "TASK_KILLED" {
            self.delay(&instance, now);
        }
    }

    pub(super) fn note_failure(
        &mut self,
        instance: &Instance,
        state: &str,
        message: &str,
        now: Timestamp,
    ) {
        let failure = json!({
            "appId": instance.app, "host": instance.host, "message": message, "state": state,
            "taskId": instance.task, "slaveId": instance.agent,
            "timestamp": stamp(now), "version": instance.version,
        });
        self.link.save(
            format!("failures/{}", marathon_rules::id::joined(&instance.app, "_")),
            failure.clone(),
        );
        self.failures.insert(instance.app.clone(), failure);
    }

    fn delay(&mut self, instance: &Instance, now: Timestamp) {
        let Some(record) = self.root.apps.get(&instance.app) else { return };
        let app = record.app();
        let backoff = self.backoffs.entry(instance.app.clone()).or_default();
        if let Some(started) = instance.started_at {
            backoff.ran(now.duration_since(started).as_secs_f64());
        }
        backoff.fail(&app, now);
    }

    fn publish_update(&mut self, status: &Status, now: Timestamp) {
        let Some(instance) = self.instances.get(&status.task_id.value) else { return };
        let addresses = status.addresses().into_iter();
        let addresses = addresses.map(|a| json!({"ipAddress": a, "protocol": "IPv4"}));
        let body = json!({
            "slaveId": instance.agent, "taskId": instance.task, "taskStatus": status.state,
            "message": status.message, "appId": instance.app, "host": instance.host,
            "ipAddresses": addresses.collect::<serde_json::Value>(), "ports": instance.ports,
            "version": instance.version,
        });
        self.publish("status_update_event", body, now);
    }
}
