//! The rules of each host's firewall: everything that a component's spec allows, and nothing else.

use std::collections::BTreeSet;

use platform::component::{Spec, Stage, firewall};
use platform::inventory::Component;
use platform::resource::{Facts, Resource};
use platform::topology::Node;

use crate::cluster::Cluster;
use crate::snapshot;

/// All components on hosts of their own, and one host with only base packages.
const APART: &str = "
cluster: lab
provider: {ssh: {port: 2222}}
groups:
  zk: {roles: [zookeeper], hosts: [{address: 10.0.0.1, name: zk}]}
  master: {roles: [master], hosts: [{address: 10.0.0.2, name: master}]}
  marathon: {roles: [marathon], hosts: [{address: 10.0.0.3, name: marathon}]}
  chronos: {roles: [chronos], hosts: [{address: 10.0.0.4, name: chronos}]}
  edge: {roles: [edge], hosts: [{address: 10.0.0.5, name: edge}]}
  spare: {roles: [base], hosts: [{address: 10.0.0.6, name: spare}]}
  workers:
    roles: [agent]
    resources: {ports: [31000-31999, 33000-33999]}
    hosts: [{address: 10.0.0.7, name: w1}, {address: 10.0.0.8, name: w2}]
";

const ADMINS: &str =
    "platform: {firewall: {admin_cidrs: [203.0.113.0/24, '2001:db8:1::/48']}}\n";

fn with_admins() -> Cluster {
    Cluster::of(&format!("{APART}{ADMINS}"))
}

fn node<'a>(cluster: &'a Cluster, host: &str) -> &'a Node {
    cluster.topology.node(&host.parse().unwrap()).unwrap()
}

fn rules(cluster: &Cluster, node: &Node) -> String {
    let wants = cluster.wants(node, &Facts::default());
    let rules = wants.iter().find_map(|(stage, resource)| match resource {
        Resource::File(file) if file.path == firewall::rules_path() => {
            assert_eq!(*stage, Stage::Firewall);
            Some(String::from_utf8(file.content.bytes().to_vec()).unwrap())
        }
        _ => None,
    });
    rules.expect("every host has rules")
}

/// The ports that a rule with this end lists.
fn ports(rules: &str, begin: &str, end: &str) -> BTreeSet<u16> {
    let line = rules.lines().find_map(|line| {
        line.trim().strip_prefix(begin)?.strip_suffix(end).map(str::to_owned)
    });
    let ports = line.unwrap_or_default();
    ports.split(", ").filter_map(|port| port.parse().ok()).collect()
}

/// The ports that are closed to all but those who are let in.
fn closed(rules: &str) -> BTreeSet<u16> {
    ports(rules, "tcp dport { ", " } drop")
}

/// Whether a host is let in to a port of another that is closed to most.
fn is_let_in(rules: &str, from: &Node, port: u16) -> bool {
    let pair = format!("{} . {port}", from.address);
    rules.lines().any(|line| line.split(',').any(|element| element.trim() == pair))
}

fn check_pairs(cluster: &Cluster) {
    let open = cluster.inputs.firewall.admins.is_empty();
    for node in &cluster.topology.nodes {
        let rules = rules(cluster, node);
        let closed = closed(&rules);
        for spec in Spec::all() {
            for port in spec.ports {
                let is_here = node.runs(spec.component) && !(port.on_all && open);
                assert_eq!(closed.contains(&port.number), is_here, "{}", node.host);
                let others = cluster.topology.nodes.iter();
                for other in others.filter(|other| other.host != node.host) {
                    let expected = is_here && spec.has_client(*port, other);
                    let found = is_let_in(&rules, other, port.number);
                    let (from, to) = (&other.host, &node.host);
                    assert_eq!(found, expected, "{from} to {} of {to}", port.number);
                }
            }
        }
        let known = Spec::of_node(node).flat_map(|spec| spec.ports);
        let known = known.map(|port| port.number).chain([22, 2222]);
        let known: BTreeSet<u16> = known.collect();
        assert!(closed.is_subset(&known), "{closed:?} of {}", node.host);
    }
}

