//! Which host runs which components: the inventory applied to the machines that exist.
//!
//! Pure. Invariant: an [`Ensemble`] has an odd number of members, each with its own id.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::host::HostName;
use crate::inventory::component::{Component, Redundancy};
use crate::inventory::{AgentSpec, Batch, ClusterName, Group, Inventory};

/// A machine of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its name in the cluster.
    pub host: HostName,
    /// The group it belongs to.
    pub group: String,
    /// The address at which the cluster's other hosts reach it.
    pub address: IpAddr,
    /// The name or address at which SSH reaches it, if that is not `address`.
    pub ssh: Option<String>,
    /// Host keys that the provider itself confirms, as OpenSSH public key lines
    /// (`ssh-ed25519 AAAA…`); empty if the provider cannot know them.
    pub host_keys: Vec<String>,
}

/// A cluster: every host and what it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Topology {
    /// The cluster's name.
    pub cluster: ClusterName,
    /// The hosts, in the order of the inventory.
    pub nodes: Vec<Node>,
    /// Those that decide by a majority, by component.
    pub ensembles: BTreeMap<Component, Ensemble>,
    /// How many agents may be interrupted at once.
    pub batch: Batch,
    /// The virtual IP, if there is one.
    pub vip: Option<Ipv4Addr>,
}

/// A host and what it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub host: HostName,
    /// The name of its group.
    pub group: String,
    /// Its private address.
    pub address: IpAddr,
    /// The components that it runs.
    pub components: BTreeSet<Component>,
    /// Whether it may be rebooted with control groups of version 1 beside version 2.
    pub hybrid: bool,
    /// What its agent reports about itself. A master on the host has the same fault domain.
    pub agent_spec: AgentSpec,
}

/// Members that decide by a majority: the ZooKeeper members, or the Mesos masters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensemble(Vec<Member>);

/// A member of an [`Ensemble`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number: the one that it already has, or else a free one, in the order of the
    /// inventory.
    pub id: u16,
    /// The host.
    pub host: HostName,
    /// The host's private address.
    pub address: IpAddr,
}

/// An ensemble of a size that is not allowed. With an even number, a majority needs one member
/// more than with the next smaller number, but no more members may be lost.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{n_members} {what} cannot decide by a majority: use an odd number from 1 to 255"
)]
pub struct BadEnsemble {
    n_members: usize,
    what: &'static str,
}

impl Ensemble {
    /// The ensemble of these nodes; `None` if there are no nodes.
    fn of<'a>(
        nodes: impl Iterator<Item = &'a Node>,
        what: &'static str,
    ) -> Result<Option<Self>, BadEnsemble> {
        let members: Vec<Member> = numbered(nodes);
        match members.len() {
            0 => Ok(None),
            n_members if n_members.is_multiple_of(2) || n_members > 255 => {
                Err(BadEnsemble { n_members, what })
            }
            _ => Ok(Some(Self(members))),
        }
    }

    /// Lets members keep the numbers that they already have, by their addresses; the others get
    /// free numbers.
    pub fn keep(&mut self, numbers: &BTreeMap<IpAddr, u16>) {
        let mut taken: BTreeSet<u16> = BTreeSet::new();
        let kept = |member: &Member| numbers.get(&member.address).copied();
        let mut news = Vec::new();
        for (n, member) in self.0.iter_mut().enumerate() {
            match kept(member).filter(|id| taken.insert(*id)) {
                Some(id) => member.id = id,
                None => news.push(n),
            }
        }
        let mut free = (1..=u16::MAX).filter(|id| !taken.contains(id));
        for (n, id) in news.into_iter().zip(free.by_ref()) {
            self.0[n].id = id;
        }
        self.0.sort_by_key(|member| member.id);
    }

    /// The members, by id.
    pub fn members(&self) -> &[Member] {
        &self.0
    }

    /// The member on a host.
    pub fn member_on(&self, host: &HostName) -> Option<&Member> {
        self.0.iter().find(|member| member.host == *host)
    }

    /// How many members a majority has.
    pub fn majority(&self) -> usize {
        self.0.len() / 2 + 1
    }
}

impl Topology {
    /// Applies an inventory to its machines. Machines that belong to no group are left out.
    ///
    /// # Errors
    /// When the machines that exist so far cannot form the ensemble. If
    /// [`read`](crate::inventory::read) accepted the inventory, they can once all of them exist.
    pub fn new(inventory: &Inventory, machines: &[Machine]) -> Result<Self, BadEnsemble> {
        let groups: BTreeMap<&str, &Group> =
            inventory.groups.iter().map(|group| (group.name.as_str(), group)).collect();
        let in_order = inventory.groups.iter().flat_map(|group| {
            machines.iter().filter(move |machine| machine.group == group.name)
        });
        let nodes: Vec<Node> = in_order
            .map(|machine| node(inventory, machine, groups[machine.group.as_str()]))
            .collect();
        let mut ensembles = BTreeMap::new();
        for component in Component::ALL {
            if component.redundancy() == Redundancy::Quorum {
                let members = nodes.iter().filter(|node| node.runs(component));
                let found = Ensemble::of(members, component.instances())?;
                ensembles.extend(found.map(|ensemble| (component, ensemble)));
            }
        }
        let (cluster, batch) = (inventory.cluster.clone(), inventory.platform.batch);
        Ok(Self { cluster, nodes, ensembles, batch, vip: inventory.platform.vip })
    }

