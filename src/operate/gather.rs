//! Gathers what the components are made from: secrets, certificates, files, images.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::RunContext;
use super::cluster_files::{ClusterFiles, ClusterFilesError, Images};
use super::error::Error;
use super::image::{self, BuildContext};
use crate::certificate::{OwnCertificate, San};
use crate::component::mesos::OPERATOR;
use crate::component::{
    ImageFacts, Inputs, Spec, chronos, copier, firewall, haproxy, marathon, mesos,
    registry,
};
use crate::host::HostName;
use crate::images::resolved::ResolvedImages;
use crate::inventory::catalog::{Catalog, Entry};
use crate::inventory::{Account, Component, Inventory, Platform, SecretSource};
use crate::resource::Content;
use crate::run::Fleet;
use crate::run::health::services::{EdgeAccess, Logins};
use crate::run::registries::{Registries, RegistryLogin};
use crate::secret::{Redactor, Secret};
use crate::state::{Ca, CaError, Leaf, SecretError, State};
use crate::topology::{Node, Topology};

/// Everything that decisions and actions need, beside the hosts themselves.
pub(super) struct Gathered {
    /// For decisions.
    pub(super) inputs: Inputs,
    /// What versions need of hosts.
    pub(super) catalog: Catalog,
    /// For transfers of images.
    pub(super) images: ResolvedImages,
    /// For requests to Mesos, Marathon and Chronos.
    pub(super) logins: Logins,
    /// Removes secrets from the output of hosts.
    pub(super) redactor: Redactor,
}

/// Gathers it. Missing secrets, certificates and the certificate authority are made and kept; if
/// this is repeated, it returns the same.
///
/// # Errors
/// When a file or a variable that the inventory names is missing, or an image cannot be found or
/// built.
pub(super) async fn gather(
    files: &ClusterFiles,
    topology: &Topology,
    ctx: &RunContext<'_>,
) -> Result<Gathered, Error> {
    let listed = files.images()?;
    warn_of_unverified(files, &listed, ctx);
    let images =
        image::resolve(&listed, &needed(topology), &BuildContext::of(ctx)).await?;
    let facts = images.facts(&listed.catalog);
    let inputs = inputs(files, topology, facts, ctx).await?;
    gathered(files, listed.catalog, images, inputs, ctx)
}

/// The same without images, for a plan that is made before there are machines. Where an image's
/// id is needed, [`NOT_THERE_YET`] takes its place.
///
/// # Errors
/// Those of [`gather`], except for images.
pub(super) async fn without_images(
    files: &ClusterFiles,
    topology: &Topology,
    ctx: &RunContext<'_>,
) -> Result<Gathered, Error> {
    let Images { catalog, .. } = files.images()?;
    let needed = needed(topology);
    let entries = catalog.components.iter();
    let facts = entries.filter(|(component, _)| needed.contains(component));
    let facts = facts.map(|(component, entry)| {
        let facts = ImageFacts {
            version: entry.version.clone(),
            id: NOT_THERE_YET.to_owned(),
            digest: NOT_THERE_YET.to_owned(),
            needs: entry.needs.clone(),
        };
        (*component, facts)
    });
    let inputs = inputs(files, topology, facts.collect(), ctx).await?;
    gathered(files, catalog, ResolvedImages::default(), inputs, ctx)
}

/// The id of an image that is not built or fetched yet.
pub(super) const NOT_THERE_YET: &str = "sha256:IMAGE-ID";

fn gathered(
    files: &ClusterFiles,
    catalog: Catalog,
    images: ResolvedImages,
    inputs: Inputs,
    ctx: &RunContext<'_>,
) -> Result<Gathered, Error> {
    let logins = logins(files, ctx)?;
    let redactor = files.state.redactor();
    Ok(Gathered { inputs, catalog, images, logins, redactor })
}

/// What the components are made from.
async fn inputs(
    files: &ClusterFiles,
    topology: &Topology,
    images: BTreeMap<Component, ImageFacts>,
    ctx: &RunContext<'_>,
) -> Result<Inputs, Error> {
    let ca = files.state.ca((ctx.clock)())?;
    let secret = |name: &str| {
        files.state.resolve(&SecretSource::Generate, name, &files.folder(), ctx.env)
    };
    let uses = Spec::all().flat_map(|spec| spec.state);
    let secrets = uses
        .filter_map(|used| used.secret())
        .map(|name| Ok((name, secret(name)?)))
        .collect::<Result<BTreeMap<_, _>, SecretError>>()?;
    let agents = topology
        .agents()
        .map(|Node { host, .. }| Ok((host.clone(), secret(&agent_secret(host))?)));
    let certificates = certificates(files, topology, &ca, ctx)?;
    let (htpasswd, edge_logins) = match certificates.is_empty() {
        true => (Secret::new(""), Vec::new()),
        false => {
            let own = [registry::SECRET, registry::PULL_SECRET, copier::SECRET];
            let users = users(files, ctx)?;
            let htpasswd = htpasswd(files, own.map(|name| &secrets[name]), &users);
            (htpasswd.await?, edge_logins(files, &secrets, users).await?)
        }
    };
    Ok(Inputs {
        platform: files.inventory.platform.clone(),
        images,
        files: contents(files)?,
        ca: ca.trusted_pem().to_owned(),
        agents: agents.collect::<Result<_, SecretError>>()?,
        secrets,
        htpasswd,
        pushers: pushers(&files.inventory),
        edge_logins,
        own_certificate: own_certificate(files, ctx)?,
        certificates,
        forming: BTreeSet::new(),
        firewall: firewall::Settings::of(&files.inventory),
        as_root: false,
    })
}

