//! What the inventory asks for at AWS.

use crate::component::Spec;
use crate::host::HostName;
use crate::inventory::component::APP_PORTS;
use crate::inventory::{Aws, AwsNetwork, ClusterName, Group, Inventory, Members, Role};
use crate::unit::Size;

use super::seen::{Instance, Rule, Source};

const SSH_PORT: u16 = 22;

/// What the inventory asks for at AWS.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The cluster.
    pub cluster: ClusterName,
    /// The provider's settings.
    pub aws: Aws,
    /// The public key that may log in, as one line of `authorized_keys`.
    pub public_key: String,
    /// The groups, in the order of the file.
    pub groups: Vec<WantedGroup>,
}

/// Equal machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedGroup {
    /// The group's name.
    pub name: String,
    /// The names of its machines; `None` if they are named after their instance ids.
    pub nodes: Option<Vec<HostName>>,
    /// How many machines it has.
    pub count: usize,
    /// The possible types: the first with capacity is used; never empty.
    pub types: Vec<String>,
    /// The size of the disk; if `None`, that of the image.
    pub disk: Option<Size>,
    /// Whether they are spot instances, which AWS may end.
    pub spot: bool,
    /// Whether they are protected from termination; `down` still removes them.
    pub protected: bool,
    /// Whether they can be reached from outside the network.
    pub edge: bool,
}

/// One of the cluster's security groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupKind {
    /// For all machines: accepts everything from each other, and SSH from outside.
    Cluster,
    /// For machines of the edge: accepts its ports from outside.
    Edge,
}

impl Wanted {
    /// What an inventory of provider `aws` asks for.
    pub fn of(inventory: &Inventory, aws: &Aws, public_key: String) -> Self {
        Self {
            cluster: inventory.cluster.clone(),
            aws: aws.clone(),
            public_key,
            groups: inventory.groups.iter().filter_map(WantedGroup::of).collect(),
        }
    }

    /// The name of things of which the cluster has only one, for example the key pair.
    pub fn name(&self) -> String {
        format!("platform-{}", self.cluster)
    }

    /// The security groups that the cluster needs.
    pub fn security_groups(&self) -> Vec<GroupKind> {
        let edge = self.groups.iter().any(|group| group.edge);
        [Some(GroupKind::Cluster), edge.then_some(GroupKind::Edge)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The name of a security group.
    pub fn security_group_name(&self, security_group: GroupKind) -> String {
        match security_group {
            GroupKind::Cluster => self.name(),
            GroupKind::Edge => format!("{}-edge", self.name()),
        }
    }

    /// What a security group accepts; `own` is its id.
    pub fn rules(&self, security_group: GroupKind, own: &str) -> Vec<Rule> {
        let from_admins = |ports: (u16, u16)| {
            self.aws.admin_cidrs.iter().map(move |cidr| Rule {
                protocol: "tcp".to_owned(),
                ports: Some(ports),
                source: Source::Network(cidr.to_string()),
            })
        };
        let mut rules: Vec<Rule> = match security_group {
            GroupKind::Edge => edge_ports().flat_map(from_admins).collect(),
            GroupKind::Cluster => {
                let each_other = Rule {
                    protocol: "-1".to_owned(),
                    ports: None,
                    source: Source::Group(own.to_owned()),
                };
                from_admins((SSH_PORT, SSH_PORT)).chain([each_other]).collect()
            }
        };
        rules.sort();
        rules
    }

    /// Whether the cluster gets its own network.
    pub fn makes_network(&self) -> bool {
        matches!(self.aws.network, AwsNetwork::Made(_))
    }

    /// Whether machines are missing among these instances.
    pub fn lacks(&self, instances: &[Instance]) -> bool {
        let alive = || instances.iter().filter(|found| found.state.is_alive());
        self.groups.iter().any(|group| {
            let of_group = || alive().filter(|found| found.group() == Some(&group.name));
            match &group.nodes {
                None => of_group().count() < group.count,
                Some(nodes) => nodes.iter().any(|node| {
                    of_group().all(|found| found.host().as_ref() != Some(node))
                }),
            }
        })
    }

    /// Every type that a group may have, each once.
    pub fn types(&self) -> Vec<String> {
        let mut types: Vec<String> =
            self.groups.iter().flat_map(|group| group.types.clone()).collect();
        types.sort();
        types.dedup();
        types
    }
}

impl WantedGroup {
    fn of(group: &Group) -> Option<Self> {
        let Members::Count(count) = group.members else { return None };
        let names =
            || (1..=count).map(|n| group.host(n)).collect::<Option<Vec<HostName>>>();
        let nodes = if group.is_named() { Some(names()?) } else { None };
        Some(Self {
            name: group.name.clone(),
            nodes,
            count: usize::from(count),
            types: group.instances.types.clone(),
            disk: group.instances.disk,
            spot: group.instances.spot,
            protected: group.instances.protected,
            edge: group.roles.contains(&Role::Edge),
        })
    }

    /// The security groups of its machines.
    pub fn security_groups(&self) -> Vec<GroupKind> {
        match self.edge {
            true => vec![GroupKind::Cluster, GroupKind::Edge],
            false => vec![GroupKind::Cluster],
        }
    }
}

/// The ports that machines of the edge open, from the first to the last of each range: those of
/// every component that listens on all of its host's addresses, and those of apps.
fn edge_ports() -> impl Iterator<Item = (u16, u16)> {
    let ports = Spec::all().flat_map(|spec| spec.ports);
    let open = ports.filter(|port| port.on_all).map(|port| (port.number, port.number));
    let of_apps = (APP_PORTS[0], APP_PORTS[1]);
    open.chain([of_apps])
}
