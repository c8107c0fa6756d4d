//! The private image registry: one on each edge host, with a TLS certificate from the cluster's
//! own authority. Every request needs a password.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use minijinja::context;

use super::service::Service;
use super::spec::{Clients, Given, Port, Redundancy, Spec, asks_nothing, no_remedy};
use super::{Context, Stage, Wants, data_directory, path};
use crate::host::HostName;
use crate::inventory::catalog::Component;
use crate::resource::{Content, Facts, File, Image, ImageOrigin};
use crate::secret::Secret;
use crate::template::{BadTemplate, render};
use crate::topology::REGISTRY_PORT;

/// The account with which this program pushes: no host knows its password.
pub const ACCOUNT: &str = "platform";
/// The account with which hosts and their tasks pull.
pub const PULL_ACCOUNT: &str = "platform-pull";

/// The numeric user and group as which it runs in its container.
const USER: &str = "5000";

/// What the registries need.
#[derive(Clone)]
pub struct Inputs {
    /// The password of [`ACCOUNT`].
    pub password: Secret,
    /// The password of [`PULL_ACCOUNT`].
    pub pull_password: Secret,
    /// The lines of the password file, one for each account.
    pub htpasswd: Secret,
    /// The secret that signs uploads in progress; the same on all registries.
    pub http_secret: Secret,
    /// Each registry host's certificate chain and key, in PEM.
    pub certificates: BTreeMap<HostName, (String, Secret)>,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Materials")
            .field("certificates", &self.certificates.len())
            .finish()
    }
}

impl Inputs {
    /// [`PULL_ACCOUNT`] and its password in the format of HTTP basic authentication.
    pub fn basic_auth(&self) -> Secret {
        Secret::new(
            BASE64_STANDARD
                .encode(format!("{PULL_ACCOUNT}:{}", self.pull_password.expose())),
        )
    }
}

/// The unit that runs it.
pub const UNIT: &str = "platform-registry.service";
/// The password with which this program sends images.
pub const SECRET: &str = "registry";

/// The registry of a host.
pub(super) const SPEC: Spec = Spec {
    component: Component::Registry,
    title: "the registry",
    instance: "the registry",
    instances: "registries",
    serve: ["the registry on {} serves", "the registries on {} serve"],
    unit: UNIT,
    stage: Stage::Registry,
    ports: &[Port::new(REGISTRY_PORT, Clients::Containers).on_all_addresses()],
    redundancy: Redundancy::Single,
    interrupted_by: &[],
    framework: None,
    given: &[Given::Authority, Given::Secret(SECRET)],
    wants,
    ask: asks_nothing,
    remedy: no_remedy,
};

/// The registry's image, files and unit.
///
/// # Errors
/// When a template cannot be rendered.
fn wants(context: Context<'_>, _: &Facts) -> Result<Wants, BadTemplate> {
    let inputs = &context.inputs.registry;
    let Some(image) = context.inputs.images.get(&Component::Registry) else {
        return Ok(Vec::new());
    };
    let image = Image {
        name: format!("registry {}", image.version),
        id: image.id.clone(),
        origin: ImageOrigin::Here,
    };
    let config = render(
        "registry/config.yml",
        include_str!("../../templates/registry/config.yml"),
        context! { port => REGISTRY_PORT, http_secret => inputs.http_secret.expose() },
    )?;
    let (chain, key) = inputs
        .certificates
        .get(&context.node.host)
        .cloned()
        .unwrap_or_else(|| (String::new(), Secret::new("")));
    let files = vec![
        private("config.yml", Secret::new(config)),
        private("htpasswd", inputs.htpasswd.clone()),
        private("tls.crt", chain),
        private("tls.key", key),
    ];
    let text = render(
        "registry/platform-registry.service",
        include_str!("../../templates/registry/platform-registry.service"),
        context! { image => &image.id, user => USER, cluster => context.topology.cluster.as_str() },
    )?;
    let data = Some(data_directory("/var/lib/platform/registry", USER));
    let service = Service { data, image, files, unit: UNIT, text, marker: None };
    Ok(service.wants(Stage::Registry))
}

fn private(name: &str, content: impl Into<Content>) -> File {
    File::private(path(&format!("/etc/platform/registry/{name}")), content)
        .owned_by(USER, USER)
}
