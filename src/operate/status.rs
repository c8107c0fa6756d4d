//! `platform status`: what runs where, which member leads, how many can fail.

mod deployments;
mod launches;
mod mesos;
mod show;
mod state;
mod words;

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use self::mesos::Asked;
pub use self::mesos::{AgentState, AgentStatus, FrameworkStatus, MesosStatus};
pub use self::state::ServiceState;
use self::words::{Words, words};

use super::cluster_files::ClusterFiles;
use super::error::Error;
use super::gather::{logins, registry_password};
use super::survey;
use super::{RunContext, connect, machines};
use crate::api::copier::CopierStatus;
use crate::api::zookeeper::{Answer, Mode};
use crate::component::registry::ACCOUNT;
use crate::component::{
    Health, Spec, agent, docker, haproxy, installed, keepalived, lost,
};
use crate::event::count;
use crate::event::in_words;
use crate::host::HostName;
use crate::inventory::Component;
use crate::provider::MissingMachine;
use crate::remote::RemoteError;
use crate::resource::probe::Questions;
use crate::resource::{Facts, Resource, Unit, UnitState};
use crate::run::Fleet;
use crate::run::health::services::Services;
use crate::run::health::zookeeper::members;
use crate::run::reach;
use crate::run::registries::RegistryLogin;
use crate::topology::{Ensemble, Node, Topology};

/// The state of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Its name.
    pub cluster: String,
    /// Its hosts, in the order of the inventory.
    pub hosts: Vec<HostStatus>,
    /// Its ensemble, if it has one.
    pub zookeeper: Option<EnsembleStatus>,
    /// Mesos, if it has Mesos.
    pub mesos: Option<MesosStatus>,
    /// The address of its landing page, if it has one.
    pub page: Option<String>,
    /// Machines of the inventory that do not exist or do not run.
    pub missing: Vec<String>,
    /// The time from which `down --expired` may remove the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// What is wrong, in sentences; empty if there is no problem.
    pub problems: Vec<String>,
    /// What is correct here but may be unexpected, in sentences.
    pub notes: Vec<String>,
}

/// The state of a host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostStatus {
    /// Its name.
    pub host: HostName,
    /// Its group.
    pub group: String,
    /// Its private address.
    pub address: String,
    /// Whether it answers.
    pub reachable: bool,
    /// Its distribution, if it answers.
    pub os: Option<String>,
    /// The version of its Docker, if it has Docker.
    pub docker: Option<String>,
    /// The state of its Docker, if Docker has to run and does not.
    pub docker_down: Option<String>,
    /// Its services.
    pub services: BTreeMap<String, ServiceStatus>,
}

/// The state of a service on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceStatus {
    /// The version that is installed on the host, if the host answers.
    pub version: Option<String>,
    /// Its state: `active`, `leads`, `follows`, `failed`, …. A registry is `active` if it answers
    /// correctly.
    pub state: ServiceState,
}

/// The state of an ensemble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnsembleStatus {
    /// The version that its members run, if all run the same.
    pub version: Option<String>,
    /// The host that leads.
    pub leader: Option<HostName>,
    /// How many members it has.
    pub n_members: usize,
    /// How many of them serve.
    pub n_serving: usize,
    /// How many more members can fail before it stops serving; `None` if it does not serve now.
    pub can_lose: Option<usize>,
}

/// Asks the hosts and the components for their state; writes nothing. `limit` names the groups
/// and hosts to ask; if it is empty, all are asked.
///
/// # Errors
/// When the provider cannot be asked, or a name is unknown. A host that does not answer is no
/// error: the status reports it.
pub async fn status(
    files: &ClusterFiles,
    limit: &[String],
    ctx: &RunContext<'_>,
) -> Result<Status, Error> {
    let machines = machines::compare(files, ctx).await?;
    let (fleet, unreachable) =
        connect::connect(files, &machines.plan.running, ctx).await?;
    let mut topology = machines.topology(files)?;
    if !machines.plan.missing.is_empty() {
        sort(&mut topology.nodes, files);
    }
    let questions =
        topology.nodes.iter().map(|node| (node.host.clone(), questions(node)));
    let questions = questions.filter(|(host, _)| fleet.contains_key(host)).collect();
    let logins = logins(files, ctx)?;
    let services = Services { fleet: &fleet, topology: &topology, logins: &logins };
    let (facts, answers, registries, copiers, asked, blocked) = tokio::join!(
        survey::facts_now(&fleet, &questions, ctx),
        members(&fleet, &topology),
        registries(files, &topology, &fleet, ctx),
        copiers(services),
        Asked::of(services, ctx),
        reach::blocked(&fleet, reach::connections(&topology)),
    );
    let facts = facts?;
    let words = words(files, &topology, &fleet, &facts).await;
    let seen = Seen {
        words: &words,
        topology: &topology,
        facts: &facts,
        answers: &answers,
        registries: &registries,
        copiers: &copiers,
        asked: &asked,
        missing: &machines.plan.missing,
    };
    let mut status = seen.status(&unreachable);
    if let Err(lost) = lost::check(&files.state.made(), files.state.folder(), &facts) {
        status.problems.insert(0, lost.to_string());
    }
    status.problems.extend(reach::sentences(&blocked));
    status.problems.extend(unfinished(files));
    status.expires = machines.plan.expires;
    status.problems.extend(status.expires.and_then(|at| expiry(at, (ctx.clock)())));
    let kept = machines::limited(machines.plan.all(), limit)?;
    status.hosts.retain(|host| kept.iter().any(|machine| machine.host == host.host));
    Ok(status)
}

