//! Checks everything once, in parallel: hosts, members of the ensemble, registries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use futures::stream::{self, StreamExt};

use super::cluster_files::ClusterFiles;
use super::error::Error;
use super::gather::Gathered;
use super::{RunContext, ssh_limits};
use crate::api::zookeeper::{Answer, Mode};
use crate::component::znode::{self, Secure, Seen, Znode};
use crate::component::{self, Context, Health, Inputs, Spec, Wants};
use crate::host::HostName;
use crate::inventory::Component;
use crate::plan::preflight::PreflightFailure;
use crate::plan::{Folder, Forming, MemberHealth, MembersHealth, Push, Situation};
use crate::remote::Remote;
use crate::resource::Facts;
use crate::resource::probe::Questions;
use crate::run::Fleet;
use crate::run::health::services::Services;
use crate::run::health::zookeeper::members;
use crate::run::probe::{ProbeError, Prober};
use crate::run::znodes::EnsembleAdmin;
use crate::template::BadTemplate;
use crate::topology::Topology;

/// What was seen.
pub(super) struct Survey {
    /// What each host has.
    pub(super) facts: BTreeMap<HostName, Facts>,
    /// What each host should have.
    pub(super) wants: BTreeMap<HostName, Wants>,
    /// Images that registries lack.
    pub(super) pushes: Vec<Push>,
    /// Nodes of ZooKeeper that lack their access lists.
    pub(super) nodes: Vec<Secure>,
    /// Whether ZooKeeper reported its nodes, or has no nodes yet.
    pub(super) nodes_told: bool,
    /// The health of the ensemble and of other groups that serve together.
    pub(super) health: MembersHealth,
    /// What was not begun yet.
    forming: Forming,
    /// The cluster's state folder on this computer.
    folder: PathBuf,
    /// The files that were missing there and were made again.
    made: Vec<PathBuf>,
    /// The note that the ensemble has served, if there is one.
    served: Option<PathBuf>,
}

impl Survey {
    /// The situation that a plan is made from.
    pub(super) fn situation<'a>(
        &'a self,
        topology: &'a Topology,
        preflight_failures: &'a [PreflightFailure],
    ) -> Situation<'a> {
        Situation {
            topology,
            wants: &self.wants,
            facts: &self.facts,
            health: &self.health,
            pushes: &self.pushes,
            nodes: &self.nodes,
            preflight_failures,
            folder: Folder {
                path: &self.folder,
                made: &self.made,
                served: self.served.as_deref(),
            },
            forming: self.forming,
        }
    }
}

/// Checks all hosts of the fleet; writes nothing. In the topology, members of an ensemble get the
/// numbers that they already have.
///
/// # Errors
/// When a host does not answer the probe: the error names all of these.
pub(super) async fn survey(
    files: &ClusterFiles,
    fleet: &Fleet,
    topology: &mut Topology,
    gathered: &mut Gathered,
    ctx: &RunContext<'_>,
) -> Result<Survey, Error> {
    let hosts = Targets { fleet, new: &BTreeSet::new() };
    with_new(files, hosts, topology, gathered, ctx).await
}

/// The hosts of a cluster of which some do not exist yet.
#[derive(Clone, Copy)]
pub(super) struct Targets<'a> {
    /// The hosts that exist.
    pub(super) fleet: &'a Fleet,
    /// The hosts that will be made.
    pub(super) new: &'a BTreeSet<HostName>,
}

