//! What components install on a host, as text.

use std::fmt::Write;

use platform::inventory::Component;
use platform::resource::{Facts, File, Resource};
use platform::topology::Node;
use platform::unit::Size;

use crate::cluster::Cluster;
use crate::snapshot;

const ALONE: &str = "cluster: tiny\nprovider: {ssh: {}}\ngroups:\n  \
    all: {roles: [control, edge], hosts: [{address: 10.0.0.1, name: one}]}\n";

/// A cluster with Mesos: everything on one host, and an agent on another.
const MESOS: &str = "cluster: tiny\nprovider: {ssh: {}}\ngroups:\n  \
    all: {roles: [control, edge], domain: {region: r, zone: a}, \
          hosts: [{address: 10.0.0.1, name: one}]}\n  \
    workers:\n    roles: [agent]\n    attributes: {rack: a, ssd: \"true\"}\n    \
        resources: {cpus: 3.5, mem: 2GiB, ports: [31000-31999, 33000-33999]}\n    \
        domain: {region: r, zone: b}\n    \
        hosts: [{address: 10.0.0.2, name: two, resources: {mem: 1GiB}}]\n";

/// Everything that a host gets, including hidden contents: the secrets are test values.
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
    let mut content = format!("{:?}", file.content);
    let text = match std::str::from_utf8(file.content.bytes()) {
        Ok(text) => text.lines().map(|line| format!("    {line}\n")).collect(),
        Err(_) => {
            // Each build of a program has another size.
            let is_of_size = |c: char| c.is_ascii_digit() || c == ' ';
            content = content.trim_start_matches(is_of_size).to_owned();
            "    (no text)\n".to_owned()
        }
    };
    format!("{path} {mode:04o} {owner}:{group} {content}\n{text}")
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
fn an_edge_host_with_a_virtual_ip_is_brought_keepalived_and_beside_another_the_copier() {
    let cluster = Cluster::of(
        "cluster: lab\nprovider: {local: {}}\ngroups:\n  \
           control: {roles: [control], count: 3}\n  edge: {roles: [edge], count: 2}\n  \
           workers: {roles: [agent], count: 1}\nplatform: {vip: 10.77.0.10}\n",
    );
    let text = brought(&cluster, "edge-2");
    let at = |what: &str| text.find(what).expect("it is brought");
    let copier =
        at("[edge] Directory(Directory { path: HostPath(\"/var/lib/platform/copier");
    let keepalived = at("[edge] Image(Image { name: \"keepalived");
    snapshot::check("component-keepalived", &text[keepalived..copier]);
    // Because there are two registries.
    snapshot::check("component-copier", &text[copier..]);
}

#[test]
fn a_host_that_is_a_whole_cluster_is_brought_everything() {
    snapshot::check("component-alone", &brought(&Cluster::of(ALONE), "one"));
}

#[test]
fn a_control_host_of_mesos_is_brought_masters_and_frameworks() {
    let text = brought(&Cluster::of(MESOS), "one");
    let mesos = text.split_once("[masters]").expect("it runs a master").1;
    snapshot::check("component-mesos-control", &format!("[masters]{mesos}"));
}

#[test]
fn an_agent_is_brought_its_file_system_and_what_it_says_of_itself() {
    snapshot::check("component-mesos-agent", &brought(&Cluster::of(MESOS), "two"));
}

#[test]
fn only_secrets_are_hidden_and_all_of_them_are() {
    for text in [ALONE, MESOS] {
        let cluster = Cluster::of(text);
        cluster.topology.nodes.iter().for_each(|node| check_secrets(&cluster, node));
    }
}

/// No visible text contains a secret, so no unit's command does; a file with a secret is hidden,
/// and no other user can read it.
fn check_secrets(cluster: &Cluster, node: &Node) {
    let wants = cluster.wants(node, &cluster.answer(node, &[], ""));
    let shown = format!("{wants:?} {:?}", cluster.inputs);
    assert!(shown.contains("[redacted]") && !shown.contains("secret-"), "{shown}");
    for (_, resource) in wants {
        let Resource::File(file) = resource else { continue };
        let content = String::from_utf8_lossy(file.content.bytes());
        let hidden = format!("{:?}", file.content) == "[redacted]";
        assert!(hidden || !content.contains("secret-"), "{} is open", file.path);
        // The login for images is also for tasks, which read it as their user.
        let for_tasks =
            file.mode == 0o640 && file.group == platform::component::mesos::TASKS;
        let kept = file.mode == 0o600 || for_tasks;
        assert!(!hidden || kept, "{} can be read by others", file.path);
    }
}

