//! Clusters: what was applied before and what is wanted now, and the plan that leads there.
//!
//! A folder is a case. `scene.yaml` says how the hosts stand, `inventory.yaml` what is wanted,
//! `before.yaml` what an earlier run brought, where there was one. `plan.txt` is the plan;
//! `plan.json`, where it is there, the same for programs.

use std::collections::BTreeMap;
use std::path::Path;

use platform::event::in_words;
use platform::host::HostName;
use platform::inventory::{CgroupNeed, Component};
use platform::plan::{MemberHealth, MembersHealth, NoPlan, Plan, Push, tear_down};
use platform::resource::Facts;
use serde::Deserialize;

use super::cluster::{Cluster, holds};
use super::{TestResult, expect};

/// How the hosts stand.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scene {
    /// What is on each host; where it is silent, what `before.yaml` brought, or nothing.
    #[serde(default)]
    hosts: BTreeMap<HostName, State>,
    /// The members of the ensemble that serve.
    #[serde(default)]
    health: BTreeMap<HostName, Stands>,
    /// The masters that serve; so for the next three.
    #[serde(default)]
    masters: BTreeMap<HostName, Stands>,
    #[serde(default)]
    marathon: BTreeMap<HostName, Stands>,
    #[serde(default)]
    chronos: BTreeMap<HostName, Stands>,
    #[serde(default)]
    agents: BTreeMap<HostName, Stands>,
    /// Files that were edited by hand.
    #[serde(default)]
    edited: BTreeMap<HostName, BTreeMap<String, String>>,
    /// Further lines of hosts' answers.
    #[serde(default)]
    also: BTreeMap<HostName, String>,
    /// Hosts whose registry lacks ZooKeeper's image.
    #[serde(default)]
    lacking: Vec<HostName>,
    /// Whether agents need control groups of version 1.
    #[serde(default)]
    needs_v1: bool,
    /// Whether all is to be taken down; the inner value says with the data or without.
    down: Option<Purge>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum State {
    Fresh,
    Before,
    Now,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Stands {
    Leads,
    Serves,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Purge {
    Keep,
    Purge,
}

/// Holds the plan of a cluster against the expected one.
pub(crate) fn plan(path: &Path, text: String) -> TestResult {
    let folder = path.parent().ok_or("a case is in a folder")?;
    let scene: Scene = serde_yaml::from_str(&text)?;
    let mut now = Cluster::of(&std::fs::read_to_string(folder.join("inventory.yaml"))?);
    let before = folder.join("before.yaml");
    let before = match before.exists() {
        true => Some(Cluster::of(&std::fs::read_to_string(before)?)),
        false => None,
    };
    if let (true, Some(agent)) =
        (scene.needs_v1, now.inputs.images.get_mut(&Component::MesosAgent))
    {
        agent.needs.cgroups = Some(CgroupNeed::V1);
    }
    let facts = facts(&scene, before.as_ref(), &now)?;
    let planned = match scene.down {
        Some(down) => Ok(tear_down(&facts, matches!(down, Purge::Purge))),
        None => now.plan(&facts, &health(&scene), &pushes(&scene)),
    };
    let at = |name: &str| folder.join(name);
    let (text, json) = shown(planned)?;
    if format!("{text}{json:#}").contains("secret-") {
        return Err(format!("a secret is shown:\n{text}").into());
    }
    if at("plan.json").exists() {
        expect(&at("plan.json"), "json", &format!("{json:#}\n"))?;
    }
    expect(&at("plan.txt"), "txt", &text)
}

/// Fails for a file that no case reads.
pub(crate) fn belongs_to_a_cluster(path: &Path) -> TestResult {
    let known = ["inventory.yaml", "before.yaml", "plan.txt", "plan.json"];
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match known.contains(&&*name) && path.with_file_name("scene.yaml").exists() {
        true => Ok(()),
        false => Err(format!("{} belongs to no case", path.display()).into()),
    }
}

/// What each host answers: those of the inventory of before too, where they are still there.
fn facts(
    scene: &Scene,
    before: Option<&Cluster>,
    now: &Cluster,
) -> Result<BTreeMap<HostName, Facts>, String> {
    let mut facts = BTreeMap::new();
    for node in &now.topology.nodes {
        let of_before = || {
            let cluster = before.ok_or(format!("{} has no before.yaml", node.host))?;
            let there =
                cluster.topology.node(&node.host).map(|node| cluster.applied(node));
            Ok::<_, String>(there.unwrap_or_default())
        };
        let there = match scene.hosts.get(&node.host) {
            Some(State::Fresh) => Vec::new(),
            Some(State::Now) => now.applied(node),
            Some(State::Before) => of_before()?,
            None if before.is_some() => of_before()?,
            None => Vec::new(),
        };
        let mut also = scene.also.get(&node.host).cloned().unwrap_or_default();
        for (path, text) in scene.edited.get(&node.host).into_iter().flatten() {
            also += &holds(path, text);
        }
        facts.insert(node.host.clone(), now.answer(node, &there, &also));
    }
    Ok(facts)
}

fn health(scene: &Scene) -> MembersHealth {
    let stands = |stands: &Stands| match stands {
        Stands::Leads => MemberHealth::Leads,
        Stands::Serves => MemberHealth::Serves,
    };
    let of = |all: &BTreeMap<HostName, Stands>| -> Vec<(HostName, MemberHealth)> {
        all.iter().map(|(host, how)| (host.clone(), stands(how))).collect()
    };
    MembersHealth::of(of(&scene.health))
        .with(Component::MesosMaster, of(&scene.masters))
        .with(Component::MesosAgent, of(&scene.agents))
        .with(Component::Marathon, of(&scene.marathon))
        .with(Component::Chronos, of(&scene.chronos))
}

fn pushes(scene: &Scene) -> Vec<Push> {
    let push = |to: &HostName| Push { component: Component::Zookeeper, to: to.clone() };
    scene.lacking.iter().map(push).collect()
}

fn shown(
    planned: Result<Plan, NoPlan>,
) -> Result<(String, serde_json::Value), std::fmt::Error> {
    match planned {
        Ok(plan) => {
            let mut text = String::new();
            plan.show(&mut text)?;
            Ok((text, plan.to_json(&[])))
        }
        Err(refused) => {
            Ok((format!("{}\n", in_words(&refused)), serde_json::Value::Null))
        }
    }
}
