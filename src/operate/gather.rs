//! Gathers what the components are made from: secrets, certificates, files, images.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::Ambient;
use super::image::{self, Bench, Resolved};
use super::lab::{Images, Lab, LabError};
use super::services::Logins;
use super::trouble::Trouble;
use crate::component::{Materials, chronos, marathon, mesos, registry, zookeeper};
use crate::event::Event;
use crate::host::HostName;
use crate::inventory::catalog::{Catalog, Component, Entry};
use crate::inventory::{Inventory, SecretSource};
use crate::resource::Content;
use crate::secret::{Redactor, Secret};
use crate::state::{Ca, CaError, Leaf, San, SecretError};
use crate::topology::{Node, Topology};

/// Everything that is decided from and acted with, beside the hosts themselves.
pub(super) struct Gathered {
    /// For the decisions.
    pub(super) materials: Materials,
    /// For what versions need of hosts.
    pub(super) catalog: Catalog,
    /// For the transfers.
    pub(super) images: Resolved,
    /// For the questions to Mesos, Marathon and Chronos.
    pub(super) logins: Logins,
    /// Keeps secrets out of what hosts say.
    pub(super) redactor: Redactor,
}

/// Gathers it. What is missing is made and kept: secrets, the certificate authority,
/// certificates; repeated, it gives the same.
///
/// # Errors
/// When a file or a variable that the inventory names is missing, or an image cannot be had.
pub(super) async fn gather(
    lab: &Lab,
    topology: &Topology,
    ambient: &Ambient<'_>,
) -> Result<Gathered, Trouble> {
    let needed = needed(topology);
    let listed = lab.images()?;
    warn_of_unverified(lab, &listed, ambient);
    let images = image::resolve(&listed, &needed, &Bench::of(ambient)).await?;
    let ca = lab.state.ca((ambient.clock)())?;
    let secret = |name: &str| {
        lab.state.resolve(&SecretSource::Generate, name, &lab.folder(), ambient.env)
    };
    let password = registry_password(lab, ambient)?;
    let pull_password = secret("registry-pull")?;
    let certificates = certificates(lab, topology, &ca, ambient)?;
    let htpasswd = match certificates.is_empty() {
        true => Secret::new(""),
        false => htpasswd(lab, [&password, &pull_password], ambient).await?,
    };
    let http_secret = secret("registry-http")?;
    let agents = topology.agents().map(|Node { host, .. }| {
        Ok((host.clone(), secret(&format!("mesos-agent-http-{host}"))?))
    });
    let agents = agents.collect::<Result<_, SecretError>>()?;
    let materials = Materials {
        platform: lab.inventory.platform.clone(),
        images: images.facts(&listed.catalog),
        files: files(lab)?,
        ca: ca.cert_pem().to_owned(),
        registry: registry::Materials {
            htpasswd,
            password,
            pull_password,
            http_secret,
            certificates,
        },
        zookeeper: zookeeper::Materials {
            quorum_password: secret(zookeeper::QUORUM_SECRET)?,
            super_password: secret(zookeeper::SUPER_SECRET)?,
            forming: false,
        },
        mesos: mesos::Materials {
            zookeeper: secret(mesos::ZOOKEEPER_SECRET)?,
            agent_zookeeper: secret("agent-zookeeper")?,
            operator: secret(mesos::OPERATOR_SECRET)?,
            agents,
            agent: secret(mesos::AGENT_SECRET)?,
            as_root: false,
            forming: false,
        },
        marathon: framework(marathon::SECRETS, &secret)?,
        chronos: framework(chronos::SECRETS, &secret)?,
    };
    let logins = logins(lab, ambient)?;
    let redactor = lab.state.redactor();
    Ok(Gathered { materials, catalog: listed.catalog, images, logins, redactor })
}

/// The certificates of the registries with their keys, by host.
fn certificates(
    lab: &Lab,
    topology: &Topology,
    ca: &Ca,
    ambient: &Ambient<'_>,
) -> Result<BTreeMap<HostName, (String, Secret)>, CaError> {
    let certificate = |node: &Node| {
        let name = format!("registry-{}", node.host);
        let names = names(node, &lab.inventory.platform.domain);
        let Leaf { cert_chain_pem, key } =
            ca.certificate(&name, &names, (ambient.clock)())?;
        Ok((node.host.clone(), (cert_chain_pem, key)))
    };
    topology.registries().map(certificate).collect()
}

