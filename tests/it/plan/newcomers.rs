//! Plans only for new hosts: what they get, and what other hosts get because of them.

use std::collections::{BTreeMap, BTreeSet};

use platform::component::Stage;
use platform::host::HostName;
use platform::inventory::Component;
use platform::plan::{
    self, Gate, MemberHealth, MembersHealth, NoPlan, Plan, Push, Scope, Situation, Work,
};
use platform::resource::{Action, Facts};

use crate::cluster::{Cluster, folder};

/// A cluster with further hosts in its groups.
fn cluster(edges: &str, workers: &str, marathons: &str) -> Cluster {
    Cluster::of(&format!(
        "cluster: rack7\nprovider: {{ssh: {{}}}}\ngroups:\n  \
           control: {{roles: [zookeeper, master, chronos], hosts: [{{address: 10.0.0.1, name: c1}}]}}\n  \
           edge: {{roles: [edge], hosts: [{{address: 10.0.0.11, name: e1}}{edges}]}}\n  \
           m: {{roles: [marathon], hosts: [{{address: 10.0.0.21, name: m1}}{marathons}]}}\n  \
           workers: {{roles: [agent], hosts: [{{address: 10.0.0.31, name: w1}}{workers}]}}\n"
    ))
}

/// All hosts have everything from `before`, except one user on the worker and one file on the
/// control host, and all components serve; new hosts have nothing.
fn world(before: &Cluster, now: &Cluster) -> (BTreeMap<HostName, Facts>, MembersHealth) {
    let facts = now.topology.nodes.iter().map(|node| {
        let mut there = match before.topology.node(&node.host) {
            Some(before_node) => before.applied(before_node),
            None => Vec::new(),
        };
        if ["c1", "w1"].contains(&node.host.as_str()) {
            there.pop();
        }
        (node.host.clone(), now.answer(node, &there, ""))
    });
    let hosts = before.topology.nodes.iter().map(|node| node.host.clone());
    let hosts: Vec<(HostName, MemberHealth)> =
        hosts.map(|host| (host, MemberHealth::Serves)).collect();
    let others = [
        Component::MesosMaster,
        Component::MesosAgent,
        Component::Marathon,
        Component::Chronos,
    ];
    let health = others
        .into_iter()
        .fold(MembersHealth::of(hosts.clone()), |all, of| all.with(of, hosts.clone()));
    (facts.collect(), health)
}

impl Cluster {
    /// Plans as `add-node` does: `before` is the cluster without its new hosts.
    fn plan_newcomers(
        &mut self,
        before: &mut Self,
        facts: &BTreeMap<HostName, Facts>,
        health: &MembersHealth,
        pushes: &[Push],
    ) -> Result<Plan, NoPlan> {
        self.look(facts);
        before.look(facts);
        let nodes = self.topology.nodes.iter();
        let new = nodes.filter(|node| before.topology.node(&node.host).is_none());
        let hosts: BTreeSet<HostName> = new.map(|node| node.host.clone()).collect();
        let without = before.all_wants(facts);
        let scope = Scope::Differing { hosts: &hosts, without: &without };
        let (topology, wants) = (&self.topology, self.all_wants(facts));
        let situation = Situation {
            topology,
            wants: &wants,
            facts,
            health,
            pushes,
            nodes: &[],
            preflight_failures: &[],
            folder: folder(),
            forming: self.forming(),
        };
        plan::build_within(&situation, &scope)
    }
}

fn plan(before: &mut Cluster, now: &mut Cluster, pushes: &[Push]) -> Plan {
    let (facts, health) = world(before, now);
    let whole = now.plan(&facts, &health, pushes).expect("a plan");
    let drifted = whole.hosts().iter().any(|host| host.as_str() == "c1");
    assert!(drifted, "a plan for everything looks after the others");
    now.plan_newcomers(before, &facts, &health, pushes).expect("a plan")
}

fn hosts(plan: &Plan) -> Vec<&str> {
    plan.hosts().into_iter().map(HostName::as_str).collect()
}

/// What a host gets, by name.
fn changes(plan: &Plan, host: &str) -> BTreeSet<String> {
    let mut changes = BTreeSet::new();
    for stage in &plan.stages {
        let Work::Hosts(waves) = &stage.work else { continue };
        let all = waves.iter().flat_map(|wave| wave.hosts());
        for of in all.filter(|of| of.host.as_str() == host) {
            changes.extend(of.changes.iter().map(|change| match &change.action {
                Action::StartUnit { name, .. } => format!("start {name}"),
                Action::ReloadUnit { name } => format!("reload {name}"),
                _ => change.key.to_string(),
            }));
        }
    }
    changes
}

