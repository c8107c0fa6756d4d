//! What becomes of tasks: updates, acknowledgements, reconciliation.

use serde_json::{Value, json};

use super::{Cluster, Framework, Task};
use crate::mesos::{copy_members, id, is_terminal, list, now, text, wrapped};

/// The members of a status that older endpoints show.
const PLAIN_MEMBERS: [&str; 5] =
    ["state", "timestamp", "labels", "container_status", "healthy"];

impl Cluster {
    /// Takes an agent's update of a task and passes it on; `false` when the task is unknown.
    pub(in crate::master) fn update(&mut self, framework: &str, status: &Value) -> bool {
        let Some(framework) = self.frameworks.get_mut(framework) else { return false };
        if let Some(task) = framework.tasks.get_mut(id(status, "task_id")) {
            task.take(status);
        }
        framework.send(json!({"type": "UPDATE", "update": {"status": status}}));
        true
    }

    /// A framework has seen an update: its agent may forget it, and a task that has ended goes.
    pub(in crate::master) fn acknowledge(&mut self, framework_id: &str, call: &Value) {
        let (task_id, agent_id) = (id(call, "task_id"), id(call, "agent_id"));
        if let Some(agent) = self.agents.get(agent_id) {
            agent.send(json!({
                "type": "ACKNOWLEDGE",
                "framework_id": wrapped(framework_id),
                "task_id": wrapped(task_id),
                "uuid": call["uuid"],
            }));
        }
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let ends = framework.tasks.get(task_id).is_some_and(|task| {
            let last = task.statuses.last().unwrap_or(&Value::Null);
            task.has_ended() && last["uuid"] == call["uuid"]
        });
        if ends && let Some(task) = framework.tasks.remove(task_id) {
            framework.complete(task);
        }
    }

    /// Ends a task without its agent, and tells its framework.
    pub(super) fn end_by_master(&mut self, task: &Task, status: &Value, now: f64) {
        let Some(framework) = self.frameworks.get_mut(&task.framework) else { return };
        framework.tell(task, status, now);
        if let Some(mut task) = framework.tasks.remove(id(&task.info, "task_id")) {
            let status = task.by_master(status, now);
            task.take(&status);
            framework.complete(task);
        }
    }

    /// Tells a framework how tasks stand: those it names, or all of them.
    pub(in crate::master) fn reconcile(
        &self,
        framework_id: &str,
        call: &Value,
        recovered: &dyn Fn(&str) -> bool,
    ) {
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        let named = list(&call["tasks"]);
        if named.is_empty() {
            let tasks = framework.tasks.values().chain(framework.unreachable.values());
            tasks.for_each(|task| framework.tell_latest(task));
        }
        for name in named {
            let task_id = id(name, "task_id");
            let known = framework.tasks.get(task_id);
            match known.or_else(|| framework.unreachable.get(task_id)) {
                Some(task) => framework.tell_latest(task),
                // Its agent may still come back and tell.
                None if recovered(id(name, "agent_id")) => (),
                None => framework.tell_unknown(name, self),
            }
        }
    }

    /// Asks the agent of a task to kill it.
    pub(in crate::master) fn kill(&self, framework_id: &str, call: &Value) {
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        let Some(task) = framework.tasks.get(id(call, "task_id")) else {
            framework.tell_unknown(call, self);
            return;
        };
        if let Some(agent) = self.agents.get(&task.agent) {
            let mut message = json!({
                "type": "KILL",
                "framework_id": wrapped(framework_id),
                "task_id": call["task_id"],
            });
            copy_members(call, &mut message, &["kill_policy"]);
            agent.send(message);
        }
    }
}

impl Framework {
    /// Tells of a task by the master itself: nothing to acknowledge.
    pub(super) fn tell(&self, task: &Task, status: &Value, now: f64) {
        let status = task.by_master(status, now);
        self.send(json!({"type": "UPDATE", "update": {"status": status}}));
    }

