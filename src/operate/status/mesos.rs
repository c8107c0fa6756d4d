//! The state of Mesos: its masters, its agents, and the frameworks that use them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use futures::future::join_all;
use serde::{Serialize, Serializer};

use super::super::RunContext;
use super::state::ServiceState;
use super::{deployments, launches};
use crate::api::mesos::{AgentInfo, DrainState, Framework};
use crate::component::{Health, Spec};
use crate::host::{HostName, joined};
use crate::inventory::Component;
use crate::run::health::services::{LeaderStatus, Services, agent_of, confirm};
use crate::topology::{Member, Node, Topology};

/// The state of Mesos.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MesosStatus {
    /// Whether a master leads and answers. If none does, nothing is known about agents and
    /// frameworks.
    pub led: bool,
    /// The host whose master leads.
    pub leader: Option<HostName>,
    /// How many masters there are.
    pub n_masters: usize,
    /// How many of them have recovered their log.
    pub n_serving: usize,
    /// How many more masters can fail before Mesos stops serving; `None` if it does not serve now.
    pub can_lose: Option<usize>,
    /// The agents of the inventory, in its order.
    pub agents: Vec<AgentStatus>,
    /// The frameworks that are registered.
    pub frameworks: Vec<FrameworkStatus>,
}

/// The state of an agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentStatus {
    /// Its host.
    pub host: HostName,
    /// Its id, if it is registered.
    pub id: Option<String>,
    /// Whether it is offered to frameworks.
    pub active: bool,
    /// Whether an operator deactivated or drained it.
    pub deactivated: bool,
    /// Its state according to the leading master: `registered`, `drained`, ….
    pub state: AgentState,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// Processors: in use, and in total.
    pub cpus: [f64; 2],
    /// Memory in MiB: in use, and in total.
    pub mem_mib: [f64; 2],
}

/// The state of a framework.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FrameworkStatus {
    /// Its name.
    pub name: String,
    /// Whether its scheduler is connected and gets offers.
    pub active: bool,
}

/// The state of an agent that its master knows and offers to frameworks.
const REGISTERED: &str = "registered";

/// The state of an agent while no master leads: that is one problem of Mesos as a whole, and no
/// problem of the agent.
const NOT_TOLD: &str = "not known: no master leads";

/// The answers of Mesos, Marathon, Chronos and the edge.
pub(super) struct Asked {
    statuses: BTreeMap<(Component, HostName), LeaderStatus>,
    agents: Result<Vec<AgentInfo>, String>,
    frameworks: Result<Vec<Framework>, String>,
    launches: Option<String>,
    /// Sentences about deployments that last too long.
    deployments: Vec<String>,
    /// Sentences about apps that the edge does not serve.
    left_out: Vec<String>,
}

impl Asked {
    /// Asks all of them in parallel; a cluster without Mesos is not asked.
    pub(super) async fn of(services: Services<'_>, ctx: &RunContext<'_>) -> Self {
        let topology = services.topology;
        if topology.masters().is_none() {
            return Self::nobody();
        }
        let of = |component| async move {
            let members = topology.members_of(component);
            let statuses = services.own_statuses(component, &members).await;
            (component, members, statuses)
        };
        let asked = [Health::Leader, Health::Edge, Health::Balancer, Health::VirtualIp];
        let asked = Spec::all().filter(|spec| asked.contains(&spec.health));
        let (statuses, agents, frameworks, left_out) = tokio::join!(
            join_all(asked.map(|spec| of(spec.component))),
            services.agents(),
            services.frameworks(),
            left_out(services),
        );
        let statuses = statuses.into_iter();
        let statuses = statuses.flat_map(|(component, members, statuses)| {
            let statuses = confirm(component, &members, statuses, &frameworks);
            let hosts = members.into_iter().map(move |member| (component, member.host));
            hosts.zip(statuses).collect::<Vec<_>>()
        });
        let mut asked = Self {
            statuses: statuses.collect(),
            agents,
            frameworks,
            left_out,
            ..Self::nobody()
        };
        if let (Some(leader), Ok(agents)) = (asked.marathon(topology), &asked.agents)
            && let Ok(marathon) = services.marathon(&leader)
        {
            let late = deployments::overdue(&marathon, &leader.host, ctx);
            let launches = launches::problem(&marathon, &leader.host, agents, ctx);
            let (late, launches) = tokio::join!(late, launches);
            (asked.deployments, asked.launches) = (late, launches);
        }
        asked
    }