/// Warns of components that were never seen to run as this program runs them.
pub(super) fn warn_of_unverified(lab: &Lab, images: &Images, ambient: &Ambient<'_>) {
    if let Some(message) = unverified(&lab.inventory, images) {
        ambient.events.emit(&Event::Warned { message });
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

/// The passwords with which Mesos, Marathon and Chronos are asked: those of the materials.
///
/// # Errors
/// When they cannot be read or kept.
pub(super) fn logins(lab: &Lab, ambient: &Ambient<'_>) -> Result<Logins, SecretError> {
    let secret = |name: &str| {
        lab.state.resolve(&SecretSource::Generate, name, &lab.folder(), ambient.env)
    };
    Ok(Logins {
        mesos: secret(mesos::OPERATOR_SECRET)?,
        marathon: secret(marathon::HTTP_SECRET)?,
        chronos: secret(chronos::HTTP_SECRET)?,
    })
}

/// What a framework needs, by the names of its secrets.
fn framework(
    [zookeeper, mesos, http]: [&str; 3],
    secret: &impl Fn(&str) -> Result<Secret, SecretError>,
) -> Result<mesos::Framework, SecretError> {
    Ok(mesos::Framework {
        zookeeper: secret(zookeeper)?,
        secret: secret(mesos)?,
        password: secret(http)?,
    })
}

/// The platform's own password for the cluster's registries.
///
/// # Errors
/// When it cannot be read or kept.
pub(super) fn registry_password(
    lab: &Lab,
    ambient: &Ambient<'_>,
) -> Result<Secret, SecretError> {
    lab.state.resolve(
        &SecretSource::Generate,
        registry::SECRET,
        &lab.folder(),
        ambient.env,
    )
}

/// The components that this cluster's hosts run.
fn needed(topology: &Topology) -> Vec<Component> {
    let runs = |component: &Component| topology.nodes.iter().any(|n| n.runs(*component));
    Component::ALL.into_iter().filter(runs).collect()
}

/// The names by which a registry is reached: its address from the hosts, this computer's own
/// through a tunnel, and a name in the cluster's domain.
fn names(node: &Node, domain: &str) -> Vec<San> {
    vec![
        San::Ip(node.address),
        San::Ip(Ipv4Addr::LOCALHOST.into()),
        San::Dns(format!("registry.{domain}")),
    ]
}

/// The registries' password file; `own` are the passwords of the platform's own accounts. Hashing a
/// password is slow on purpose, so the hashes are made side by side.
async fn htpasswd(
    lab: &Lab,
    own: [&Secret; 2],
    ambient: &Ambient<'_>,
) -> Result<Secret, Trouble> {
    let names = [registry::ACCOUNT, registry::PULL_ACCOUNT].map(str::to_owned);
    let mut accounts: Vec<(String, Secret)> =
        names.into_iter().zip(own.map(Secret::clone)).collect();
    for account in &lab.inventory.platform.users {
        let name = format!("user-{}", account.name);
        let password =
            lab.state.resolve(&account.password, &name, &lab.folder(), ambient.env)?;
        accounts.push((account.name.clone(), password));
    }
    let hashing: Vec<_> = accounts
        .into_iter()
        .map(|(name, password)| {
            let state = lab.state.clone();
            tokio::task::spawn_blocking(move || state.htpasswd_line(&name, &password))
        })
        .collect();
    let mut lines = String::new();
    for line in hashing {
        lines.push_str(&line.await.expect("hashing a password does not panic")?);
        lines.push('\n');
    }
    Ok(Secret::new(lines))
}

/// The contents of the files that the inventory names.
fn files(lab: &Lab) -> Result<BTreeMap<PathBuf, Content>, LabError> {
    let base = &lab.inventory.platform.base;
    let of_units = base.units.iter().filter_map(|unit| unit.source.as_ref());
    let sources = base.files.iter().map(|file| &file.source).chain(of_units);
    let mut contents = BTreeMap::new();
    for source in sources {
        let path = lab.folder().join(source);
        let bytes =
            std::fs::read(&path).map_err(|source| LabError::Read { path, source })?;
        contents.insert(source.clone(), bytes.into());
    }
    Ok(contents)
}