    fn tell_latest(&self, task: &Task) {
        let mut status = json!({
            "state": task.state,
            "reason": "REASON_RECONCILIATION",
            "message": "Reconciliation: Latest task state",
        });
        let last = task.statuses.last().unwrap_or(&Value::Null);
        copy_members(last, &mut status, &["healthy", "container_status", "labels"]);
        self.tell(task, &status, now());
    }

    fn tell_unknown(&self, name: &Value, cluster: &Cluster) {
        let aware = self.can("PARTITION_AWARE");
        let is_registered = cluster.agents.contains_key(id(name, "agent_id"));
        let state = match (aware, is_registered) {
            (false, _) => "TASK_LOST",
            (true, true) => "TASK_GONE",
            (true, false) => "TASK_UNKNOWN",
        };
        let mut status = json!({
            "task_id": name["task_id"],
            "state": state,
            "source": "SOURCE_MASTER",
            "reason": "REASON_RECONCILIATION",
            "message": "Reconciliation: Task is unknown",
            "timestamp": now(),
        });
        copy_members(name, &mut status, &["agent_id"]);
        self.send(json!({"type": "UPDATE", "update": {"status": status}}));
    }
}

impl Task {
    /// A status as from the master itself: without an id to acknowledge it by.
    pub(super) fn by_master(&self, status: &Value, now: f64) -> Value {
        let mut status = status.clone();
        status["task_id"] = self.info["task_id"].clone();
        status["agent_id"] = wrapped(&self.agent);
        status["source"] = json!("SOURCE_MASTER");
        status["timestamp"] = json!(now);
        status
    }

    pub(super) fn take(&mut self, status: &Value) {
        // A late update never brings a task back from its end.
        if !is_terminal(&self.state) {
            self.state = text(status, "state").to_owned();
        }
        let is_known =
            |known: &Value| status["uuid"].is_string() && known["uuid"] == status["uuid"];
        if !self.statuses.iter().any(is_known) {
            // As the real one, which keeps the last status of each state.
            self.statuses.retain(|known| known["state"] != status["state"]);
            self.statuses.push(status.clone());
        }
    }

    /// As the older endpoints show it.
    pub(in crate::master) fn plain(&self) -> Value {
        let statuses: Vec<Value> = self
            .statuses
            .iter()
            .map(|status| {
                let mut plain = json!({});
                copy_members(status, &mut plain, &PLAIN_MEMBERS);
                if let Some(container) = plain.get_mut("container_status") {
                    container.as_object_mut().map(|c| c.remove("executor_pid"));
                }
                plain
            })
            .collect();
        let mut plain = json!({
            "id": self.info["task_id"]["value"],
            "name": self.info["name"],
            "framework_id": self.framework,
            "executor_id": "",
            "slave_id": self.agent,
            "state": self.state,
            "resources": self.resources.plain(),
            "role": self.role,
            "statuses": statuses,
        });
        if let Some(labels) = self.info["labels"].get("labels") {
            plain["labels"] = labels.clone();
        }
        copy_members(&self.info, &mut plain, &["discovery", "container", "health_check"]);
        plain
    }

    /// As a `Task` message.
    pub(in crate::master) fn full(&self) -> Value {
        let extra = json!({"allocation_info": {"role": self.role}});
        let mut full = json!({
            "name": self.info["name"],
            "task_id": self.info["task_id"],
            "framework_id": wrapped(&self.framework),
            "agent_id": wrapped(&self.agent),
            "state": self.state,
            "resources": self.resources.full(&extra),
            "statuses": self.statuses,
        });
        let mut told = self.statuses.iter().rev();
        if let Some(last) = told.find(|status| status["uuid"].is_string()) {
            full["status_update_state"] = last["state"].clone();
            full["status_update_uuid"] = last["uuid"].clone();
        }
        let more = ["labels", "discovery", "container", "health_check", "kill_policy"];
        copy_members(&self.info, &mut full, &more);
        full
    }
}