#[test]
fn a_port_is_open_to_those_who_connect_to_it_and_closed_to_all_others() {
    check_pairs(&with_admins());
    check_pairs(&Cluster::of(APART));
    check_pairs(&Cluster::of(platform::inventory::EXAMPLE_LOCAL));
}

#[test]
fn ssh_is_left_alone_unless_the_networks_of_administrators_are_known() {
    let (open, restricted) = (Cluster::of(APART), with_admins());
    for node in &open.topology.nodes {
        let rules = rules(&open, node);
        assert!(!closed(&rules).contains(&22) && !rules.contains("admins4"), "{rules}");
    }
    for node in &restricted.topology.nodes {
        let rules = rules(&restricted, node);
        assert!(closed(&rules).is_superset(&[22, 2222].into()), "{rules}");
        let others = restricted.topology.nodes.iter();
        for other in others.filter(|other| other.host != node.host) {
            assert!(is_let_in(&rules, other, 22), "{} to {}", other.host, node.host);
        }
        let admins = ports(&rules, "ip saddr @admins4 tcp dport { ", " } accept");
        let edge: &[u16] = match node.runs(Component::Registry) {
            true => &[80, 443, 4443, 5000, 5443, 8443],
            false => &[],
        };
        let expected = [22, 2222].iter().chain(edge).copied().collect();
        assert_eq!(admins, expected, "{}", node.host);
    }
}

#[test]
fn a_rule_without_ports_is_left_out() {
    let mut lone = Cluster::of(
        "cluster: lab\nprovider: {ssh: {}}\ngroups: {edge: {roles: [edge], \
         hosts: [{address: 10.0.0.9, name: edge}]}}\n",
    );
    let edge = |cluster: &Cluster| rules(cluster, node(cluster, "edge"));
    let no_set_is_empty = |rules: &str| {
        let squeezed = rules.split_whitespace().collect::<String>();
        assert!(!squeezed.contains("{}"), "nft takes no empty set:\n{rules}");
    };
    no_set_is_empty(&edge(&lone));
    lone.inputs.firewall.admins = with_admins().inputs.firewall.admins;
    lone.inputs.firewall.ssh.clear();
    no_set_is_empty(&edge(&lone));
    no_set_is_empty(&edge(&with_admins()));
}

#[test]
fn ports_of_tasks_are_closed_on_agents_only() {
    let cluster = with_admins();
    for node in &cluster.topology.nodes {
        let rules = rules(&cluster, node);
        let tasks = rules.contains("tcp dport { 31000-31999, 33000-33999 } jump tasks");
        assert_eq!(tasks, node.runs(Component::MesosAgent), "{}", node.host);
        assert_eq!(rules.contains("jump containers"), node.has_containers());
    }
}

#[test]
fn only_instances_of_aws_have_a_metadata_service_to_keep() {
    let mut cluster = Cluster::of(APART);
    let kept = |cluster: &Cluster| {
        rules(cluster, node(cluster, "w1"))
            .contains("meta skuid != 0 ip daddr 169.254.169.254")
    };
    assert!(!kept(&cluster));
    cluster.inputs.firewall.metadata = true;
    assert!(kept(&cluster));
}

#[test]
fn rules_are_rendered_as_recorded() {
    let mut cluster = with_admins();
    snapshot::check("firewall-agent", &rules(&cluster, node(&cluster, "w1")));
    snapshot::check("firewall-edge", &rules(&cluster, node(&cluster, "edge")));
    snapshot::check("firewall-base", &rules(&cluster, node(&cluster, "spare")));
    cluster.inputs.firewall.metadata = true;
    cluster.inputs.firewall.admins.clear();
    snapshot::check("firewall-open", &rules(&cluster, node(&cluster, "w2")));
}

#[test]
fn a_firewall_that_is_switched_off_wants_nothing_and_is_warned_of() {
    let off = "platform: {firewall: {enabled: false}}\n";
    let cluster = Cluster::of(&format!("{APART}{off}"));
    for node in &cluster.topology.nodes {
        let wants = cluster.wants(node, &Facts::default());
        assert!(wants.iter().all(|(stage, _)| *stage != Stage::Firewall));
    }
    assert!(cluster.inputs.firewall.warning().is_some());
    assert!(with_admins().inputs.firewall.warning().is_none());
}
