//! What the leading master knows of its agents, frameworks, tasks and offers.
//!
//! Values and queues only: nothing here waits, reads a clock or touches the network. Messages go
//! into the queues of the streams that agents and frameworks listen to.

mod agents;
mod allocate;
mod frameworks;
mod launch;
mod tasks;

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::registry::{Drain, Registry};
use crate::mesos::resources::Resources;
use crate::mesos::{is_terminal, list, text};

pub(in crate::master) use agents::Registration;

/// How many frameworks and tasks that have ended are remembered.
const N_COMPLETED: usize = 1000;

/// Messages to one listener, as JSON.
pub(in crate::master) type Queue = UnboundedSender<Value>;

/// A stream to one listener; a later stream to the same listener has another number.
#[derive(Debug, Clone)]
pub(in crate::master) struct Stream {
    /// Tells this stream from earlier ones.
    pub(in crate::master) id: String,
    /// What goes out on it.
    pub(in crate::master) queue: Queue,
}

/// The whole of it.
#[derive(Debug, Default)]
pub(in crate::master) struct Cluster {
    /// The master's id, which the ids that it gives begin with.
    pub(in crate::master) master_id: String,
    /// The master's `MasterInfo`.
    pub(in crate::master) master_info: Value,
    /// Agents that have registered with this master.
    pub(in crate::master) agents: BTreeMap<String, Agent>,
    /// Frameworks that may have tasks.
    pub(in crate::master) frameworks: BTreeMap<String, Framework>,
    /// Frameworks that are over.
    pub(in crate::master) completed: VecDeque<Framework>,
    /// Offers that stand.
    pub(in crate::master) offers: BTreeMap<String, Offer>,
    next_agent: u64,
    next_framework: u64,
    next_offer: u64,
}

/// A registered agent.
#[derive(Debug)]
pub(in crate::master) struct Agent {
    /// Its `AgentInfo`, id included.
    pub(in crate::master) info: Value,
    /// Its address, as Mesos writes it.
    pub(in crate::master) pid: String,
    /// When it registered, in seconds since 1970.
    pub(in crate::master) registered: f64,
    /// When it last came back.
    pub(in crate::master) reregistered: Option<f64>,
    /// All that it has.
    pub(in crate::master) total: Resources,
    /// Whether an operator took it out of use.
    pub(in crate::master) deactivated: bool,
    /// How far its draining has come.
    pub(in crate::master) drain: Option<Drain>,
    /// Whether its machine is in the schedule of maintenance: from when and for how long.
    pub(in crate::master) unavailability: Option<Value>,
    /// The way to it, while it is connected.
    pub(in crate::master) stream: Option<Stream>,
    /// Pings that it has not answered.
    pub(in crate::master) n_missed_pings: u32,
}

impl Agent {
    /// Whether it may be offered.
    pub(in crate::master) fn is_active(&self) -> bool {
        self.stream.is_some() && !self.deactivated
    }

    /// The machine that it runs on, as maintenance knows it.
    pub(in crate::master) fn machine(&self) -> Value {
        super::maintenance::machine(text(&self.info, "hostname"), &self.pid)
    }

    /// Sends it a message; one that is not connected misses it and is told when it returns.
    pub(in crate::master) fn send(&self, message: Value) {
        if let Some(stream) = &self.stream {
            // The listener may have gone: its end is handled where its stream ends.
            let _ = stream.queue.send(message);
        }
    }
}

/// A framework.
#[derive(Debug)]
pub(in crate::master) struct Framework {
    /// Its `FrameworkInfo`, id included.
    pub(in crate::master) info: Value,
    /// The way to it, while it is connected.
    pub(in crate::master) stream: Option<Stream>,
    /// Whether only its agents have told of it so far.
    pub(in crate::master) recovered: bool,
    /// When it subscribed, in seconds since 1970.
    pub(in crate::master) registered: f64,
    /// When it last subscribed again.
    pub(in crate::master) reregistered: f64,
    /// When it ended.
    pub(in crate::master) unregistered: Option<f64>,
    /// Since when it has been away.
    pub(in crate::master) away_since: Option<Instant>,
    /// Tasks that run, or whose end it has not acknowledged.
    pub(in crate::master) tasks: BTreeMap<String, Task>,
    /// Tasks on agents that do not answer.
    pub(in crate::master) unreachable: BTreeMap<String, Task>,
    /// Tasks that have ended.
    pub(in crate::master) completed: VecDeque<Task>,
    /// Whether it wants no offers.
    pub(in crate::master) suppressed: bool,
    /// Agents that it declined: with which resources, and until when.
    pub(in crate::master) filters: BTreeMap<String, (Resources, Instant)>,
}