#[test]
fn a_secret_that_is_taken_as_it_is_has_no_newline_at_its_end() {
    let cluster = Cluster::of(MESOS);
    let node = &cluster.topology.nodes[0];
    let wants = cluster.wants(node, &cluster.answer(node, &[], ""));
    let mut found = Vec::new();
    for (_, resource) in wants {
        let Resource::File(file) = resource else { continue };
        if file.path.as_str().ends_with("/secret") {
            found.push(String::from_utf8_lossy(file.content.bytes()).into_owned());
        }
    }
    assert_eq!(found, ["secret-marathon-mesos", "secret-chronos-mesos"]);
}

#[test]
fn masters_begin_a_registry_only_together_and_only_once() {
    let log = "/var/lib/platform/mesos-master/replicated_log";
    let there = format!(
        "{{\"q\":\"path\",\"path\":\"{log}\",\"kind\":\"directory\",\"mode\":\"755\",\
         \"owner\":[\"5050\",\"5050\"],\"group\":[\"5050\",\"5050\"]}}"
    );
    let mut cluster = Cluster::of(MESOS);
    let mut check = |forming: bool, also: &str, expected: bool| {
        let forms = forming.then_some(Component::MesosMaster);
        cluster.inputs.forming = forms.into_iter().collect();
        let node = &cluster.topology.nodes[0];
        let wants = cluster.wants(node, &cluster.answer(node, &[], also));
        let begins = wants.iter().any(|(_, resource)| {
            matches!(resource, Resource::File(file)
                if file.path.as_str() == "/var/lib/platform/mesos-master/initialize")
        });
        assert_eq!(begins, expected, "{forming} {also}");
    };
    check(true, "", true);
    check(false, "", false);
    check(true, &there, false);
}

#[test]
fn the_mark_of_a_registry_comes_when_the_masters_have_proved_themselves() {
    let cluster = Cluster::of(MESOS);
    let node = &cluster.topology.nodes[0];
    let wants = cluster.wants(node, &cluster.answer(node, &[], ""));
    let mark = wants.iter().find_map(|(stage, resource)| match resource {
        Resource::File(file) if file.path.as_str().ends_with("/formed") => {
            Some((*stage, String::from_utf8_lossy(file.content.bytes()).into_owned()))
        }
        _ => None,
    });
    let (stage, text) = mark.expect("every master gets it");
    assert!(stage > platform::component::Stage::Masters);
    assert_eq!(text, "10.0.0.1\n");
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
        let forms = forming.then_some(Component::Zookeeper);
        cluster.inputs.forming = forms.into_iter().collect();
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
    let answers = r#"{"q":"docker","version":"24.0.7"}"#;
    let client = r#"{"q":"docker","client":"24.0.7"}"#;
    let unit = r#"{"q":"unit","show":"Id=docker.service"}
{"q":"unit","show":"LoadState=loaded"}
{"q":"unit","show":"ActiveState=active"}
{"q":"unit","show":""}
"#;
    let (foreign, stopped) = (format!("{unit}{answers}"), format!("{unit}{client}"));
    for (also, expected) in
        [("", true), (client, true), (&foreign, false), (&stopped, false)]
    {
        let wants = cluster.wants(node, &cluster.answer(node, &[], also));
        let engine = |resource: &Resource| {
            let key = resource.key(platform::resource::Manager::Apt).to_string();
            key == "package docker.io"
        };
        assert_eq!(wants.iter().any(|(_, r)| engine(r)), expected, "{also}");
    }
}

/// The first program of a container gets no SIGTERM unless it asks for it; and a program that
/// ends by SIGTERM exits with a status that systemd treats as a failure.
#[test]
fn a_container_that_is_a_service_ends_when_it_is_told() {
    let cluster = Cluster::of(MESOS);
    let node = &cluster.topology.nodes[0];
    let mut n_services = 0;
    for (_, resource) in cluster.wants(node, &cluster.answer(node, &[], "")) {
        let Resource::File(file) = resource else { continue };
        let text = String::from_utf8_lossy(file.content.bytes());
        if text.contains("/usr/bin/docker run ") {
            n_services += 1;
            assert!(text.contains("/usr/bin/docker run --rm --init "), "{}", file.path);
            assert!(text.contains("\nSuccessExitStatus=143\n"), "{}", file.path);
        }
    }
    assert_eq!(n_services, 5, "ZooKeeper, the registry, the master, Marathon, Chronos");
}