/// The changes by which a host lets another one in.
const LETS_IN: [&str; 2] = ["file /etc/platform/firewall/rules.nft", "firewall"];

fn only_lets_in(plan: &Plan, host: &str) {
    assert_eq!(changes(plan, host), LETS_IN.map(str::to_owned).into(), "{host}");
}

#[test]
fn for_a_new_agent_others_only_let_it_in_and_keep_even_what_differs_there() {
    let mut before = cluster("", "", "");
    let mut now = cluster("", ", {address: 10.0.0.32, name: w2}", "");
    let push = Push { component: Component::Zookeeper, to: "e1".parse().unwrap() };
    let plan = plan(&mut before, &mut now, &[push]);
    ["c1", "e1", "m1", "w1"].iter().for_each(|host| only_lets_in(&plan, host));
    let stages: Vec<Stage> = plan.stages.iter().map(|stage| stage.stage).collect();
    assert_eq!(stages, [Stage::Base, Stage::Firewall, Stage::Agents]);
    let gates: Vec<String> = plan.stages[2].gates.iter().map(Gate::to_string).collect();
    assert_eq!(gates, ["the agent on w2 is registered"]);
    assert!(plan.stays.is_empty());
}

#[test]
fn for_a_new_registry_others_learn_of_it_and_agents_get_its_login_without_a_new_start() {
    let mut before = cluster("", "", "");
    let mut now = cluster(", {address: 10.0.0.12, name: e2}", "", "");
    let pushes = ["e1", "e2"]
        .map(|host| Push { component: Component::Zookeeper, to: host.parse().unwrap() });
    let plan = plan(&mut before, &mut now, &pushes);
    assert_eq!(hosts(&plan), ["c1", "e1", "e2", "m1", "w1"]);
    let login = [
        "file /etc/docker/certs.d/10.0.0.12:5000/ca.crt",
        "file /etc/platform/docker/config.json",
    ];
    let expected: BTreeSet<String> =
        login.into_iter().chain(LETS_IN).map(str::to_owned).collect();
    for host in ["c1", "m1"] {
        assert_eq!(changes(&plan, host), expected, "{host}");
    }
    // The first registry is not alone any more, so it gets a copier, and the landing page names all
    // hosts of the edge.
    let edge = changes(&plan, "e1");
    assert!(edge.is_superset(&expected), "{edge:?}");
    assert!(edge.contains("start platform-copier.service"), "{edge:?}");
    assert!(
        edge.difference(&expected)
            .all(|it| it.contains("copier") || it.contains("balancer")),
        "{edge:?}"
    );
    let agent = changes(&plan, "w1");
    let login = "file /etc/platform/mesos-agent/docker/config.json";
    assert!(agent.contains(login), "{agent:?}");
    assert!(!agent.iter().any(|change| change.starts_with("restart ")), "{agent:?}");
    assert!(changes(&plan, "e2").contains("start platform-registry.service"));
    let pushed = plan.stages.iter().find_map(|stage| match &stage.work {
        Work::Push(pushes) => Some(pushes.clone()),
        Work::Hosts(_) | Work::Access { .. } => None,
    });
    assert_eq!(pushed.as_deref(), Some(&pushes[1..]));
}

#[test]
fn a_new_marathon_joins_those_that_serve_and_interrupts_none() {
    let mut before = cluster("", "", "");
    let mut now = cluster("", "", ", {address: 10.0.0.22, name: m2}");
    let plan = plan(&mut before, &mut now, &[]);
    ["c1", "m1", "w1"].iter().for_each(|host| only_lets_in(&plan, host));
    assert!(changes(&plan, "m2").contains("start platform-marathon.service"));
    // HAProxy serves on while its balancer restarts.
    let edge = [
        "file /etc/platform/haproxy/haproxy.cfg",
        "reload platform-haproxy.service",
        "file /etc/platform/balancer/settings.json",
        "start platform-balancer.service",
    ];
    let edge = edge.into_iter().chain(LETS_IN).map(str::to_owned).collect();
    assert_eq!(changes(&plan, "e1"), edge);
}