/// Puts the hosts into the order of the inventory. Only a provider that numbers its machines has
/// missing ones, and those come last at first.
fn sort(nodes: &mut [Node], files: &ClusterFiles) {
    let groups = &files.inventory.groups;
    nodes.sort_by_key(|node| {
        let group = groups.iter().position(|group| group.name == node.group);
        (group, node.host.as_str().len(), node.host.clone())
    });
}

/// What earlier runs began and did not finish.
fn unfinished(files: &ClusterFiles) -> impl Iterator<Item = String> {
    let removal = "a `platform down` began to remove this cluster and did not finish: run it \
                   again, or run `platform up`, which keeps what still works, and otherwise \
                   finishes the removal and makes the cluster again";
    let proof = format!(
        "the last `up` ended before its proof: run `platform up {}` again",
        files.path.display()
    );
    let removal = files.state.removal_is_open().then(|| removal.to_owned());
    let proof = files.state.proof_is_open().then_some(proof);
    removal.into_iter().chain(proof)
}

/// A cluster that expires sooner than this causes a warning.
const SOON: SignedDuration = SignedDuration::from_hours(1);

/// The warning if a cluster has expired, or will soon.
fn expiry(at: Timestamp, now: Timestamp) -> Option<String> {
    let left = at.duration_since(now);
    let what = match left {
        left if left.is_negative() => "the cluster has expired".to_owned(),
        left if left < SOON => {
            let minutes = usize::try_from(left.as_secs() / 60).unwrap_or_default();
            format!("the cluster expires in {}", count(minutes, "minute"))
        }
        _ => return None,
    };
    Some(format!(
        "{what} ({at}): to keep it, write a later `expires` and run `platform up`"
    ))
}

/// The questions to a host: its services, and its system.
fn questions(node: &Node) -> Questions {
    let docker = node.has_containers().then_some(docker::UNIT);
    let units = Spec::of_node(node).map(|spec| spec.unit).chain(docker);
    let units = units.map(|unit| Resource::Unit(Unit::named(unit)));
    let units: Vec<Resource> = units.collect();
    let mut questions = Questions::about(&units).with_docker();
    for spec in Spec::of_node(node) {
        (spec.ask)(&mut questions);
    }
    questions
}

/// Whether each registry serves, or why it does not. If its host does not answer, a registry is
/// not asked.
async fn registries(
    files: &ClusterFiles,
    topology: &Topology,
    fleet: &Fleet,
    ctx: &RunContext<'_>,
) -> BTreeMap<HostName, Result<(), String>> {
    let asked = topology.registries().filter(|node| fleet.contains_key(&node.host));
    let asked = asked.map(|node| async move {
        let answer = ask_registry(files, node, fleet, ctx).await;
        (node.host.clone(), answer)
    });
    join_all(asked).await.into_iter().collect()
}

async fn ask_registry(
    files: &ClusterFiles,
    node: &Node,
    fleet: &Fleet,
    ctx: &RunContext<'_>,
) -> Result<(), String> {
    let unasked = |error: Error| format!("cannot be asked: {}", in_words(&error));
    let ca = files.state.ca((ctx.clock)()).map_err(|error| unasked(error.into()))?;
    let password =
        registry_password(files, ctx).map_err(|error| unasked(error.into()))?;
    let (ca, user) = (ca.trusted_pem(), ACCOUNT);
    let login = RegistryLogin { ca, user, password: &password };
    let answer = login.check(fleet, node).await;
    answer.map_err(|error| format!("does not serve: {}", in_words(&error)))
}

