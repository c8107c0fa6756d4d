//! Who runs what, where: the inventory put onto the machines that exist.
//!
//! Pure. Invariant: an [`Ensemble`] has an odd number of members, each with an id of its own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::host::HostName;
use crate::inventory::{ClusterName, Group, Inventory, Role};

/// The port on which ZooKeeper serves its clients.
pub const ZOOKEEPER_PORT: u16 = 2181;
/// The ports on which ZooKeeper's members speak to each other: data, elections.
pub const ZOOKEEPER_PEER_PORTS: [u16; 2] = [2888, 3888];
/// The port on which the registry serves.
pub const REGISTRY_PORT: u16 = 5000;

/// A machine of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its name in the cluster.
    pub host: HostName,
    /// The group it belongs to.
    pub group: String,
    /// Where the cluster's other hosts reach it.
    pub address: IpAddr,
    /// Host keys that the provider itself vouches for, as OpenSSH public key lines
    /// (`ssh-ed25519 AAAA…`); empty where it has no way to know them.
    pub host_keys: Vec<String>,
}

/// A cluster: every host and its part.
#[derive(Debug, Clone, PartialEq)]
pub struct Topology {
    /// The cluster's name.
    pub cluster: ClusterName,
    /// The hosts, in the order of the inventory.
    pub nodes: Vec<Node>,
    /// The ZooKeeper ensemble, where the cluster has one.
    pub ensemble: Option<Ensemble>,
}

/// A host and its part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub host: HostName,
    /// The name of its group.
    pub group: String,
    /// Its private address.
    pub address: IpAddr,
    /// Whether it is a member of the ZooKeeper ensemble.
    pub zookeeper: bool,
    /// Whether it runs a registry.
    pub registry: bool,
}

/// The members of a ZooKeeper ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensemble(Vec<Member>);

/// A member of a ZooKeeper ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number, counted from 1 in the order of the inventory.
    pub id: u8,
    /// The host.
    pub host: HostName,
    /// The host's private address.
    pub address: IpAddr,
}

/// An ensemble that cannot be: its size would make a majority need more members than the next
/// smaller one, and bear no more losses.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0} members cannot form a ZooKeeper ensemble: an odd number from 1 to 255 can")]
pub struct BadEnsemble(usize);

impl Ensemble {
    fn new(members: Vec<(HostName, IpAddr)>) -> Result<Self, BadEnsemble> {
        let n_members = members.len();
        if n_members.is_multiple_of(2) || n_members > 255 {
            return Err(BadEnsemble(n_members));
        }
        let numbered = (1..=u8::MAX).zip(members);
        Ok(Self(
            numbered.map(|(id, (host, address))| Member { id, host, address }).collect(),
        ))
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
    /// Puts an inventory onto its machines. Machines that no group has are left out.
    ///
    /// # Errors
    /// When the machines that exist so far cannot form the ensemble; an inventory that
    /// [`read`](crate::inventory::read) accepted can, once all of its machines exist.
    pub fn new(inventory: &Inventory, machines: &[Machine]) -> Result<Self, BadEnsemble> {
        let groups: BTreeMap<&str, &Group> =
            inventory.groups.iter().map(|group| (group.name.as_str(), group)).collect();
        let in_order = inventory.groups.iter().flat_map(|group| {
            machines.iter().filter(move |machine| machine.group == group.name)
        });
        let nodes: Vec<Node> = in_order
            .map(|machine| node(machine, groups[machine.group.as_str()]))
            .collect();
        let members: Vec<_> = nodes
            .iter()
            .filter(|node| node.zookeeper)
            .map(|node| (node.host.clone(), node.address))
            .collect();
        let ensemble =
            if members.is_empty() { None } else { Some(Ensemble::new(members)?) };
        Ok(Self { cluster: inventory.cluster.clone(), nodes, ensemble })
    }

    /// The hosts that run a registry, in order.
    pub fn registries(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.registry)
    }

    /// A host by its name.
    pub fn node(&self, host: &HostName) -> Option<&Node> {
        self.nodes.iter().find(|node| node.host == *host)
    }
}

impl Node {
    /// Whether the host runs containers, and so needs Docker.
    pub fn has_containers(&self) -> bool {
        self.zookeeper || self.registry
    }
}

fn node(machine: &Machine, group: &Group) -> Node {
    let has = |roles: &[Role]| roles.iter().any(|role| group.roles.contains(role));
    Node {
        host: machine.host.clone(),
        group: group.name.clone(),
        address: machine.address,
        zookeeper: has(&[Role::Control, Role::Zookeeper]),
        registry: has(&[Role::Edge]),
    }
}
