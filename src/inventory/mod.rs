//! The inventory: the one file that says what the operator wants.
//!
//! [`read`] turns its text into an [`Inventory`], or into all of its faults, each with its
//! position; [`render()`] shows the faults. Nothing in here reads a file, the clock or the
//! environment: the caller says whether a file exists.
//!
//! The text becomes a tree with the position of every value (`tree`). Small functions (`reader`)
//! turn its parts into values, with one module for each part of the file (`access`, `aws`,
//! `firewall`, `group`, `instances`, `settings`, `source`). Checks across the parts are in `check`. The
//! [`catalog`] of images is read the same way. [`edit`] adds machines to the text itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::host::HostName;
use crate::path::HostPath;
use crate::unit::Size;

mod access;
mod agent_spec;
mod aws;
mod batch;
mod builtin;
pub mod catalog;
mod check;
mod cidr;
pub mod component;
mod diagnostic;
pub mod edit;
mod firewall;
mod group;
mod instances;
mod jump_host;
mod needs;
mod positions;
#[cfg(test)]
mod properties;
mod reader;
mod redact;
mod render;
mod settings;
mod source;
mod tree;

pub use agent_spec::{
    AgentSpec, Attribute, BadAttribute, BadCpus, BadPortRange, Cpus, FaultDomain,
    PortRange, Resources,
};
pub use aws::{Aws, AwsAccess, AwsImage, AwsNetwork};
pub use batch::{BadBatch, Batch};
pub use builtin::{BuiltIn, CatalogSource, UnknownCatalog};
pub use cidr::{BadAdminCidr, BadCidr};
pub use component::{Component, Redundancy, Role};
pub use diagnostic::{Diagnostic, Level};
pub use instances::Instances;
pub use needs::{CgroupNeed, Needs, Version};
pub use positions::{Position, Positions};
use reader::Reader;
pub use render::{Paint, Source, render};
use tree::Node;

/// A commented inventory for containers on this computer.
pub const EXAMPLE_LOCAL: &str = include_str!("../../inventories/local.yaml");

/// A commented inventory for machines that exist.
pub const EXAMPLE_SSH: &str = include_str!("../../inventories/ssh.yaml");

/// A commented inventory for instances of AWS EC2.
pub const EXAMPLE_AWS: &str = include_str!("../../inventories/aws.yaml");

/// Reads an inventory from its text.
///
/// `exists` says whether a file that the inventory names exists. Its path is as written: relative
/// to the inventory's folder, beginning with `~`, or absolute. The same text and answers always
/// give the same result.
///
/// # Errors
/// Every fault of the text, in the order of the file; at least one. After a fault of YAML's syntax
/// no others are reported, because the rest cannot be understood.
pub fn read(
    text: &str,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<Inventory, Vec<Diagnostic>> {
    let tree = tree::parse(text).map_err(|fault| vec![fault])?;
    let mut reader = Reader::new(text, exists);
    tree.faults.into_iter().for_each(|fault| reader.fault(fault));
    let inventory = inventory(&tree.root, &mut reader);
    reader.finish(inventory)
}

fn inventory(root: &Node, r: &mut Reader) -> Option<Inventory> {
    if root.is_nothing() {
        let help = "`platform init` writes one to begin with";
        return r.refuse(Diagnostic::new(&(0..0), "the inventory is empty").help(help));
    }
    let fields =
        r.fields(root, "the inventory", &["cluster", "provider", "groups", "platform"])?;
    let cluster =
        fields.required("cluster", "cluster: lab", r).and_then(|node| cluster(node, r));
    let provider = fields
        .required("provider", "provider: {local: {}}", r)
        .map(|node| access::provider(node, r))
        .unwrap_or_default();
    let groups = fields
        .required("groups", "groups: {control: {roles: [control], …}}", r)
        .map(|node| group::groups(node, provider.kind, r))
        .unwrap_or_default();
    let platform = fields
        .get("platform")
        .map(|node| settings::platform(node, provider.kind, r))
        .unwrap_or_default();
    check::check(&provider, &groups, &platform, r);
    let cluster = cluster?;
    let groups = groups.into_iter().map(group::DraftGroup::into_group);
    let groups: Vec<Group> = groups.collect::<Option<_>>()?;
    let platform = platform.into_platform(&cluster, bring_mesos(&groups))?;
    Some(Inventory { provider: provider.value?, groups, platform, cluster })
}

fn cluster(node: &Node, r: &mut Reader) -> Option<ClusterName> {
    let text = r.text(node)?;
    text.parse()
        .map_err(|error: BadClusterName| {
            let fault = Diagnostic::new(&node.span, error.to_string());
            let help = like_label(text).map(|like| format!("write `{like}`"));
            r.fault(Diagnostic { help, ..fault });
        })
        .ok()
}

/// What the operator wants, checked: every value in here can be used as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// The cluster's name, used for the state folder, containers and the components' clusters.
    pub cluster: ClusterName,
    /// Where the machines come from.
    pub provider: Provider,
    /// The machines, in the order of the file.
    pub groups: Vec<Group>,
    /// What runs on them.
    pub platform: Platform,
}

