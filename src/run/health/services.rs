//! Asks the masters, the agents, Marathon, Chronos and the edge about their health, through the
//! hosts.
//!
//! An answer of a master proves little: a master without a registry answers too. So masters are
//! asked whether they recovered their log, and the leader is asked for data that it has only
//! after that. Marathon accepts everyone if it cannot read its own credentials, so a request
//! without a password must be refused. Marathon and Chronos report as their leader the one that
//! ZooKeeper remembers, even if it is dead or has no master. So Mesos' leading master is asked
//! which of them leads: it knows to which framework it makes offers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use hyper::Uri;

use crate::api::balancer::{Balancer, BalancerStatus};
use crate::api::chronos::Chronos;
use crate::api::copier::CopierStatus;
use crate::api::edge::{Edge, EdgeError};
use crate::api::http::{Access, ApiError, Endpoint, Login, ThroughHost};
use crate::api::marathon::Marathon;
use crate::api::mesos::{AgentInfo, Framework, Master};
use crate::api::tunnel::Tunnel;
use crate::component::Spec;
use crate::component::mesos::OPERATOR;
use crate::event::in_words;
use crate::host::HostName;
use crate::inventory::component::{
    BALANCER_PORT, CHRONOS_PORT, COPIER_PORT, MARATHON_EDGE_PORT, MARATHON_PORT,
    MASTER_PORT,
};
use crate::inventory::{Component, Redundancy};
use crate::plan::MemberHealth;
use crate::remote::{Argv, As, Exec, Input};
use crate::run::Fleet;
use crate::run::gate::GateState;
use crate::secret::Secret;
use crate::topology::{Member, Topology};

/// How long a member may take to answer a short question.
const ANSWER: Duration = Duration::from_secs(5);

/// The services of a cluster that can be asked over HTTP.
#[derive(Clone, Copy)]
pub(crate) struct Services<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) topology: &'a Topology,
    pub(crate) logins: &'a Logins,
}

/// The passwords that this program uses for them.
#[derive(Debug)]
pub(crate) struct Logins {
    pub(crate) mesos: Secret,
    pub(crate) marathon: Secret,
    pub(crate) chronos: Secret,
    /// What this program needs to know to use the edge.
    pub(crate) edge: EdgeAccess,
}

/// How this program uses the edge.
#[derive(Debug)]
pub(crate) struct EdgeAccess {
    /// The name for which it has a certificate of the cluster's own authority.
    pub(crate) name: String,
    /// The certificate of that authority, in PEM.
    pub(crate) ca: String,
    /// The platform's own password.
    pub(crate) password: Secret,
}

/// Whether a member leads, or why it does not serve.
pub(crate) type LeaderStatus = Result<bool, String>;

