//! What components bring to a host, as text.

use std::fmt::Write;

use platform::resource::{Facts, File, Resource};
use platform::topology::Node;
use platform::unit::Size;

use crate::cluster::Cluster;
use crate::snapshot;

const ALONE: &str = "cluster: tiny\nprovider: {ssh: {}}\ngroups:\n  \
    all: {roles: [control, edge], hosts: [{address: 10.0.0.1, name: one}]}\n";

/// Everything that a host gets, hidden contents included: the secrets are a test's.
fn brought(cluster: &Cluster, host: &str) -> String {
    let node =
        cluster.topology.node(&host.parse().expect("a name")).expect("it is there");
    let mut text = String::new();
    for (stage, resource) in cluster.wants(node, &cluster.answer(node, &[], "")) {
        let line = match resource {
            Resource::File(file) => shown(&file),
            Resource::Unit(unit) => format!("unit {}\n", unit.name),
            other => format!("{other:?}\n"),
        };
        write!(text, "[{stage}] {line}").expect("a text takes all");
    }
    text
}

fn shown(file: &File) -> String {
    let File { path, mode, owner, group, .. } = file;
    let content = String::from_utf8_lossy(file.content.bytes()).into_owned();
    let content: String = content.lines().map(|line| format!("    {line}\n")).collect();
    format!("{path} {mode:04o} {owner}:{group} {:?}\n{content}", file.content)
}

#[test]
fn a_member_of_three_is_brought_its_configuration_and_unit() {
    let cluster = Cluster::of(platform::inventory::EXAMPLE_LOCAL);
    snapshot::check("component-control-2", &brought(&cluster, "control-2"));
}

#[test]
fn an_edge_host_is_brought_the_registry() {
    let cluster = Cluster::of(platform::inventory::EXAMPLE_LOCAL);
    snapshot::check("component-edge-1", &brought(&cluster, "edge-1"));
}

#[test]
fn a_host_that_is_a_whole_cluster_is_brought_everything() {
    snapshot::check("component-alone", &brought(&Cluster::of(ALONE), "one"));
}

#[test]
fn only_secrets_are_hidden_and_all_of_them_are() {
    let cluster = Cluster::of(ALONE);
    let node = &cluster.topology.nodes[0];
    let wants = cluster.wants(node, &cluster.answer(node, &[], ""));
    let shown = format!("{wants:?} {:?}", cluster.materials);
    assert!(shown.contains("[redacted]") && !shown.contains("secret-"), "{shown}");
    for (_, resource) in wants {
        let Resource::File(file) = resource else { continue };
        let content = String::from_utf8_lossy(file.content.bytes());
        let hidden = format!("{:?}", file.content) == "[redacted]";
        assert!(hidden || !content.contains("secret"), "{} is open", file.path);
        assert!(!hidden || file.mode == 0o600, "{} can be read by others", file.path);
    }
}

/// The heap of a member on a host with this much memory.
fn heap_on(memory: Size) -> String {
    let cluster = Cluster::of(ALONE);
    let node: &Node = &cluster.topology.nodes[0];
    let mut facts: Facts = cluster.answer(node, &[], "");
    facts.system.memory = memory;
    let units =
        cluster.wants(node, &facts).into_iter().filter_map(
            |(_, resource)| match resource {
                Resource::File(file) => {
                    let text = String::from_utf8_lossy(file.content.bytes()).into_owned();
                    text.split_whitespace()
                        .find_map(|word| word.strip_prefix("-Xmx").map(str::to_owned))
                }
                _ => None,
            },
        );
    units.collect()
}

#[test]
fn a_member_s_heap_is_a_share_of_the_memory_within_bounds() {
    assert_eq!(heap_on(Size::mib(512)), "128m");
    assert_eq!(heap_on(Size::gib(4)), "512m");
    assert_eq!(heap_on(Size::gib(64)), "1024m");
    assert_eq!(heap_on(Size::bytes(0)), "128m");
}

#[test]
fn a_marker_to_start_empty_comes_only_while_the_ensemble_is_formed_and_there_is_no_database()
 {
    let snapshot = "/var/lib/platform/zookeeper/version-2/snapshot.0";
    let mut cluster = Cluster::of(ALONE);
    let mut check = |forming: bool, also: &str, expected: bool| {
        cluster.materials.zookeeper.forming = forming;
        let node = &cluster.topology.nodes[0];
        let wants = cluster.wants(node, &cluster.answer(node, &[], also));
        let marked = wants.iter().any(|(_, resource)| {
            matches!(resource, Resource::File(file) if file.path.as_str().ends_with("/initialize"))
        });
        assert_eq!(marked, expected, "{forming} {also}");
    };
    check(true, "", true);
    check(false, "", false);
    check(true, &crate::cluster::holds(snapshot, "x"), false);
}

#[test]
fn an_engine_that_was_there_before_is_kept_and_none_is_installed_beside_it() {
    let cluster = Cluster::of(ALONE);
    let node = &cluster.topology.nodes[0];
    let foreign = "{\"q\":\"docker\",\"version\":\"24.0.7\"}";
    for (also, expected) in [("", true), (foreign, false)] {
        let wants = cluster.wants(node, &cluster.answer(node, &[], also));
        let engine = |resource: &Resource| {
            let key = resource.key(platform::resource::Manager::Apt).to_string();
            key == "package docker.io"
        };
        assert_eq!(wants.iter().any(|(_, r)| engine(r)), expected, "{also}");
    }
}
