//! What stops a run before its first change.

use std::collections::BTreeMap;

use platform::component::zookeeper::{self, check_first, check_members, forming};
use platform::component::{agent, master};
use platform::host::HostName;
use platform::inventory::catalog::{self, Catalog};
use platform::inventory::{CgroupNeed, Component};
use platform::plan::preflight::{PreflightFailure, preflight_failures};
use platform::plan::{Gate, MemberHealth, MembersHealth, NoPlan, Plan, Refusal};
use platform::resource::Facts;
use platform::unit::Size;

use crate::cluster::{Cluster, holds};
use crate::snapshot;

const EPOCH: &str = "/var/lib/platform/zookeeper/version-2/acceptedEpoch";

fn rehearsal() -> Cluster {
    Cluster::of(platform::inventory::EXAMPLE_LOCAL)
}

fn name(text: &str) -> HostName {
    text.parse().expect("a host's name")
}

/// The preflight failures of a cluster whose ZooKeeper needs an old Docker, as a version may.
fn objected(
    cluster: &Cluster,
    facts: &BTreeMap<HostName, Facts>,
) -> Vec<PreflightFailure> {
    let catalog = catalog(
        "components: {zookeeper: {version: 3.8.0, build: x, needs: {docker: \"<26\"}}}",
    );
    preflight_failures(&cluster.topology, &catalog, facts)
}

fn catalog(text: &str) -> Catalog {
    catalog::read(text, &|_| true).expect("a valid catalogue")
}

/// The answer of every host before the first run; `also` is added for control-1.
fn facts(cluster: &Cluster, also: &str) -> BTreeMap<HostName, Facts> {
    let answer = |node: &platform::topology::Node| {
        let also = if node.host.as_str() == "control-1" { also } else { "" };
        (node.host.clone(), cluster.answer(node, &[], also))
    };
    cluster.topology.nodes.iter().map(answer).collect()
}

#[test]
fn a_fresh_cluster_has_no_preflight_failure() {
    let cluster = rehearsal();
    assert_eq!(objected(&cluster, &facts(&cluster, "")), []);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let cluster = rehearsal();
    let mut facts = facts(&cluster, "");
    let of = |facts: &mut BTreeMap<HostName, Facts>, host: &str| -> Facts {
        facts.remove(&name(host)).expect("it answered")
    };
    let mut one = of(&mut facts, "control-1");
    one.system.clock_skew = -10.4;
    one.system.engine.offered = Some("26.1.5+dfsg1".to_owned());
    let mut two = of(&mut facts, "control-2");
    two.system.clock_skew = 5.1;
    two.system.engine.version = Some("28.0.1".to_owned());
    two.system.memory = Size::mib(511);
    two.system.listening = [22, 2181, 3888, 5000].into();
    let mut edge = of(&mut facts, "edge-1");
    edge.system.listening = [2181, 5000].into();
    edge.system.systemd = false;
    let mut bare = Facts::default();
    bare.system.os = "A small thing".to_owned();
    bare.system.memory = Size::gib(1);
    facts.extend([
        (name("control-1"), one),
        (name("control-2"), two),
        (name("control-3"), bare),
        (name("edge-1"), edge),
    ]);
    let said: Vec<String> = objected(&cluster, &facts)
        .into_iter()
        .map(|failure| {
            let port =
                failure.port.map(|(port, _)| format!(" [{port}]")).unwrap_or_default();
            format!("{}: {}{port}\n    {}\n", failure.host, failure.problem, failure.help)
        })
        .collect();
    snapshot::check("preflight-failures", &said.concat());
}

#[test]
fn a_host_of_another_cluster_is_left_to_it() {
    let cluster = rehearsal();
    let check = |generation: &str, record: &str, expected: &[&str]| {
        let also =
            format!("{{\"q\":\"generation\",\"generation\":\"{generation}\"}}\n{record}");
        let found = objected(&cluster, &facts(&cluster, &also));
        let found: Vec<&str> = found.iter().map(|it| it.problem.as_str()).collect();
        assert_eq!(found, expected, "{also}");
    };
    let record = r#"{"q":"ours","kind":"user","name":"theirs"}"#;
    check("rack7 r/0/0", record, &["it belongs to the cluster `rack7`"]);
    check("lab r/0/0", record, &[]);
    check("", record, &[]);
    // After everything was removed, it is free.
    check("rack7 r/0/0", "", &[]);
}