impl Framework {
    /// The role that it takes resources in.
    pub(in crate::master) fn role(&self) -> &str {
        let role = self.info["role"].as_str();
        role.or_else(|| self.info["roles"][0].as_str()).unwrap_or("*")
    }

    /// Whether it declares a capability.
    pub(in crate::master) fn can(&self, capability: &str) -> bool {
        list(&self.info["capabilities"]).iter().any(|c| text(c, "type") == capability)
    }

    /// For how many seconds its tasks live on without it.
    pub(in crate::master) fn failover_timeout(&self) -> f64 {
        self.info["failover_timeout"].as_f64().unwrap_or_default()
    }

    /// Sends it an event; one that is not connected misses it and reconciles later.
    pub(in crate::master) fn send(&self, event: Value) {
        if let Some(stream) = &self.stream {
            // The listener may have gone: its end is handled where its stream ends.
            let _ = stream.queue.send(event);
        }
    }

    /// What its tasks use.
    pub(in crate::master) fn used(&self) -> Resources {
        sum(self.tasks.values().filter(|task| !task.has_ended()))
    }

    fn complete(&mut self, task: Task) {
        if self.completed.len() == N_COMPLETED {
            self.completed.pop_front();
        }
        self.completed.push_back(task);
    }
}

fn sum<'a>(tasks: impl Iterator<Item = &'a Task>) -> Resources {
    tasks.fold(Resources::default(), |mut sum, task| {
        sum.add(&task.resources);
        sum
    })
}

/// A task.
#[derive(Debug, Clone)]
pub(in crate::master) struct Task {
    /// Its `TaskInfo`.
    pub(in crate::master) info: Value,
    /// Its framework's id.
    pub(in crate::master) framework: String,
    /// Its agent's id.
    pub(in crate::master) agent: String,
    /// Where it stands.
    pub(in crate::master) state: String,
    /// What its agent has said of it, oldest first.
    pub(in crate::master) statuses: Vec<Value>,
    /// What it uses.
    pub(in crate::master) resources: Resources,
    /// The role that it uses it in.
    pub(in crate::master) role: String,
}

impl Task {
    /// Whether it has ended.
    pub(in crate::master) fn has_ended(&self) -> bool {
        is_terminal(&self.state)
    }
}

/// An offer that stands.
#[derive(Debug)]
pub(in crate::master) struct Offer {
    /// To whom.
    pub(in crate::master) framework: String,
    /// Of which agent.
    pub(in crate::master) agent: String,
    /// What.
    pub(in crate::master) resources: Resources,
}

impl Cluster {
    /// Nothing yet.
    pub(in crate::master) fn new(master_id: String, master_info: Value) -> Self {
        Self { master_id, master_info, ..Self::default() }
    }

    /// What an agent's tasks use.
    pub(in crate::master) fn used(&self, agent: &str) -> Resources {
        let tasks =
            self.frameworks.values().flat_map(|framework| framework.tasks.values());
        sum(tasks.filter(|task| task.agent == agent && !task.has_ended()))
    }

    /// What of an agent is offered.
    pub(in crate::master) fn offered(&self, agent: &str) -> Resources {
        let offers = self.offers.values().filter(|offer| offer.agent == agent);
        offers.fold(Resources::default(), |mut sum, offer| {
            sum.add(&offer.resources);
            sum
        })
    }

    /// Whether an agent has a task that runs or whose end is not acknowledged.
    pub(in crate::master) fn has_tasks(&self, agent: &str) -> bool {
        let mut frameworks = self.frameworks.values();
        frameworks
            .any(|framework| framework.tasks.values().any(|task| task.agent == agent))
    }

    /// Agents whose draining is over but not yet recorded.
    pub(in crate::master) fn drained(&self, agent: &str) -> bool {
        let drains =
            |agent: &Agent| agent.drain.as_ref().is_some_and(|drain| !drain.drained);
        self.agents.get(agent).is_some_and(drains) && !self.has_tasks(agent)
    }

    /// Takes over what the registry says of the agents.
    pub(in crate::master) fn refresh(&mut self, registry: &Registry) {
        for (id, agent) in &mut self.agents {
            if let Some(admitted) = registry.admitted.get(id) {
                agent.deactivated = admitted.deactivated;
                agent.drain.clone_from(&admitted.drain);
            }
            agent.unavailability =
                super::maintenance::unavailability(registry, &agent.machine());
        }
        let inactive: Vec<String> = self
            .agents
            .iter()
            .filter(|(_, agent)| !agent.is_active())
            .map(|(id, _)| id.clone())
            .collect();
        inactive.iter().for_each(|id| self.rescind_agent(id));
    }
}
