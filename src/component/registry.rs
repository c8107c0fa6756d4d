//! The private image registry: one on each edge host, with a TLS certificate from the cluster's
//! own authority. Every request needs a password.
//!
//! A registry knows no rights: whoever has a password may push. So HAProxy is before each of them, in
//! the same container, and nobody reaches the registry but through it: it refuses what would change
//! something, unless the user may push. The edge's own HAProxy could not do that: its image comes from
//! the registry, and clusters without Mesos have none.

use minijinja::context;

use super::Inputs;
use super::haproxy::{RELOAD, TLS_RULES};
use super::service::Service;
use super::spec::{Clients, Health, Port, Spec, StateUse, asks_nothing, no_remedy};
use super::{Context, Stage, Wants, basic_login, data_directory, image_name, path};
use crate::inventory::Component;
use crate::inventory::component::REGISTRY_PORT;
use crate::resource::{Content, Facts, File, Image, ImageOrigin};
use crate::secret::Secret;
use crate::template::{BadTemplate, render};

/// The account with which this program pushes: no host knows its password.
pub const ACCOUNT: &str = "platform";
/// The account with which hosts and their tasks pull.
pub const PULL_ACCOUNT: &str = "platform-pull";

/// The numeric user and group as which it runs in its container.
const USER: &str = "5000";
/// Where it listens in its container: only HAProxy there reaches it. `images/registry/serve` waits for
/// it.
const SOCKET: &str = "/tmp/registry.sock";
/// Where it keeps the images.
pub(super) const DATA: &str = "/var/lib/platform/registry";

/// [`PULL_ACCOUNT`] and its password in the format of HTTP basic authentication.
pub(super) fn pull_login(inputs: &Inputs) -> Secret {
    basic_login(PULL_ACCOUNT, inputs.secret(PULL_SECRET))
}

/// The unit that runs it.
pub const UNIT: &str = "platform-registry.service";
/// The password with which this program sends images.
pub const SECRET: &str = "registry";
/// The password of [`PULL_ACCOUNT`].
pub const PULL_SECRET: &str = "registry-pull";
/// The secret that signs uploads in progress; the same on all registries.
const HTTP_SECRET: &str = "registry-http";

/// The registry of a host.
pub(super) const SPEC: Spec = Spec {
    component: Component::Registry,
    title: "the registry",
    instance: "the registry",
    serve: ["the registry on {} serves", "the registries on {} serve"],
    unit: UNIT,
    stage: Stage::Registry,
    ports: &[Port::new(REGISTRY_PORT, Clients::Containers).on_all_addresses()],
    connects_to: &[],
    interrupted_by: &[],
    framework: None,
    zookeeper: None,
    state: &[
        StateUse::Authority,
        StateUse::Secret(SECRET),
        StateUse::Renewable(PULL_SECRET),
        StateUse::Renewable(HTTP_SECRET),
    ],
    health: Health::Registry,
    wants,
    ask: asks_nothing,
    remedy: no_remedy,
};

/// The registry's image, files and unit.
///
/// # Errors
/// When a template cannot be rendered.
fn wants(context: Context<'_>, _: &Facts) -> Result<Wants, BadTemplate> {
    let inputs = context.inputs;
    let Some(image) = inputs.images.get(&Component::Registry) else {
        return Ok(Vec::new());
    };
    let image = Image {
        name: image_name(Component::Registry, &image.version),
        id: image.id.clone(),
        origin: ImageOrigin::Here,
    };
    let config = render(
        "registry/config.yml",
        include_str!("../../templates/registry/config.yml"),
        context! { socket => SOCKET, http_secret => inputs.secret(HTTP_SECRET).expose() },
    )?;
    let proxy = render(
        "registry/haproxy.cfg",
        include_str!("../../templates/registry/haproxy.cfg"),
        context! { port => REGISTRY_PORT, socket => SOCKET, tls_rules => TLS_RULES },
    )?;
    let (chain, key) = inputs
        .certificates
        .get(&context.node.host)
        .cloned()
        .unwrap_or_else(|| (String::new(), Secret::new("")));
    let files = vec![
        private("config.yml", Secret::new(config)),
        private("haproxy.cfg", proxy),
        private("tls.crt", chain),
        private("tls.key", key),
    ];
    let text = render(
        "registry/platform-registry.service",
        include_str!("../../templates/registry/platform-registry.service"),
        context! { image => &image.id, user => USER, cluster => context.topology.cluster.as_str() },
    )?;
    let data = Some(data_directory(DATA, USER));
    // The registry reads it again for the next login after each change.
    let others = vec![
        private("htpasswd", inputs.htpasswd.clone()),
        private("reload", RELOAD.to_owned()),
    ];
    let pushers = inputs.pushers.iter().map(|name| format!("{name}\n"));
    let reloaded = vec![private("pushers", pushers.collect::<String>())];
    let service = Service { data, image, files, reloaded, unit: UNIT, text, others };
    Ok(service.wants(Stage::Registry))
}

fn private(name: &str, content: impl Into<Content>) -> File {
    File::private(path(&format!("/etc/platform/registry/{name}")), content)
        .owned_by(USER, USER)
}