impl Services<'_> {
    /// The status of each of these members, as it and its master report it; and why the master
    /// could not be asked, if it had to be.
    async fn statuses(
        &self,
        component: Component,
        members: &[Member],
    ) -> (Vec<LeaderStatus>, Option<String>) {
        let own = self.own_statuses(component, members);
        if Spec::of(component).framework.is_none() {
            return (own.await, None);
        }
        let (statuses, frameworks) = tokio::join!(own, self.frameworks());
        (confirm(component, members, statuses, &frameworks), frameworks.err())
    }

    /// What each of these members reports about itself.
    pub(crate) async fn own_statuses(
        &self,
        component: Component,
        members: &[Member],
    ) -> Vec<LeaderStatus> {
        join_all(members.iter().map(|member| self.status(component, member))).await
    }

    fn status<'a>(
        &'a self,
        component: Component,
        member: &'a Member,
    ) -> BoxFuture<'a, LeaderStatus> {
        match component {
            Component::MesosMaster => Box::pin(self.master_status(member)),
            Component::Marathon => Box::pin(self.marathon_status(member)),
            Component::Chronos => Box::pin(self.chronos_status(member)),
            Component::Haproxy => Box::pin(self.edge_status(member)),
            Component::Balancer => Box::pin(self.balancer_status(member)),
            Component::Keepalived => Box::pin(self.vip_status(member)),
            Component::Copier => Box::pin(self.copier_status(member)),
            Component::Registry | Component::Zookeeper | Component::MesosAgent => {
                Box::pin(async move { Err(format!("{component} has no such status")) })
            }
        }
    }

    async fn master_status(&self, member: &Member) -> LeaderStatus {
        let metrics = self.master(member)?.metrics().await.map_err(said)?;
        let is = |name: &str| metrics.get(name).is_some_and(|value| *value > 0.0);
        match is("registrar/log/recovered") {
            true => Ok(is("master/elected")),
            false => Err("has not recovered its log".to_owned()),
        }
    }

    async fn marathon_status(&self, member: &Member) -> LeaderStatus {
        let marathon = self.marathon(member)?;
        is_refused(marathon.is_guarded().await)?;
        marathon.ping().await.map_err(said)?;
        leads(member, marathon.leader().await)
    }

    async fn chronos_status(&self, member: &Member) -> LeaderStatus {
        let chronos = self.chronos(member)?;
        is_refused(chronos.is_guarded().await)?;
        chronos.ping().await.map_err(said)?;
        leads(member, chronos.leader().await)
    }

    /// Whether the edge on a host asks for a password; no edge leads.
    async fn edge_status(&self, member: &Member) -> LeaderStatus {
        let ask = |edge: Edge| async move { edge.is_guarded().await };
        self.at_edge(member, ask).await.map(|()| false)
    }

    /// Whether the balancer of a host does what the apps want; no balancer leads.
    async fn balancer_status(&self, member: &Member) -> LeaderStatus {
        match self.balancer(member).await?.fault() {
            Some(why) => Err(why),
            None => Ok(false),
        }
    }

    /// What the balancer of a host tells about itself.
    pub(crate) async fn balancer(
        &self,
        member: &Member,
    ) -> Result<BalancerStatus, String> {
        let ask = Endpoint { host: Ipv4Addr::LOCALHOST.to_string(), port: BALANCER_PORT };
        let access = self.own_program("balancer", member, ask)?;
        Balancer::new(access).status().await.map_err(said)
    }

    /// Whether the registry of a host has all images that can be copied, and the others have all of
    /// its images; no copier leads. A copier that does not run yet, or not now, is not waited for.
    async fn copier_status(&self, member: &Member) -> LeaderStatus {
        let members = self.topology.members_of(Component::Copier);
        let others = members.iter().filter(|other| other.host != member.host);
        let others = others.map(|other| async move {
            Some((&other.host, self.copier(other).await.ok()?))
        });
        let (own, others) = tokio::join!(self.copier(member), join_all(others));
        let own = own?;
        let mut why = own.fault().or_else(|| own.on_their_way());
        for (host, other) in others.into_iter().flatten() {
            let of_other = || {
                let said = other.deaf_to(&member.host).or_else(|| other.on_their_way());
                said.map(|said| format!("{host}: {said}"))
            };
            why = why.or_else(|| own.deaf_to(host)).or_else(of_other);
        }
        why.map_or(Ok(false), Err)
    }

    /// What the copier of a host tells about itself.
    pub(crate) async fn copier(&self, member: &Member) -> Result<CopierStatus, String> {
        let ask = Endpoint { host: member.address.to_string(), port: COPIER_PORT };
        CopierStatus::ask(self.own_program("copier", member, ask)?).await.map_err(said)
    }

    /// How to ask a program of this project on a host.
    fn own_program(
        &self,
        name: &str,
        member: &Member,
        ask: Endpoint,
    ) -> Result<Access, String> {
        let remote = self.fleet.get(&member.host);
        let remote = remote.ok_or("there is no connection to its host")?;
        Ok(Access {
            name: format!("the {name} on {}", member.host),
            ask,
            own: BTreeSet::new(),
            login: None,
            dialer: Arc::new(ThroughHost(Arc::clone(remote))),
            deadline: ANSWER,
        })
    }

    /// Whether a host has the virtual IP.
    async fn vip_status(&self, member: &Member) -> LeaderStatus {
        let remote = self.fleet.get(&member.host);
        let remote = remote.ok_or("there is no connection to its host")?;
        let vip = self.topology.vip.ok_or("the cluster has no virtual IP")?;
        let exec = Exec {
            purpose: "look for the virtual IP".to_owned(),
            argv: Argv::new(["cat", "/proc/net/fib_trie"]),
            user: As::Login,
            input: Input::Empty,
            on_line: None,
            deadline: ANSWER,
        };
        let output = remote.exec(exec).await.map_err(|error| in_words(&error))?;
        Ok(has_address(&String::from_utf8_lossy(&output.stdout), vip))
    }

    /// Checks that Marathon is served through the edge on a host.
    pub(crate) async fn serves_marathon(&self, edge: &Member) -> Result<(), String> {
        let login = (OPERATOR, &self.logins.edge.password);
        let ask = |edge: Edge| async move { edge.serves("v2/info", login).await };
        self.at_edge(edge, ask).await
    }

    /// Whether the edge on a host lets an account in.
    pub(crate) async fn lets_in(
        &self,
        edge: &Member,
        login: (&str, &Secret),
    ) -> Result<bool, String> {
        let ask = |edge: Edge| async move { edge.lets_in(login).await };
        self.at_edge(edge, ask).await
    }

    /// Asks the edge on a host, at Marathon's port.
    async fn at_edge<T, F>(
        &self,
        member: &Member,
        ask: impl FnOnce(Edge) -> F,
    ) -> Result<T, String>
    where
        F: Future<Output = Result<T, EdgeError>>,
    {
        let remote = self.fleet.get(&member.host);
        let remote = Arc::clone(remote.ok_or("there is no connection to its host")?);
        let tunnel =
            Tunnel::open(remote, member.address.to_string(), MARATHON_EDGE_PORT).await;
        let tunnel = tunnel.map_err(|error| in_words(&error))?;
        let EdgeAccess { name, ca, .. } = &self.logins.edge;
        let edge = Edge::new(tunnel.address(), name, ca);
        let answer = match edge {
            Ok(edge) => ask(edge).await,
            Err(error) => Err(error),
        };
        // The error at the far end is more useful than that the near end was closed.
        answer.map_err(|error| match tunnel.failure() {
            Some(failure) => in_words(&failure),
            None => in_words(&error),
        })
    }

    /// Whether the leading master has its registry, which needs a quorum.
    pub(crate) async fn registry(&self, asked: &[Member]) -> Result<(), String> {
        self.of_leader(asked, |master| async move { master.get_master().await }).await
    }

    /// The registered agents, as the leading master reports them.
    pub(crate) async fn agents(&self) -> Result<Vec<AgentInfo>, String> {
        self.of_leader(&self.masters(), |master| async move { master.get_agents().await })
            .await
    }

    /// The registered frameworks, as the leading master reports them.
    pub(crate) async fn frameworks(&self) -> Result<Vec<Framework>, String> {
        let ask = |master: Master| async move { master.get_frameworks().await };
        self.of_leader(&self.masters(), ask).await
    }

    /// Asks the leader through the first of these members that gets its answer.
    async fn of_leader<T, F>(
        &self,
        asked: &[Member],
        ask: impl Fn(Master) -> F,
    ) -> Result<T, String>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let mut why = "there is no master to ask".to_owned();
        for member in asked {
            match self.master(member) {
                Ok(master) => match ask(master).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => why = said(error),
                },
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// All masters.
    fn masters(&self) -> Vec<Member> {
        self.topology.members_of(Component::MesosMaster)
    }

    fn master(&self, member: &Member) -> Result<Master, String> {
        let password = &self.logins.mesos;
        let access = self.access(Component::MesosMaster, MASTER_PORT, member, password);
        access.map(Master::new)
    }

    /// A client for Marathon on one host.
    pub(crate) fn marathon(&self, member: &Member) -> Result<Marathon, String> {
        let password = &self.logins.marathon;
        let access = self.access(Component::Marathon, MARATHON_PORT, member, password);
        access.map(Marathon::new)
    }

    fn chronos(&self, member: &Member) -> Result<Chronos, String> {
        let password = &self.logins.chronos;
        let access = self.access(Component::Chronos, CHRONOS_PORT, member, password);
        access.map(Chronos::new)
    }

    fn access(
        &self,
        component: Component,
        port: u16,
        member: &Member,
        password: &Secret,
    ) -> Result<Access, String> {
        let remote = self.fleet.get(&member.host);
        let remote = remote.ok_or("there is no connection to its host")?;
        let endpoint =
            |member: &Member| Endpoint { host: member.address.to_string(), port };
        let members = self.topology.members_of(component);
        Ok(Access {
            name: format!("{component} on {}", member.host),
            ask: endpoint(member),
            own: members.iter().map(endpoint).collect(),
            login: Some(Login { user: OPERATOR.to_owned(), password: password.clone() }),
            dialer: Arc::new(ThroughHost(Arc::clone(remote))),
            deadline: ANSWER,
        })
    }

    /// The health of the members that run a component.
    pub(crate) async fn health(
        &self,
        component: Component,
    ) -> BTreeMap<HostName, MemberHealth> {
        let members = self.topology.members_of(component);
        let (statuses, _) = self.statuses(component, &members).await;
        let hosts = members.into_iter().map(|member| member.host);
        hosts.zip(statuses.iter().map(health_of)).collect()
    }

    /// Whether these members serve, and whether one of all members of the component leads.
    pub(crate) async fn look(
        &self,
        component: Component,
        members: &[Member],
    ) -> GateState {
        let (statuses, unasked) = self.statuses(component, members).await;
        let whole = self.topology.members_of(component).len() == members.len();
        let one_leads = match component.redundancy() {
            Redundancy::Replicas | Redundancy::Pool => None,
            Redundancy::Quorum | Redundancy::Standby => Some(whole),
        };
        match (judge(members, &statuses, one_leads), unasked) {
            (GateState::Open(seen), _) if component == Component::MesosMaster => {
                match self.registry(members).await {
                    Ok(()) => GateState::Open(seen),
                    Err(why) => GateState::Closed(format!("{seen}; the leader: {why}")),
                }
            }
            // Without a master none of them leads, even if they are healthy.
            (GateState::Closed(seen), Some(why)) => {
                GateState::Closed(format!("{seen}; the leading master: {why}"))
            }
            (look, _) => look,
        }
    }

    /// Whether the agents of these hosts are registered and get tasks.
    pub(crate) async fn look_at_agents(&self, members: &[Member]) -> GateState {
        match self.agents().await {
            Ok(agents) => judge_agents(members, &agents),
            Err(why) => GateState::Closed(why),
        }
    }
}

