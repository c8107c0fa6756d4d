//! The Docker engine, from the host's distribution.
//!
//! This program does not change the engine's own configuration: components pass what they need
//! when they start. So a host that had Docker before keeps it as it was.

use std::net::IpAddr;

use super::registry;
use super::{Context, Stage, Wants, path};
use crate::inventory::component::REGISTRY_PORT;
use crate::resource::probe::Questions;
use crate::resource::{
    Directory, Facts, File, Package, PackageState, ProvidedCommand, Resource, Unit,
};
use crate::secret::Secret;

/// Where this program's own files are on a host.
const HOME: &str = "/etc/platform";

/// The unit that runs the engine.
pub const UNIT: &str = "docker.service";

/// The names of its package for apt and for dnf.
const PACKAGES: [&str; 2] = ["docker.io", "moby-engine"];

/// Its client, which is a separate package since Debian 13.
const CLIENT: ProvidedCommand =
    ProvidedCommand { command: "docker", package: "docker-cli" };

/// The engine, the certificate with which it trusts the cluster's registries, and their password.
pub(super) fn wants(context: Context<'_>, facts: &Facts) -> Wants {
    let mut wants = Vec::new();
    let [apt, dnf] = PACKAGES;
    let engine = Package::by_manager(apt, dnf).that_brings(CLIENT);
    if !is_foreign(facts) {
        wants.push(Resource::Package(engine));
    }
    // On a kernel with AppArmor, an engine without the parser cannot start any container.
    if facts.system.apparmor {
        wants.push(parser());
    }
    wants.push(Resource::Directory(Directory {
        path: path(HOME),
        mode: 0o755,
        owner: "root".to_owned(),
        group: "root".to_owned(),
        data: false,
    }));
    for registry in context.topology.registry_addresses() {
        wants.push(Resource::File(trust(context, registry)));
    }
    wants.push(Resource::File(File::private(
        path(&format!("{HOME}/docker/config.json")),
        login(context),
    )));
    wants.push(Resource::Unit(Unit::named(UNIT)));
    wants.into_iter().map(|resource| (Stage::Base, resource)).collect()
}

/// Asks about the package that only some hosts get, and about an installed engine.
pub(super) fn ask(questions: &mut Questions) {
    parser().ask(questions);
    questions.docker();
}

/// The package that reads AppArmor's profiles.
fn parser() -> Resource {
    Resource::Package(Package::named("apparmor"))
}

/// Whether there is an engine that is not from the distribution's package. It stays as it is, and
/// the package, which would replace it, is not installed. A client alone is not an engine.
pub fn is_foreign(facts: &Facts) -> bool {
    let is_here = |package: &&str| {
        facts.package(package).is_ok_and(|state| *state != PackageState::Missing)
    };
    let runs = facts.unit(UNIT).is_ok_and(|unit| unit.load == "loaded");
    runs && !PACKAGES.iter().any(is_here)
}

/// The certificate authority for a registry. Docker reads it at each pull, so needs no restart.
fn trust(context: Context<'_>, registry: IpAddr) -> File {
    let path = path(&format!("/etc/docker/certs.d/{registry}:{REGISTRY_PORT}/ca.crt"));
    File::public(path, context.inputs.ca.clone())
}

/// The client configuration with which hosts pull, in Docker's format.
pub(super) fn login(context: Context<'_>) -> Secret {
    let account = registry::pull_login(context.inputs);
    let auths: serde_json::Map<String, serde_json::Value> = context
        .topology
        .registry_addresses()
        .map(|address| {
            let server = format!("{address}:{REGISTRY_PORT}");
            (server, serde_json::json!({ "auth": account.expose() }))
        })
        .collect();
    Secret::new(format!("{:#}\n", serde_json::json!({ "auths": auths })))
}
