//! Chronos: runs jobs at their times. One instance leads; the others forward requests to it.

use minijinja::context;

use super::mesos::{self, OPERATOR, private};
use super::service::Service;
use super::spec::{
    Clients, Framework, Health, Port, Spec, StateUse, asks_nothing, no_remedy,
};
use super::znode::ZookeeperUser;
use super::{Context, Stage, Wants, path};
use crate::inventory::Component;
use crate::inventory::component::{CHRONOS_DRIVER_PORT, CHRONOS_PORT};
use crate::resource::{Facts, File};
use crate::secret::Secret;
use crate::template::{BadTemplate, render};
use crate::unit::Size;

/// The numeric user and group as which it runs in its container.
const USER: &str = "4400";
/// Where its configuration is on its host.
const CONFIG: &str = "/etc/platform/chronos";
/// The name under which it registers and proves its identity, and its user in ZooKeeper.
pub const PRINCIPAL: &str = "chronos";
/// Its nodes in ZooKeeper. It gives nodes that it makes itself no access list, so this program
/// makes them.
const NODES: [&str; 4] =
    ["/chronos", "/chronos/state", "/chronos/state/state", "/chronos/state/candidate"];
/// The unit that runs it.
pub const UNIT: &str = "platform-chronos.service";
/// Its password in ZooKeeper.
const ZOOKEEPER_SECRET: &str = "chronos-zookeeper";
/// The password with which it registers at the masters.
const MESOS_SECRET: &str = "chronos-mesos";
/// The operator's password for its API.
pub const HTTP_SECRET: &str = "chronos-http";

/// Chronos. It answers no request while ZooKeeper is down.
pub(super) const SPEC: Spec = Spec {
    component: Component::Chronos,
    title: "Chronos",
    instance: "Chronos",
    serve: ["Chronos on {} serves", "Chronos serves on {}, and one leads"],
    unit: UNIT,
    stage: Stage::Frameworks,
    ports: &[
        Port::new(CHRONOS_PORT, Clients::Users),
        Port::new(CHRONOS_DRIVER_PORT, mesos::DRIVER_CLIENTS),
    ],
    connects_to: &[Component::Zookeeper, Component::MesosMaster, Component::Chronos],
    interrupted_by: &[Component::Zookeeper],
    framework: Some(Framework { principal: PRINCIPAL, secret: MESOS_SECRET }),
    zookeeper: Some(ZookeeperUser {
        name: PRINCIPAL,
        secret: ZOOKEEPER_SECRET,
        nodes: &NODES,
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

/// Chronos' image, files and unit.
///
/// # Errors
/// When a template cannot be rendered.
fn wants(context: Context<'_>, facts: &Facts) -> Result<Wants, BadTemplate> {
    let Some(image) = context.pulled(Component::Chronos) else {
        return Ok(Vec::new());
    };
    let secret = context.inputs.secret(MESOS_SECRET).clone();
    let files = vec![
        File::private(path(&format!("{CONFIG}/environment")), environment(context)),
        private(&format!("{CONFIG}/arguments"), arguments(context)?, USER),
        // Chronos uses the whole file, including a newline at its end.
        private(&format!("{CONFIG}/secret"), secret, USER),
    ];
    let text = unit(context, &image.id, facts)?;
    let others = Vec::new();
    let reloaded = Vec::new();
    let service =
        Service { data: None, image, files, reloaded, unit: UNIT, text, others };
    Ok(service.wants(Stage::Frameworks))
}

/// The environment. The image's start script reads both ports from it.
fn environment(context: Context<'_>) -> Secret {
    Secret::new(format!(
        "MESOSPHERE_HTTP_CREDENTIALS={OPERATOR}:{}\nPORT0={CHRONOS_PORT}\n\
         PORT1={CHRONOS_DRIVER_PORT}\nLIBPROCESS_IP={}\nLIBPROCESS_PORT={CHRONOS_DRIVER_PORT}\n",
        context.inputs.secret(HTTP_SECRET).expose(),
        context.node.address,
    ))
}

/// All arguments, one option to a line. Chronos splits them at blanks, and with a file it ignores
/// arguments from elsewhere.
fn arguments(context: Context<'_>) -> Result<Secret, BadTemplate> {
    let zookeeper = (PRINCIPAL, context.inputs.secret(ZOOKEEPER_SECRET));
    let text = render(
        "chronos/arguments",
        include_str!("../../templates/chronos/arguments"),
        context! {
            master => mesos::masters_url(context.topology, zookeeper).expose(),
            zk_hosts => mesos::zookeepers(context.topology),
            zk_auth => format!("{PRINCIPAL}:{}", context.inputs.secret(ZOOKEEPER_SECRET).expose()),
            address => context.node.address.to_string(),
            port => CHRONOS_PORT,
            principal => PRINCIPAL,
            user => mesos::task_users(context)[0],
            cluster => context.topology.cluster.as_str(),
        },
    )?;
    Ok(Secret::new(text))
}

fn unit(context: Context<'_>, image: &str, facts: &Facts) -> Result<String, BadTemplate> {
    render(
        "chronos/platform-chronos.service",
        include_str!("../../templates/chronos/platform-chronos.service"),
        context! {
            cluster => context.topology.cluster.as_str(),
            heap_mib => heap_for(facts.system.memory).as_mib(),
            user => USER,
            config => CONFIG,
            image,
        },
    )
}

/// An eighth of the host's memory, at least 192 MiB and at most 1 GiB: Chronos keeps its jobs in
/// memory, and there are few of them.
fn heap_for(memory: Size) -> Size {
    Size::mib((memory.as_mib() / 8).clamp(192, 1024))
}
