//! What each component wants on a host.
//!
//! Pure: a component is a function from the topology, the inputs and the facts of the host to a
//! list of resources. Its [`Spec`] holds that function, and everything else that the rest of the
//! program has to know about it.

pub mod agent;
pub mod balancer;
mod base;
mod boot;
pub mod chronos;
pub mod copier;
pub mod docker;
pub mod firewall;
pub mod haproxy;
mod identity;
pub mod keepalived;
pub mod lost;
pub mod marathon;
pub mod master;
pub mod mesos;
mod ports;
pub mod registry;
mod service;
mod spec;
pub mod znode;
pub mod zookeeper;

pub use spec::{Clients, Framework, Health, Port, Spec, StateUse, remedy};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::certificate::OwnCertificate;
use crate::host::HostName;
use crate::inventory::component::REGISTRY_PORT;
use crate::inventory::{Component, Needs, Platform};
use crate::path::HostPath;
use crate::resource::probe::Questions;
use crate::resource::{
    Content, Directory, Facts, File, Image, ImageOrigin, Owned, Resource,
};
use crate::secret::Secret;
use crate::template::BadTemplate;
use crate::topology::{Node, Topology};

/// A part of a run that is finished on all hosts before the next begins. In order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The inventory itself is changed.
    Inventory,
    /// Machines are made.
    Machines,
    /// Machines reboot with the kernel settings that components need.
    Boot,
    /// What every host gets; Docker, if the host runs containers.
    Base,
    /// The firewall of every host. It is there before anything listens, and before a new host
    /// connects to the others.
    Firewall,
    /// The image registries.
    Registry,
    /// Images are sent to the registries.
    Images,
    /// The ZooKeeper ensemble.
    Zookeeper,
    /// The access lists in ZooKeeper.
    Access,
    /// The Mesos masters.
    Masters,
    /// The Mesos agents, and the mark that the masters have a registry.
    Agents,
    /// Marathon and Chronos.
    Frameworks,
    /// The proxy on the edge hosts.
    Edge,
    /// What is no longer wanted is removed.
    Retire,
    /// The test app proves that the cluster works.
    Verify,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Inventory => "inventory",
            Self::Machines => "machines",
            Self::Boot => "boot",
            Self::Base => "base",
            Self::Firewall => "firewall",
            Self::Registry => "registry",
            Self::Images => "images",
            Self::Zookeeper => "zookeeper",
            Self::Access => "access",
            Self::Masters => "masters",
            Self::Agents => "agents",
            Self::Frameworks => "frameworks",
            Self::Edge => "edge",
            Self::Retire => "retire",
            Self::Verify => "verify",
        })
    }
}

/// What the components are made from, besides the topology. It is gathered before anything is
/// decided.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The section `platform` of the inventory.
    pub platform: Platform,
    /// The image of each component.
    pub images: BTreeMap<Component, ImageFacts>,
    /// The contents of the files that the inventory names.
    pub files: BTreeMap<PathBuf, Content>,
    /// The certificate of the cluster's own authority, in PEM.
    pub ca: String,
    /// The secrets that the components' specs name, by name.
    pub secrets: BTreeMap<&'static str, Secret>,
    /// The password of [`mesos::OPERATOR`] for each agent; no other component accepts it.
    pub agents: BTreeMap<HostName, Secret>,
    /// The lines of the registries' password file, one for each account.
    pub htpasswd: Secret,
    /// The accounts that may push images.
    pub pushers: Vec<String>,
    /// The accounts that the proxy lets in, each with the hash of its password.
    pub edge_logins: Vec<(String, Secret)>,
    /// The certificate that everyone outside sees, if it is not of the cluster's authority.
    pub own_certificate: Option<OwnCertificate>,
    /// Each edge host's certificate chain and key, in PEM.
    pub certificates: BTreeMap<HostName, (String, Secret)>,
    /// The components that decide by a majority and hold nothing yet: see
    /// [`zookeeper::forming`] and [`master::forming`].
    pub forming: BTreeSet<Component>,
    /// What the hosts' firewall is made from.
    pub firewall: firewall::Settings,
    /// Whether an earlier version let Marathon register to run tasks as root: see
    /// [`marathon::registered_as_root`].
    pub as_root: bool,
}

impl Inputs {
    /// The secret of a name that a component's [`Spec`] has.
    ///
    /// # Panics
    /// If no spec has that name.
    pub fn secret(&self, name: &str) -> &Secret {
        self.secrets
            .get(name)
            .unwrap_or_else(|| panic!("no component's spec has `{name}`"))
    }

