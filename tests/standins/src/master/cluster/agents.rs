//! Agents come, go and come back.

use serde_json::{Value, json};

use super::{Agent, Cluster, Framework, Stream, Task};
use crate::mesos::resources::Resources;
use crate::mesos::{id, list, text, wrapped};

/// What an agent says of itself when it registers.
#[derive(Debug, Clone)]
pub(in crate::master) struct Registration {
    /// Its `AgentInfo`, with an id when it had one.
    pub(in crate::master) info: Value,
    /// Its address, as Mesos writes it.
    pub(in crate::master) pid: String,
    /// Its tasks, each with its framework's info and what is known of it.
    pub(in crate::master) tasks: Vec<Value>,
}

impl Registration {
    /// Reads the message of an agent; `None` when it is none.
    pub(in crate::master) fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            info: value.get("info").filter(|info| info.is_object())?.clone(),
            pid: value.get("pid")?.as_str()?.to_owned(),
            tasks: list(&value["tasks"]).to_vec(),
        })
    }

    /// The id that the agent had before.
    pub(in crate::master) fn known_id(&self) -> Option<&str> {
        self.info["id"]["value"].as_str()
    }
}

impl Cluster {
    /// An id for an agent that has none.
    pub(in crate::master) fn new_agent_id(&mut self) -> String {
        let number = self.next_agent;
        self.next_agent += 1;
        format!("{}-S{number}", self.master_id)
    }

    /// Takes an agent in; its info has its id.
    pub(in crate::master) fn register(
        &mut self,
        registration: &Registration,
        stream: Stream,
        now: f64,
    ) {
        let info = registration.info.clone();
        let agent_id = id(&info, "id").to_owned();
        let was_known =
            !registration.tasks.is_empty() || self.agents.contains_key(&agent_id);
        let known = self.agents.remove(&agent_id);
        let registered = known.as_ref().map_or(now, |agent| agent.registered);
        let agent = Agent {
            total: Resources::from_json(&info["resources"]),
            info,
            pid: registration.pid.clone(),
            registered,
            reregistered: was_known.then_some(now),
            deactivated: false,
            drain: None,
            unavailability: None,
            stream: Some(stream),
            n_missed_pings: 0,
        };
        self.agents.insert(agent_id.clone(), agent);
        self.recover_tasks(&agent_id, &registration.tasks, now);
        self.reconcile_agent(&agent_id, &registration.tasks, now);
    }

