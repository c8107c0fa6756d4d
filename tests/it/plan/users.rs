//! Plans for users alone: what they touch, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use platform::host::HostName;
use platform::inventory::Component;
use platform::plan::{self, MemberHealth, MembersHealth, Plan, Push, Scope, Situation};
use platform::resource::{Action, Change, Facts};
use platform::secret::Secret;

use crate::cluster::{Cluster, folder};

const TEXT: &str = "cluster: rack7\nprovider: {ssh: {}}\ngroups:\n  \
    control: {roles: [control], hosts: [{address: 10.0.0.1, name: c1}]}\n  \
    edge: {roles: [edge], hosts: [{address: 10.0.0.11, name: e1}]}\n  \
    workers: {roles: [agent], hosts: [{address: 10.0.0.31, name: w1}]}\n";

/// All hosts have everything from `before`; with `drift`, each lacks its last resource.
fn facts(before: &Cluster, drift: bool) -> BTreeMap<HostName, Facts> {
    let nodes = before.topology.nodes.iter().map(|node| {
        let mut there = before.applied(node);
        if drift && node.host.as_str() != "e1" {
            there.pop();
        }
        (node.host.clone(), before.answer(node, &there, ""))
    });
    nodes.collect()
}

/// Plans as `users` does.
fn plan(cluster: &mut Cluster, facts: &BTreeMap<HostName, Facts>) -> Plan {
    cluster.look(facts);
    let wants = cluster.all_wants(facts);
    let inputs = cluster.inputs.without_users();
    let rest = Cluster { topology: cluster.topology.clone(), inputs };
    let without = rest.all_wants(facts);
    let hosts = BTreeSet::new();
    let serve = cluster.topology.nodes.iter();
    let serve = serve.map(|node| (node.host.clone(), MemberHealth::Serves));
    let health = MembersHealth::of(serve);
    let push = Push { component: Component::Zookeeper, to: "e1".parse().unwrap() };
    let situation = Situation {
        topology: &cluster.topology,
        wants: &wants,
        facts,
        health: &health,
        pushes: &[push],
        nodes: &[],
        preflight_failures: &[],
        folder: folder(),
        forming: cluster.forming(),
    };
    let scope = Scope::Differing { hosts: &hosts, without: &without };
    plan::build_within(&situation, &scope).expect("a plan")
}

fn changes(plan: &Plan) -> Vec<String> {
    let change = |(host, change): (&HostName, &Change)| {
        let what = match &change.action {
            Action::ReloadUnit { name } => format!("reload {name}"),
            Action::StartUnit { name, .. } => format!("start {name}"),
            _ => change.key.to_string(),
        };
        format!("{host}: {what}")
    };
    plan.host_changes().map(change).collect()
}

#[test]
fn a_user_changes_three_files_and_reloads_what_reads_two_of_them() {
    let before = Cluster::of(TEXT);
    let mut now = Cluster::of(TEXT);
    now.inputs.htpasswd = Secret::new("platform:secret-hash\nbob:secret-hash\n");
    now.inputs.pushers.push("bob".to_owned());
    now.inputs.edge_logins.push(("bob".to_owned(), Secret::new("$6$secret-of-bob")));
    for drift in [false, true] {
        let plan = plan(&mut now, &facts(&before, drift));
        assert_eq!(
            changes(&plan),
            [
                "e1: file /etc/platform/registry/htpasswd",
                "e1: file /etc/platform/registry/pushers",
                "e1: reload platform-registry.service",
                "e1: file /etc/platform/haproxy/haproxy.cfg",
                "e1: reload platform-haproxy.service",
            ]
        );
    }
}

#[test]
fn the_second_run_changes_nothing_whatever_else_differs() {
    let mut now = Cluster::of(TEXT);
    let there = facts(&now, true);
    assert!(plan(&mut now, &there).is_empty());
    let health = MembersHealth::of([]);
    let whole = now.plan(&there, &health, &[]);
    assert!(!whole.is_ok_and(|plan| plan.is_empty()), "a plan for everything has work");
}
