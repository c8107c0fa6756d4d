//! How Mesos is: its masters, its agents, and the frameworks that use them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::super::services::{Services, Word, agent_of};
use crate::api::mesos::{AgentInfo, Framework};
use crate::host::HostName;
use crate::inventory::catalog::Component;
use crate::topology::{Node, Topology};

/// How Mesos is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MesosStatus {
    /// The host whose master leads.
    pub leader: Option<HostName>,
    /// How many masters there are.
    pub n_masters: usize,
    /// How many of them have recovered their log.
    pub n_serving: usize,
    /// How many more masters can be lost before it stops to serve; none where it does not
    /// serve now.
    pub can_lose: Option<usize>,
    /// The agents of the inventory, in its order.
    pub agents: Vec<AgentStatus>,
    /// The frameworks that are registered.
    pub frameworks: Vec<FrameworkStatus>,
}

/// How an agent is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentStatus {
    /// Its host.
    pub host: HostName,
    /// Its id, where it is registered.
    pub id: Option<String>,
    /// Whether it is offered to frameworks.
    pub active: bool,
    /// Whether an operator deactivated or drained it.
    pub deactivated: bool,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// Processors: in use, and in all.
    pub cpus: [f64; 2],
    /// Memory in MiB: in use, and in all.
    pub mem_mib: [f64; 2],
}

/// How a framework is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FrameworkStatus {
    /// Its name.
    pub name: String,
    /// Whether its scheduler is connected and gets offers.
    pub active: bool,
}

/// What was asked of Mesos, Marathon and Chronos, and what came.
pub(super) struct Asked {
    words: BTreeMap<(Component, HostName), Word>,
    agents: Result<Vec<AgentInfo>, String>,
    frameworks: Result<Vec<Framework>, String>,
}

impl Asked {
    /// Asks everyone, side by side; a cluster without Mesos is not asked at all.
    pub(super) async fn of(services: Services<'_>) -> Self {
        let topology = services.topology;
        if topology.masters.is_none() {
            return Self::nobody();
        }
        let of = |component| async move {
            let members = topology.members_of(component);
            let words = services.words(component, &members).await;
            let hosts = members.into_iter().map(|member| (component, member.host));
            hosts.zip(words).collect::<Vec<_>>()
        };
        let (masters, marathon, chronos, agents, frameworks) = tokio::join!(
            of(Component::MesosMaster),
            of(Component::Marathon),
            of(Component::Chronos),
            services.agents(),
            services.frameworks(),
        );
        let words = masters.into_iter().chain(marathon).chain(chronos).collect();
        Self { words, agents, frameworks }
    }

    /// Of a cluster in which there is nobody to ask.
    pub(super) fn nobody() -> Self {
        Self {
            words: BTreeMap::new(),
            agents: Ok(Vec::new()),
            frameworks: Ok(Vec::new()),
        }
    }

    /// What a component on a host says of itself, where it was asked.
    pub(super) fn state(&self, component: Component, node: &Node) -> Option<String> {
        if component == Component::MesosAgent {
            return Some(self.state_of_agent(node));
        }
        Some(match self.words.get(&(component, node.host.clone()))? {
            Ok(true) => "leads".to_owned(),
            Ok(false) => "serves".to_owned(),
            Err(why) => format!("does not serve: {why}"),
        })
    }

    fn state_of_agent(&self, node: &Node) -> String {
        match self.agents.as_ref().map(|agents| agent_of(node, agents)) {
            Ok(Some(agent)) if agent.active => "registered".to_owned(),
            Ok(Some(agent)) if agent.deactivated => "deactivated".to_owned(),
            Ok(Some(_)) => "registered, and does not answer its master".to_owned(),
            Ok(None) => "not registered".to_owned(),
            Err(_) => "unknown: no master leads".to_owned(),
        }
    }

