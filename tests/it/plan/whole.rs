//! From the inventory's text to the plan, for generated inventories.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use platform::component::Stage;
use platform::host::HostName;
use platform::inventory::Component;
use platform::plan::{
    Gate, MemberHealth, MembersHealth, NoPlan, Peers, Plan, Push, Wave, Work,
};
use platform::resource::probe::Questions;
use platform::resource::{Facts, Manager, Resource};

use super::peers::play;
use super::quorum::Played;
use crate::cluster::Cluster;
use platform::topology::Ensemble;

/// An inventory, and the part of it that was applied before.
#[derive(Debug, Clone)]
struct Lab {
    n_members: usize,
    n_edges: usize,
    n_others: usize,
    /// If empty, the cluster has no Mesos.
    n_agents: usize,
    now: Settings,
    before: Settings,
    /// The progress of an earlier run on each host.
    hosts: Vec<Host>,
    health: Vec<MemberHealth>,
}

/// The parts of an inventory that may change from one run to the next.
#[derive(Debug, Clone)]
struct Settings {
    heap: Option<u32>,
    swappiness: Option<u8>,
    file: bool,
    package: bool,
    user: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Host {
    Fresh,
    Before,
    Now,
}

fn settings() -> impl Strategy<Value = Settings> {
    (of(128..512u32), of(0..100u8), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(heap, swappiness, file, package, user)| Settings {
            heap,
            swappiness,
            file,
            package,
            user,
        },
    )
}

fn lab() -> impl Strategy<Value = Lab> {
    let n_members = prop::sample::select(&[1usize, 3, 5, 7][..]);
    let size = (n_members, 1..3usize, 0..3usize, 0..3usize);
    let host = prop_oneof![1 => Just(Host::Fresh), 3 => Just(Host::Before), 2 => Just(Host::Now)];
    let stands = prop_oneof![
        6 => Just(MemberHealth::Serves),
        1 => Just(MemberHealth::Leads),
        1 => Just(MemberHealth::Down),
    ];
    size.prop_flat_map(move |(n_members, n_edges, n_others, n_agents)| {
        let hosts = vec(host.clone(), n_members + n_edges + n_others + n_agents);
        let health = vec(stands.clone(), n_members);
        (settings(), settings(), hosts, health).prop_map(
            move |(now, before, hosts, health)| Lab {
                n_members,
                n_edges,
                n_others,
                n_agents,
                now,
                before,
                hosts,
                health,
            },
        )
    })
}

impl Lab {
    fn text(&self, settings: &Settings) -> String {
        let mut text = format!(
            "cluster: lab\nprovider: {{local: {{}}}}\ngroups:\n  \
               control: {{roles: [control], count: {}}}\n  \
               edge: {{roles: [edge], count: {}}}\n",
            self.n_members, self.n_edges
        );
        if self.n_others > 0 {
            text += &format!("  spare: {{roles: [base], count: {}}}\n", self.n_others);
        }
        if self.n_agents > 0 {
            text += &format!("  workers: {{roles: [agent], count: {}", self.n_agents);
            text += if settings.user { ", attributes: {rack: a}}\n" } else { "}\n" };
        }
        text += "platform:\n  images: catalog.yaml\n  base:\n    packages: [";
        text += if settings.package { "jq]\n" } else { "]\n" };
        if let Some(value) = settings.swappiness {
            text += &format!("    sysctls: {{net.core.somaxconn: \"{value}\"}}\n");
        }
        if settings.user {
            text += "    users: [{name: deploy, shell: /bin/bash}]\n";
        }
        if settings.file {
            text += "    files: [{path: /opt/app/x, source: files/x, mode: \"0755\"}]\n";
        }
        if let Some(heap) = settings.heap {
            text += &format!("  zookeeper: {{heap: {heap}MiB}}\n");
        }
        text
    }