/// Whether a host has an address, by the kernel's table of routes. A route to an address that another
/// host has is in the table too, but is not local.
fn has_address(table: &str, address: Ipv4Addr) -> bool {
    let mut is_there = false;
    table.lines().map(str::trim).any(|line| match line.strip_prefix("|-- ") {
        Some(other) => {
            is_there = other.parse() == Ok(address);
            false
        }
        None => is_there && line == "/32 host LOCAL",
    })
}

fn said(error: ApiError) -> String {
    in_words(&error)
}

fn is_refused(guarded: Result<bool, ApiError>) -> Result<(), String> {
    match guarded {
        Ok(true) => Ok(()),
        Ok(false) => Err("accepts everyone: it has not read its credentials".to_owned()),
        Err(error) => Err(said(error)),
    }
}

fn leads(member: &Member, leader: Result<Option<Endpoint>, ApiError>) -> LeaderStatus {
    match leader {
        Ok(Some(leader)) => Ok(leader.host == member.address.to_string()),
        Ok(None) => Err("knows of no leader".to_owned()),
        Err(error) => Err(said(error)),
    }
}

/// Corrects what the members of a framework report about themselves by what the leading master
/// knows. While the master cannot be asked, none of them leads.
pub(crate) fn confirm(
    component: Component,
    members: &[Member],
    statuses: Vec<LeaderStatus>,
    frameworks: &Result<Vec<Framework>, String>,
) -> Vec<LeaderStatus> {
    let Some(framework) = Spec::of(component).framework else { return statuses };
    let name = framework.principal;
    let works = |frameworks: &[Framework], member: &Member| {
        let mut of_it = frameworks.iter().filter(|framework| framework.name == name);
        of_it.any(|framework| {
            framework.active && framework.connected && is_of(framework, member)
        })
    };
    let status = |(member, status): (&Member, LeaderStatus)| match (status?, frameworks) {
        (_, Ok(frameworks)) if works(frameworks, member) => Ok(true),
        (true, Ok(_)) => {
            Err("is the elected leader, but is not connected to the leading master"
                .into())
        }
        (false, _) | (true, Err(_)) => Ok(false),
    };
    members.iter().zip(statuses).map(status).collect()
}

