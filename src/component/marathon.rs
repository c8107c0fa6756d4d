//! Marathon: keeps services running. One instance leads; the others forward requests to it.

use minijinja::context;

use super::mesos::{self, OPERATOR, TASKS, private};
use super::service::Service;
use super::spec::{
    Clients, Framework, Health, Port, Spec, StateUse, asks_nothing, no_remedy,
};
use super::znode::ZookeeperUser;
use super::{Context, Inputs, Stage, Wants, path};
use crate::inventory::Component;
use crate::inventory::component::{
    APP_PORTS, FIRST_GIVEN_PORT, MARATHON_DRIVER_PORT, MARATHON_PORT,
};
use crate::path::HostPath;
use crate::resource::{Facts, File, FileState};
use crate::secret::Secret;
use crate::template::{BadTemplate, render};
use crate::unit::Size;

/// The numeric user and group as which it runs in its container.
const USER: &str = "8080";
/// Where its configuration is on its host.
const CONFIG: &str = "/etc/platform/marathon";
/// The name under which it registers and proves its identity, and its user in ZooKeeper.
pub const PRINCIPAL: &str = "marathon";
/// The configuration of its log: see the file.
const LOGGING: &str = include_str!("../../templates/marathon/logback.xml");
/// The unit that runs it.
pub const UNIT: &str = "platform-marathon.service";
/// Its password in ZooKeeper.
const ZOOKEEPER_SECRET: &str = "marathon-zookeeper";
/// The password with which it registers at the masters.
const MESOS_SECRET: &str = "marathon-mesos";
/// The operator's password for its API.
pub const HTTP_SECRET: &str = "marathon-http";

/// Marathon. An instance stops when its connection to ZooKeeper ends; the leader also stops with
/// the leading master.
pub(super) const SPEC: Spec = Spec {
    component: Component::Marathon,
    title: "Marathon",
    instance: "Marathon",
    serve: ["Marathon on {} serves", "Marathon serves on {}, and one leads"],
    unit: UNIT,
    stage: Stage::Frameworks,
    ports: &[
        Port::new(MARATHON_PORT, Clients::Users),
        Port::new(MARATHON_DRIVER_PORT, mesos::DRIVER_CLIENTS),
    ],
    connects_to: &[Component::Zookeeper, Component::MesosMaster, Component::Marathon],
    interrupted_by: &[Component::Zookeeper, Component::MesosMaster],
    framework: Some(Framework { principal: PRINCIPAL, secret: MESOS_SECRET }),
    zookeeper: Some(ZookeeperUser {
        name: PRINCIPAL,
        secret: ZOOKEEPER_SECRET,
        nodes: &["/marathon"],
        is_public: false,
    }),
    state: &[
        StateUse::Secret(ZOOKEEPER_SECRET),
        StateUse::Secret(MESOS_SECRET),
        StateUse::Secret(HTTP_SECRET),
    ],
    health: Health::Leader,
    wants,
    ask: asks_nothing,
    remedy: no_remedy,
};

/// Marathon's image, files and unit.
///
/// # Errors
/// When the template cannot be rendered.
fn wants(context: Context<'_>, facts: &Facts) -> Result<Wants, BadTemplate> {
    let Some(image) = context.pulled(Component::Marathon) else {
        return Ok(Vec::new());
    };
    let files = vec![
        File::private(path(&format!("{CONFIG}/environment")), environment(context)),
        // Marathon uses the whole file, including a newline at its end.
        private(
            &format!("{CONFIG}/secret"),
            context.inputs.secret(MESOS_SECRET).clone(),
            USER,
        ),
        File::public(path(&format!("{CONFIG}/logback.xml")), LOGGING.to_owned()),
    ];
    let text = unit(context, &image.id, facts)?;
    let others = Vec::new();
    let reloaded = Vec::new();
    let service =
        Service { data: None, image, files, reloaded, unit: UNIT, text, others };
    Ok(service.wants(Stage::Frameworks))
}

/// Whether one of these hosts has a Marathon that an earlier version of this program started to
/// run tasks as root. Mesos keeps the user with which a framework first registered, and apps that
/// name no user run as that one: a list that does not allow root would end them all.
pub fn registered_as_root<'a>(marathons: impl IntoIterator<Item = &'a Facts>) -> bool {
    let at = unit_path();
    marathons.into_iter().any(|facts| match facts.file(&at) {
        Ok(FileState::Present { text: Some(text), .. }) => text
            .lines()
            .any(|line| line.trim().trim_end_matches(" \\") == "--mesos_user root"),
        _ => false,
    })
}

/// Warns that tasks still run as root; `None` if they do not.
pub fn warning(inputs: &Inputs) -> Option<String> {
    mesos::stays_root(inputs).then(|| {
        format!(
            "tasks still run as root: Marathon first registered with that user, and Mesos keeps \
             it; so an app can read every file on an agent's host. To end this, give every app \
             and job the user `{TASKS}`, and write `platform: {{agents: {{task_users: []}}}}` \
             into the inventory: apps of another user are refused from then on"
        )
    })
}

fn unit_path() -> HostPath {
    path(&format!("/etc/systemd/system/{UNIT}"))
}

/// The settings that must not be visible in the list of processes.
fn environment(context: Context<'_>) -> Secret {
    let zookeeper = (PRINCIPAL, context.inputs.secret(ZOOKEEPER_SECRET));
    let state = mesos::zookeeper_url(context.topology, zookeeper, "/marathon");
    Secret::new(format!(
        "MARATHON_MASTER={}\nMARATHON_ZK={}\nMESOSPHERE_HTTP_CREDENTIALS={OPERATOR}:{}\n\
         LIBPROCESS_IP={}\nLIBPROCESS_PORT={MARATHON_DRIVER_PORT}\n",
        mesos::masters_url(context.topology, zookeeper).expose(),
        state.expose(),
        context.inputs.secret(HTTP_SECRET).expose(),
        context.node.address,
    ))
}

fn flags(context: Context<'_>) -> Vec<String> {
    let address = context.node.address;
    vec![
        format!("--hostname {address}"),
        format!("--http_address {address}"),
        format!("--http_port {MARATHON_PORT}"),
        format!("--framework_name {PRINCIPAL}"),
        "--mesos_authentication".to_owned(),
        format!("--mesos_authentication_principal {PRINCIPAL}"),
        "--mesos_authentication_secret_file /etc/marathon/secret".to_owned(),
        // Mesos keeps the user of the first registration: see [`registered_as_root`].
        format!("--mesos_user {}", mesos::task_users(context)[0]),
        "--mesos_role *".to_owned(),
        // Ports below this range are for apps that choose their service port themselves.
        format!("--local_port_min {FIRST_GIVEN_PORT}"),
        format!("--local_port_max {}", APP_PORTS[1]),
        "--enable_features task_killing".to_owned(),
    ]
}

fn unit(context: Context<'_>, image: &str, facts: &Facts) -> Result<String, BadTemplate> {
    render(
        "marathon/platform-marathon.service",
        include_str!("../../templates/marathon/platform-marathon.service"),
        context! {
            cluster => context.topology.cluster.as_str(),
            flags => flags(context),
            heap_mib => heap_for(facts.system.memory).as_mib(),
            user => USER,
            config => CONFIG,
            image,
        },
    )
}

/// A quarter of the host's memory, at least 256 MiB and at most 2 GiB: Marathon keeps every app
/// and its history in memory.
fn heap_for(memory: Size) -> Size {
    Size::mib((memory.as_mib() / 4).clamp(256, 2048))
}
