//! The balancer on the edge hosts: gives the service port of every app to the app's healthy tasks, by
//! configuring the HAProxy of its host.
//!
//! It is a program of this project that travels inside this one, and not an image. It runs in the
//! file system of HAProxy's image, because it has HAProxy check every new configuration.

use std::sync::LazyLock;

use minijinja::context;
use serde_json::json;

use super::mesos::OPERATOR;
use super::service::program;
use super::spec::{Health, Spec, asks_nothing, no_remedy};
use super::{Context, Stage, Wants, haproxy, marathon, path};
use crate::inventory::Component;
use crate::inventory::component::{APP_PORTS, BALANCER_PORT, MARATHON_PORT};
use crate::resource::{Content, Facts, File};
use crate::template::{BadTemplate, render};

/// The unit that runs it.
pub const UNIT: &str = "platform-balancer.service";
/// Where its settings are on its host.
const CONFIG: &str = "/etc/platform/balancer";
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
    connects_to: &[Component::Marathon],
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
    let password = context.inputs.secret(marathon::HTTP_SECRET).clone();
    let files = vec![
        File { mode: 0o755, ..File::public(path(PROGRAM), BYTES.clone()) },
        File::public(path(&format!("{CONFIG}/settings.json")), settings(context)),
        File::private(path(&format!("{CONFIG}/password")), password),
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
    let marathons = context.topology.members_of(Component::Marathon).into_iter();
    let marathons: Vec<String> =
        marathons.map(|member| format!("{}:{MARATHON_PORT}", member.address)).collect();
    let [from, to] = APP_PORTS;
    let settings = json!({
        "marathons": marathons,
        "login": { "user": OPERATOR, "password_file": format!("{CONFIG}/password") },
        "haproxy": {
            "command": "/usr/sbin/haproxy",
            "base": format!("{}/haproxy.cfg", haproxy::CONFIG),
            "apps": haproxy::APPS,
            "admin_socket": haproxy::ADMIN_SOCKET,
            "master_socket": haproxy::MASTER_SOCKET,
        },
        "ports": { "from": from, "to": to },
        "groups": ["*"],
        "listen": format!("127.0.0.1:{BALANCER_PORT}"),
    });
    format!("{settings:#}\n")
}