/// A cluster's name: 1 to 32 lower-case letters, digits and `-`, beginning with a letter and
/// not ending with `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

/// Where the machines come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Provider {
    /// Machines that exist, at given addresses.
    Ssh(SshAccess),
    /// Containers on this computer that behave like machines.
    Local(LocalNetwork),
    /// Instances of AWS EC2.
    Aws(Aws),
}

/// How to log in to machines that exist. What is not set here comes from the operator's own SSH
/// configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SshAccess {
    /// The user to log in as.
    pub user: Option<String>,
    /// The port of the SSH server.
    pub port: Option<u16>,
    /// The private key file; the code that reads it resolves `~`.
    pub key: Option<PathBuf>,
    /// The passphrase of `key`.
    pub passphrase: Option<SecretSource>,
    /// Bastions to go through, nearest first, each as `[user@]host[:port]`.
    pub jump: Vec<String>,
    /// What to do about a host whose key is not known.
    pub host_keys: HostKeyPolicy,
    /// The password for sudo, if it asks for one.
    pub sudo_password: Option<SecretSource>,
}

/// What to do about a host whose key is not known. A changed or revoked key is always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostKeyPolicy {
    /// Show the fingerprint and ask.
    #[default]
    Ask,
    /// Pin it at the first contact.
    AcceptNew,
}

/// The network of local machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalNetwork {
    /// An IPv4 network in CIDR form; `10.77.0.0/24` if the file does not set it. The gateway is
    /// its first address; machines get addresses from the eleventh on.
    pub subnet: Cidr,
}

/// An IPv4 network with at least 16 addresses, such as `10.77.0.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// The network's own address: all host bits are zero.
    pub network: std::net::Ipv4Addr,
    /// How many leading bits are the network's, 8 to 28.
    pub prefix: u8,
}

/// A network of any size whose hosts may reach SSH and the edge, such as `203.0.113.0/24`. On AWS
/// it is an IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AdminCidr {
    /// The network's own address: all host bits are zero.
    pub network: IpAddr,
    /// How many leading bits are the network's: at most 32, or 128 for IPv6.
    pub prefix: u8,
}

/// Machines that do the same work.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its name; unique.
    pub name: String,
    /// What its machines do; never empty.
    pub roles: BTreeSet<Role>,
    /// Its machines.
    pub members: Members,
    /// The memory of each machine that the provider makes.
    pub memory: Option<Size>,
    /// The settings for its machines if they are instances of AWS.
    pub instances: Instances,
    /// Which changes to the machines themselves are allowed.
    pub host: HostSettings,
    /// What its agents report about themselves.
    pub agent_spec: AgentSpec,
}

/// Which changes to the machines themselves are allowed. They cannot be undone while a machine
/// runs, so the operator has to allow them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostSettings {
    /// Whether a machine that has only control groups of version 2 is rebooted with version 1
    /// beside it, if a component needs that.
    pub hybrid: bool,
}

