//! Waves of changes that never interrupt two peers at once.
//!
//! Only this module can make a [`Wave`]. For each group of [`Peers`] that serves, a wave
//! interrupts at most one host; a group that does not serve has nothing to lose. Agents are
//! interrupted in batches.

use std::collections::{BTreeMap, BTreeSet};

use super::peers::Peers;
use super::{Gate, HostChanges, Reboot, gates_of};
use crate::component::Spec;
use crate::host::{HostName, joined};
use crate::inventory::Component;
use crate::resource::Action;
use crate::topology::{Member, Topology};

/// Changes that are made in parallel.
#[derive(Debug, Clone, PartialEq)]
pub struct Wave {
    hosts: Vec<HostChanges>,
    before: Vec<Gate>,
    after: Vec<Gate>,
}

/// The health of each member of the groups that serve together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MembersHealth(BTreeMap<(Component, HostName), MemberHealth>);

/// The health of one member, as it reports itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberHealth {
    /// It does not serve.
    Down,
    /// It follows a leader, or serves alone.
    Serves,
    /// It leads.
    Leads,
}

/// Agents, and how many of them may be interrupted at once.
#[derive(Debug, Clone, Copy)]
pub struct Agents<'a> {
    topology: &'a Topology,
}

/// A change that would interrupt more members of a group than the group can lose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refused: changing {host} would interrupt one of {n_serving} serving {what} while {} \
     not serve, and {needed} needed; bring {} back first",
    does(down),
    names(down)
)]
pub struct Refused {
    host: HostName,
    component: Component,
    down: Vec<Member>,
    n_serving: usize,
    what: &'static str,
    needed: String,
}

impl Refused {
    /// The gate that the members which are down serve again.
    pub(super) fn until_back(&self) -> Gate {
        Gate::Serves { component: self.component, members: self.down.clone() }
    }
}

impl MembersHealth {
    /// The health of the members of the ZooKeeper ensemble; a member not given counts as down.
    pub fn of(members: impl IntoIterator<Item = (HostName, MemberHealth)>) -> Self {
        Self::default().with(Component::Zookeeper, members)
    }

    /// The same, with the health of the members that run another component.
    #[must_use]
    pub fn with(
        mut self,
        component: Component,
        members: impl IntoIterator<Item = (HostName, MemberHealth)>,
    ) -> Self {
        let of = |(host, health)| ((component, host), health);
        self.0.extend(members.into_iter().map(of));
        self
    }

    /// The health of a member.
    pub fn get(&self, component: Component, host: &HostName) -> MemberHealth {
        let health = self.0.get(&(component, host.clone()));
        health.copied().unwrap_or(MemberHealth::Down)
    }

    /// The health once these gates have opened: each member that they waited for serves.
    pub(super) fn after(mut self, gates: &[Gate]) -> Self {
        for (component, hosts) in gates.iter().filter_map(Gate::who) {
            for host in hosts {
                let health = self.0.entry((component, host.clone()));
                let health = health.or_insert(MemberHealth::Down);
                *health = (*health).max(MemberHealth::Serves);
            }
        }
        self
    }

    /// Whether a member serves.
    pub fn serves(&self, component: Component, host: &HostName) -> bool {
        self.get(component, host) != MemberHealth::Down
    }
}

impl<'a> Agents<'a> {
    /// The agents of a cluster.
    pub fn of(topology: &'a Topology) -> Self {
        Self { topology }
    }

    fn batch(&self) -> usize {
        self.topology.batch.of(self.topology.agents().count())
    }

    /// Waves for these changes, which interrupt serving agents: one batch after the other.
    fn waves(&self, changes: Vec<HostChanges>) -> Vec<Wave> {
        let all = self.topology.members_of(Component::MesosAgent);
        let mut waves = Vec::new();
        let mut left = changes.into_iter().peekable();
        while left.peek().is_some() {
            let hosts: Vec<HostChanges> = left.by_ref().take(self.batch()).collect();
            let is_here =
                |member: &&Member| hosts.iter().any(|host| host.host == member.host);
            let members = all.iter().filter(is_here).cloned().collect();
            let after = gates_of(Component::MesosAgent, members);
            waves.push(Wave { hosts, before: Vec::new(), after });
        }
        waves
    }

    /// Whether these changes interrupt an agent that serves.
    fn are_interrupted_by(&self, host: &HostChanges, health: &MembersHealth) -> bool {
        let is_agent = self.topology.agents().any(|node| node.host == host.host);
        let members = Vec::new();
        let agents = Peers { component: Component::MesosAgent, members, needed: 0 };
        is_agent
            && health.serves(Component::MesosAgent, &host.host)
            && host.changes.iter().any(|change| agents.is_disturbed_by(change))
    }
}