/// Whether the scheduler of a framework runs on a member's host.
fn is_of(framework: &Framework, member: &Member) -> bool {
    let address = member.address.to_string();
    let page = framework.webui_url.as_deref().and_then(|url| url.parse::<Uri>().ok());
    let page = page.as_ref().and_then(Uri::host);
    framework.hostname.as_deref() == Some(&address) || page == Some(&address)
}

fn health_of(status: &LeaderStatus) -> MemberHealth {
    match status {
        Ok(true) => MemberHealth::Leads,
        Ok(false) => MemberHealth::Serves,
        Err(_) => MemberHealth::Down,
    }
}

/// What members report together. If these are all members (`whole`), one of them must lead;
/// otherwise the leader may be outside. With `None` nobody leads such members.
fn judge(
    members: &[Member],
    statuses: &[LeaderStatus],
    whole: Option<bool>,
) -> GateState {
    let said = |(member, status): (&Member, &LeaderStatus)| match status {
        Ok(true) => format!("{} leads", member.host),
        Ok(false) => format!("{} serves", member.host),
        Err(why) => format!("{}: {why}", member.host),
    };
    let seen: Vec<String> = members.iter().zip(statuses).map(said).collect();
    let n_leaders = statuses.iter().filter(|status| **status == Ok(true)).count();
    let one_leads = match whole {
        Some(true) => n_leaders == 1,
        Some(false) => n_leaders <= 1,
        None => true,
    };
    match statuses.iter().all(Result::is_ok) && one_leads {
        true => GateState::Open(seen.join(", ")),
        false => GateState::Closed(seen.join(", ")),
    }
}

