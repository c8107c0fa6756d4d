//! The Docker engine, from the host's distribution.
//!
//! The engine's own configuration stays the host's: what the components need of it is said
//! where they are started. So a host that had Docker before keeps it as it was.

use super::{Context, Stage, Wants, path};
use crate::resource::probe::Questions;
use crate::resource::{
    Directory, Facts, File, Package, PackageState, ProvidedCommand, Resource, Unit,
};
use crate::secret::Secret;
use crate::topology::{Node, REGISTRY_PORT};

/// Where this program's own files are on a host.
const HOME: &str = "/etc/platform";

/// The unit that runs the engine.
pub const UNIT: &str = "docker.service";

/// Its package, by its names for apt and for dnf.
const PACKAGES: [&str; 2] = ["docker.io", "moby-engine"];

/// Its client, which is a package of its own since Debian 13.
const CLIENT: ProvidedCommand =
    ProvidedCommand { command: "docker", package: "docker-cli" };

/// The engine, the trust in the cluster's registries, and the password for them.
pub(super) fn wants(context: Context<'_>, facts: &Facts) -> Wants {
    let mut wants = Vec::new();
    let [apt, dnf] = PACKAGES;
    let engine = Package::by_manager(apt, dnf).that_brings(CLIENT);
    if !is_foreign(facts) {
        wants.push(Resource::Package(engine));
    }
    // Without the parser, an engine on a kernel with AppArmor starts no container at all.
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
    for registry in context.topology.registries() {
        wants.push(Resource::File(trust(context, registry)));
    }
    wants.push(Resource::File(File::private(
        path(&format!("{HOME}/docker/config.json")),
        login(context),
    )));
    wants.push(Resource::Unit(Unit::named(UNIT)));
    wants.into_iter().map(|resource| (Stage::Base, resource)).collect()
}

/// Asks for what only some hosts get, and for an engine that may be there.
pub(super) fn ask(questions: &mut Questions) {
    parser().ask(questions);
    questions.docker();
}

/// What reads AppArmor's profiles.
fn parser() -> Resource {
    Resource::Package(Package::named("apparmor"))
}

/// Whether there is an engine that did not come from the distribution's package: it stays as
/// it is, and the package, which would replace it, is not installed. A client alone is none.
pub fn is_foreign(facts: &Facts) -> bool {
    let is_here = |package: &&str| {
        facts.package(package).is_ok_and(|state| *state != PackageState::Missing)
    };
    let runs = facts.unit(UNIT).is_ok_and(|unit| unit.load == "loaded");
    runs && !PACKAGES.iter().any(is_here)
}

/// Docker reads the authority that it trusts for a registry at each pull: no restart.
fn trust(context: Context<'_>, registry: &Node) -> File {
    let path =
        path(&format!("/etc/docker/certs.d/{}:{REGISTRY_PORT}/ca.crt", registry.address));
    File::public(path, context.inputs.ca.clone())
}

/// The client configuration with which hosts pull, in Docker's own form.
pub(super) fn login(context: Context<'_>) -> Secret {
    let account = context.inputs.registry.basic_auth();
    let auths: serde_json::Map<String, serde_json::Value> = context
        .topology
        .registries()
        .map(|node| {
            let server = format!("{}:{REGISTRY_PORT}", node.address);
            (server, serde_json::json!({ "auth": account.expose() }))
        })
        .collect();
    Secret::new(format!("{:#}\n", serde_json::json!({ "auths": auths })))
}