impl Gathered {
    /// The cluster's registries, each reached through its own host.
    pub(super) fn registries<'a>(
        &'a self,
        fleet: &'a Fleet,
        topology: &'a Topology,
    ) -> Registries<'a> {
        let password = self.inputs.secret(registry::SECRET);
        let login =
            RegistryLogin { ca: &self.inputs.ca, user: registry::ACCOUNT, password };
        Registries::new(fleet, topology, &self.images, login)
    }
}

/// What the names of their certificates in the state folder have before the names of hosts.
pub(super) const LEAF_PREFIX: &str = "edge-";

fn leaf_name(node: &Node) -> String {
    format!("{LEAF_PREFIX}{}", node.host)
}

/// The names of all certificates that the cluster uses.
pub(super) fn leaf_names(topology: &Topology) -> Vec<String> {
    topology.registries().map(leaf_name).collect()
}

/// The certificates of the edge hosts with their keys, by host.
fn certificates(
    files: &ClusterFiles,
    topology: &Topology,
    ca: &Ca,
    ctx: &RunContext<'_>,
) -> Result<BTreeMap<HostName, (String, Secret)>, CaError> {
    let certificate = |node: &Node| {
        let name = leaf_name(node);
        let names = names(node, &files.inventory.platform);
        let Leaf { cert_chain_pem, key } =
            ca.certificate(&name, &names, (ctx.clock)())?;
        Ok((node.host.clone(), (cert_chain_pem, key)))
    };
    topology.registries().map(certificate).collect()
}

/// The operator's own certificate, if the inventory names one. Warns if it will end soon.
///
/// # Errors
/// When its files cannot be read, or clients would refuse it.
pub(super) fn own_certificate(
    files: &ClusterFiles,
    ctx: &RunContext<'_>,
) -> Result<Option<OwnCertificate>, Error> {
    let Some(own) = files.own_certificate((ctx.clock)())? else { return Ok(None) };
    let Platform { domain, vip, .. } = &files.inventory.platform;
    let vip = vip.map(|vip| San::Ip(vip.into()));
    let names: Vec<San> = [San::Dns(domain.clone())].into_iter().chain(vip).collect();
    for message in own.warnings(&names, (ctx.clock)()) {
        ctx.events.warn_once(message);
    }
    Ok(Some(own))
}

/// Warns of components that were never tested with this program.
pub(super) fn warn_of_unverified(
    files: &ClusterFiles,
    images: &Images,
    ctx: &RunContext<'_>,
) {
    if let Some(message) = unverified(&files.inventory, images) {
        ctx.events.warn_once(message);
    }
}

fn unverified(inventory: &Inventory, images: &Images) -> Option<String> {
    let runs =
        |component| inventory.groups.iter().any(|group| inventory.runs(group, component));
    let unverified = |(component, entry): (&Component, &Entry)| {
        let concerns = !entry.verified && runs(*component);
        concerns.then(|| format!("{component} {}", entry.version))
    };
    let found: Vec<String> =
        images.catalog.components.iter().filter_map(unverified).collect();
    (!found.is_empty()).then(|| {
        let (found, name) = (found.join(", "), &images.name);
        format!("not verified with this program: {found}, according to {name}")
    })
}

/// The passwords for requests to Mesos, Marathon, Chronos and the edge: those that hosts get.
///
/// # Errors
/// When they, or the certificate authority, cannot be read or kept.
pub(super) fn logins(
    files: &ClusterFiles,
    ctx: &RunContext<'_>,
) -> Result<Logins, Error> {
    let ca = files.state.ca((ctx.clock)())?.trusted_pem().to_owned();
    let secret = |name: &str| {
        files.state.resolve(&SecretSource::Generate, name, &files.folder(), ctx.env)
    };
    Ok(Logins {
        mesos: secret(mesos::OPERATOR_SECRET)?,
        marathon: secret(marathon::HTTP_SECRET)?,
        chronos: secret(chronos::HTTP_SECRET)?,
        edge: EdgeAccess {
            name: haproxy::internal_name(&files.inventory.platform.domain),
            ca,
            password: secret(haproxy::SECRET)?,
        },
    })
}

/// The platform's own password for the cluster's registries.
///
/// # Errors
/// When it cannot be read or kept.
pub(super) fn registry_password(
    files: &ClusterFiles,
    ctx: &RunContext<'_>,
) -> Result<Secret, SecretError> {
    files.state.resolve(
        &SecretSource::Generate,
        registry::SECRET,
        &files.folder(),
        ctx.env,
    )
}