    /// How Mesos is; none where the cluster has none.
    pub(super) fn status(&self, topology: &Topology) -> Option<MesosStatus> {
        let masters = topology.masters.as_ref()?;
        let leader = self.serving().find(|(_, leads)| *leads);
        let agents = self.agents.as_deref().unwrap_or_default();
        let frameworks = self.frameworks.as_deref().unwrap_or_default();
        Some(MesosStatus {
            leader: leader.map(|(host, _)| host.clone()),
            n_masters: masters.members().len(),
            n_serving: self.n_serving(),
            can_lose: self.n_serving().checked_sub(masters.majority()),
            agents: topology.agents().map(|node| agent(node, agents)).collect(),
            frameworks: frameworks.iter().map(framework).collect(),
        })
    }

    /// What is wrong with Mesos as a whole, in sentences.
    pub(super) fn problems(&self, topology: &Topology) -> Vec<String> {
        let (Some(masters), Err(why)) = (&topology.masters, &self.agents) else {
            return Vec::new();
        };
        vec![match self.n_serving() >= masters.majority() {
            true => format!("Mesos elects a leader, which takes some seconds: {why}"),
            false => format!("Mesos has no quorum of masters: {why}"),
        }]
    }

    /// The hosts whose masters have recovered their log, each with whether it leads.
    fn serving(&self) -> impl Iterator<Item = (&HostName, bool)> {
        let masters = self.words.iter();
        let masters =
            masters.filter(|((component, _), _)| *component == Component::MesosMaster);
        masters.filter_map(|((_, host), word)| Some((host, *word.as_ref().ok()?)))
    }

    fn n_serving(&self) -> usize {
        self.serving().count()
    }
}

fn agent(node: &Node, agents: &[AgentInfo]) -> AgentStatus {
    let known = agent_of(node, agents);
    let amounts = |amount: fn(&crate::api::mesos::Resources) -> f64| {
        known.map_or([0.0; 2], |agent| [amount(&agent.allocated), amount(&agent.total)])
    };
    AgentStatus {
        host: node.host.clone(),
        id: known.map(|agent| agent.id.clone()),
        active: known.is_some_and(|agent| agent.active),
        deactivated: known.is_some_and(|agent| agent.deactivated),
        attributes: known.map(|agent| agent.attributes.clone()).unwrap_or_default(),
        cpus: amounts(|resources| resources.cpus),
        mem_mib: amounts(|resources| resources.mem_mib),
    }
}

fn framework(framework: &Framework) -> FrameworkStatus {
    FrameworkStatus {
        name: framework.name.clone(),
        active: framework.active && framework.connected,
    }
}

impl fmt::Display for MesosStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let serve = if self.n_serving == 1 { "serves" } else { "serve" };
        write!(f, "Mesos: {} of {} masters {serve}", self.n_serving, self.n_masters)?;
        if let Some(leader) = &self.leader {
            write!(f, ", {leader} leads")?;
        }
        match self.can_lose {
            Some(0) => write!(f, "; it can lose none")?,
            Some(n) => write!(f, "; it can lose {n} more")?,
            None => write!(f, "; that is no majority")?,
        }
        self.agents.iter().try_for_each(|agent| write!(f, "\n  {agent}"))?;
        let frameworks = self.frameworks.iter().map(|framework| match framework.active {
            true => framework.name.clone(),
            false => format!("{} (not connected)", framework.name),
        });
        let frameworks: Vec<String> = frameworks.collect();
        match frameworks.is_empty() {
            true => write!(f, "\n  no framework is registered"),
            false => write!(f, "\n  frameworks: {}", frameworks.join(", ")),
        }
    }
}

impl fmt::Display for AgentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([cpus, all_cpus], [mem, all_mem]) = (self.cpus, self.mem_mib);
        if self.id.is_none() {
            return write!(f, "agent {}: not registered", self.host);
        }
        write!(
            f,
            "agent {}: {cpus} of {all_cpus} cpus, {mem} of {all_mem} MiB in use",
            self.host
        )?;
        for (key, value) in &self.attributes {
            write!(f, ", {key}:{value}")?;
        }
        Ok(())
    }
}
