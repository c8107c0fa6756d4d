//! The inventory: the one file that says what the operator wants.
//!
//! [`read`] turns its text into an [`Inventory`] or into every fault it has, each with its
//! position. Nothing in here reads a file, the clock or the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use crate::host::HostName;
use crate::unit::Size;

/// What the operator wants, checked: every value in here is usable as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// Names the state folder, containers and the components' clusters.
    pub cluster: ClusterName,
    /// Where the machines come from.
    pub provider: Provider,
    /// The machines, in the order of the file.
    pub groups: Vec<Group>,
    /// What runs on them.
    pub platform: Platform,
}

/// A cluster's name: 1 to 32 lower-case letters, digits and `-`, beginning with a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

/// Where the machines come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Provider {
    /// Machines that exist, at given addresses.
    Ssh(SshAccess),
    /// Containers on this computer that behave like machines.
    Local(LocalNetwork),
}

/// How to log in to given machines. What is not said here comes from the operator's own SSH
/// configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SshAccess {
    /// The user to log in as.
    pub user: Option<String>,
    /// The port of the SSH server.
    pub port: Option<u16>,
    /// The private key file, `~` resolved by the one who reads it.
    pub key: Option<PathBuf>,
    /// The passphrase of `key`.
    pub passphrase: Option<SecretSource>,
    /// Bastions to go through, nearest first, each as `[user@]host[:port]`.
    pub jump: Vec<String>,
    /// What to do about a host that was never seen.
    pub host_keys: HostKeyPolicy,
    /// The password for sudo, where it asks for one.
    pub sudo_password: Option<SecretSource>,
}

/// What to do about a host whose key is not known. A changed or revoked key never passes.
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
    /// An IPv4 network in CIDR form; `10.77.0.0/24` where the file is silent. The gateway is
    /// its first address, machines count up from the eleventh.
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
}

/// The machines of a group.
#[derive(Debug, Clone, PartialEq)]
pub enum Members {
    /// So many, made by the provider, named `GROUP-1`, `GROUP-2`, ….
    Count(u16),
    /// These, which exist.
    Hosts(Vec<GivenHost>),
}

/// A machine that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenHost {
    /// Its name; made from the address where the file gives none (`10.0.0.31` as it is).
    pub name: HostName,
    /// The private address where the cluster's other hosts reach it.
    pub address: IpAddr,
    /// Where SSH reaches it, where that is not `address`: a name or an address.
    pub ssh: Option<String>,
}

/// What a machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// What every machine of the cluster gets, and nothing more.
    Base,
    /// All services that control the platform.
    Control,
    /// ZooKeeper alone.
    Zookeeper,
    /// The way in: runs the registry.
    Edge,
}

/// What runs on the machines.
#[derive(Debug, Clone, PartialEq)]
pub struct Platform {
    /// The DNS domain of the cluster; `<cluster>.internal` where the file is silent.
    pub domain: String,
    /// The catalogue of component images, relative to the inventory.
    pub images: PathBuf,
    /// Who may use the platform's services, beside the platform itself.
    pub users: Vec<Account>,
    /// What every machine gets.
    pub base: Base,
    /// ZooKeeper's settings.
    pub zookeeper: Zookeeper,
}

/// A person or program that may use the platform's services.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// The user name: no `:` in it.
    pub name: String,
    /// Where its password comes from.
    pub password: SecretSource,
}

/// Where a secret comes from; the file never holds one itself.
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
    /// Its login shell; `/usr/sbin/nologin` where the file is silent.
    pub shell: String,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseFile {
    /// Where, absolute.
    pub path: PathBuf,
    /// From which file, relative to the inventory.
    pub source: PathBuf,
    /// Whether the source is a template, which sees `host`, `group`, `address` and `cluster`.
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
    /// The unit file, relative to the inventory; none where a package brings it.
    pub source: Option<PathBuf>,
    /// Files of `files` after whose change it restarts.
    pub restart_on: Vec<PathBuf>,
}

/// ZooKeeper's settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zookeeper {
    /// The JVM's heap; a share of the host's memory where the file is silent.
    pub heap: Option<Size>,
    /// The most connections one client address may have; 60 where the file is silent.
    pub max_client_connections: Option<u16>,
}