/// The components that this cluster's hosts run.
fn needed(topology: &Topology) -> Vec<Component> {
    let runs = |component: &Component| topology.nodes.iter().any(|n| n.runs(*component));
    Component::with_images().filter(runs).collect()
}

/// The names by which an edge host is reached: its address for the hosts, this computer's own
/// address and a name of its own for tunnels, the virtual IP, and the cluster's domain with all
/// names in it.
fn names(node: &Node, platform: &Platform) -> Vec<San> {
    let Platform { domain, vip, .. } = platform;
    let own = [San::Ip(node.address), San::Ip(Ipv4Addr::LOCALHOST.into())];
    let in_domain = format!("*.{domain}");
    // Clients do not accept `*.lab` for all names in the domain `lab`.
    let names = [domain.clone(), in_domain, haproxy::internal_name(domain)];
    let vip = vip.map(|vip| San::Ip(vip.into()));
    own.into_iter().chain(vip).chain(names.map(San::Dns)).collect()
}

/// The name of the password of a host's agent for HTTP, among the secrets of the state folder.
pub(super) fn agent_secret(host: &HostName) -> String {
    format!("mesos-agent-http-{host}")
}

/// The name of the random password of a user, among the secrets of the state folder.
pub(super) fn secret_of(user: &str) -> String {
    format!("user-{user}")
}

/// A user's password, from where the inventory says.
///
/// # Errors
/// When the variable or the file is missing or empty.
pub(super) fn password_of(
    files: &ClusterFiles,
    account: &Account,
    ctx: &RunContext<'_>,
) -> Result<Secret, SecretError> {
    let (name, folder) = (secret_of(&account.name), files.folder());
    files.state.resolve(&account.password, &name, &folder, ctx.env)
}

/// The accounts of the inventory with their passwords.
fn users(
    files: &ClusterFiles,
    ctx: &RunContext<'_>,
) -> Result<Vec<(String, Secret)>, SecretError> {
    let users = files.inventory.platform.users.iter();
    let password =
        |account: &Account| Ok((account.name.clone(), password_of(files, account, ctx)?));
    users.map(password).collect()
}

/// The registries' password file; `own` are the passwords of the platform's own accounts.
async fn htpasswd(
    files: &ClusterFiles,
    own: [&Secret; 3],
    users: &[(String, Secret)],
) -> Result<Secret, Error> {
    let names = [registry::ACCOUNT, registry::PULL_ACCOUNT, copier::ACCOUNT];
    let names = names.map(str::to_owned);
    let own = names.into_iter().zip(own.map(Secret::clone));
    let accounts = own.chain(users.iter().cloned());
    let lines = hashed(files, accounts, State::htpasswd_line).await?;
    Ok(Secret::new(lines.into_iter().map(|line| line + "\n").collect::<String>()))
}

/// The accounts that may push images. That with which hosts pull is none of them: tasks can read its
/// password.
fn pushers(inventory: &Inventory) -> Vec<String> {
    let own = [registry::ACCOUNT, copier::ACCOUNT].into_iter().map(str::to_owned);
    let users = inventory.platform.users.iter().filter(|account| account.push);
    own.chain(users.map(|account| account.name.clone())).collect()
}

/// The accounts that the proxy lets in, with the hashes of their passwords.
async fn edge_logins(
    files: &ClusterFiles,
    secrets: &BTreeMap<&'static str, Secret>,
    mut users: Vec<(String, Secret)>,
) -> Result<Vec<(String, Secret)>, Error> {
    users.push((OPERATOR.to_owned(), secrets[haproxy::SECRET].clone()));
    let names: Vec<String> = users.iter().map(|(name, _)| name.clone()).collect();
    let hashes = hashed(files, users, State::crypt_hash).await?;
    Ok(names.into_iter().zip(hashes).collect())
}

/// What a function makes of each account and its password, in order. Hashing a password is slow on
/// purpose, so it is done in parallel.
async fn hashed<T: Send + 'static>(
    files: &ClusterFiles,
    accounts: impl IntoIterator<Item = (String, Secret)>,
    hash: fn(&State, &str, &Secret) -> Result<T, SecretError>,
) -> Result<Vec<T>, Error> {
    let hashing: Vec<_> = accounts
        .into_iter()
        .map(|(name, password)| {
            let state = files.state.clone();
            tokio::task::spawn_blocking(move || hash(&state, &name, &password))
        })
        .collect();
    let mut hashes = Vec::new();
    for hash in hashing {
        hashes.push(hash.await.expect("hashing a password does not panic")?);
    }
    Ok(hashes)
}

/// The contents of the files that the inventory names.
fn contents(
    files: &ClusterFiles,
) -> Result<BTreeMap<PathBuf, Content>, ClusterFilesError> {
    let base = &files.inventory.platform.base;
    let of_units = base.units.iter().filter_map(|unit| unit.source.as_ref());
    let sources = base.files.iter().map(|file| &file.source).chain(of_units);
    sources.map(|source| Ok((source.clone(), files.source(source)?))).collect()
}
