//! Peers: members that serve together, and how many of them have to serve.

use crate::component::Spec;
use crate::host::HostName;
use crate::inventory::Component;
use crate::inventory::component::Redundancy;
use crate::resource::{Action, Change, Owned};
use crate::topology::{Ensemble, Member, Topology};

use super::{Gate, HostChanges, MemberHealth, MembersHealth};

/// Members that serve together. No two of them may be interrupted at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    /// The component that they run.
    pub component: Component,
    /// The members, in order.
    pub members: Vec<Member>,
    /// How many members have to serve for the whole group to work.
    pub needed: usize,
}

impl Peers {
    /// The members that run a component; `None` if they do not serve together, or there are none.
    pub fn of(topology: &Topology, component: Component) -> Option<Self> {
        match component.redundancy() {
            Redundancy::Quorum => {
                let ensemble = topology.ensemble_of(component)?;
                Some(Self::quorum(component, ensemble))
            }
            Redundancy::Standby | Redundancy::Replicas => {
                let members = topology.members_of(component);
                (!members.is_empty()).then_some(Self { component, members, needed: 1 })
            }
            Redundancy::Pool => None,
        }
    }

    /// Members that decide by a majority.
    pub fn quorum(component: Component, ensemble: &Ensemble) -> Self {
        let (members, needed) = (ensemble.members().to_vec(), ensemble.majority());
        Self { component, members, needed }
    }

    /// All groups of peers of a cluster.
    pub fn all(topology: &Topology) -> Vec<Self> {
        let components = Component::ALL.into_iter();
        components.filter_map(|component| Self::of(topology, component)).collect()
    }

    fn spec(&self) -> &'static Spec {
        Spec::of(self.component)
    }

    pub(super) fn has(&self, host: &HostName) -> bool {
        self.members.iter().any(|member| member.host == *host)
    }

    /// Whether a change on a member's host may interrupt it. A unit of another component does
    /// not; any other change that disturbs may interrupt everything on the host.
    pub fn is_disturbed_by(&self, change: &Change) -> bool {
        let of_unit = match &change.action {
            Action::StartUnit { name, .. } | Action::Retire(Owned::Unit { name }) => {
                component_of(name)
            }
            _ => None,
        };
        change.disturbs() && of_unit.is_none_or(|component| component == self.component)
    }

    /// Whether these changes may interrupt the member on their host.
    pub fn are_disturbed_by(&self, host: &HostChanges) -> bool {
        self.has(&host.host)
            && host.changes.iter().any(|change| self.is_disturbed_by(change))
    }

    /// Whether these changes start a member that is down. Other changes, such as those of an
    /// earlier stage, leave it down, and nothing may wait for it.
    pub fn are_started_by(&self, host: &HostChanges) -> bool {
        self.has(&host.host)
            && host.changes.iter().any(|change| {
                matches!(&change.action, Action::StartUnit { name, .. }
                    if component_of(name) == Some(self.component))
            })
    }

    /// The gate that these members serve.
    pub fn gate(&self, members: Vec<Member>) -> Gate {
        Gate::Serves { component: self.component, members }
    }

    /// Why the peers do not serve together now; `None` if they do.
    pub fn idle(&self, health: &MembersHealth) -> Option<String> {
        let hosts = || self.members.iter().map(|member| &member.host);
        let n_serving =
            hosts().filter(|host| health.serves(self.component, host)).count();
        let leads = |host| health.get(self.component, host) == MemberHealth::Leads;
        let (title, n_members) = (self.spec().title, self.members.len());
        if n_serving < self.needed {
            let serve = if n_serving == 1 { "serves" } else { "serve" };
            let what = if self.needed > 1 { "has no majority" } else { "does not serve" };
            return Some(format!("{title} {what}: {n_serving} of {n_members} {serve}"));
        }
        let one_leads = self.component.redundancy() != Redundancy::Replicas;
        (one_leads && n_members > 1 && !hosts().any(leads))
            .then(|| format!("{title} has no leader"))
    }

    /// What the members are called.
    pub(super) fn name(&self) -> &'static str {
        self.component.instances()
    }

    /// How many members are needed, in words.
    pub(super) fn needed_in_words(&self) -> String {
        match self.component.redundancy() {
            Redundancy::Quorum => format!("a majority of {} is", self.needed),
            Redundancy::Standby | Redundancy::Replicas | Redundancy::Pool => {
                "one is".to_owned()
            }
        }
    }
}

/// The component that a unit of this program runs.
fn component_of(unit: &str) -> Option<Component> {
    Spec::of_unit(unit).map(|spec| spec.component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_do_not_serve_together_are_told_of() {
        use MemberHealth::{Down, Leads, Serves};
        let check =
            |component, needed, standings: &[MemberHealth], said: Option<&str>| {
                let member = |id: u8| Member {
                    id: id.into(),
                    host: format!("c{id}").parse().unwrap(),
                    address: [10, 0, 0, id].into(),
                };
                let members: Vec<Member> =
                    (1..).map(member).take(standings.len()).collect();
                let hosts = members.iter().map(|member| member.host.clone());
                let health = MembersHealth::default()
                    .with(component, hosts.zip(standings.iter().copied()));
                let peers = Peers { component, members, needed };
                assert_eq!(peers.idle(&health).as_deref(), said);
            };
        let zookeeper = Component::Zookeeper;
        check(zookeeper, 2, &[Leads, Serves, Down], None);
        check(zookeeper, 1, &[Serves], None);
        let alone = "ZooKeeper has no majority: 1 of 3 serves";
        check(zookeeper, 2, &[Serves, Down, Down], Some(alone));
        check(zookeeper, 2, &[Serves, Serves, Down], Some("ZooKeeper has no leader"));
        let marathon = Component::Marathon;
        check(marathon, 1, &[Leads, Down, Down], None);
        check(marathon, 1, &[Down, Down], Some("Marathon does not serve: 0 of 2 serve"));
    }
}