/// The same, with hosts that do not exist yet: these are assumed to have nothing.
///
/// # Errors
/// As [`survey`].
pub(super) async fn with_new(
    files: &ClusterFiles,
    Targets { fleet, new }: Targets<'_>,
    topology: &mut Topology,
    gathered: &mut Gathered,
    ctx: &RunContext<'_>,
) -> Result<Survey, Error> {
    ctx.begin("checking the hosts")?;
    let questions = questions(topology, gathered)?;
    let (probed, around) = tokio::join!(
        probe_all(fleet, &questions, Busy::Wait(topology), ctx),
        look_around(fleet, topology, gathered),
    );
    let (mut facts, waited) = probed?;
    warn_of_unlimited(topology, &facts, ctx);
    if let Some(message) = gathered.inputs.firewall.warning() {
        ctx.events.warn_once(message);
    }
    let new = questions.iter().filter(|(host, _)| new.contains(host));
    facts.extend(new.map(|(host, asked)| (host.clone(), Facts::of_new_machine(asked))));
    // The script of an earlier run may have removed since what ran while it was busy.
    let Around { members, seen, others, pushes } = match waited {
        true => look_around(fleet, topology, gathered).await,
        false => around,
    };
    topology.keep_numbers(&component::zookeeper::numbers(facts.values()));
    let of_members =
        topology.zookeeper().into_iter().flat_map(|ensemble| ensemble.members());
    let of_members: Vec<&Facts> =
        of_members.filter_map(|member| facts.get(&member.host)).collect();
    let ensemble = component::zookeeper::forming(of_members)?;
    let masters = topology.masters().into_iter().flat_map(|masters| masters.members());
    let of_masters = masters.filter_map(|master| facts.get(&master.host));
    let masters = component::master::forming(of_masters)?;
    let forming = Forming { ensemble, masters };
    gathered.inputs.forming = forming.components();
    let seen = if ensemble { Seen::of_new() } else { seen };
    let nodes_told = topology.zookeeper().is_none() || seen != Seen::Unknown;
    let nodes = znode::changes(nodes(topology, gathered), &seen);
    see_users(topology, gathered, &facts, ctx);
    let wants = wants(topology, &gathered.inputs, &facts)?;
    let ensemble = MembersHealth::of(members.into_iter().map(|(host, answer)| {
        let health = health_of(answer.as_ref().ok());
        (host, health)
    }));
    let health = others
        .into_iter()
        .fold(ensemble, |health, (component, members)| health.with(component, members));
    let (folder, made) = (files.state.folder().to_owned(), files.state.made());
    let served = files.state.ensemble_served().then(|| files.state.ensemble_note());
    Ok(Survey {
        facts,
        wants,
        pushes,
        nodes,
        nodes_told,
        health,
        forming,
        folder,
        made,
        served,
    })
}

/// The answers of the services that are asked beside the hosts: the members of the ensemble, the
/// services that are asked over HTTP, and the registries.
async fn look_around(fleet: &Fleet, topology: &Topology, gathered: &Gathered) -> Around {
    let ((members, seen), others, pushes) = tokio::join!(
        ensemble(fleet, topology, gathered),
        others(fleet, topology, gathered),
        lacking(fleet, topology, gathered),
    );
    Around { members, seen, others, pushes }
}

/// The answers of the services.
struct Around {
    members: BTreeMap<HostName, Result<Answer, String>>,
    /// What is known about ZooKeeper's nodes.
    seen: Seen,
    others: Vec<(Component, BTreeMap<HostName, MemberHealth>)>,
    /// Images that registries lack.
    pushes: Vec<Push>,
}

/// Finds out as which users tasks run, and warns of what the operator should know about that and
/// is no fault of a host.
fn see_users(
    topology: &Topology,
    gathered: &mut Gathered,
    facts: &BTreeMap<HostName, Facts>,
    ctx: &RunContext<'_>,
) {
    let marathons = topology.nodes.iter().filter(|node| node.runs(Component::Marathon));
    let of_marathons = marathons.filter_map(|node| facts.get(&node.host));
    let inputs = &mut gathered.inputs;
    inputs.as_root = component::marathon::registered_as_root(of_marathons);
    if let Some(message) = component::marathon::warning(inputs) {
        ctx.events.warn_once(message);
    }
}

/// Warns of agents that exist and cannot limit the memory of their tasks.
fn warn_of_unlimited(
    topology: &Topology,
    facts: &BTreeMap<HostName, Facts>,
    ctx: &RunContext<'_>,
) {
    if let Some(message) = component::agent::unlimited(topology, facts) {
        ctx.events.warn_once(message);
    }
}