#[test]
fn limits_are_met_exactly_at_their_edge() {
    let cluster = rehearsal();
    let mut facts = facts(&cluster, "");
    for facts in facts.values_mut() {
        facts.system.clock_skew = -5.0;
        facts.system.memory = Size::mib(512);
        facts.system.engine.version = Some("25.99.0".to_owned());
    }
    assert_eq!(objected(&cluster, &facts), []);
}

#[test]
fn only_a_host_that_gets_something_of_size_needs_room_for_it() {
    let mut cluster = rehearsal();
    let full = |mut facts: BTreeMap<HostName, Facts>, mib| {
        for facts in facts.values_mut() {
            facts.system.free_disk = Size::mib(mib);
        }
        facts
    };
    let mut check = |facts: &BTreeMap<HostName, Facts>, expected: &[&str]| {
        let planned = cluster.plan(facts, &MembersHealth::default(), &[]);
        let found = refusals(planned);
        let hosts: Vec<&str> = found
            .iter()
            .map(|refusal| match refusal {
                Refusal::Unfit(failure) => failure.host.as_str(),
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(hosts, expected, "{found:?}");
    };
    let all: Vec<HostName> = facts(&rehearsal(), "").into_keys().collect();
    let all: Vec<&str> = all.iter().map(HostName::as_str).collect();
    check(&full(facts(&rehearsal(), ""), 1023), &all);
    check(&full(facts(&rehearsal(), ""), 1024), &[]);
    let there = |node: &platform::topology::Node| {
        let there = rehearsal().applied(node);
        (node.host.clone(), rehearsal().answer(node, &there, ""))
    };
    let there = rehearsal().topology.nodes.iter().map(there).collect();
    check(&full(there, 0), &[]);
}

#[test]
fn a_host_without_containers_needs_neither_memory_nor_an_old_docker() {
    let cluster = Cluster::of(
        "cluster: lab\nprovider: {local: {}}\ngroups: {spare: {roles: [base], count: 1}}\n",
    );
    let mut facts = facts(&cluster, "");
    for facts in facts.values_mut() {
        facts.system.memory = Size::mib(1);
        facts.system.engine.version = Some("28.0.0".to_owned());
        facts.system.listening = [2181, 5000].into();
    }
    assert_eq!(objected(&cluster, &facts), []);
}

#[test]
fn a_port_on_which_the_service_itself_listens_is_not_taken() {
    let cluster = rehearsal();
    let nodes = cluster.topology.nodes.iter();
    let mut facts: BTreeMap<HostName, Facts> = nodes
        .map(|node| (node.host.clone(), cluster.answer(node, &cluster.applied(node), "")))
        .collect();
    for facts in facts.values_mut() {
        facts.system.listening = [2181, 2888, 3888, 5000].into();
        let unit = facts.unit("platform-zookeeper.service").ok().cloned();
        assert!(unit.is_none_or(|unit| unit.active == "active"));
    }
    assert_eq!(objected(&cluster, &facts), []);
}

/// Whether three members, of which the first has this epoch, form a new ensemble.
fn check_forming(epoch: Option<&str>, expected: bool) {
    let cluster = rehearsal();
    let also = epoch.map(|epoch| holds(EPOCH, epoch)).unwrap_or_default();
    let facts = facts(&cluster, &also);
    let members = facts.iter().filter(|(host, _)| host.as_str().starts_with("control-"));
    let forms = forming(members.map(|(_, facts)| facts)).expect("all answered");
    assert_eq!(forms, expected, "{epoch:?}");
}

#[test]
fn an_ensemble_is_formed_only_while_no_member_accepted_an_epoch() {
    check_forming(None, true);
    check_forming(Some("0"), true);
    check_forming(Some("-1"), true);
    check_forming(Some("1"), false);
    check_forming(Some("17"), false);
    // Content that cannot be parsed counts as data.
    check_forming(Some("0\n"), false);
    check_forming(Some(""), false);
}

#[test]
fn an_ensemble_that_has_served_is_not_formed_again_without_a_word() {
    let cluster = rehearsal();
    let ensemble = cluster.topology.zookeeper().expect("it has members");
    let check = |forming, served: Option<&str>| {
        check_first(ensemble, forming, served.map(Into::into))
            .map_err(|lost| lost.to_string())
    };
    assert_eq!(check(true, None), Ok(()));
    assert_eq!(check(false, None), Ok(()));
    assert_eq!(check(false, Some("/lab/ensemble-served")), Ok(()));
    let refused = check(true, Some("/lab/ensemble-served")).expect_err("all is lost");
    for part in ["control-1, control-2, control-3", "remove /lab/ensemble-served"] {
        assert!(refused.contains(part), "{part} is not in {refused}");
    }
}

#[test]
fn a_member_that_did_not_say_keeps_an_ensemble_from_being_formed() {
    let cluster = rehearsal();
    let facts = facts(&cluster, "");
    let silent = Facts::default();
    let members = [&facts[&name("control-1")], &silent];
    assert!(forming(members).is_err());
}

/// The guard's message for a cluster on which another one was applied before.
fn check_members_of(before: &Cluster, now: &Cluster) -> Result<(), String> {
    let ensemble = now.topology.zookeeper().expect("it has members");
    let facts: BTreeMap<HostName, Facts> = now
        .topology
        .nodes
        .iter()
        .map(|node| {
            let there = before.topology.node(&node.host).map(|node| before.applied(node));
            let there = there.unwrap_or_default();
            (node.host.clone(), now.answer(node, &there, ""))
        })
        .collect();
    check_members(ensemble, &facts).map_err(|error| error.to_string())
}

fn ensemble(hosts: &str) -> Cluster {
    Cluster::of(&format!(
        "cluster: lab\nprovider: {{ssh: {{}}}}\ngroups:\n  \
           control: {{roles: [control], hosts: [{hosts}]}}\n  \
           edge: {{roles: [edge], hosts: [10.0.0.9]}}\n"
    ))
}

#[test]
fn members_of_an_ensemble_that_holds_data_can_be_neither_added_nor_exchanged() {
    let three = "10.0.0.1, 10.0.0.2, 10.0.0.3";
    let same = ensemble(three);
    assert_eq!(check_members_of(&same, &ensemble(three)), Ok(()));
    let added = ensemble("10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5");
    let refused = check_members_of(&same, &added).expect_err("two are new");
    assert_eq!(
        refused,
        "refused: the ensemble on 10.0.0.1 has the members 1=10.0.0.1 2=10.0.0.2 3=10.0.0.3, \
         but the inventory says 1=10.0.0.1 2=10.0.0.2 3=10.0.0.3 4=10.0.0.4 5=10.0.0.5; this \
         program cannot add or replace members of an ensemble that holds data yet: undo the \
         change of the members in the inventory"
    );
    for other in
        ["10.0.0.1, 10.0.0.2, 10.0.0.4", "10.0.0.1", "10.0.0.2, 10.0.0.1, 10.0.0.3"]
    {
        assert!(check_members_of(&same, &ensemble(other)).is_err(), "{other}");
    }
}

#[test]
fn what_a_version_needs_is_asked_of_the_hosts_that_run_it_alone() {
    let cluster = mesos("10.0.0.1", "");
    let real = catalog(
        "components:\n  \
           zookeeper: {version: 3.8.0, build: x}\n  \
           mesos-agent: {version: 1.11.0, build: x, needs: {docker: \"<26\", cgroups: v1}}\n",
    );
    let mut facts = facts(&cluster, "");
    for facts in facts.values_mut() {
        facts.system.engine.version = Some("26.0.0".to_owned());
    }
    let one = facts.get_mut(&name("10.0.0.22")).expect("it answered");
    one.system.cgroups = platform::resource::Cgroups::V1;
    let found = preflight_failures(&cluster.topology, &real, &facts);
    let said: Vec<String> =
        found.iter().map(|o| format!("{}: {}", o.host, o.problem)).collect();
    let docker =
        "Docker 26.0.0 is too new for mesos-agent 1.11.0, which needs a version below 26";
    assert_eq!(
        said,
        [
            format!("10.0.0.21: {docker}"),
            "10.0.0.21: it has only control groups of version 2, but mesos-agent 1.11.0 needs \
             version 1"
                .to_owned(),
            format!("10.0.0.22: {docker}"),
        ]
    );
}

#[test]
fn a_version_that_runs_under_control_groups_of_version_2_alone_is_kept_from_others() {
    let cluster = mesos("10.0.0.1", "");
    let real = catalog(
        "components: {mesos-agent: {version: 1.11.0-0.9.0, build: x, needs: {cgroups: v2}}}",
    );
    let mut facts = facts(&cluster, "");
    assert_eq!(preflight_failures(&cluster.topology, &real, &facts), []);
    let one = facts.get_mut(&name("10.0.0.22")).expect("it answered");
    one.system.cgroups = platform::resource::Cgroups::V1;
    let found = preflight_failures(&cluster.topology, &real, &facts);
    let said: Vec<String> =
        found.iter().map(|o| format!("{}: {}", o.host, o.problem)).collect();
    assert_eq!(
        said,
        [
            "10.0.0.22: it has control groups of version 1, but mesos-agent 1.11.0-0.9.0 needs \
          version 2 only"
        ]
    );
}

/// The preflight failure of a host whose agent needs control groups of version 1, with the advice; `boot`
/// is the host's answer about its boot, `also` its other answers.
fn objected_to_cgroups(
    setting: &str,
    boot: &str,
    also: &str,
) -> Option<(String, String)> {
    let mut cluster = Cluster::of(&format!(
        "cluster: lab\nprovider: {{ssh: {{}}}}\ngroups:\n  \
           control: {{roles: [control], hosts: [10.0.0.1]}}\n  \
           edge: {{roles: [edge], hosts: [10.0.0.9]}}\n  \
           workers: {{roles: [agent], hosts: [10.0.0.21]{setting}}}\n"
    ));
    let agent = cluster.inputs.images.get_mut(&Component::MesosAgent);
    agent.expect("it has agents").needs.cgroups = Some(CgroupNeed::V1);
    let real = catalog(
        "components: {mesos-agent: {version: 1.11.0, build: x, needs: {cgroups: v1}}}",
    );
    let node = cluster.topology.node(&name("10.0.0.21")).expect("it is in it");
    let also = format!("{{\"q\":\"boot\",\"id\":\"b\",{boot}}}\n{also}");
    let facts = BTreeMap::from([(node.host.clone(), cluster.answer(node, &[], &also))]);
    let found = preflight_failures(&cluster.topology, &real, &facts).pop()?;
    Some((found.problem, found.help))
}

const GRUB: &str = r#""systemd":252,"container":false,"grub":true,"now":"","next":"""#;
const HYBRID: &str = ", host: {cgroups: hybrid}";

#[test]
fn who_has_not_allowed_a_reboot_is_told_what_to_write() {
    let (problem, help) = objected_to_cgroups("", GRUB, "").expect("it has version 2");
    assert_eq!(
        problem,
        "it has only control groups of version 2, but mesos-agent 1.11.0 needs version 1"
    );
    assert_eq!(
        help,
        "add `host: {cgroups: hybrid}` to the group `workers`: the plan then changes the kernel's \
         command line and reboots the host, which gives it version 1 beside version 2"
    );
    assert_eq!(objected_to_cgroups(HYBRID, GRUB, ""), None);
}

#[test]
fn a_host_that_cannot_be_given_version_1_is_refused_with_or_without_the_setting() {
    let hindered = |from: &str, to: &str, why: &str| {
        let boot = GRUB.replace(from, to);
        for setting in ["", HYBRID] {
            let (problem, _) =
                objected_to_cgroups(setting, &boot, "").expect("it cannot");
            assert!(problem.ends_with(why), "{problem}");
        }
    };
    hindered("252", "258", "its systemd 258 no longer supports version 1");
    let container = r#""container":"#;
    hindered(
        &format!("{container}false"),
        &format!("{container}true"),
        "a container does not boot its own kernel",
    );
    hindered(
        r#""grub":true"#,
        r#""grub":false"#,
        "its boot loader is not GRUB with update-grub, as in Debian and Ubuntu",
    );
    hindered(
        r#""now":"""#,
        r#""now":"systemd.unified_cgroup_hierarchy=0""#,
        "it was booted with `systemd.unified_cgroup_hierarchy=0`, but still does not have it",
    );
}

#[test]
fn a_setting_that_is_needed_is_not_taken_back() {
    let booted = r#"{"q":"system","os":"Debian","kernel":"6.1","arch":"x86_64","cpus":2,"memory_kib":4000000,"free_kib":20000000,"disk":"/","cgroups":"v1","systemd":true,"apparmor":false}"#;
    let ours =
        r#"{"q":"ours","kind":"boot","path":"/etc/default/grub.d/99-platform.cfg"}"#;
    let also = format!("{booted}\n{ours}");
    let (problem, _) = objected_to_cgroups("", GRUB, &also).expect("it would go");
    assert!(problem.contains("the inventory no longer has the setting"), "{problem}");
    assert_eq!(objected_to_cgroups(HYBRID, GRUB, &also), None);
    assert_eq!(objected_to_cgroups("", GRUB, booted), None, "it is not ours");
}

#[test]
fn ports_of_mesos_and_its_frameworks_are_looked_at_too() {
    let cluster = mesos("10.0.0.1", "");
    let mut facts = facts(&cluster, "");
    for facts in facts.values_mut() {
        facts.system.listening = [4400, 5050, 5051, 8080, 9091, 9092].into();
    }
    let found = preflight_failures(&cluster.topology, &catalog("components: {}"), &facts);
    let ports: Vec<(&str, u16)> = found
        .iter()
        .filter_map(|failure| Some((failure.host.as_str(), failure.port?.0)))
        .collect();
    let control = [5050, 8080, 9091, 4400, 9092].map(|port| ("10.0.0.1", port));
    let agents = [("10.0.0.21", 5051), ("10.0.0.22", 5051)];
    assert_eq!(ports, [&control[..], &agents[..]].concat());
}

/// The answer of each host of a cluster on which another one was applied before.
fn after(before: &Cluster, now: &Cluster) -> BTreeMap<HostName, Facts> {
    let nodes = now.topology.nodes.iter();
    let there = |node: &platform::topology::Node| {
        let before_it = before.topology.node(&node.host);
        before_it.map(|node| before.applied(node)).unwrap_or_default()
    };
    nodes.map(|node| (node.host.clone(), now.answer(node, &there(node), ""))).collect()
}

fn mesos(control: &str, worker: &str) -> Cluster {
    Cluster::of(&format!(
        "cluster: lab\nprovider: {{ssh: {{}}}}\ngroups:\n  \
           control: {{roles: [control], hosts: [{control}]}}\n  \
           edge: {{roles: [edge], hosts: [10.0.0.9]}}\n  \
           workers: {{roles: [agent], hosts: [{{address: 10.0.0.21{worker}}}, 10.0.0.22]}}\n"
    ))
}

fn check_identity(before: &Cluster, now: &Cluster) -> Result<(), String> {
    let facts = after(before, now);
    let nodes = now.topology.nodes.iter().map(|node| (node, &facts[&node.host]));
    agent::check(nodes).map_err(|error| error.to_string())
}

#[test]
fn an_agent_that_would_have_to_be_drained_is_refused_with_all_that_differs() {
    let one = "10.0.0.1";
    let before = mesos(one, ", attributes: {rack: a}, resources: {cpus: 4}");
    let more = ", attributes: {rack: a, ssd: \"true\"}, resources: {cpus: 4.5}";
    assert_eq!(check_identity(&before, &before), Ok(()));
    assert_eq!(check_identity(&before, &mesos(one, more)), Ok(()));
    let less = mesos(one, ", attributes: {rack: b}, resources: {cpus: 2}");
    assert_eq!(
        check_identity(&before, &less).expect_err("it has less"),
        "refused: the agent on 10.0.0.21 would have rack:b in place of rack:a, would have cpus:2 \
         in place of cpus:4; an agent with tasks does not accept this and must be drained first, \
         which this program cannot do yet: undo the change for this host in the inventory"
    );
}

/// Why there is no plan; `None` if there is one.
fn refusals(planned: Result<Plan, NoPlan>) -> Vec<Refusal> {
    match planned {
        Ok(_) => Vec::new(),
        Err(NoPlan::Refused(refusals)) => refusals.all().to_vec(),
        Err(unknown) => panic!("{unknown}"),
    }
}

#[test]
fn there_is_no_plan_that_any_guard_speaks_against_and_all_are_told_together() {
    let before = mesos("10.0.0.1, 10.0.0.2, 10.0.0.3", ", attributes: {rack: a}");
    let mut now = mesos("10.0.0.1, 10.0.0.2, 10.0.0.4", ", attributes: {rack: b}");
    let facts = after(&before, &now);
    let found = refusals(now.plan(&facts, &MembersHealth::default(), &[]));
    let told = |is_it: fn(&Refusal) -> bool| found.iter().filter(|it| is_it(it)).count();
    assert_eq!(told(|it| matches!(it, Refusal::Members(_))), 1, "{found:?}");
    assert_eq!(told(|it| matches!(it, Refusal::Masters(_))), 1, "{found:?}");
    assert_eq!(told(|it| matches!(it, Refusal::NeedsDrain(_))), 1, "{found:?}");
}

/// The facts of control-3, whose ZooKeeper has run for this long, out of 1000 s since its boot.
fn running_for(cluster: &Cluster, seconds: u64, n_restarts: u64) -> (HostName, Facts) {
    let since = (1000 - seconds) * 1_000_000;
    let show = [
        format!("Id={}", zookeeper::UNIT),
        "LoadState=loaded".to_owned(),
        "ActiveState=active".to_owned(),
        format!("ActiveEnterTimestampMonotonic={since}"),
        format!("NRestarts={n_restarts}"),
        String::new(),
    ];
    let shown = show.map(|line| format!("{{\"q\":\"unit\",\"show\":\"{line}\"}}"));
    let also =
        format!("{{\"q\":\"uptime\",\"seconds\":\"1000.12\"}}\n{}", shown.join("\n"));
    let node = cluster.topology.node(&name("control-3")).expect("it is in the inventory");
    (node.host.clone(), cluster.answer(node, &[], &also))
}

#[test]
fn a_member_that_was_started_a_moment_ago_is_waited_for_and_no_other_member() {
    let of = |sysctls: &str| {
        Cluster::of(&format!(
            "cluster: lab\nprovider: {{local: {{}}}}\ngroups:\n  \
               control: {{roles: [zookeeper], count: 3}}\n  edge: {{roles: [edge], count: 1}}\n\
             platform: {{images: catalog.yaml{sysctls}}}\n"
        ))
    };
    let (before, mut now) =
        (of(""), of(", base: {sysctls: {net.core.somaxconn: \"1\"}}"));
    let facts = after(&before, &now);
    let health = |serving: &[&str]| {
        MembersHealth::of(serving.iter().map(|host| (name(host), MemberHealth::Serves)))
    };
    let mut check = |facts: &BTreeMap<HostName, Facts>, then, expected: Option<&str>| {
        let planned = now.plan(facts, &health(&["control-1", "control-2"]), &[]);
        let Err(NoPlan::Refused(refusals)) = planned else {
            panic!("a member is down: {planned:?}")
        };
        let gates = refusals.only_of_starting(&BTreeMap::from([then]));
        let gates: Option<Vec<String>> =
            gates.map(|gates| gates.iter().map(Gate::to_string).collect());
        let expected = expected.map(|gate| vec![gate.to_owned()]);
        assert_eq!(gates, expected);
    };
    let waited = Some("ZooKeeper on control-3 serves");
    check(&facts, running_for(&before, 5, 0), waited);
    check(&facts, running_for(&before, 59, 2), waited);
    check(&facts, running_for(&before, 61, 0), None);
    check(&facts, running_for(&before, 5, 3), None);
}

#[test]
fn an_agent_is_not_taken_from_under_its_tasks() {
    let before = mesos("10.0.0.1", "");
    let now = Cluster::of(
        "cluster: lab\nprovider: {ssh: {}}\ngroups:\n  \
           control: {roles: [control], hosts: [10.0.0.1]}\n  \
           edge: {roles: [edge], hosts: [10.0.0.9]}\n  \
           workers: {roles: [agent], hosts: [10.0.0.21]}\n  \
           spare: {roles: [base], hosts: [10.0.0.22]}\n",
    );
    let refused = check_identity(&before, &now).expect_err("its agent would go");
    assert!(
        refused.starts_with("refused: the agent on 10.0.0.22 would be removed; "),
        "{refused}"
    );
}

#[test]
fn masters_with_a_registry_can_be_neither_added_nor_exchanged() {
    let three = "10.0.0.1, 10.0.0.2, 10.0.0.3";
    let before = mesos(three, "");
    let check = |now: &Cluster| {
        let masters = now.topology.masters().expect("it has masters");
        let facts = after(&before, now);
        master::check_members(masters, &facts).map_err(|error| error.to_string())
    };
    assert_eq!(check(&mesos(three, "")), Ok(()));
    assert_eq!(
        check(&mesos("10.0.0.1, 10.0.0.2, 10.0.0.4", "")).expect_err("one is another"),
        "refused: the registry on 10.0.0.1 belongs to the masters 10.0.0.1, 10.0.0.2, \
         10.0.0.3, but the inventory says 10.0.0.1, 10.0.0.2, 10.0.0.4; this program cannot add \
         or replace masters yet: undo the change of the masters in the inventory"
    );
}

#[test]
fn masters_begin_a_registry_only_while_none_of_them_has_the_mark_of_one() {
    let cluster = mesos("10.0.0.1, 10.0.0.2, 10.0.0.3", "");
    let masters = |facts: &BTreeMap<HostName, Facts>| {
        let masters = cluster
            .topology
            .nodes
            .iter()
            .filter(|node| node.runs(Component::MesosMaster));
        let of_masters: Vec<Facts> =
            masters.map(|node| facts[&node.host].clone()).collect();
        master::forming(&of_masters)
    };
    let mut facts = facts(&cluster, "");
    assert_eq!(masters(&facts), Ok(true));
    let also = holds("/var/lib/platform/mesos-master/formed", "x");
    let node = &cluster.topology.nodes[1];
    facts.insert(node.host.clone(), cluster.answer(node, &[], &also));
    assert_eq!(masters(&facts), Ok(false));
    facts.insert(node.host.clone(), Facts::default());
    assert!(masters(&facts).is_err(), "what was not said is not known");
}

/// Three masters, with these marks of a registry and these logs.
fn check_log(
    marked: [bool; 3],
    with_log: [bool; 3],
    serving: &str,
) -> Result<(), String> {
    let cluster = rehearsal();
    let at = |name: &str| format!("/var/lib/platform/mesos-master/{name}");
    let line = |name: &str, is_there: bool| match is_there {
        true => holds(&at(name), "x"),
        false => format!("{{\"q\":\"missing\",\"path\":\"{}\"}}\n", at(name)),
    };
    let masters = cluster.topology.masters().expect("there are masters");
    let facts = masters.members().iter().zip(marked.into_iter().zip(with_log)).map(
        |(member, (mark, log))| {
            let node = cluster.topology.node(&member.host).expect("it is there");
            let also = line("formed", mark) + &line("replicated_log", log);
            (member.host.clone(), cluster.answer(node, &[], &also))
        },
    );
    master::check_log(masters, &facts.collect(), |host| host.as_str() == serving)
        .map_err(|lost| lost.to_string())
}

#[test]
fn a_registry_that_a_majority_of_masters_lost_is_not_waited_for() {
    assert_eq!(check_log([true; 3], [true; 3], ""), Ok(()));
    assert_eq!(check_log([false, true, true], [false, true, true], ""), Ok(()));
    // A run was interrupted between the marks: a serving master has the log.
    assert_eq!(check_log([true, false, false], [true; 3], "control-2"), Ok(()));
    // A master that lost its data and was restarted has an empty log, and no mark.
    let lost = check_log([false, false, true], [true, false, true], "").unwrap_err();
    for part in [
        "gone from control-1, control-2,",
        "a majority of 2",
        "as root on control-1, control-2, control-3:",
    ] {
        assert!(lost.contains(part), "`{part}` is not in: {lost}");
    }
    check_log([true; 3], [true, false, false], "").unwrap_err();
}

/// The preflight failures of a setting on a host that has Docker, or will get it.
fn objected_setting(name: &str, has_docker: bool) -> Vec<String> {
    let inventory = platform::inventory::EXAMPLE_LOCAL;
    let cluster = Cluster::of(inventory);
    let lacks = format!("{{\"q\":\"sysctl\",\"name\":\"{name}\"}}\n");
    let mut facts = facts(&cluster, &lacks);
    let docker = has_docker.then(|| "20.10.24".to_owned());
    facts.values_mut().for_each(|facts| facts.system.engine.version = docker.clone());
    let found = objected(&cluster, &facts);
    found.iter().map(|o| format!("{}: {}; {}", o.host, o.problem, o.help)).collect()
}

#[test]
fn a_setting_that_a_kernel_does_not_have_is_refused_by_its_name_and_host() {
    for has_docker in [true, false] {
        let said = objected_setting("vm.swapiness", has_docker);
        assert_eq!(
            said,
            [
                "control-1: its kernel does not have the setting `vm.swapiness`; check the \
                 spelling of that name under `sysctls` in the inventory; if a kernel module \
                 provides it, load that module on the host, and name it in /etc/modules-load.d"
            ]
        );
    }
}

#[test]
fn a_setting_that_comes_with_docker_is_waited_for_where_docker_comes() {
    let bridged = "net.bridge.bridge-nf-call-iptables";
    assert_eq!(objected_setting(bridged, false), [] as [String; 0]);
    assert_eq!(objected_setting(bridged, true).len(), 1);
}