/// The machines of a group.
#[derive(Debug, Clone, PartialEq)]
pub enum Members {
    /// This number of machines, which the provider makes. They are named `GROUP-1`, `GROUP-2`, …;
    /// instances of AWS without an identity are named after their ids.
    Count(u16),
    /// These machines, which exist.
    Hosts(Vec<GivenHost>),
}

/// A machine that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenHost {
    /// Its name; if the file does not set it, the address as it is, such as `10.0.0.31`.
    pub name: HostName,
    /// The private address at which the cluster's other hosts reach it.
    pub address: IpAddr,
    /// The name or address at which SSH reaches it, if that is not `address`.
    pub ssh: Option<String>,
    /// What its agent reports about itself, in place of the group's settings.
    pub agent_spec: AgentSpec,
}

/// What runs on the machines.
#[derive(Debug, Clone, PartialEq)]
pub struct Platform {
    /// The DNS domain of the cluster; `<cluster>.internal` if the file does not set it.
    pub domain: String,
    /// The virtual IP: the address of the edge, which one of the edge hosts has.
    pub vip: Option<Ipv4Addr>,
    /// The catalogue of component images. If the file does not set it, the built-in one that fits
    /// the roles.
    pub images: CatalogSource,
    /// The accounts that may use the platform's services, besides the platform itself.
    pub users: Vec<Account>,
    /// The operator's own certificate for everyone outside of the cluster.
    pub tls: Option<TlsFiles>,
    /// What every machine gets.
    pub base: Base,
    /// ZooKeeper's settings.
    pub zookeeper: Zookeeper,
    /// How many agents may be interrupted at once.
    pub batch: Batch,
    /// The users as which apps may run tasks, besides the usual one; `None` if the file does not
    /// set them.
    pub task_users: Option<Vec<String>>,
    /// The firewall of every machine.
    pub firewall: Firewall,
}

/// The firewall of every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firewall {
    /// Whether there is one; the default.
    pub enabled: bool,
    /// The networks that may reach SSH and the edge, besides the cluster's own machines; empty if
    /// the file does not set them, and on AWS, where the provider's settings name them.
    pub admin_cidrs: Vec<AdminCidr>,
}

impl Default for Firewall {
    fn default() -> Self {
        Self { enabled: true, admin_cidrs: Vec::new() }
    }
}

/// A person or program that may use the platform's services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user name, without `:`.
    pub name: String,
    /// Where its password comes from.
    pub password: SecretSource,
    /// Whether it may push images; all may pull.
    pub push: bool,
}

/// The files of a certificate of the operator. Their paths are as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, perhaps followed by its chain.
    pub certificate: PathBuf,
    /// The certificates between it and its root, if they are in a file of their own.
    pub chain: Option<PathBuf>,
    /// The private key.
    pub key: PathBuf,
}

/// Where a secret comes from; the inventory itself never contains one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// The first line of a file, relative to the inventory.
    File(PathBuf),
    /// Made at random once, and kept in the state folder.
    Generate,
}

/// What every machine gets, whatever its roles.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Base {
    /// Distribution packages to install.
    pub packages: Vec<String>,
    /// System users to make.
    pub users: Vec<BaseUser>,
    /// Files to write.
    pub files: Vec<BaseFile>,
    /// Kernel settings, such as `vm.swappiness: "1"`.
    pub sysctls: BTreeMap<String, String>,
    /// systemd units to enable and start.
    pub units: Vec<BaseUnit>,
}

/// A system user to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUser {
    /// Its name.
    pub name: String,
    /// Its login shell; `/usr/sbin/nologin` if the file does not set it.
    pub shell: String,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseFile {
    /// Its path on the host.
    pub path: HostPath,
    /// The file with its content, relative to the inventory.
    pub source: PathBuf,
    /// Whether the source is a template, with the values `host`, `group`, `address` and `cluster`.
    pub template: bool,
    /// Its permissions, such as `0o644`.
    pub mode: u32,
    /// Its owner and group, such as `root`.
    pub owner: String,
}

