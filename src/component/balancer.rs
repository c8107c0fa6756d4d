//! The balancer on the edge hosts: gives the service port and the virtual hosts of every app to the
//! app's healthy tasks, by configuring the HAProxy of its host. It also makes the landing page, for
//! which it asks the leading Mesos master about agents.
//!
//! It is a program of this project that travels inside this one, and not an image. It runs in the
//! file system of HAProxy's image, because it has HAProxy check every new configuration.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use minijinja::context;
use serde_json::{Value, json};

use super::mesos::{EDGE, EDGE_SECRET, OPERATOR};
use super::service::program;
use super::spec::{Health, Spec, asks_nothing, no_remedy};
use super::{Context, Stage, Wants, agent, haproxy, marathon, path};
use crate::inventory::Component;
use crate::inventory::component::{
    APP_PORTS, BALANCER_PORT, LEADERS_PORT, MARATHON_PORT, MASTER_PORT, PAGE_PORT,
    PLAIN_PORT, REGISTRY_PORT,
};
use crate::resource::{Content, Facts, File};
use crate::template::{BadTemplate, render};
use crate::topology::Node;

/// The unit that runs it.
pub const UNIT: &str = "platform-balancer.service";
/// Where its settings are on its host.
const CONFIG: &str = "/etc/platform/balancer";
/// Its password at Marathon, and the one with which it may read at the masters.
const PASSWORD: &str = "/etc/platform/balancer/password";
const MESOS_PASSWORD: &str = "/etc/platform/balancer/mesos-password";
/// The program on its host.
const PROGRAM: &str = "/etc/platform/balancer/balancer";

/// The program, built for this computer's kind of machine: see `build.rs`.
static BYTES: LazyLock<Content> =
    LazyLock::new(|| include_bytes!(env!("BALANCER")).to_vec().into());

/// The balancer on an edge host.
pub(super) const SPEC: Spec = Spec {
    component: Component::Balancer,
    title: "The balancer",
    instance: "the balancer",
    serve: ["the balancer on {} serves", "the balancers on {} serve"],
    unit: UNIT,
    stage: Stage::Edge,
    ports: &[],
    connects_to: &[Component::Marathon, Component::MesosMaster],
    interrupted_by: &[],
    framework: None,
    zookeeper: None,
    state: &[],
    health: Health::Balancer,
    wants,
    ask: asks_nothing,
    remedy: no_remedy,
};

/// The program, its settings and its unit.
///
/// # Errors
/// When a template cannot be rendered.
fn wants(context: Context<'_>, _: &Facts) -> Result<Wants, BadTemplate> {
    let Some(image) = context.pulled(Component::Haproxy) else { return Ok(Vec::new()) };
    let secret = |name| context.inputs.secret(name).clone();
    let files = vec![
        File { mode: 0o755, ..File::public(path(PROGRAM), BYTES.clone()) },
        File::public(path(&format!("{CONFIG}/settings.json")), settings(context)),
        File::private(path(PASSWORD), secret(marathon::HTTP_SECRET)),
        File::private(path(MESOS_PASSWORD), secret(EDGE_SECRET)),
    ];
    let text = render(
        "balancer/platform-balancer.service",
        include_str!("../../templates/balancer/platform-balancer.service"),
        context! {
            cluster => context.topology.cluster.as_str(),
            root => haproxy::tree(&image).path().as_str(),
            config => CONFIG,
            proxy => haproxy::CONFIG,
            program => PROGRAM,
            data => haproxy::APPS_FOLDER,
        },
    )?;
    Ok(program(Stage::Edge, UNIT, text, files))
}

fn settings(context: Context<'_>) -> String {
    let [from, to] = APP_PORTS;
    let settings = json!({
        "marathons": members(context, Component::Marathon, MARATHON_PORT),
        "login": { "user": OPERATOR, "password_file": PASSWORD },
        "haproxy": {
            "command": "/usr/sbin/haproxy",
            "base": format!("{}/haproxy.cfg", haproxy::CONFIG),
            "apps": haproxy::APPS,
            "servers": haproxy::SERVERS,
            "admin_socket": haproxy::ADMIN_SOCKET,
            "master_socket": haproxy::MASTER_SOCKET,
        },
        "ports": { "from": from, "to": to },
        "groups": ["*"],
        "vhosts": true,
        "http_port": PLAIN_PORT,
        "https_port": PAGE_PORT,
        "certificates": haproxy::CERTIFICATES,
        "default_backend": haproxy::PAGE,
        "own_names": own_names(context),
        "listen": format!("127.0.0.1:{BALANCER_PORT}"),
        "mesos": {
            "masters": members(context, Component::MesosMaster, MASTER_PORT),
            "login": { "user": EDGE, "password_file": MESOS_PASSWORD },
        },
        "leaders": format!("127.0.0.1:{LEADERS_PORT}"),
        "page": page(context),
    });
    format!("{settings:#}\n")
}

/// The addresses of a component's members, as `host:port`.
fn members(context: Context<'_>, component: Component, port: u16) -> Vec<String> {
    let members = context.topology.members_of(component).into_iter();
    members.map(|member| format!("{}:{port}", member.address)).collect()
}

/// The names and addresses by which users reach this host.
fn own_names(context: Context<'_>) -> BTreeSet<String> {
    let Context { topology, node, inputs } = context;
    let domain = inputs.platform.domain.to_ascii_lowercase();
    let vip = topology.vip.map(|vip| vip.to_string());
    let own = [node.address.to_string(), node.host.to_string(), "localhost".to_owned()];
    own.into_iter().chain([haproxy::internal_name(&domain), domain]).chain(vip).collect()
}

/// What the landing page shows besides the apps. Agents are not named: the page asks Mesos for
/// them, so that a new one changes nothing here.
fn page(context: Context<'_>) -> Value {
    let topology = context.topology;
    let names = |node: &Node| -> Vec<&str> {
        Spec::of_node(node).map(|spec| spec.component.as_str()).collect()
    };
    let is_more =
        |runs: &[&str]| runs.iter().any(|it| *it != Component::MesosAgent.as_str());
    let hosts = topology.nodes.iter().map(|node| (node, names(node)));
    let hosts = hosts.filter(|(_, runs)| is_more(runs)).map(|(node, runs)| {
        json!({ "name": node.host.as_str(), "address": node.address.to_string(), "runs": runs })
    });
    let services = haproxy::SERVICES.iter().map(|service| {
        let title = Spec::of(service.component).title;
        (service.component, title, service.ports[0], "/")
    });
    let registry = (Component::Registry, "Registry", REGISTRY_PORT, "/v2/_catalog");
    let services = services
        .chain([registry])
        .filter(|(component, ..)| !topology.members_of(*component).is_empty())
        .map(|(_, title, port, path)| json!({ "title": title, "port": port, "path": path }));
    json!({
        "cluster": topology.cluster.as_str(),
        "host": context.node.host.as_str(),
        "hosts": hosts.collect::<Vec<Value>>(),
        "services": services.collect::<Vec<Value>>(),
        "work_folder": agent::WORK,
    })
}