    /// The same without any user: what is made from this does not depend on users.
    #[must_use]
    pub fn without_users(&self) -> Self {
        let (pushers, edge_logins) = (Vec::new(), Vec::new());
        Self { htpasswd: Secret::new(""), pushers, edge_logins, ..self.clone() }
    }
}

impl Spec {
    /// The spec of a component.
    pub const fn of(component: Component) -> &'static Self {
        match component {
            Component::Registry => &registry::SPEC,
            Component::Zookeeper => &zookeeper::SPEC,
            Component::MesosMaster => &master::SPEC,
            Component::MesosAgent => &agent::SPEC,
            Component::Marathon => &marathon::SPEC,
            Component::Chronos => &chronos::SPEC,
            Component::Haproxy => &haproxy::SPEC,
            Component::Balancer => &balancer::SPEC,
            Component::Keepalived => &keepalived::SPEC,
            Component::Copier => &copier::SPEC,
        }
    }
}

/// What a component needs to know about its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// The component's version.
    pub version: String,
    /// The digest of its configuration, which is its id in Docker.
    pub id: String,
    /// The digest of its manifest, which is its id in a registry.
    pub digest: String,
    /// What it needs from its host.
    pub needs: Needs,
}

/// One host in its cluster.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The cluster.
    pub topology: &'a Topology,
    /// The host.
    pub node: &'a Node,
    /// What the components are made from.
    pub inputs: &'a Inputs,
}

/// Resources, each with the stage that applies it.
pub type Wants = Vec<(Stage, Resource)>;

/// Everything that a host should have. Contents may depend on the facts of the host, but names
/// never do. So the questions for a probe can be taken from what a host with [`Facts::default`]
/// would get.
///
/// # Errors
/// When a template of the inventory cannot be rendered.
pub fn wants(context: Context<'_>, facts: &Facts) -> Result<Wants, BadTemplate> {
    let mut wants = boot::wants(context);
    wants.extend(base::wants(context)?);
    wants.extend(firewall::wants(context)?);
    if context.node.has_containers() {
        wants.extend(docker::wants(context, facts));
    }
    for spec in Spec::of_node(context.node) {
        wants.extend((spec.wants)(context, facts)?);
    }
    Ok(wants)
}

/// Asks what [`wants`] may need to know about a host besides what the wanted resources ask.
pub fn ask(context: Context<'_>, questions: &mut Questions) {
    boot::ask(context, questions);
    if context.node.has_containers() {
        docker::ask(questions);
    }
    for spec in Spec::of_node(context.node) {
        (spec.ask)(questions);
    }
}

/// What a component's image is called on hosts and in their records.
fn image_name(component: Component, version: &str) -> String {
    format!("{component} {version}")
}

/// The version of a component that is installed on a host, according to the host's record. Images
/// of earlier versions are removed from it.
pub fn installed(facts: &Facts, component: Component) -> Option<String> {
    facts.manifest.entries().iter().find_map(|owned| match owned {
        Owned::Image { name, .. } => {
            let version = name.strip_prefix(&image_name(component, ""))?;
            Some(version.to_owned())
        }
        _ => None,
    })
}

impl Context<'_> {
    /// A component's image, as hosts get it from the cluster's registries.
    fn pulled(&self, component: Component) -> Option<Image> {
        let facts = self.inputs.images.get(&component)?;
        let reference = |node: &Node| {
            format!("{}:{REGISTRY_PORT}/{component}@{}", node.address, facts.digest)
        };
        let origin =
            ImageOrigin::Registries(self.topology.registries().map(reference).collect());
        let name = image_name(component, &facts.version);
        Some(Image { name, id: facts.id.clone(), origin })
    }
}

/// The directory of a component's data, which only the user of its container may change.
fn data_directory(at: &str, user: &str) -> Directory {
    Directory {
        path: path(at),
        mode: 0o750,
        owner: user.to_owned(),
        group: user.to_owned(),
        data: true,
    }
}

/// A file of a component's data, which the user of its container may change.
fn data_file(at: HostPath, user: &str, text: String) -> File {
    File { data: true, ..File::public(at, text).owned_by(user, user) }
}

/// A login in the format of HTTP basic authentication, without its scheme.
fn basic_login(user: &str, password: &Secret) -> Secret {
    Secret::new(BASE64_STANDARD.encode(format!("{user}:{}", password.expose())))
}

/// A path made of fixed names, addresses and checked unit names.
fn path(text: &str) -> HostPath {
    text.parse().expect("fixed names, addresses and unit names are safe in a path")
}