/// What each host should have, for hosts whose facts are known.
///
/// # Errors
/// When a template of the inventory cannot be rendered.
pub(super) fn wants(
    topology: &Topology,
    inputs: &Inputs,
    facts: &BTreeMap<HostName, Facts>,
) -> Result<BTreeMap<HostName, Wants>, BadTemplate> {
    let mut wants = BTreeMap::new();
    for node in &topology.nodes {
        if let Some(facts) = facts.get(&node.host) {
            let context = Context { topology, node, inputs };
            wants.insert(node.host.clone(), component::wants(context, facts)?);
        }
    }
    Ok(wants)
}

/// The questions to each host. Names never depend on the facts of a host, so the questions are
/// those for a host about which nothing is known.
fn questions(
    topology: &Topology,
    gathered: &Gathered,
) -> Result<BTreeMap<HostName, Questions>, Error> {
    let mut questions = BTreeMap::new();
    for node in &topology.nodes {
        let context = Context { topology, node, inputs: &gathered.inputs };
        let wants = component::wants(context, &Facts::default())?;
        let mut of_host = Questions::about(wants.iter().map(|(_, resource)| resource));
        component::ask(context, &mut of_host);
        if node.has_containers() {
            of_host = of_host.with_ports();
        }
        if let Some(vip) = topology.vip.filter(|_| node.runs(Component::Keepalived)) {
            of_host = of_host.with_answering(vip);
        }
        questions.insert(node.host.clone(), of_host);
    }
    Ok(questions)
}

/// Probes these hosts in parallel, each as soon as no run changes it any more.
///
/// # Errors
/// When a host does not answer: the error names all of these.
pub(super) async fn facts(
    fleet: &Fleet,
    topology: &Topology,
    questions: &BTreeMap<HostName, Questions>,
    ctx: &RunContext<'_>,
) -> Result<BTreeMap<HostName, Facts>, Error> {
    probe_all(fleet, questions, Busy::Wait(topology), ctx).await.map(|(facts, _)| facts)
}

/// Probes these hosts now, even if a run is changing them.
///
/// # Errors
/// As [`facts`].
pub(super) async fn facts_now(
    fleet: &Fleet,
    questions: &BTreeMap<HostName, Questions>,
    ctx: &RunContext<'_>,
) -> Result<BTreeMap<HostName, Facts>, Error> {
    probe_all(fleet, questions, Busy::Ignore, ctx).await.map(|(facts, _)| facts)
}

/// What to do about a host that the script of an earlier run still changes.
#[derive(Clone, Copy)]
enum Busy<'a> {
    /// Wait, unless another run holds the lock of this cluster.
    Wait(&'a Topology),
    /// Ask the host all the same.
    Ignore,
}

/// Probes these hosts; also returns whether it had to wait for a host.
async fn probe_all(
    fleet: &Fleet,
    questions: &BTreeMap<HostName, Questions>,
    busy: Busy<'_>,
    ctx: &RunContext<'_>,
) -> Result<(BTreeMap<HostName, Facts>, bool), Error> {
    // If another run is changing one host, this does not wait for the others.
    let held = AtomicBool::new(false);
    let clock = || ctx.seconds();
    let stopped = || ctx.is_stopped() || held.load(Ordering::Relaxed);
    let keepers = match busy {
        Busy::Wait(topology) => ssh_limits::locked(topology),
        Busy::Ignore => Vec::new(),
    };
    let keepers: Vec<(&HostName, &dyn Remote)> = keepers
        .iter()
        .filter_map(|host| Some((host, fleet.get(host)?.as_ref())))
        .collect();
    let prober = Prober {
        clock: &clock,
        events: &ctx.events,
        stopped: &stopped,
        is_over: &*ctx.is_own_run,
        keepers: &keepers,
    };
    let (prober, held) = (&prober, &held);
    let asked = questions.iter().filter_map(|(host, questions)| {
        let remote = fleet.get(host)?.as_ref();
        Some(async move {
            let probed = match busy {
                Busy::Wait(_) => prober.probe(host, remote, questions).await,
                Busy::Ignore => prober.look(host, remote, questions).await,
            };
            held.fetch_or(
                matches!(probed, Err(ProbeError::Held { .. })),
                Ordering::Relaxed,
            );
            (host.clone(), probed)
        })
    });
    let asked: Vec<_> = asked.collect();
    let answers: Vec<_> =
        stream::iter(asked).buffer_unordered(ctx.parallel.max(1)).collect().await;
    let (mut facts, mut waited, mut failed) = (BTreeMap::new(), false, Vec::new());
    for (host, answer) in answers {
        match answer {
            Ok(probed) => {
                waited |= probed.waited;
                facts.insert(host, probed.facts);
            }
            Err(error) => failed.push(error),
        }
    }
    if failed.iter().any(|error| matches!(error, ProbeError::Held { .. })) {
        failed.retain(|error| !matches!(error, ProbeError::Stopped { .. }));
    }
    if failed.is_empty() { Ok((facts, waited)) } else { Err(Error::Probe(failed)) }
}