impl Wave {
    /// The same without the text of what differs on these hosts.
    pub(super) fn without_diffs(mut self, of: &BTreeSet<HostName>) -> Self {
        for host in self.hosts.iter_mut().filter(|host| of.contains(&host.host)) {
            host.changes.iter_mut().for_each(|change| change.diff = None);
        }
        self
    }

    /// A wave for all hosts at once: nothing is interrupted, or there is nothing to lose.
    pub(super) fn at_once(hosts: Vec<HostChanges>) -> Self {
        Self { hosts, before: Vec::new(), after: Vec::new() }
    }

    /// The same wave with a gate: hosts that reboot have to be back before anything else.
    fn back_before_the_next(mut self) -> Self {
        let reboots: Vec<Reboot> = self.hosts.iter().filter_map(reboot).collect();
        if !reboots.is_empty() {
            self.after.insert(0, Gate::Booted(reboots));
        }
        self
    }

    /// The hosts and their changes.
    pub fn hosts(&self) -> &[HostChanges] {
        &self.hosts
    }

    /// What must be true before the first change.
    pub fn before(&self) -> &[Gate] {
        &self.before
    }

    /// What must be true after the last change, before the next wave.
    pub fn after(&self) -> &[Gate] {
        &self.after
    }
}

/// Puts the changes of a stage into waves: first the hosts where nothing is interrupted, then
/// members that are down already, then followers one by one, then leaders, then agents in batches.
///
/// # Errors
/// When a serving member would have to be interrupted while another member is down that these
/// changes do not start.
pub fn waves(
    changes: Vec<HostChanges>,
    peers: &[Peers],
    agents: Option<Agents<'_>>,
    health: &MembersHealth,
) -> Result<Vec<Wave>, Refused> {
    let live: Vec<&Peers> =
        peers.iter().filter(|peers| has_something_to_lose(peers, health)).collect();
    let (mut rolled, others): (Vec<_>, Vec<_>) = changes
        .into_iter()
        .partition(|host| live.iter().any(|peers| peers.are_disturbed_by(host)));
    // Several leaders on several hosts cannot all be last: the host with the most leaders is.
    rolled.sort_by_key(|host| {
        let of = |peers: &&&Peers| peers.are_disturbed_by(host);
        let stand = live.iter().filter(of).map(|p| health.get(p.component, &host.host));
        let n_leads =
            stand.clone().filter(|stands| *stands == MemberHealth::Leads).count();
        (stand.max(), n_leads)
    });
    let interrupts = |host: &HostChanges| {
        agents.is_some_and(|agents| agents.are_interrupted_by(host, health))
    };
    let (batched, calm): (Vec<_>, Vec<_>) = others.into_iter().partition(interrupts);
    let (rebooted, calm): (Vec<_>, Vec<_>) =
        calm.into_iter().partition(|host| reboot(host).is_some());
    let calm = (!calm.is_empty()).then(|| Wave::at_once(calm));
    let rebooted = in_batches(rebooted, peers, agents.map_or(1, |agents| agents.batch()));
    let rolled = roll(rolled, &live, health)?;
    let batched = agents.map(|agents| agents.waves(batched)).unwrap_or_default();
    let waves = calm.into_iter().chain(rebooted).chain(rolled).chain(batched);
    Ok(waves.map(Wave::back_before_the_next).collect())
}

/// The reboot among these changes; `None` if the machine does not reboot.
fn reboot(changes: &HostChanges) -> Option<Reboot> {
    changes.changes.iter().find_map(|change| match &change.action {
        Action::Reboot { boot } => {
            Some(Reboot { host: changes.host.clone(), before: boot.clone() })
        }
        _ => None,
    })
}

/// Batches of machines that reboot while nothing on them serves. Still, not all reboot at once, as
/// one may not come back with the new kernel setting, and no two peers do.
fn in_batches(hosts: Vec<HostChanges>, peers: &[Peers], size: usize) -> Vec<Wave> {
    let mut batches: Vec<Vec<HostChanges>> = Vec::new();
    for changes in hosts {
        let fits = |batch: &&mut Vec<HostChanges>| {
            let is_peer = |peers: &Peers| {
                peers.has(&changes.host)
                    && batch.iter().any(|other| peers.has(&other.host))
            };
            batch.len() < size && !peers.iter().any(is_peer)
        };
        match batches.iter_mut().find(fits) {
            Some(batch) => batch.push(changes),
            None => batches.push(vec![changes]),
        }
    }
    batches.into_iter().map(Wave::at_once).collect()
}

