//! The copier on the edge hosts: it gives the registry of its host the images that the registries of
//! the other edge hosts have.
//!
//! It is a program of this project that travels inside this one, and not an image. It reads the
//! registry's folder.

use std::sync::LazyLock;

use minijinja::context;
use serde_json::{Value, json};

use super::registry::DATA as IMAGES;
use super::service::program;
use super::spec::{Clients, Health, Port, Spec, StateUse, asks_nothing, no_remedy};
use super::{Context, Stage, Wants, data_directory, path};
use crate::inventory::Component;
use crate::inventory::component::{COPIER_PORT, REGISTRY_PORT};
use crate::resource::{Content, Facts, File, Resource};
use crate::template::{BadTemplate, render};
use crate::topology::Member;

/// The account with which it pulls and pushes.
pub const ACCOUNT: &str = "platform-copier";
/// The password of [`ACCOUNT`].
pub const SECRET: &str = "registry-copier";

/// The unit that runs it.
pub const UNIT: &str = "platform-copier.service";
/// Where its settings are on its host.
const CONFIG: &str = "/etc/platform/copier";
/// The program on its host.
const PROGRAM: &str = "/etc/platform/copier/copier";
/// Where it keeps when each tag was pushed.
const DATA: &str = "/var/lib/platform/copier";

/// The program, built for this computer's kind of machine: see `build.rs`.
static BYTES: LazyLock<Content> =
    LazyLock::new(|| include_bytes!(env!("COPIER")).to_vec().into());

/// The copier on an edge host.
pub(super) const SPEC: Spec = Spec {
    component: Component::Copier,
    title: "The copier",
    instance: "the copier",
    serve: ["the registry on {} has all images", "the registries on {} have all images"],
    unit: UNIT,
    stage: Stage::Edge,
    ports: &[Port::new(COPIER_PORT, Clients::Hosts(&[Component::Copier]))],
    connects_to: &[Component::Registry],
    interrupted_by: &[],
    framework: None,
    zookeeper: None,
    state: &[StateUse::Authority, StateUse::Renewable(SECRET)],
    health: Health::Copier,
    wants,
    ask: asks_nothing,
    remedy: no_remedy,
};

/// The program, its settings, its data and its unit.
///
/// # Errors
/// When a template cannot be rendered.
fn wants(context: Context<'_>, _: &Facts) -> Result<Wants, BadTemplate> {
    let password = context.inputs.secret(SECRET).clone();
    let at = |name: &str| path(&format!("{CONFIG}/{name}"));
    let files = vec![
        File { mode: 0o755, ..File::public(path(PROGRAM), BYTES.clone()) },
        File::public(at("settings.json"), settings(context)),
        File::public(at("ca.crt"), context.inputs.ca.clone()),
        File::private(at("password"), password),
    ];
    let text = render(
        "copier/platform-copier.service",
        include_str!("../../templates/copier/platform-copier.service"),
        context! {
            cluster => context.topology.cluster.as_str(),
            config => CONFIG,
            program => PROGRAM,
            data => DATA,
        },
    )?;
    let data = Resource::Directory(data_directory(DATA, "root"));
    let mut wants = vec![(Stage::Edge, data)];
    wants.extend(program(Stage::Edge, UNIT, text, files));
    Ok(wants)
}

fn settings(context: Context<'_>) -> String {
    let Context { topology, node, .. } = context;
    let members = topology.members_of(Component::Copier).into_iter();
    let others = members.filter(|member| member.host != node.host);
    let other = |Member { host, address, .. }: Member| {
        json!({
            "host": host.as_str(),
            "registry": format!("{address}:{REGISTRY_PORT}"),
            "copier": format!("{address}:{COPIER_PORT}"),
        })
    };
    let settings = json!({
        "registry": format!("{}:{REGISTRY_PORT}", node.address),
        "data": IMAGES,
        "others": others.map(other).collect::<Vec<Value>>(),
        "authority": format!("{CONFIG}/ca.crt"),
        "login": { "user": ACCOUNT, "password_file": format!("{CONFIG}/password") },
        "book": format!("{DATA}/book.json"),
        "listen": format!("{}:{COPIER_PORT}", node.address),
    });
    format!("{settings:#}\n")
}