/// What the copiers tell.
async fn copiers(services: Services<'_>) -> Copiers {
    let members = services.topology.members_of(Component::Copier).into_iter();
    let asked = members.map(|member| async move {
        let told = services.copier(&member).await;
        (member.host, told)
    });
    join_all(asked).await.into_iter().collect()
}

type Copiers = BTreeMap<HostName, Result<CopierStatus, String>>;

/// The state of an agent that the master shut down for good.
const GONE: &str = "gone for good: the master shut it down; `platform up` starts it as a new \
                    agent";

struct Seen<'a> {
    words: &'a Words,
    topology: &'a Topology,
    facts: &'a BTreeMap<HostName, Facts>,
    answers: &'a BTreeMap<HostName, Result<Answer, String>>,
    asked: &'a Asked,
    registries: &'a BTreeMap<HostName, Result<(), String>>,
    copiers: &'a Copiers,
    missing: &'a [MissingMachine],
}

impl Seen<'_> {
    fn status(&self, unreachable: &[(HostName, RemoteError)]) -> Status {
        let hosts: Vec<HostStatus> =
            self.topology.nodes.iter().map(|node| self.host(node)).collect();
        let zookeeper = self.topology.zookeeper().map(|ensemble| self.ensemble(ensemble));
        let missing = self.missing.iter();
        let missing = missing.flat_map(|it| std::iter::repeat_n(it, it.count));
        let mut problems: Vec<String> = missing
            .clone()
            .map(|machine| match machine.is_new {
                true => format!("{} does not exist", machine.name),
                false => format!("{} does not run", machine.name),
            })
            .collect();
        problems.extend(unreachable.iter().map(|(_, error)| in_words(error)));
        for host in &hosts {
            problems.extend(host.docker_down.iter().map(|state| {
                let on = &host.host;
                format!("Docker on {on}: {state}; no container can run there")
            }));
            let services = host.services.iter();
            let bad = services.filter(|(_, service)| service.state.is_faulty());
            problems.extend(bad.map(|(name, service)| {
                let said = name.parse().ok().and_then(|component| {
                    self.words.get(&(host.host.clone(), Spec::of(component).unit))
                });
                let said = said.map(|line| format!("; its log says: {line}"));
                let said = said.unwrap_or_default();
                format!("{name} on {}: {}{said}", host.host, service.state)
            }));
        }
        if zookeeper.as_ref().is_some_and(|ensemble| ensemble.can_lose.is_none()) {
            problems.push("ZooKeeper has no quorum".to_owned());
        }
        problems.extend(self.asked.problems(self.topology));
        let copiers = || self.told_by_copiers();
        problems.extend(copiers().flat_map(|(host, told)| told.not_copied(host)));
        let mut notes = self.asked.notes();
        notes.extend(copiers().filter_map(|(host, told)| {
            Some(format!("the registry on {host} still has {}", told.on_their_way()?))
        }));
        notes.extend(agent::unlimited(self.topology, self.facts));
        notes.extend(keepalived::note(self.topology));
        Status {
            cluster: self.topology.cluster.to_string(),
            missing: missing.map(|machine| machine.name.clone()).collect(),
            hosts,
            zookeeper,
            mesos: self.asked.status(self.topology),
            page: haproxy::page_url(self.topology),
            expires: None,
            problems,
            notes,
        }
    }

    fn told_by_copiers(&self) -> impl Iterator<Item = (&HostName, &CopierStatus)> {
        let told = self.copiers.iter();
        told.filter_map(|(host, told)| Some((host, told.as_ref().ok()?)))
    }

    fn host(&self, node: &Node) -> HostStatus {
        let facts = self.facts.get(&node.host);
        let service = |spec: &Spec| {
            let name = spec.component.as_str();
            let version = facts.and_then(|facts| installed(facts, spec.component));
            let state = self.service(node, spec);
            (name.to_owned(), ServiceStatus { version, state })
        };
        HostStatus {
            host: node.host.clone(),
            group: node.group.clone(),
            address: node.address.to_string(),
            reachable: facts.is_some(),
            os: facts.map(|facts| facts.system.os.clone()),
            docker: facts
                .and_then(|facts| facts.system.engine.there())
                .map(str::to_owned),
            docker_down: facts.filter(|_| node.has_containers()).and_then(docker_down),
            services: Spec::of_node(node).map(service).collect(),
        }
    }

    /// The state that the component reports itself, if it does; otherwise the unit's state.
    fn service(&self, node: &Node, spec: &Spec) -> ServiceState {
        let Some(facts) = self.facts.get(&node.host) else {
            return ServiceState::NotKnown(self.silence(&node.host));
        };
        if spec.component == Component::MesosAgent && agent::is_gone(facts) {
            return ServiceState::faulty(GONE);
        }
        if let Some(down) = not_running(facts.unit(spec.unit).ok()) {
            return ServiceState::Faulty(format!("{down} ({})", spec.unit));
        }
        let said = match spec.health {
            Health::Registry => {
                let answer = self.registries.get(&node.host);
                let refused = answer.and_then(|answer| answer.as_ref().err());
                refused.cloned().map(ServiceState::Faulty)
            }
            Health::Zookeeper => self.answers.get(&node.host).map(of_member),
            Health::Copier => {
                let fault = self.copiers.get(&node.host).and_then(|told| match told {
                    Ok(told) => told.fault(),
                    Err(why) => Some(format!("does not serve: {why}")),
                });
                fault.map(ServiceState::Faulty)
            }
            Health::Agents
            | Health::Leader
            | Health::Edge
            | Health::Balancer
            | Health::VirtualIp => self.asked.state(spec.component, node),
        };
        said.unwrap_or(ServiceState::Serves("active"))
    }

    /// Why a host that told nothing is silent: a problem of the host, not of its services.
    fn silence(&self, host: &HostName) -> &'static str {
        let is_it = |missing: &&MissingMachine| {
            missing.machine.as_ref().is_some_and(|machine| machine.host == *host)
        };
        match self.missing.iter().find(is_it) {
            Some(machine) if machine.is_new => "unknown: the machine does not exist",
            Some(_) => "unknown: the machine does not run",
            None => "unknown: the host does not answer",
        }
    }

    fn ensemble(&self, ensemble: &Ensemble) -> EnsembleStatus {
        let serving: Vec<_> = ensemble
            .members()
            .iter()
            .filter_map(|member| match self.answers.get(&member.host) {
                Some(Ok(Answer::Serving(status))) => Some((&member.host, status)),
                _ => None,
            })
            .collect();
        let leads = |mode| matches!(mode, Mode::Leader | Mode::Standalone);
        let leader = serving.iter().find(|(_, status)| leads(status.mode));
        let mut versions: Vec<&str> =
            serving.iter().map(|(_, status)| status.version.as_str()).collect();
        versions.dedup();
        EnsembleStatus {
            version: (versions.len() == 1).then(|| versions[0].to_owned()),
            leader: leader.map(|(host, _)| (*host).clone()),
            n_members: ensemble.members().len(),
            n_serving: serving.len(),
            can_lose: serving.len().checked_sub(ensemble.majority()),
        }
    }
}

