//! What AWS has: as values, without the SDK's types.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;

use super::{GROUP_TAG, HOST_KEY_TAG, Machine, NODE_TAG};
use crate::host::HostName;

/// Everything that a plan is made from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    /// The region's zones that are available to the account, by name.
    pub zones: Vec<String>,
    /// The cluster's VPC, or the one that the inventory names; several if runs collided.
    pub vpcs: Vec<Vpc>,
    /// The cluster's subnets, or the subnets that the inventory names.
    pub subnets: Vec<Subnet>,
    /// The cluster's internet gateways, with the VPC that each is attached to.
    pub gateways: Vec<(String, Option<String>)>,
    /// The main route table of each VPC, and the target of its default route, if it has one.
    pub routes: BTreeMap<String, (String, Option<String>)>,
    /// The security groups with the cluster's names.
    pub security_groups: Vec<SecurityGroup>,
    /// The key pair with the cluster's name.
    pub key_pair: Option<KeyPair>,
    /// The cluster's instances, including ended ones while AWS shows them.
    pub instances: Vec<Instance>,
    /// The image that new instances boot from; `None` if it does not exist.
    pub image: Option<Image>,
    /// Which of the wanted types each zone has; asked for only if instances are missing.
    pub offers: Vec<Offer>,
    /// Facts about the wanted types; asked for only if instances are missing.
    pub types: Vec<TypeFacts>,
    /// Instances in the cluster's VPC without the cluster's tag; asked for only if instances are
    /// missing.
    pub strangers: Vec<(String, Ipv4Addr)>,
}

/// A virtual network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vpc {
    /// Its id.
    pub id: String,
    /// Its addresses, such as `10.42.0.0/16`.
    pub cidr: String,
}

/// A part of a network, in one zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// Its id.
    pub id: String,
    /// The VPC that it is in.
    pub vpc: String,
    /// Its zone.
    pub zone: String,
    /// Its addresses.
    pub cidr: String,
}

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityGroup {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The VPC that it is in.
    pub vpc: String,
    /// What it accepts.
    pub rules: Vec<Rule>,
    /// Whether it has the cluster's tag.
    pub tagged: bool,
}

/// What a security group accepts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The protocol, as AWS names it: `tcp`, or `-1` for all.
    pub protocol: String,
    /// The first and the last port; `None` for all ports.
    pub ports: Option<(u16, u16)>,
    /// The source.
    pub source: Source,
}

/// The source that a rule accepts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A network, as AWS writes it.
    Network(String),
    /// Machines with this security group.
    Group(String),
}

/// A public key that AWS gives to instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The public key, if AWS returns it.
    pub public: Option<String>,
    /// When it was imported at AWS.
    pub created: Option<Timestamp>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: InstanceState,
    /// The reason for that state in AWS's words, if AWS gives one.
    pub reason: Option<String>,
    /// Its type.
    pub kind: String,
    /// Its zone.
    pub zone: String,
    /// The VPC that it is in; `None` once it has ended.
    pub vpc: Option<String>,
    /// Its private address; `None` once it has ended.
    pub private: Option<Ipv4Addr>,
    /// Its public address.
    pub public: Option<Ipv4Addr>,
    /// The ids of its security groups.
    pub security_groups: Vec<String>,
    /// When it was launched last.
    pub launched: Option<Timestamp>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// The state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceState {
    /// It was launched and does not run yet.
    Pending,
    /// It runs.
    Running,
    /// It is stopping.
    Stopping,
    /// It can be started again.
    Stopped,
    /// It is being terminated.
    ShuttingDown,
    /// It is terminated.
    Terminated,
}

/// An image to boot from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The name of its root disk, for example `/dev/xvda`.
    pub root_device: String,
    /// The size of that disk in GiB, if AWS returns it.
    pub root_gib: Option<u32>,
    /// The architecture that it is for, for example `x86_64`.
    pub architecture: String,
}

/// A type that a zone has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The type.
    pub kind: String,
    /// The zone.
    pub zone: String,
}

/// Facts about a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeFacts {
    /// The type.
    pub kind: String,
    /// The architectures that it supports, for example `x86_64`.
    pub architectures: Vec<String>,
}

impl InstanceState {
    /// Whether the instance exists and is not being terminated, running or not.
    pub fn is_alive(self) -> bool {
        !matches!(self, Self::ShuttingDown | Self::Terminated)
    }

    /// Whether the instance runs.
    pub fn is_up(self) -> bool {
        self == Self::Running
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        })
    }
}

impl Instance {
    /// Its group in the cluster.
    pub fn group(&self) -> Option<&str> {
        self.tags.get(GROUP_TAG).map(String::as_str)
    }

    /// Its name in the cluster: the value of its tag, or its id.
    pub fn host(&self) -> Option<HostName> {
        let name = self.tags.get(NODE_TAG).unwrap_or(&self.id);
        name.parse().ok()
    }

    /// The machine that it is; `None` if it lacks an address or a group.
    pub fn machine(&self) -> Option<Machine> {
        Some(Machine {
            host: self.host()?,
            group: self.group()?.to_owned(),
            address: IpAddr::V4(self.private?),
            ssh: self.public.map(|public| public.to_string()),
            host_keys: self.tags.get(HOST_KEY_TAG).cloned().into_iter().collect(),
        })
    }
}