    /// The Marathon that leads.
    fn marathon(&self, topology: &Topology) -> Option<Member> {
        let mut members = topology.members_of(Component::Marathon).into_iter();
        members.find(|member| {
            let status = self.statuses.get(&(Component::Marathon, member.host.clone()));
            status == Some(&Ok(true))
        })
    }

    /// The answers for a cluster without Mesos.
    pub(super) fn nobody() -> Self {
        Self {
            statuses: BTreeMap::new(),
            agents: Ok(Vec::new()),
            frameworks: Ok(Vec::new()),
            launches: None,
            deployments: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// What may be wrong with an app.
    pub(super) fn notes(&self) -> Vec<String> {
        self.deployments.iter().chain(&self.left_out).cloned().collect()
    }

    /// The state of a component on a host, if it was asked.
    pub(super) fn state(
        &self,
        component: Component,
        node: &Node,
    ) -> Option<ServiceState> {
        if component == Component::MesosAgent {
            return Some(self.state_of_agent(node));
        }
        Some(match self.statuses.get(&(component, node.host.clone()))? {
            Ok(true) if component == Component::Keepalived => {
                ServiceState::Serves("has the virtual IP")
            }
            Ok(false) if component == Component::Keepalived => {
                ServiceState::Serves("waits")
            }
            // A member that says that it leads, but does not answer as the leader, is about to
            // lead or has just lost the lead.
            Ok(true) if component != Component::MesosMaster || self.agents.is_ok() => {
                ServiceState::Serves("leads")
            }
            Ok(_) => ServiceState::Serves("serves"),
            Err(why) => ServiceState::Faulty(format!("does not serve: {why}")),
        })
    }

    fn state_of_agent(&self, node: &Node) -> ServiceState {
        match self.agents.as_ref().map(|agents| agent_of(node.address, agents)) {
            Ok(agent) => AgentState::of(agent).into(),
            Err(_) => ServiceState::NotKnown(NOT_TOLD),
        }
    }

    /// The state of Mesos; `None` if the cluster has no Mesos.
    pub(super) fn status(&self, topology: &Topology) -> Option<MesosStatus> {
        let masters = topology.masters()?;
        let led = self.agents.is_ok();
        let leader = self.serving().find(|(_, leads)| led && *leads);
        let agents = self.agents.as_deref().unwrap_or_default();
        let frameworks = self.frameworks.as_deref().unwrap_or_default();
        Some(MesosStatus {
            leader: leader.map(|(host, _)| host.clone()),
            n_masters: masters.members().len(),
            n_serving: self.n_serving(),
            can_lose: self.n_serving().checked_sub(masters.majority()).filter(|_| led),
            led,
            agents: topology.agents().map(|node| agent(node, agents)).collect(),
            frameworks: frameworks.iter().map(framework).collect(),
        })
    }

    /// What is wrong with Mesos and the edge as a whole, in sentences.
    pub(super) fn problems(&self, topology: &Topology) -> Vec<String> {
        let edge = topology.vip.and_then(|vip| self.problem_of_edge(vip));
        self.problems_of_mesos(topology).into_iter().chain(edge).collect()
    }

    /// What is wrong with the virtual IP; `None` if one host has it.
    fn problem_of_edge(&self, vip: Ipv4Addr) -> Option<String> {
        let of_edge = self.statuses.iter();
        let of_edge =
            of_edge.filter(|((component, _), _)| *component == Component::Keepalived);
        let holders = of_edge.clone().filter(|(_, status)| **status == Ok(true));
        let holders: Vec<&HostName> = holders.map(|((_, host), _)| host).collect();
        match holders[..] {
            [] if of_edge.count() > 0 => Some(format!(
                "no host has the virtual IP {vip}: a host takes it when its HAProxy serves"
            )),
            [] | [_] => None,
            _ => Some(format!(
                "the virtual IP {vip} is on several hosts at once ({}): they do not hear each \
                 other; let IP protocol 112 (VRRP) pass between them",
                joined(holders)
            )),
        }
    }

    fn problems_of_mesos(&self, topology: &Topology) -> Vec<String> {
        let (Some(masters), Err(why)) = (topology.masters(), &self.agents) else {
            return self.launches.iter().cloned().collect();
        };
        vec![match self.n_serving() >= masters.majority() {
            true => format!(
                "no Mesos master leads; an election takes some seconds, and until then \
                 nothing is known about agents and frameworks: {why}"
            ),
            false => {
                let (n_serving, n_masters) = (self.n_serving(), masters.members().len());
                let serve = if n_serving == 1 { "serves" } else { "serve" };
                format!(
                    "Mesos has no quorum, so agents and frameworks are unknown: {n_serving} of \
                     {n_masters} masters {serve}"
                )
            }
        }]
    }

    /// The hosts whose masters have recovered their log, and whether each leads.
    fn serving(&self) -> impl Iterator<Item = (&HostName, bool)> {
        let masters = self.statuses.iter();
        let masters =
            masters.filter(|((component, _), _)| *component == Component::MesosMaster);
        masters.filter_map(|((_, host), status)| Some((host, *status.as_ref().ok()?)))
    }

    fn n_serving(&self) -> usize {
        self.serving().count()
    }
}

/// What the first balancer that answers does not serve.
async fn left_out(services: Services<'_>) -> Vec<String> {
    for member in services.topology.members_of(Component::Balancer) {
        if let Ok(status) = services.balancer(&member).await {
            return status.left_out().collect();
        }
    }
    Vec::new()
}

/// The state of an agent according to the leading master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentState {
    /// It is registered, and offered to frameworks.
    Registered,
    /// It is registered, and does not answer its master.
    Silent,
    /// Its tasks are being ended, so that it can be maintained.
    Draining,
    /// It has no tasks any more, and gets none.
    Drained,
    /// It is not offered to frameworks.
    Deactivated,
    /// The master does not know it.
    NotRegistered,
}

impl AgentState {
    fn of(agent: Option<&AgentInfo>) -> Self {
        let Some(agent) = agent else { return Self::NotRegistered };
        if !agent.deactivated {
            return if agent.active { Self::Registered } else { Self::Silent };
        }
        match agent.drain {
            Some(DrainState::Drained) => Self::Drained,
            Some(DrainState::Draining) => Self::Draining,
            Some(DrainState::Unknown) | None => Self::Deactivated,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => REGISTERED,
            Self::Silent => "registered, but it does not answer its master",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Deactivated => "deactivated",
            Self::NotRegistered => "not registered",
        }
    }
}

impl From<AgentState> for ServiceState {
    fn from(state: AgentState) -> Self {
        match state {
            AgentState::Registered => Self::Serves(state.as_str()),
            _ => Self::faulty(state.as_str()),
        }
    }
}

impl Serialize for AgentState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

fn agent(node: &Node, agents: &[AgentInfo]) -> AgentStatus {
    let known = agent_of(node.address, agents);
    let amounts = |amount: fn(&crate::api::mesos::Resources) -> f64| {
        known.map_or([0.0; 2], |agent| [amount(&agent.allocated), amount(&agent.total)])
    };
    AgentStatus {
        host: node.host.clone(),
        id: known.map(|agent| agent.id.clone()),
        active: known.is_some_and(|agent| agent.active),
        deactivated: known.is_some_and(|agent| agent.deactivated),
        state: AgentState::of(known),
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
            None if self.n_serving > self.n_masters / 2 => write!(f, ", none leads")?,
            None => write!(f, "; that is no majority")?,
        }
        if !self.led {
            return Ok(());
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
        match self.state {
            AgentState::Registered => Ok(()),
            state => write!(f, ", {}", state.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::api::mesos::Resources;
    use crate::inventory;
    use crate::provider::ssh;

    const LAB: &str = "cluster: lab\nprovider: {ssh: {}}\ngroups:\n  \
        all: {roles: [control, edge], hosts: [{address: 10.0.0.1, name: c1}]}\n  \
        workers: {roles: [agent], hosts: [{address: 10.0.0.2, name: w1}]}\n";

    fn topology() -> Topology {
        let inventory = inventory::read(LAB, &|_: &Path| true).unwrap();
        Topology::new(&inventory, &ssh::machines(&inventory)).unwrap()
    }

    fn asked(topology: &Topology, agents: Result<Vec<AgentInfo>, String>) -> Asked {
        let host = topology.nodes[0].host.clone();
        let statuses = [((Component::MesosMaster, host), Ok(true))].into();
        Asked { statuses, agents, ..Asked::nobody() }
    }

    /// A master that was killed and started again may claim for seconds that it leads.
    #[test]
    fn while_nobody_leads_one_thing_is_said() {
        let topology = topology();
        let asked = asked(&topology, Err("it sends to itself".to_owned()));
        let [control, worker] = &topology.nodes[..] else { panic!("two hosts") };
        let state = |component, node| asked.state(component, node).unwrap();
        assert_eq!(
            state(Component::MesosMaster, control),
            ServiceState::Serves("serves")
        );
        assert_eq!(
            state(Component::MesosAgent, worker),
            ServiceState::NotKnown(NOT_TOLD)
        );
        let status = asked.status(&topology).unwrap();
        assert_eq!((status.led, &status.leader, status.can_lose), (false, &None, None));
        assert_eq!(status.to_string(), "Mesos: 1 of 1 masters serves, none leads");
        let problems = asked.problems(&topology);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("no Mesos master leads; "), "{problems:?}");
    }

    #[test]
    fn without_a_quorum_the_masters_that_serve_are_counted() {
        let topology = topology();
        let agents = Err("nobody listens".to_owned());
        let asked = Asked { agents, ..Asked::nobody() };
        assert_eq!(
            asked.problems(&topology),
            [
                "Mesos has no quorum, so agents and frameworks are unknown: 0 of 1 masters serve"
            ]
        );
    }

    #[test]
    fn an_agent_that_is_drained_is_said_to_be() {
        let topology = topology();
        let drained = |state, deactivated: bool| AgentInfo {
            id: "S0".to_owned(),
            hostname: "10.0.0.2".to_owned(),
            address: None,
            active: !deactivated,
            deactivated,
            attributes: BTreeMap::new(),
            total: Resources::default(),
            allocated: Resources::default(),
            drain: Some(state),
        };
        for (state, deactivated, expected) in [
            (DrainState::Drained, true, "drained"),
            (DrainState::Draining, true, "draining"),
            (DrainState::Unknown, true, "deactivated"),
            (DrainState::Drained, false, "registered"),
        ] {
            let asked = asked(&topology, Ok(vec![drained(state, deactivated)]));
            let said = asked.state(Component::MesosAgent, &topology.nodes[1]).unwrap();
            assert_eq!(said.to_string(), expected);
            assert_eq!(said.is_faulty(), expected != "registered");
            let shown = asked.status(&topology).unwrap().to_string();
            assert_eq!(shown.contains(", drained"), expected == "drained", "{shown}");
        }
    }
}