/// The health of the ensemble's members, and the nodes that the leader reports.
async fn ensemble(
    fleet: &Fleet,
    topology: &Topology,
    gathered: &Gathered,
) -> (BTreeMap<HostName, Result<Answer, String>>, Seen) {
    let members = members(fleet, topology).await;
    let password = gathered.inputs.secret(component::zookeeper::SUPER_SECRET);
    let access = EnsembleAdmin { fleet, topology, password };
    let seen = access.seen(&members, &nodes(topology, gathered)).await;
    (members, seen)
}

/// The nodes that the ensemble should have; empty if there is no ensemble.
pub(super) fn nodes(topology: &Topology, gathered: &Gathered) -> Vec<Znode> {
    let ensemble = topology.zookeeper().into_iter();
    ensemble.flat_map(|_| znode::wanted(topology, &gathered.inputs)).collect()
}

/// The health of the services that serve together and are asked over HTTP.
async fn others(
    fleet: &Fleet,
    topology: &Topology,
    gathered: &Gathered,
) -> Vec<(Component, BTreeMap<HostName, MemberHealth>)> {
    let services = Services { fleet, topology, logins: &gathered.logins };
    let together = Spec::all().filter(|spec| spec.serves_together());
    let by_http = together.filter(|spec| spec.component != Component::Zookeeper);
    let registries = gathered.registries(fleet, topology);
    let registries = &registries;
    let asked = by_http.map(|spec| async move {
        let health = match spec.health {
            Health::Registry => registries.health().await,
            Health::Zookeeper
            | Health::Agents
            | Health::Leader
            | Health::Edge
            | Health::Balancer
            | Health::VirtualIp
            | Health::Copier => services.health(spec.component).await,
        };
        (spec.component, health)
    });
    join_all(asked).await
}

fn health_of(answer: Option<&Answer>) -> MemberHealth {
    match answer {
        Some(Answer::Serving(status)) if status.mode == Mode::Leader => {
            MemberHealth::Leads
        }
        Some(Answer::Serving(_)) => MemberHealth::Serves,
        _ => MemberHealth::Down,
    }
}

/// The images that hosts pull and registries lack. A registry that cannot be asked, because it
/// does not run yet or has another password, is assumed to lack all: pushing what is already
/// there costs nothing.
async fn lacking(fleet: &Fleet, topology: &Topology, gathered: &Gathered) -> Vec<Push> {
    let registries = gathered.registries(fleet, topology);
    let needed = gathered.inputs.images.keys().copied();
    let pulled: Vec<Component> =
        needed.filter(|component| *component != Component::Registry).collect();
    let asked = topology.registries().flat_map(|node| {
        let registries = &registries;
        pulled.iter().map(move |component| async move {
            let push = Push { component: *component, to: node.host.clone() };
            let there = registries.has(node, *component).await.unwrap_or(false);
            (!there).then_some(push)
        })
    });
    join_all(asked).await.into_iter().flatten().collect()
}
