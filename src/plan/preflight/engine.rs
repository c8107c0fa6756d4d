//! Checks that the services can run in the container engine of a host.

use crate::component::docker::{self, is_foreign};
use crate::resource::Facts;

/// The first version of Docker that has a setting to keep images in containerd's store.
const CHOICE_OF_STORE: u32 = 23;

/// The first version of Docker that keeps images there by default after a new installation.
const CONTAINERD_BY_DEFAULT: u32 = 29;

/// The file with the engine's settings.
const SETTINGS: &str = "/etc/docker/daemon.json";

/// What is wrong with a host's engine, and what to do about it.
pub(super) fn unusable(facts: &Facts) -> Vec<(String, String)> {
    match not_docker(facts) {
        Some(other) => vec![other],
        None => [not_in_place(facts), user_namespaces(facts), containerd_store(facts)]
            .into_iter()
            .flatten()
            .collect(),
    }
}

/// The version of Docker that the services will run in: of the running engine, of one that is
/// installed but does not run, or of the one that will be installed.
pub(super) fn version(facts: &Facts) -> Option<&str> {
    let engine = &facts.system.engine;
    let stopped = || engine.client.as_deref().filter(|_| has_unit(facts));
    let version = engine.version.as_deref().or_else(stopped);
    version.or(engine.offered.as_deref()).or(engine.client.as_deref())
}

/// Whether an engine is installed. An engine may also run without a systemd unit.
pub(super) fn is_there(facts: &Facts) -> bool {
    has_unit(facts) || facts.system.engine.version.is_some()
}

fn has_unit(facts: &Facts) -> bool {
    facts.unit(docker::UNIT).is_ok_and(|unit| unit.load != "not-found")
}

fn major(facts: &Facts) -> Option<u32> {
    version(facts)?.split('.').next()?.parse().ok()
}

/// A program other than the usual Docker behind the command `docker`.
fn not_docker(facts: &Facts) -> Option<(String, String)> {
    let engine = &facts.system.engine;
    let installed = "then `platform up` installs the distribution's own Docker";
    if let (true, Some(command)) = (engine.podman, &engine.command) {
        return Some((
            format!("{command} is Podman's (podman-docker), not Docker's"),
            format!("remove the package podman-docker, or {command} itself: {installed}"),
        ));
    }
    if has_unit(facts) {
        return None;
    }
    if engine.snap {
        return Some((
            "its Docker is the snap, which can read neither /etc/docker nor most of /var/lib"
                .to_owned(),
            format!("remove it with `snap remove docker`: {installed}"),
        ));
    }
    let (command, version) = (engine.command.as_ref()?, engine.version.as_ref()?);
    let unit = docker::UNIT;
    Some((
        format!("Docker {version} runs behind {command}, but systemd has no unit {unit}"),
        format!("run it by a unit {unit}, or stop and remove it: {installed}"),
    ))
}

/// An engine of another vendor without its client, or with a client that the services do not
/// find.
fn not_in_place(facts: &Facts) -> Option<(String, String)> {
    let engine = &facts.system.engine;
    if engine.in_place || !is_foreign(facts) {
        return None;
    }
    Some(match &engine.command {
        Some(command) => (
            format!("its `docker` is {command}, but the services need /usr/bin/docker"),
            format!("link it: `ln -s {command} /usr/bin/docker`"),
        ),
        None => (
            format!("it has Docker's engine ({}) but no `docker` command", docker::UNIT),
            "install the client that belongs to that engine, such as docker-ce-cli"
                .to_owned(),
        ),
    })
}

fn user_namespaces(facts: &Facts) -> Option<(String, String)> {
    let engine = &facts.system.engine;
    let configured = engine.configured.user_namespaces == Some(true);
    if !configured && engine.runs_with.user_namespaces != Some(true) {
        return None;
    }
    let at = if configured { format!(" in {SETTINGS}") } else { String::new() };
    Some((
        format!(
            "Docker's setting `userns-remap`{at} does not let containers use the host's \
             network, which the services need"
        ),
        "remove the setting and restart Docker, or give the roles to another host"
            .to_owned(),
    ))
}

/// Services name their images by the digest of the configuration. Containerd's store knows images
/// only by the digest of the manifest.
fn containerd_store(facts: &Facts) -> Option<(String, String)> {
    let engine = &facts.system.engine;
    let knows = |first: u32| major(facts).is_some_and(|major| major >= first);
    let configured = engine.configured.containerd_store;
    let configured = configured.map(|containerd| containerd && knows(CHOICE_OF_STORE));
    let by_default = !is_there(facts) && knows(CONTAINERD_BY_DEFAULT);
    let runs_with = engine.runs_with.containerd_store;
    let is_used = match configured {
        Some(configured) => configured || runs_with == Some(true),
        None => runs_with.unwrap_or(by_default),
    };
    is_used.then(|| {
        (
            format!(
                "Docker {} keeps images in containerd's store (`containerd-snapshotter`), which \
                 does not know images by the ids that the services use",
                version(facts).unwrap_or_default()
            ),
            format!(
                "set {{\"features\": {{\"containerd-snapshotter\": false}}}} in {SETTINGS} and \
                 restart Docker, if it runs; images in that store stay there, unused"
            ),
        )
    })
}