/// The state of a member of the ensemble, as it reports itself.
fn of_member(answer: &Result<Answer, String>) -> ServiceState {
    match answer {
        Ok(Answer::Serving(status)) => ServiceState::Serves(match status.mode {
            Mode::Leader => "leads",
            Mode::Follower | Mode::Observer => "follows",
            Mode::Standalone => "serves alone",
        }),
        Ok(Answer::NotServing) => ServiceState::faulty("runs without a quorum"),
        Err(error) => ServiceState::Faulty(format!("does not serve: {error}")),
    }
}

/// The state of a host's Docker; `None` if it runs.
fn docker_down(facts: &Facts) -> Option<String> {
    not_running(facts.unit(docker::UNIT).ok()).map(str::to_owned)
}

/// The state of a unit; `None` if it runs.
fn not_running(state: Option<&UnitState>) -> Option<&str> {
    let Some(state) = state else { return Some("unknown: the host did not say") };
    match (state.load.as_str(), state.active.as_str()) {
        (_, "active" | "reloading") => None,
        ("not-found", _) => Some("not installed"),
        (_, "activating") => {
            Some("activating: it is starting, or waits before it is started again")
        }
        (_, other) => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::component::registry;
    use crate::inventory::{self, Inventory};
    use crate::provider::ssh;
    use crate::resource::probe;

    #[test]
    fn an_end_is_warned_of_an_hour_before_and_after() {
        let at = |time: &str| -> Timestamp {
            format!("2026-01-01T{time}:00Z").parse().unwrap()
        };
        assert_eq!(expiry(at("12:00"), at("10:59")), None);
        let soon = expiry(at("12:00"), at("11:30")).unwrap();
        assert!(soon.starts_with("the cluster expires in 30 minutes"), "{soon}");
        let last = expiry(at("12:00"), at("11:59")).unwrap();
        assert!(last.starts_with("the cluster expires in 1 minute ("), "{last}");
        let late = expiry(at("12:00"), at("12:01")).unwrap();
        assert!(late.starts_with("the cluster has expired"), "{late}");
    }

    /// The problems and the state of the registry on a host that told nothing.
    fn of_silent(missing: &[MissingMachine]) -> (Vec<String>, String) {
        let topology = Topology::new(&lab(), &ssh::machines(&lab())).unwrap();
        let seen = Seen {
            words: &Words::new(),
            asked: &Asked::nobody(),
            topology: &topology,
            facts: &BTreeMap::new(),
            answers: &BTreeMap::new(),
            registries: &BTreeMap::new(),
            copiers: &Copiers::new(),
            missing,
        };
        let status = seen.status(&[]);
        let state = status.hosts[0].services["registry"].state.to_string();
        (status.problems, state)
    }

    #[test]
    fn a_host_that_tells_nothing_is_one_problem_and_its_services_are_none() {
        let missing = |is_new| MissingMachine {
            name: "edge-1".to_owned(),
            group: "edge".to_owned(),
            count: 1,
            machine: ssh::machines(&lab()).pop(),
            is_new,
        };
        let said = |problems: &[&str], state: &str| {
            (problems.iter().map(|it| (*it).to_owned()).collect(), state.to_owned())
        };
        assert_eq!(
            of_silent(&[missing(true)]),
            said(&["edge-1 does not exist"], "unknown: the machine does not exist")
        );
        assert_eq!(
            of_silent(&[missing(false)]),
            said(&["edge-1 does not run"], "unknown: the machine does not run")
        );
        assert_eq!(of_silent(&[]), said(&[], "unknown: the host does not answer"));
    }

    fn lab() -> Inventory {
        let text = "cluster: lab\nprovider: {ssh: {}}\ngroups:\n  \
                    edge: {roles: [edge], hosts: [{address: 10.0.0.9, name: edge-1}]}\n";
        inventory::read(text, &|_: &Path| true).unwrap()
    }

    /// The problem of a registry with this unit state and this answer.
    fn problem(load: &str, active: &str, answer: Result<(), &str>) -> Option<String> {
        problems("active", (load, active), answer).pop()
    }

    fn problems(
        docker_is: &str,
        (load, active): (&str, &str),
        answer: Result<(), &str>,
    ) -> Vec<String> {
        let topology = Topology::new(&lab(), &ssh::machines(&lab())).unwrap();
        let show = [
            format!("Id={}", registry::UNIT),
            format!("LoadState={load}"),
            format!("ActiveState={active}"),
            String::new(),
            format!("Id={}", docker::UNIT),
            "LoadState=loaded".to_owned(),
            format!("ActiveState={docker_is}"),
            String::new(),
        ];
        let lines: String = show
            .iter()
            .map(|show| format!("{{\"q\":\"unit\",\"show\":\"{show}\"}}\n"))
            .collect();
        let facts = probe::parse(&format!("{lines}{{\"q\":\"end\"}}"), 0.0).unwrap();
        let host = topology.nodes[0].host.clone();
        let asked = Asked::nobody();
        let seen = Seen {
            words: &Words::new(),
            asked: &asked,
            topology: &topology,
            facts: &[(host.clone(), facts)].into(),
            answers: &BTreeMap::new(),
            registries: &[(host, answer.map_err(str::to_owned))].into(),
            copiers: &Copiers::new(),
            missing: &[],
        };
        seen.status(&[]).problems
    }

    #[test]
    fn a_registry_is_well_only_where_it_runs_and_answers() {
        assert_eq!(problem("loaded", "active", Ok(())), None);
        let silent = Err("does not serve: nothing answers on port 5000");
        assert_eq!(
            problem("loaded", "active", silent).as_deref(),
            Some("registry on edge-1: does not serve: nothing answers on port 5000")
        );
    }

    #[test]
    fn a_docker_that_does_not_run_is_a_problem_whatever_else_does() {
        assert_eq!(
            problems("inactive", ("loaded", "active"), Ok(())),
            ["Docker on edge-1: inactive; no container can run there"]
        );
    }

    #[test]
    fn a_unit_that_does_not_run_is_called_what_it_is() {
        let said = |load: &str, active: &str| {
            let problem = problem(load, active, Err("does not serve: x")).unwrap();
            let said = problem.strip_prefix("registry on edge-1: ").unwrap();
            said.strip_suffix(" (platform-registry.service)").unwrap().to_owned()
        };
        assert_eq!(said("loaded", "inactive"), "inactive");
        assert_eq!(said("loaded", "failed"), "failed");
        assert_eq!(said("loaded", "deactivating"), "deactivating");
        assert_eq!(
            said("loaded", "activating"),
            "activating: it is starting, or waits before it is started again"
        );
        assert_eq!(said("not-found", "inactive"), "not installed");
        assert_eq!(not_running(None), Some("unknown: the host did not say"));
    }
}