    /// The content of each host. A member without data cannot serve.
    fn world(&self, now: &Cluster) -> (BTreeMap<HostName, Facts>, MembersHealth) {
        let before = Cluster::of(&self.text(&self.before));
        let nodes = now.topology.nodes.iter().zip(&self.hosts);
        let facts = nodes.clone().map(|(node, host)| {
            let there = match host {
                Host::Fresh => Vec::new(),
                Host::Before => before.applied(node),
                Host::Now => now.applied(node),
            };
            (node.host.clone(), now.answer(node, &there, ""))
        });
        let health = nodes.zip(&self.health).map(|((node, host), health)| {
            let health = match host {
                Host::Fresh => MemberHealth::Down,
                _ => *health,
            };
            (node.host.clone(), health)
        });
        // All members on a host are in the same state.
        let health: Vec<(HostName, MemberHealth)> = health.collect();
        let others = [
            Component::MesosMaster,
            Component::MesosAgent,
            Component::Marathon,
            Component::Chronos,
        ];
        let of = |all: MembersHealth, component| all.with(component, health.clone());
        let all = others.into_iter().fold(MembersHealth::of(health.clone()), of);
        (facts.collect(), all)
    }
}

fn all_serve(ensemble: &Ensemble) -> MembersHealth {
    let hosts = ensemble.members().iter().map(|member| member.host.clone());
    MembersHealth::of(hosts.map(|host| (host, MemberHealth::Serves)))
}

/// Every stage keeps the quorum; members that are down after one stage are down in the next.
fn check_quorum(
    cluster: &Cluster,
    plan: &Plan,
    health: &MembersHealth,
) -> Result<(), String> {
    let ensemble = cluster.topology.zookeeper().expect("it has members");
    let mut played = Played::new(ensemble, health);
    check_peers(cluster, plan, health)?;
    for stage in &plan.stages {
        if let Work::Hosts(waves) = &stage.work {
            waves.iter().try_for_each(|wave| {
                played.play(wave).map_err(|why| format!("{}: {why}", stage.stage))
            })?;
        }
        if stage.stage == Stage::Zookeeper {
            // Its gate requires that every member serves.
            played = Played::new(ensemble, &all_serve(ensemble));
        }
    }
    Ok(())
}

/// The same for masters, Marathon and Chronos, up to the stage whose gate requires that all
/// serve.
fn check_peers(
    cluster: &Cluster,
    plan: &Plan,
    health: &MembersHealth,
) -> Result<(), String> {
    for peers in Peers::all(&cluster.topology) {
        let own = match peers.component {
            Component::Zookeeper => continue,
            Component::MesosMaster => Stage::Masters,
            _ => Stage::Frameworks,
        };
        let stages = plan.stages.iter().filter(|stage| stage.stage <= own);
        let waves: Vec<Wave> = stages
            .filter_map(|stage| match &stage.work {
                Work::Hosts(waves) => Some(waves.clone()),
                Work::Push(_) | Work::Access { .. } => None,
            })
            .flatten()
            .collect();
        play(&peers, health, &waves)?;
    }
    Ok(())
}

fn check_stages(cluster: &Cluster, plan: &Plan) -> Result<(), TestCaseError> {
    let stages: Vec<Stage> = plan.stages.iter().map(|stage| stage.stage).collect();
    prop_assert!(stages.is_sorted_by(|one, next| one < next), "{stages:?}");
    for stage in &plan.stages {
        prop_assert!(!stage.work.is_empty(), "{} has nothing to do", stage.stage);
        match stage.stage {
            Stage::Zookeeper => {
                let ensemble = cluster.topology.zookeeper().expect("it has members");
                let gates = [Gate::Serves {
                    component: Component::Zookeeper,
                    members: ensemble.members().to_vec(),
                }];
                prop_assert_eq!(&stage.gates[..], &gates[..]);
            }
            Stage::Registry => {
                let gates = [Gate::Serves {
                    component: Component::Registry,
                    members: cluster.topology.members_of(Component::Registry),
                }];
                prop_assert_eq!(&stage.gates[..], &gates[..]);
            }
            // Two registries have copiers, also in a cluster without Mesos.
            Stage::Edge if cluster.topology.registries().count() > 1 => {}
            Stage::Masters | Stage::Agents | Stage::Frameworks | Stage::Edge => {
                let agents = cluster.topology.agents().next().is_some();
                prop_assert!(agents, "{} without Mesos", stage.stage);
            }
            _ => prop_assert!(stage.gates.is_empty()),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 60, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn any_inventory_gives_a_plan_that_keeps_the_quorum_or_names_who_is_in_the_way(lab in lab()) {
        let mut cluster = Cluster::of(&lab.text(&lab.now));
        let (facts, health) = lab.world(&cluster);
        match cluster.plan(&facts, &health, &[]) {
            Ok(plan) => {
                if let Err(why) = check_quorum(&cluster, &plan, &health) {
                    prop_assert!(false, "{why}");
                }
                check_stages(&cluster, &plan)?;
                let settled = lab.hosts.iter().all(|host| *host == Host::Now);
                prop_assert!(!settled || plan.is_empty(), "{plan:?}");
            }
            Err(NoPlan::Refused(refused)) => {
                let members = cluster.topology.zookeeper().expect("members").members();
                let down = members.iter()
                    .filter(|member| health.get(Component::Zookeeper, &member.host) == MemberHealth::Down);
                let said = refused.to_string();
                prop_assert!(down.clone().any(|m| said.contains(m.host.as_str())), "{said}");
            }
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn what_is_asked_of_a_host_never_depends_on_what_it_is(lab in lab()) {
        let cluster = Cluster::of(&lab.text(&lab.now));
        let (facts, _) = lab.world(&cluster);
        for node in &cluster.topology.nodes {
            let of = |facts: &Facts| -> Vec<Resource> {
                cluster.wants(node, facts).into_iter().map(|(_, resource)| resource).collect()
            };
            let asked = of(&Facts::default());
            let asked: Vec<_> = asked.iter().map(|r| r.key(Manager::Apt)).collect();
            for resource in of(&facts[&node.host]) {
                let key = resource.key(Manager::Apt);
                let optional = ["package docker.io", "package apparmor"];
                let known = asked.contains(&key) || optional.contains(&key.to_string().as_str());
                prop_assert!(known, "{key} is not asked of {}", node.host);
            }
        }
    }
}

fn rehearsal() -> Cluster {
    Cluster::of(platform::inventory::EXAMPLE_LOCAL)
}

fn fresh(cluster: &Cluster) -> BTreeMap<HostName, Facts> {
    let nodes = cluster.topology.nodes.iter();
    nodes.map(|node| (node.host.clone(), cluster.answer(node, &[], ""))).collect()
}

#[test]
fn stages_come_in_order_and_images_only_where_a_registry_lacks_them() {
    let mut cluster = rehearsal();
    let facts = fresh(&cluster);
    let push =
        Push { component: Component::Zookeeper, to: "edge-1".parse().expect("a name") };
    let plan =
        cluster.plan(&facts, &MembersHealth::default(), &[push]).expect("a first run");
    let stages: Vec<String> =
        plan.stages.iter().map(|stage| stage.stage.to_string()).collect();
    let made = [
        "base",
        "firewall",
        "registry",
        "images",
        "zookeeper",
        "access",
        "masters",
        "agents",
        "frameworks",
        "edge",
    ];
    assert_eq!(stages, made);
    let plan = cluster.plan(&facts, &MembersHealth::default(), &[]).expect("a first run");
    assert!(plan.stages.iter().all(|stage| stage.stage != Stage::Images));
}

#[test]
fn a_question_that_a_host_left_open_is_no_ground_for_a_plan() {
    let mut cluster = rehearsal();
    let mut facts = fresh(&cluster);
    let host: HostName = "control-2".parse().expect("a name");
    let open = platform::resource::probe::parse(
        "{\"q\":\"manager\",\"manager\":\"apt\"}\n{\"q\":\"missing\",\"path\":\
         \"/var/lib/platform/zookeeper/version-2/acceptedEpoch\"}\n{\"q\":\"missing\",\"path\":\
         \"/var/lib/platform/mesos-master/formed\"}\n{\"q\":\"end\"}\n",
        0.0,
    );
    facts.insert(host, open.expect("a whole answer"));
    let refused = cluster.plan(&facts, &MembersHealth::default(), &[]).expect_err("open");
    let said = platform::event::in_words(&refused);
    assert!(
        said.starts_with("cannot plan for control-2: the host did not report"),
        "{said}"
    );
}

#[test]
fn every_question_that_a_plan_needs_is_asked() {
    let cluster = rehearsal();
    for node in &cluster.topology.nodes {
        let wants = cluster.wants(node, &Facts::default());
        let script =
            Questions::about(wants.iter().map(|(_, resource)| resource)).script();
        for (_, resource) in &wants {
            let key = resource.key(Manager::Apt).to_string();
            // There is only one firewall, so it has no name.
            let name = key.split_once(' ').map_or(key.as_str(), |(_, name)| name);
            let asked = match resource {
                Resource::Image(image) => script.contains(&image.id),
                _ => script.contains(name),
            };
            assert!(asked, "{key}");
        }
    }
}
