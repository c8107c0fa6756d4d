//! Orders changes into stages and waves that never break a quorum.
//!
//! Pure: reads no clock, file or network. Nothing is decided after a [`Plan`] exists; a dry
//! run is a run that stops here.

mod foreseen;
mod guards;
mod peers;
pub mod preflight;
pub mod quorum;
mod scope;
mod show;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::component::znode::Secure;
use crate::component::{Spec, Stage, Wants};
use crate::event::PlannedStage;
use crate::host::HostName;
use crate::inventory::Component;
use crate::resource::{self, Action, Change, Facts, Owned, Resource, Unknown};
use crate::topology::{Member, Topology};

pub use foreseen::Foreseen;
pub use guards::{Folder, Forming, Refusal, Refusals};
pub use peers::Peers;
pub use quorum::{Agents, MemberHealth, MembersHealth, Refused, Wave};
pub use scope::Scope;

/// Everything that a run will do on hosts, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Stages that change something. Each stage is complete before the next begins.
    pub stages: Vec<StagePlan>,
    /// What is no longer wanted, but is kept for now.
    pub stays: Vec<KeptResource>,
}

/// A resource of an earlier run that is kept because programs still run from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptResource {
    /// The host.
    pub host: HostName,
    /// The resource.
    pub thing: Owned,
    /// The programs that run from it.
    pub programs: Vec<String>,
}

/// One stage of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct StagePlan {
    /// Which stage.
    pub stage: Stage,
    /// What is done.
    pub work: Work,
    /// What the stage's components must report before the next stage begins.
    pub gates: Vec<Gate>,
}

/// The work of a stage.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Images that this computer sends to registries.
    Push(Vec<Push>),
    /// Changes to hosts, in waves: each wave is complete before the next begins.
    Hosts(Vec<Wave>),
    /// ZooKeeper nodes that are created, or get their access lists, once these members serve.
    Access {
        /// The members of the ensemble.
        members: Vec<Member>,
        /// The nodes, parents first.
        nodes: Vec<Secure>,
    },
}

/// An image for a registry that lacks it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Push {
    /// The component that the image belongs to.
    pub component: Component,
    /// The host whose registry lacks it.
    pub to: HostName,
}

/// The changes of one host in one stage, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct HostChanges {
    /// The host.
    pub host: HostName,
    /// The changes.
    pub changes: Vec<Change>,
}

/// A condition that a component itself confirms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// A component on these hosts reports that it serves; if several serve together, one of them
    /// leads.
    Serves {
        /// The component.
        component: Component,
        /// Its instances.
        members: Vec<Member>,
    },
    /// These machines, which were told to reboot, are back with control groups of version 1.
    Booted(Vec<Reboot>),
}

impl Gate {
    /// Which component has to serve for the gate to open, and its hosts; `None` if the gate waits
    /// for machines.
    pub fn who(&self) -> Option<(Component, Vec<&HostName>)> {
        match self {
            Self::Serves { component, members } => {
                Some((*component, members.iter().map(|member| &member.host).collect()))
            }
            Self::Booted(_) => None,
        }
    }
}

/// A machine that reboots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reboot {
    /// The machine.
    pub host: HostName,
    /// The id of the boot that has to end.
    pub before: String,
}

