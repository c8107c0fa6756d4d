//! Waves of changes that never disturb two members of a serving ensemble at once.
//!
//! A [`Wave`] can be made only in here, and holds at most one member whose service may be
//! interrupted, unless there is no quorum that could be lost.

use std::collections::BTreeMap;

use super::{Gate, HostChanges};
use crate::component::zookeeper;
use crate::host::HostName;
use crate::resource::{Action, Change};
use crate::topology::{Ensemble, Member};

/// Changes that are made side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Wave(Kind);

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// No member of the ensemble is disturbed.
    Calm(Vec<HostChanges>),
    /// One member is, after all others have been seen to serve.
    Member { changes: HostChanges, others: Vec<Member>, all: Vec<Member> },
    /// There is no quorum: none was formed yet, it is lost already, or it is given up.
    NoQuorum(Vec<HostChanges>),
}

/// How each member of the ensemble stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing(BTreeMap<HostName, MemberStanding>);

/// How one member stands, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberStanding {
    /// It leads.
    Leads,
    /// It follows a leader, or serves alone.
    Serves,
    /// It does not serve.
    Down,
}

/// A change that would cost the quorum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refused: to change {host} would interrupt one of {n_serving} serving members while {} \
     not serve, and a majority of {majority} is needed; bring {} back first",
    does(down),
    list(down)
)]
pub struct Refused {
    host: HostName,
    down: Vec<HostName>,
    n_serving: usize,
    majority: usize,
}

impl Standing {
    /// How the members stand; who is not in it is taken to be down.
    pub fn of(members: impl IntoIterator<Item = (HostName, MemberStanding)>) -> Self {
        Self(members.into_iter().collect())
    }

    /// How a member stands.
    pub fn get(&self, host: &HostName) -> MemberStanding {
        self.0.get(host).copied().unwrap_or(MemberStanding::Down)
    }

    /// The standing once these gates have opened: whoever had to serve for it serves.
    pub(super) fn after(mut self, gates: &[Gate]) -> Self {
        for gate in gates {
            let Gate::Ensemble(members) = gate else { continue };
            for member in members {
                let standing =
                    self.0.entry(member.host.clone()).or_insert(MemberStanding::Down);
                if *standing == MemberStanding::Down {
                    *standing = MemberStanding::Serves;
                }
            }
        }
        self
    }

    fn serves(&self, host: &HostName) -> bool {
        self.get(host) != MemberStanding::Down
    }
}

impl Wave {
    /// All at once, where the quorum is given up on purpose: a tear-down.
    pub(super) fn given_up(changes: Vec<HostChanges>) -> Self {
        Self(Kind::NoQuorum(changes))
    }

    /// The hosts and their changes.
    pub fn hosts(&self) -> &[HostChanges] {
        match &self.0 {
            Kind::Calm(hosts) | Kind::NoQuorum(hosts) => hosts,
            Kind::Member { changes, .. } => std::slice::from_ref(changes),
        }
    }

    /// What must be true before the first change.
    pub fn before(&self) -> Option<Gate> {
        match &self.0 {
            Kind::Member { others, .. } if !others.is_empty() => {
                Some(Gate::Ensemble(others.clone()))
            }
            _ => None,
        }
    }

    /// What must be true after the last change, before the next wave.
    pub fn after(&self) -> Option<Gate> {
        match &self.0 {
            Kind::Member { all, .. } => Some(Gate::Ensemble(all.clone())),
            _ => None,
        }
    }
}

/// Puts the changes of a stage into waves: what is calm first, then members that are down
/// already, then followers one by one, the leader last.
///
/// # Errors
/// When a serving member would have to be interrupted while another, which these changes do
/// not bring back, is down.
pub fn waves(
    changes: Vec<HostChanges>,
    ensemble: Option<&Ensemble>,
    standing: &Standing,
) -> Result<Vec<Wave>, Refused> {
    let members = ensemble.map(Ensemble::members).unwrap_or_default();
    let majority = ensemble.map_or(0, Ensemble::majority);
    let serving = members.iter().filter(|member| standing.serves(&member.host)).count();
    if serving < majority || members.is_empty() {
        let all = (!changes.is_empty()).then(|| Wave(Kind::NoQuorum(changes)));
        return Ok(all.into_iter().collect());
    }
    let is_member = |host: &HostName| members.iter().any(|member| member.host == *host);
    let (mut rolled, calm): (Vec<_>, Vec<_>) = changes.into_iter().partition(|host| {
        is_member(&host.host) && host.changes.iter().any(Change::disturbs)
    });
    rolled.sort_by_key(|host| match standing.get(&host.host) {
        MemberStanding::Down => 0,
        MemberStanding::Serves => 1,
        MemberStanding::Leads => 2,
    });
    let stays_down: Vec<HostName> = members
        .iter()
        .map(|member| &member.host)
        .filter(|host| !standing.serves(host))
        .filter(|host| !rolled.iter().any(|it| it.host == **host && starts_member(it)))
        .cloned()
        .collect();
    let interrupted = rolled.iter().find(|host| standing.serves(&host.host));
    if let (Some(host), false) = (interrupted, stays_down.is_empty()) {
        let host = host.host.clone();
        return Err(Refused { host, down: stays_down, n_serving: serving, majority });
    }
    let calm = (!calm.is_empty()).then(|| Wave(Kind::Calm(calm)));
    let rolled = roll(rolled, members, standing, &stays_down);
    Ok(calm.into_iter().chain(rolled).collect())
}

/// Whether these changes bring a member back that is down. Others, such as those of a stage
/// before ZooKeeper's own, leave it down, and nothing may wait for it.
fn starts_member(changes: &HostChanges) -> bool {
    changes.changes.iter().any(|change| {
        matches!(&change.action, Action::StartUnit { name, .. } if name == zookeeper::UNIT)
    })
}

/// One wave for each member. Before it, all others have to serve that can: those that serve
/// now, and those that an earlier wave brought back.
fn roll(
    rolled: Vec<HostChanges>,
    members: &[Member],
    standing: &Standing,
    stays_down: &[HostName],
) -> Vec<Wave> {
    let mut down: Vec<HostName> = members
        .iter()
        .map(|member| member.host.clone())
        .filter(|host| !standing.serves(host))
        .collect();
    let mut waves = Vec::new();
    for changes in rolled {
        let up = |member: &&Member| !down.contains(&member.host);
        let others =
            members.iter().filter(up).filter(|member| member.host != changes.host);
        let others = others.cloned().collect();
        down.retain(|host| *host != changes.host || !starts_member(&changes));
        let up = |member: &&Member| !down.contains(&member.host);
        let all = members.iter().filter(up).cloned().collect();
        waves.push(Wave(Kind::Member { changes, others, all }));
    }
    debug_assert!(down == stays_down, "every other member was brought back");
    waves
}

fn list(hosts: &[HostName]) -> String {
    hosts.iter().map(HostName::as_str).collect::<Vec<&str>>().join(", ")
}

fn does(hosts: &[HostName]) -> String {
    format!("{} {}", list(hosts), if hosts.len() == 1 { "does" } else { "do" })
}