    /// Marks an agent as one that has been with an earlier master.
    pub(in crate::master) fn set_reregistered(&mut self, agent: &str, now: f64) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.reregistered = Some(now);
        }
    }

    /// Takes over the tasks that an agent has, and frameworks known by them alone.
    fn recover_tasks(&mut self, agent: &str, tasks: &[Value], now: f64) {
        for value in tasks {
            let framework_id = id(&value["framework"], "id").to_owned();
            let is_over =
                self.completed.iter().any(|f| id(&f.info, "id") == framework_id);
            if is_over {
                self.shut_framework_down(agent, &framework_id);
                continue;
            }
            let framework = self
                .frameworks
                .entry(framework_id.clone())
                .or_insert_with(|| Framework::recovered(&value["framework"], now));
            let task = Task {
                info: value["task"].clone(),
                framework: framework_id,
                agent: agent.to_owned(),
                state: text(value, "state").to_owned(),
                statuses: list(&value["statuses"]).to_vec(),
                resources: Resources::from_json(&value["task"]["resources"]),
                role: framework.role().to_owned(),
            };
            let task_id = id(&task.info, "task_id").to_owned();
            framework.unreachable.remove(&task_id);
            framework.tasks.insert(task_id, task);
        }
    }

    /// Tasks that the agent should have and does not: their launch was lost.
    fn reconcile_agent(&mut self, agent: &str, told: &[Value], now: f64) {
        let is_told = |task: &Task| {
            let task_id = id(&task.info, "task_id");
            told.iter().any(|value| {
                id(&value["task"], "task_id") == task_id
                    && id(&value["framework"], "id") == task.framework
            })
        };
        let lost: Vec<Task> = self
            .tasks_of(agent)
            .filter(|task| !is_told(task) && !task.has_ended())
            .cloned()
            .collect();
        for task in lost {
            let status = json!({
                "state": "TASK_LOST",
                "reason": "REASON_RECONCILIATION",
                "message": "Task was not known to the re-registering agent",
            });
            self.end_by_master(&task, &status, now);
        }
    }

    pub(super) fn tasks_of(&self, agent: &str) -> impl Iterator<Item = &Task> {
        let tasks =
            self.frameworks.values().flat_map(|framework| framework.tasks.values());
        tasks.filter(move |task| task.agent == agent)
    }

    /// The stream to an agent has ended, unless a later one has begun.
    pub(in crate::master) fn disconnect_agent(
        &mut self,
        agent_id: &str,
        stream_id: &str,
    ) {
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        if agent.stream.as_ref().is_some_and(|stream| stream.id == stream_id) {
            agent.stream = None;
            self.rescind_agent(agent_id);
        }
    }

    /// Pings all agents; those that have not answered `limit` pings are returned.
    pub(in crate::master) fn ping(&mut self, limit: u32) -> Vec<String> {
        let mut silent = Vec::new();
        for (id, agent) in &mut self.agents {
            if agent.n_missed_pings >= limit {
                silent.push(id.clone());
            }
            agent.n_missed_pings += 1;
            agent.send(json!({"type": "PING"}));
        }
        silent
    }

    /// An agent has answered.
    pub(in crate::master) fn pong(&mut self, agent: &str) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.n_missed_pings = 0;
        }
    }

    /// An agent does not answer any more: its tasks may still run.
    pub(in crate::master) fn lose_agent(&mut self, agent_id: &str, now: f64) {
        let tasks: Vec<Task> = self.tasks_of(agent_id).cloned().collect();
        for task in tasks {
            let Some(framework) = self.frameworks.get_mut(&task.framework) else {
                continue;
            };
            let aware = framework.can("PARTITION_AWARE");
            let state = if aware { "TASK_UNREACHABLE" } else { "TASK_LOST" };
            let mut unreachable = task.clone();
            unreachable.state = state.to_owned();
            let task_id = id(&task.info, "task_id").to_owned();
            framework.tasks.remove(&task_id);
            framework.unreachable.insert(task_id, unreachable);
            let status = json!({
                "state": state,
                "reason": "REASON_SLAVE_REMOVED",
                "message": "Agent has been marked unreachable",
            });
            framework.tell(&task, &status, now);
        }
        self.remove_agent(agent_id, None);
    }

    /// An agent is gone for good, and its tasks with it.
    pub(in crate::master) fn end_agent(
        &mut self,
        agent_id: &str,
        message: &str,
        now: f64,
    ) {
        let tasks: Vec<Task> = self.tasks_of(agent_id).cloned().collect();
        for task in tasks {
            let Some(framework) = self.frameworks.get(&task.framework) else { continue };
            let aware = framework.can("PARTITION_AWARE");
            let state = if aware { "TASK_GONE_BY_OPERATOR" } else { "TASK_LOST" };
            let status = json!({
                "state": state,
                "reason": "REASON_SLAVE_REMOVED_BY_OPERATOR",
                "message": message,
            });
            self.end_by_master(&task, &status, now);
        }
        self.remove_agent(agent_id, Some(message));
    }

    fn remove_agent(&mut self, agent_id: &str, shutdown: Option<&str>) {
        self.rescind_agent(agent_id);
        let Some(agent) = self.agents.remove(agent_id) else { return };
        if let Some(message) = shutdown {
            agent.send(json!({"type": "SHUTDOWN", "message": message}));
        }
        let event =
            json!({"type": "FAILURE", "failure": {"agent_id": wrapped(agent_id)}});
        self.frameworks.values().for_each(|framework| framework.send(event.clone()));
    }

    pub(super) fn shut_framework_down(&self, agent: &str, framework: &str) {
        if let Some(agent) = self.agents.get(agent) {
            let framework_id = wrapped(framework);
            agent.send(
                json!({"type": "SHUTDOWN_FRAMEWORK", "framework_id": framework_id}),
            );
        }
    }
}