/// What a plan is made from.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// The cluster.
    pub topology: &'a Topology,
    /// What each host should have.
    pub wants: &'a BTreeMap<HostName, Wants>,
    /// What each host has.
    pub facts: &'a BTreeMap<HostName, Facts>,
    /// The health of the members that serve together.
    pub health: &'a MembersHealth,
    /// Images that registries lack.
    pub pushes: &'a [Push],
    /// ZooKeeper nodes that lack their access lists.
    pub nodes: &'a [Secure],
    /// Why hosts are not fit for changes: see [`preflight::preflight_failures`].
    pub preflight_failures: &'a [preflight::PreflightFailure],
    /// What the cluster's state folder on this computer holds.
    pub folder: Folder<'a>,
    /// Which groups hold no data yet.
    pub forming: Forming,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum NoPlan {
    /// A host did not answer a question.
    #[error("cannot plan for {host}")]
    Unknown {
        /// The host.
        host: HostName,
        /// The question.
        source: Unknown,
    },
    /// The changes would not be safe.
    #[error(transparent)]
    Refused(#[from] Refusals),
}

impl From<quorum::Refused> for NoPlan {
    fn from(refused: quorum::Refused) -> Self {
        Self::Refused(refused.into())
    }
}

/// Makes the plan that turns what the hosts have into what they should have. If a guard refuses,
/// there is no plan; nothing else decides on this.
///
/// # Errors
/// When a host did not answer, or the changes would not be safe: all reasons are given together.
pub fn build(situation: &Situation<'_>) -> Result<Plan, NoPlan> {
    build_within(situation, &Scope::Everything)
}

/// Makes the part of that plan which is in scope: nothing else is changed, removed, or even
/// compared.
///
/// # Errors
/// As [`build`].
pub fn build_within(
    situation: &Situation<'_>,
    scope: &Scope<'_>,
) -> Result<Plan, NoPlan> {
    let mut refusals = guards::check(situation, scope);
    let planned = unguarded(situation, scope);
    match &planned {
        Ok(plan) => {
            let full = preflight::without_room(plan, situation.facts);
            refusals.extend(full.into_iter().map(Refusal::Unfit));
        }
        Err(NoPlan::Refused(more)) => refusals.extend(more.all().iter().cloned()),
        Err(NoPlan::Unknown { .. }) => {}
    }
    match Refusals::of(refusals) {
        Some(refusals) => Err(refusals.into()),
        None => planned,
    }
}

/// The plan without the guards; only the order of its changes can still be refused.
fn unguarded(situation: &Situation<'_>, scope: &Scope<'_>) -> Result<Plan, NoPlan> {
    let mut stages = Vec::new();
    let mut health = situation.health.clone();
    for stage in STAGES {
        let work = match stage {
            Stage::Images => Work::Push(scope.pushes(situation.pushes)),
            Stage::Access => access(situation, scope),
            _ => {
                let changes = stage_changes(situation, stage, scope)?;
                hosts(changes, situation.topology, &health)?
            }
        };
        if work.is_empty() {
            continue;
        }
        let gates = gates(stage, &work, situation);
        health = health.after(&gates);
        stages.push(StagePlan { stage, gates, work });
    }
    let (retired, stays) = retired(situation, scope);
    let work = hosts(retired, situation.topology, &health)?;
    if !work.is_empty() {
        stages.push(StagePlan { stage: Stage::Retire, gates: Vec::new(), work });
    }
    Ok(Plan { stages, stays })
}

/// The stages that add or change something, in order.
const STAGES: [Stage; 11] = [
    Stage::Boot,
    Stage::Base,
    Stage::Firewall,
    Stage::Registry,
    Stage::Images,
    Stage::Zookeeper,
    Stage::Access,
    Stage::Masters,
    Stage::Agents,
    Stage::Frameworks,
    Stage::Edge,
];

/// Makes the plan that removes everything that earlier runs installed. It gives up the quorum on
/// purpose. With `purge` it also removes the components' data.
pub fn tear_down(facts: &BTreeMap<HostName, Facts>, purge: bool) -> Plan {
    let changes: Vec<HostChanges> = facts
        .iter()
        .map(|(host, facts)| HostChanges {
            host: host.clone(),
            changes: resource::retire(&[], facts, purge),
        })
        .filter(|host| !host.changes.is_empty())
        .collect();
    if changes.is_empty() {
        return Plan::default();
    }
    let work = Work::Hosts(vec![Wave::at_once(changes)]);
    let stages = vec![StagePlan { stage: Stage::Retire, work, gates: Vec::new() }];
    Plan { stages, stays: Vec::new() }
}

impl Plan {
    /// The same without the text of what differs on these hosts, where all of it is new.
    #[must_use]
    pub fn without_diffs(mut self, of: &BTreeSet<HostName>) -> Self {
        for stage in &mut self.stages {
            if let Work::Hosts(waves) = &mut stage.work {
                let taken = std::mem::take(waves).into_iter();
                *waves = taken.map(|wave| wave.without_diffs(of)).collect();
            }
        }
        self
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// How many changes it makes.
    pub fn n_changes(&self) -> usize {
        self.stages.iter().map(|stage| stage.work.n_changes()).sum()
    }

    /// How many changes concern a host.
    pub fn n_changes_on(&self, host: &HostName) -> usize {
        self.stages.iter().map(|stage| stage.work.n_changes_on(host)).sum()
    }

    /// The hosts that it changes.
    pub fn hosts(&self) -> Vec<&HostName> {
        let mut hosts: Vec<&HostName> =
            self.stages.iter().flat_map(|stage| stage.work.hosts()).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// All changes, each with its host.
    pub fn host_changes(&self) -> impl Iterator<Item = (&HostName, &Change)> {
        let waves = self.stages.iter().flat_map(|stage| match &stage.work {
            Work::Hosts(waves) => waves.as_slice(),
            Work::Push(_) | Work::Access { .. } => &[],
        });
        waves.flat_map(Wave::hosts).flat_map(|HostChanges { host, changes }| {
            changes.iter().map(move |change| (host, change))
        })
    }

    /// The hosts that get something large: an image, its file system, a package.
    pub fn hosts_that_get(&self) -> BTreeSet<&HostName> {
        let is_large = |change: &Change| match &change.action {
            Action::InstallPackage { .. }
            | Action::PullImage(_)
            | Action::LoadImage(_)
            | Action::UnpackTree(_) => true,
            Action::AddUser(_)
            | Action::SetSysctl { .. }
            | Action::MakeDirectory(_)
            | Action::WriteFile(_)
            | Action::SetFileMode(_)
            | Action::Remove(_)
            | Action::ReloadSystemd
            | Action::LoadFirewall(_)
            | Action::StartUnit { .. }
            | Action::ReloadUnit { .. }
            | Action::WriteBoot(_)
            | Action::Reboot { .. }
            | Action::Retire(_) => false,
        };
        let mut hosts = BTreeSet::new();
        for stage in &self.stages {
            match &stage.work {
                Work::Push(pushes) => hosts.extend(pushes.iter().map(|push| &push.to)),
                Work::Hosts(waves) => {
                    let of_waves = waves.iter().flat_map(Wave::hosts);
                    let get = of_waves.filter(|host| host.changes.iter().any(is_large));
                    hosts.extend(get.map(|host| &host.host));
                }
                Work::Access { .. } => {}
            }
        }
        hosts
    }

    /// For each stage, how many changes it makes and on how many hosts.
    pub fn summary(&self) -> Vec<PlannedStage> {
        let planned = |stage: &StagePlan| PlannedStage {
            stage: stage.stage.to_string(),
            n_changes: stage.work.n_changes(),
            n_hosts: stage.work.hosts().len(),
        };
        self.stages.iter().map(planned).collect()
    }
}

impl Work {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.n_changes() == 0
    }

    /// How many changes it makes.
    pub fn n_changes(&self) -> usize {
        match self {
            Self::Push(pushes) => pushes.len(),
            Self::Access { nodes, .. } => nodes.len(),
            Self::Hosts(waves) => {
                waves.iter().flat_map(Wave::hosts).map(|host| host.changes.len()).sum()
            }
        }
    }

    /// How many changes concern a host.
    fn n_changes_on(&self, host: &HostName) -> usize {
        match self {
            Self::Push(pushes) => pushes.iter().filter(|push| push.to == *host).count(),
            Self::Access { members, nodes } => {
                let is_member = members.iter().any(|member| member.host == *host);
                if is_member { nodes.len() } else { 0 }
            }
            Self::Hosts(waves) => {
                let hosts = waves.iter().flat_map(Wave::hosts);
                hosts.filter(|of| of.host == *host).map(|of| of.changes.len()).sum()
            }
        }
    }

    /// The hosts that it changes, each once.
    pub fn hosts(&self) -> Vec<&HostName> {
        let mut hosts: Vec<&HostName> = match self {
            Self::Push(pushes) => pushes.iter().map(|push| &push.to).collect(),
            Self::Access { members, .. } => {
                members.iter().map(|member| &member.host).collect()
            }
            Self::Hosts(waves) => {
                waves.iter().flat_map(Wave::hosts).map(|host| &host.host).collect()
            }
        };
        hosts.sort();
        hosts.dedup();
        hosts
    }
}

/// The ZooKeeper nodes that are in scope. They belong to the whole cluster, not to a new host.
fn access(situation: &Situation<'_>, scope: &Scope<'_>) -> Work {
    let ensemble = situation.topology.zookeeper().into_iter();
    let members = ensemble.flat_map(|ensemble| ensemble.members()).cloned().collect();
    let nodes = match scope {
        Scope::Everything => situation.nodes.to_vec(),
        Scope::Differing { .. } => Vec::new(),
    };
    Work::Access { members, nodes }
}

fn hosts(
    changes: Vec<HostChanges>,
    topology: &Topology,
    health: &MembersHealth,
) -> Result<Work, Refused> {
    let (peers, agents) = (Peers::all(topology), Agents::of(topology));
    quorum::waves(changes, &peers, Some(agents), health).map(Work::Hosts)
}

fn stage_changes(
    situation: &Situation<'_>,
    stage: Stage,
    scope: &Scope<'_>,
) -> Result<Vec<HostChanges>, NoPlan> {
    let mut hosts = Vec::new();
    for node in &situation.topology.nodes {
        let (Some(wants), Some(facts)) =
            (situation.wants.get(&node.host), situation.facts.get(&node.host))
        else {
            continue;
        };
        let of_stage: Vec<Resource> = wants
            .iter()
            .filter(|(of, _)| *of == stage)
            .filter(|wanted| scope.has(&node.host, wanted))
            .map(|(_, resource)| resource.clone())
            .collect();
        let changes = resource::diff(&of_stage, facts)
            .map_err(|source| NoPlan::Unknown { host: node.host.clone(), source })?;
        if !changes.is_empty() {
            hosts.push(HostChanges { host: node.host.clone(), changes });
        }
    }
    Ok(hosts)
}

/// What is removed, and what is kept for now because programs still run from it.
fn retired(
    situation: &Situation<'_>,
    scope: &Scope<'_>,
) -> (Vec<HostChanges>, Vec<KeptResource>) {
    let (mut hosts, mut stays) = (Vec::new(), Vec::new());
    let in_scope = situation.facts.iter().filter(|(host, _)| scope.is_whole(host));
    for (host, facts) in in_scope {
        let wants = situation.wants.get(host).map(Vec::as_slice).unwrap_or_default();
        let wants: Vec<Resource> =
            wants.iter().map(|(_, resource)| resource.clone()).collect();
        let staying = resource::staying(&wants, facts);
        let mut changes = resource::retire(&wants, facts, false);
        changes.retain(|change| match &change.action {
            Action::Retire(owned) => staying.iter().all(|(stays, _)| *stays != owned),
            _ => true,
        });
        if !changes.is_empty() {
            hosts.push(HostChanges { host: host.clone(), changes });
        }
        stays.extend(staying.into_iter().map(|(thing, programs)| KeptResource {
            host: host.clone(),
            thing: thing.clone(),
            programs: programs.into_iter().map(str::to_owned).collect(),
        }));
    }
    (hosts, stays)
}

/// The gates of a stage: that the components which it changed serve. Of components that serve
/// together, all members have to serve.
fn gates(stage: Stage, work: &Work, situation: &Situation<'_>) -> Vec<Gate> {
    let hosts = work.hosts();
    let of_stage = Spec::all().filter(|spec| spec.stage == stage);
    let gates = of_stage.flat_map(|spec| {
        let members = situation.topology.members_of(spec.component).into_iter();
        let together = spec.serves_together();
        let asked = members.filter(|member| together || hosts.contains(&&member.host));
        gates_of(spec.component, asked.collect())
    });
    gates.collect()
}

/// The gates that all components on the hosts for which `fits` is true serve: what has to be true
/// of a cluster, or of a part of it.
pub fn gates_on(topology: &Topology, fits: impl Fn(&HostName) -> bool) -> Vec<Gate> {
    let gates = Component::ALL.into_iter().flat_map(|component| {
        let members = topology.members_of(component).into_iter();
        gates_of(component, members.filter(|member| fits(&member.host)).collect())
    });
    gates.collect()
}

/// The gates that these instances of a component serve: each alone, or all together.
fn gates_of(component: Component, members: Vec<Member>) -> Vec<Gate> {
    let gate = |members| Gate::Serves { component, members };
    (!members.is_empty()).then(|| gate(members)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_of_every_component_is_applied() {
        for spec in Spec::all() {
            assert!(STAGES.contains(&spec.stage), "{}", spec.component);
        }
    }
}