/// A systemd unit to enable and start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUnit {
    /// Its name with its type, such as `ticker.service`.
    pub name: String,
    /// The unit file, relative to the inventory; `None` if a package installs it.
    pub source: Option<PathBuf>,
    /// Paths in `files`: when one of them changes, the unit restarts.
    pub restart_on: Vec<HostPath>,
}

/// ZooKeeper's settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zookeeper {
    /// The JVM's heap; a share of the host's memory if the file does not set it.
    pub heap: Option<Size>,
    /// The most connections that one client address may have; 60 if the file does not set it.
    pub max_client_connections: Option<u16>,
}

impl Members {
    /// How many machines they are.
    pub fn n_machines(&self) -> usize {
        match self {
            Self::Count(count) => usize::from(*count),
            Self::Hosts(hosts) => hosts.len(),
        }
    }
}

impl Inventory {
    /// Whether the machines of a group run a component.
    pub fn runs(&self, group: &Group, component: Component) -> bool {
        let is_used = match component {
            Component::Keepalived => self.platform.vip.is_some(),
            Component::Copier => self.n_edge_hosts() > 1,
            Component::Registry
            | Component::Zookeeper
            | Component::MesosMaster
            | Component::MesosAgent
            | Component::Marathon
            | Component::Chronos
            | Component::Haproxy
            | Component::Balancer => true,
        };
        is_used
            && group.roles.iter().any(|role| component.is_run_by(*role, self.has_mesos()))
    }

    fn n_edge_hosts(&self) -> usize {
        let edge = self.groups.iter().filter(|group| group.roles.contains(&Role::Edge));
        edge.map(|group| group.members.n_machines()).sum()
    }

    /// Whether the cluster has Mesos: whether any machine has a role that needs it.
    pub fn has_mesos(&self) -> bool {
        bring_mesos(&self.groups)
    }
}

fn bring_mesos(groups: &[Group]) -> bool {
    groups.iter().flat_map(|group| &group.roles).any(|role| role.brings_mesos())
}

/// The name of a machine that the program makes: its group's, and its number from 1.
pub(crate) fn numbered(group: &str, n: impl fmt::Display) -> String {
    format!("{group}-{n}")
}

impl Group {
    /// The name of its machine with this number, if the program makes it; `None` if that would not
    /// be a valid host name.
    pub fn host(&self, n: u16) -> Option<HostName> {
        numbered(&self.name, n).parse().ok()
    }

    /// Whether each of its machines has an identity, which a replacement takes over: that is so if
    /// they do more than run tasks. Instances of AWS without an identity are launched together and
    /// named after their ids.
    pub fn is_named(&self) -> bool {
        self.roles.iter().any(|role| role.has_identity())
    }

    /// What the agent of one of its machines reports about itself.
    pub fn agent_spec_of(&self, host: &HostName) -> AgentSpec {
        let given = match &self.members {
            Members::Count(_) => None,
            Members::Hosts(hosts) => hosts.iter().find(|given| given.name == *host),
        };
        let agent_spec = match given {
            Some(given) => self.agent_spec.with(&given.agent_spec),
            None => self.agent_spec.clone(),
        };
        agent_spec.within(self.memory)
    }
}

/// Why a text cannot name a cluster.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` cannot name a cluster: use 1 to 32 lower-case letters, digits and `-`, beginning \
     with a letter"
)]
pub struct BadClusterName(String);

impl ClusterName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = BadClusterName;

    fn from_str(text: &str) -> Result<Self, BadClusterName> {
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadClusterName(text.to_owned()))
        }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether a text can name a cluster or a group: both become part of host names.
fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.chars().all(inner)
}

/// A similar valid name, for one that [`is_label`] refuses.
fn like_label(text: &str) -> Option<String> {
    let plain =
        |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let like: String = text.chars().map(plain).collect();
    let like =
        like.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_matches('-');
    is_label(like).then(|| like.to_owned())
}