/// The agent of a host, as the leader knows it.
pub(crate) fn agent_of(address: IpAddr, agents: &[AgentInfo]) -> Option<&AgentInfo> {
    let address = address.to_string();
    let is_of = |agent: &&AgentInfo| match &agent.address {
        Some(endpoint) => endpoint.host == address,
        None => agent.hostname == address,
    };
    agents.iter().find(is_of)
}

fn judge_agents(members: &[Member], agents: &[AgentInfo]) -> GateState {
    let state = |member: &Member| match agent_of(member.address, agents) {
        Some(agent) if agent.active => (true, "is registered"),
        Some(agent) if agent.deactivated => (true, "is registered and deactivated"),
        Some(_) => (false, "is registered and does not answer"),
        None => (false, "is not registered"),
    };
    let states: Vec<_> = members.iter().map(|it| (it, state(it))).collect();
    let seen: Vec<String> = states
        .iter()
        .map(|(member, (_, state))| format!("{} {state}", member.host))
        .collect();
    match states.iter().all(|(_, (well, _))| *well) {
        true => GateState::Open(seen.join(", ")),
        false => GateState::Closed(seen.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::member;
    use super::*;

    fn check(statuses: &[LeaderStatus], whole: bool, open: bool) {
        let ids = 1..=u8::try_from(statuses.len()).unwrap();
        let members: Vec<Member> = ids.map(member).collect();
        let look = judge(&members, statuses, Some(whole));
        assert_eq!(matches!(look, GateState::Open(_)), open, "{look:?}");
    }

    fn framework(host: &str, active: bool) -> Framework {
        Framework {
            name: "marathon".to_owned(),
            active,
            connected: active,
            hostname: Some(host.to_owned()),
            webui_url: None,
        }
    }

    /// After the death of its leader, the old one is named until its session ends.
    #[test]
    fn who_leads_is_whose_framework_the_master_has() {
        let members = [member(1), member(2)];
        let check = |frameworks: &Result<Vec<Framework>, String>,
                     expected: [LeaderStatus; 2]| {
            let statuses = vec![Ok(true), Ok(false)];
            let statuses = confirm(Component::Marathon, &members, statuses, frameworks);
            assert_eq!(statuses, expected);
        };
        let not_connected = || {
            Err("is the elected leader, but is not connected to the leading master"
                .to_owned())
        };
        check(&Ok(vec![framework("10.0.0.1", true)]), [Ok(true), Ok(false)]);
        check(&Ok(vec![framework("10.0.0.1", false)]), [not_connected(), Ok(false)]);
        check(&Ok(vec![framework("10.0.0.2", true)]), [not_connected(), Ok(true)]);
        check(&Ok(Vec::new()), [not_connected(), Ok(false)]);
        check(&Err("nobody leads".to_owned()), [Ok(false), Ok(false)]);
        let page = Framework {
            hostname: Some("c1.example.com".to_owned()),
            webui_url: Some("http://10.0.0.1:8080".to_owned()),
            ..framework("", true)
        };
        check(&Ok(vec![page]), [Ok(true), Ok(false)]);
    }

    #[test]
    fn an_address_is_on_a_host_if_it_is_local_there() {
        let table = "Main:\n  +-- 10.77.0.0/24 2 0 2\n     |-- 10.77.0.10\n        /32 link UNICAST\n\
            Local:\n  +-- 10.77.0.0/24 2 0 2\n     |-- 10.77.0.1\n        /32 host LOCAL\n     \
            |-- 10.77.0.255\n        /32 link BROADCAST\n";
        let has = |last| has_address(table, [10, 77, 0, last].into());
        assert!(has(1));
        assert!(!has(10) && !has(255) && !has(11));
    }

    #[test]
    fn members_stand_when_all_serve_and_one_of_all_leads() {
        check(&[Ok(true), Ok(false), Ok(false)], true, true);
        check(&[Ok(false), Ok(false)], false, true);
        check(&[Ok(false), Ok(false), Ok(false)], true, false);
        check(&[Ok(true), Ok(true), Ok(false)], true, false);
        check(&[Ok(true), Ok(false), Err("silent".to_owned())], true, false);
    }
}