    /// The hosts that run a registry, in order.
    pub fn registries(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.runs(Component::Registry))
    }

    /// The addresses at which registries are reached: those of their hosts, and the virtual IP.
    pub fn registry_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let own = self.registries().map(|node| node.address);
        own.chain(self.vip.map(IpAddr::from))
    }

    /// The hosts that run a Mesos agent, in order.
    pub fn agents(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.runs(Component::MesosAgent))
    }

    /// The members of a component that decide by a majority; `None` for any other component, and
    /// if the cluster does not run it.
    pub fn ensemble_of(&self, component: Component) -> Option<&Ensemble> {
        self.ensembles.get(&component)
    }

    /// The ZooKeeper ensemble, if the cluster has one.
    pub fn zookeeper(&self) -> Option<&Ensemble> {
        self.ensemble_of(Component::Zookeeper)
    }

    /// The Mesos masters, if the cluster has any.
    pub fn masters(&self) -> Option<&Ensemble> {
        self.ensemble_of(Component::MesosMaster)
    }

    /// Lets the members of the ZooKeeper ensemble keep the numbers that they have: see
    /// [`Ensemble::keep`].
    pub fn keep_numbers(&mut self, numbers: &BTreeMap<IpAddr, u16>) {
        if let Some(ensemble) = self.ensembles.get_mut(&Component::Zookeeper) {
            ensemble.keep(numbers);
        }
    }

    /// The hosts that run a component, each with its number.
    pub fn members_of(&self, component: Component) -> Vec<Member> {
        if let Some(ensemble) = self.ensemble_of(component) {
            return ensemble.members().to_vec();
        }
        numbered(self.nodes.iter().filter(|node| node.runs(component)))
    }

    /// A host by its name.
    pub fn node(&self, host: &HostName) -> Option<&Node> {
        self.nodes.iter().find(|node| node.host == *host)
    }
}

impl Node {
    /// Whether the host runs containers, and so needs Docker.
    pub fn has_containers(&self) -> bool {
        !self.components.is_empty()
    }

    /// Whether the host runs a component.
    pub fn runs(&self, component: Component) -> bool {
        self.components.contains(&component)
    }
}

fn node(inventory: &Inventory, machine: &Machine, group: &Group) -> Node {
    let components = Component::ALL.into_iter();
    Node {
        host: machine.host.clone(),
        group: group.name.clone(),
        address: machine.address,
        components: components.filter(|it| inventory.runs(group, *it)).collect(),
        hybrid: group.host.hybrid,
        agent_spec: group.agent_spec_of(&machine.host),
    }
}

fn numbered<'a>(nodes: impl Iterator<Item = &'a Node>) -> Vec<Member> {
    let member = |(id, node): (u16, &Node)| Member {
        id,
        host: node.host.clone(),
        address: node.address,
    };
    (1..=u16::MAX).zip(nodes).map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_numbers_and_new_ones_get_free_ones() {
        let at = |n: u8| IpAddr::from([10, 0, 0, n]);
        let check = |addresses: &[u8], known: &[(u8, u16)], expected: &[(u16, u8)]| {
            let member = |n: &u8| Member {
                id: 0,
                host: format!("c{n}").parse().unwrap(),
                address: at(*n),
            };
            let mut ensemble = Ensemble(addresses.iter().map(member).collect());
            ensemble.keep(&known.iter().map(|(n, id)| (at(*n), *id)).collect());
            let numbers = ensemble.members().iter().map(|it| (it.id, it.address));
            let expected = expected.iter().map(|(id, n)| (*id, at(*n)));
            assert_eq!(numbers.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        };
        check(&[11, 12, 13], &[], &[(1, 11), (2, 12), (3, 13)]);
        let known = [(11, 1), (12, 2), (13, 3)];
        check(&[13, 11, 12], &known, &[(1, 11), (2, 12), (3, 13)]);
        check(&[14, 13, 11], &known, &[(1, 11), (2, 14), (3, 13)]);
        // Of two members with the same number one gets a new one; the change is then refused.
        check(&[11, 12], &[(11, 7), (12, 7)], &[(1, 12), (7, 11)]);
    }
}