fn has_something_to_lose(peers: &Peers, health: &MembersHealth) -> bool {
    let serves = |member: &&Member| health.serves(peers.component, &member.host);
    let n_serving = peers.members.iter().filter(serves).count();
    n_serving >= peers.needed.max(1)
}

/// Peers, and the members that serve at some point of a plan.
struct Group<'a> {
    peers: &'a Peers,
    /// Other peers: if one of their members is interrupted on any host, these stop too, and then
    /// start again.
    ends_with: Vec<&'a Peers>,
    up: Vec<Member>,
    n_serving: usize,
}

impl<'a> Group<'a> {
    fn new(peers: &'a Peers, live: &[&'a Peers], health: &MembersHealth) -> Self {
        let serves = |m: &&Member| health.serves(peers.component, &m.host);
        let up: Vec<Member> = peers.members.iter().filter(serves).cloned().collect();
        let components = Spec::of(peers.component).interrupted_by;
        let of = |other: &&&Peers| components.contains(&other.component);
        let ends_with = live.iter().filter(of).copied().collect();
        Self { peers, ends_with, n_serving: up.len(), up }
    }

    fn serves(&self, host: &HostName) -> bool {
        self.up.iter().any(|member| member.host == *host)
    }

    /// Why these changes cannot be made now; `None` if they can.
    fn refusal(&self, changes: &HostChanges) -> Option<Refused> {
        let host = &changes.host;
        if !self.serves(host) || !self.peers.are_disturbed_by(changes) {
            return None;
        }
        let members = self.peers.members.iter();
        let down: Vec<Member> =
            members.filter(|member| !self.serves(&member.host)).cloned().collect();
        (!down.is_empty()).then(|| Refused {
            host: host.clone(),
            component: self.peers.component,
            down,
            n_serving: self.n_serving,
            what: self.peers.name(),
            needed: self.peers.needed_in_words(),
        })
    }

    /// The gates before and after these changes. After them, the members that they start serve
    /// too, and the members that they stopped on other hosts serve again.
    fn pass(&mut self, changes: &HostChanges) -> Option<(Option<Gate>, Gate)> {
        if !self.peers.are_disturbed_by(changes) {
            let ends = self.ends_with.iter().any(|peers| peers.are_disturbed_by(changes));
            let whole = || self.peers.gate(self.up.clone());
            return ends.then(|| (Some(whole()), whole()));
        }
        let is_other = |member: &&Member| member.host != changes.host;
        let others: Vec<Member> = self.up.iter().filter(is_other).cloned().collect();
        let before = (!others.is_empty()).then(|| self.peers.gate(others));
        if self.peers.are_started_by(changes) {
            let is_up = |m: &&Member| m.host == changes.host || self.serves(&m.host);
            self.up = self.peers.members.iter().filter(is_up).cloned().collect();
        }
        Some((before, self.peers.gate(self.up.clone())))
    }
}

/// One wave for each host, as early as nothing speaks against it. All other members have to serve:
/// those that serve now, those that an earlier wave started, and those that the wave before
/// stopped on other hosts.
fn roll(
    mut rolled: Vec<HostChanges>,
    live: &[&Peers],
    health: &MembersHealth,
) -> Result<Vec<Wave>, Refused> {
    let mut groups: Vec<Group<'_>> =
        live.iter().map(|peers| Group::new(peers, live, health)).collect();
    let mut waves = Vec::new();
    while !rolled.is_empty() {
        let refusals = |host| groups.iter().find_map(|group| group.refusal(host));
        let changes = match rolled.iter().position(|host| refusals(host).is_none()) {
            Some(next) => rolled.remove(next),
            None => return Err(refusals(&rolled[0]).expect("no host can be changed")),
        };
        let gates: Vec<_> =
            groups.iter_mut().filter_map(|group| group.pass(&changes)).collect();
        let (before, after): (Vec<Option<Gate>>, Vec<Gate>) = gates.into_iter().unzip();
        let before = before.into_iter().flatten().collect();
        waves.push(Wave { hosts: vec![changes], before, after });
    }
    Ok(waves)
}

fn does(members: &[Member]) -> String {
    format!("{} {}", names(members), if members.len() == 1 { "does" } else { "do" })
}

fn names(members: &[Member]) -> String {
    joined(members.iter().map(|member| &member.host))
}
