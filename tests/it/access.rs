//! Which host has which secret, and what each user may do with it: read from the files of each
//! host.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use platform::component::{marathon, mesos};
use platform::resource::{Facts, File, Resource, probe};
use platform::topology::Node;
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// Every component on its own host, two edge hosts, and two agents.
const APART: &str = "cluster: tiny\nprovider: {ssh: {}}\ngroups:\n  \
    zk: {roles: [zookeeper], hosts: [{address: 10.0.0.1, name: zookeeper}]}\n  \
    ms: {roles: [master], hosts: [{address: 10.0.0.2, name: master}]}\n  \
    mt: {roles: [marathon], hosts: [{address: 10.0.0.3, name: marathon}]}\n  \
    ch: {roles: [chronos], hosts: [{address: 10.0.0.4, name: chronos}]}\n  \
    edge:\n    roles: [edge]\n    \
        hosts: [{address: 10.0.0.5, name: edge}, {address: 10.0.0.8, name: edge-2}]\n  \
    workers:\n    roles: [agent]\n    \
        hosts: [{address: 10.0.0.6, name: agent-1}, {address: 10.0.0.7, name: agent-2}]\n";

/// Every secret of the cluster, and the hosts that need it.
const HOLDERS: [(&str, &[&str]); 22] = [
    (
        "secret-registry-pull",
        &[
            "agent-1",
            "agent-2",
            "chronos",
            "edge",
            "edge-2",
            "marathon",
            "master",
            "zookeeper",
        ],
    ),
    ("secret-registry", &[]),
    ("secret-hash", &["edge", "edge-2"]),
    ("secret-registry-copier", &["edge", "edge-2"]),
    ("secret-registry-http", &["edge", "edge-2"]),
    ("secret-tls-key", &["edge", "edge-2"]),
    ("secret-zookeeper-quorum", &["zookeeper"]),
    ("secret-zookeeper-super", &[]),
    ("secret-mesos-zookeeper", &["master"]),
    ("secret-agent-zookeeper", &["agent-1", "agent-2"]),
    // The operator's rights end at the masters: no other host may have the operator's password.
    ("secret-mesos-operator", &["master"]),
    ("secret-mesos-edge", &["edge", "edge-2", "master"]),
    ("secret-mesos-agent", &["agent-1", "agent-2", "master"]),
    ("secret-of-agent-1", &["agent-1"]),
    ("secret-of-agent-2", &["agent-2"]),
    ("secret-marathon-zookeeper", &["marathon"]),
    ("secret-marathon-mesos", &["marathon", "master"]),
    ("secret-marathon-http", &["edge", "edge-2", "marathon"]),
    ("secret-chronos-zookeeper", &["chronos"]),
    ("secret-chronos-mesos", &["chronos", "master"]),
    ("secret-chronos-http", &["chronos", "edge", "edge-2"]),
    ("secret-edge-hash", &["edge", "edge-2"]),
];

/// The files of a host.
fn files(cluster: &Cluster, node: &Node) -> Vec<File> {
    let wants = cluster.wants(node, &cluster.answer(node, &[], ""));
    let file = |(_, resource)| match resource {
        Resource::File(file) => Some(file),
        _ => None,
    };
    wants.into_iter().filter_map(file).collect()
}

/// The readable content of a file: its text, the content of an archive, and plain logins.
fn read(file: &File) -> String {
    let bytes = file.content.bytes();
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).expect("whole");
        text.push_str(&String::from_utf8_lossy(&plain));
    } else {
        text.push_str(&String::from_utf8_lossy(bytes));
    }
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c)));
    let plain: Vec<String> = words
        .filter_map(|word| String::from_utf8(BASE64_STANDARD.decode(word).ok()?).ok())
        .collect();
    format!("{text} {}", plain.join(" "))
}

/// The secrets in a text: each is a word.
fn secrets(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.starts_with("secret-")).map(str::to_owned).collect()
}

fn file_at(cluster: &Cluster, host: &str, path: &str) -> String {
    let node =
        cluster.topology.node(&host.parse().expect("a name")).expect("it is there");
    let files = files(cluster, node);
    let file = files.iter().find(|file| file.path.as_str() == path);
    read(file.unwrap_or_else(|| panic!("{host} gets no {path}")))
}

#[test]
fn each_secret_is_on_the_hosts_that_need_it_and_on_no_other() {
    let cluster = Cluster::of(APART);
    let mut holders: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for node in &cluster.topology.nodes {
        for secret in files(&cluster, node).iter().flat_map(|file| secrets(&read(file))) {
            holders.entry(secret).or_default().insert(node.host.as_str());
        }
    }
    for (secret, expected) in HOLDERS {
        let found = holders.remove(secret).unwrap_or_default();
        assert_eq!(found, expected.iter().copied().collect(), "{secret}");
    }
    assert_eq!(
        holders,
        BTreeMap::new(),
        "secrets of which nobody says who may hold them"
    );
}

/// README.md says what a task can reach: of the platform's secrets, only the login for images.
#[test]
fn a_task_can_read_the_login_for_images_and_no_other_secret() {
    let cluster = Cluster::of(APART);
    for host in ["agent-1", "agent-2"] {
        let node = cluster.topology.node(&host.parse().expect("a name")).expect("there");
        let is_readable = |file: &&File| {
            file.mode & 0o004 != 0
                || file.owner == mesos::TASKS
                || file.group == mesos::TASKS && file.mode & 0o040 != 0
        };
        let files = files(&cluster, node);
        let readable = files.iter().filter(is_readable);
        let found: BTreeSet<String> =
            readable.flat_map(|file| secrets(&read(file))).collect();
        assert_eq!(found, BTreeSet::from(["secret-registry-pull".to_owned()]), "{host}");
    }
}

fn run_tasks(cluster: &Cluster) -> [Value; 2] {
    [("master", "mesos-master"), ("agent-1", "mesos-agent")].map(|(host, folder)| {
        let acls = lists(cluster, host, folder);
        acls["run_tasks"][0]["users"]["values"].clone()
    })
}

fn lists(cluster: &Cluster, host: &str, folder: &str) -> Value {
    let text = file_at(cluster, host, &format!("/etc/platform/{folder}/acls.json"));
    serde_json::Deserializer::from_str(&text)
        .into_iter()
        .next()
        .expect("JSON")
        .expect("JSON")
}

/// The users that Marathon and Chronos set for tasks without a user.
fn usual_users(cluster: &Cluster) -> [bool; 2] {
    let user = run_tasks(cluster)[0][0].as_str().expect("a name").to_owned();
    let marathon = format!("/etc/systemd/system/{}", marathon::UNIT);
    let marathon = file_at(cluster, "marathon", &marathon);
    let chronos = file_at(cluster, "chronos", "/etc/platform/chronos/arguments");
    [
        marathon.contains(&format!(" --mesos_user {user} \\\n")),
        chronos.contains(&format!("--user {user}\n")),
    ]
}

#[test]
fn tasks_run_as_a_user_of_their_own_and_as_others_that_the_inventory_allows() {
    let mut cluster = Cluster::of(APART);
    assert_eq!(run_tasks(&cluster), [(); 2].map(|()| json!([mesos::TASKS])));
    assert_eq!(usual_users(&cluster), [true; 2]);
    let node = cluster.topology.agents().next().expect("there are two");
    let wants = cluster.wants(node, &cluster.answer(node, &[], ""));
    let is_made = |resource: &Resource| matches!(resource, Resource::User(user) if user.name == mesos::TASKS);
    assert!(wants.iter().any(|(_, resource)| is_made(resource)), "agents have the user");
    let allowed = "platform:\n  base: {users: [{name: deploy}]}\n  \
                   agents: {task_users: [deploy, root]}\n";
    cluster = Cluster::of(&format!("{APART}{allowed}"));
    let users = json!([mesos::TASKS, "deploy", "root"]);
    assert_eq!(run_tasks(&cluster), [users.clone(), users]);
    assert_eq!(usual_users(&cluster), [true; 2]);
}

/// Mesos keeps the user with which Marathon first registered: refusing that user at once would
/// end every app of a cluster that an earlier version created.
#[test]
fn tasks_that_began_as_root_go_on_until_the_inventory_says_who_may() {
    let unit = format!("/etc/systemd/system/{}", marathon::UNIT);
    let said = |text: &str| -> Facts {
        let lines = crate::cluster::holds(&unit, text);
        let text = BASE64_STANDARD.encode(text);
        let text = json!({"q": "text", "path": unit, "base64": text});
        probe::parse(&format!("{lines}{text}\n{{\"q\":\"end\"}}\n"), 0.0).expect("facts")
    };
    assert!(marathon::registered_as_root(&[said(
        "x\n    --mesos_user root \\\n    --y\n"
    )]));
    assert!(!marathon::registered_as_root(&[said("--mesos_user rooted \\\n"), said("")]));

    let mut cluster = Cluster::of(APART);
    cluster.inputs.as_root = true;
    assert_eq!(run_tasks(&cluster)[0], json!(["root", mesos::TASKS]));
    assert_eq!(usual_users(&cluster), [true; 2]);
    assert!(marathon::warning(&cluster.inputs).is_some());
    cluster.inputs.platform.task_users = Some(Vec::new());
    assert_eq!(run_tasks(&cluster)[0], json!([mesos::TASKS]));
    assert_eq!(marathon::warning(&cluster.inputs), None);
}

/// Every key that an access list of Mesos 1.11 may have, as its `acls.proto` defines them.
const DEFINED: &str = "permissive register_frameworks run_tasks reserve_resources \
    unreserve_resources create_volumes destroy_volumes teardown_frameworks update_weights \
    get_endpoints get_quotas update_quotas view_frameworks view_tasks view_executors \
    access_sandboxes access_mesos_logs view_roles view_flags \
    launch_nested_containers_as_user launch_nested_containers_under_parent_with_user \
    kill_nested_containers wait_nested_containers launch_nested_container_sessions_as_user \
    launch_nested_container_sessions_under_parent_with_user attach_containers_input \
    attach_containers_output view_containers set_log_level remove_nested_containers \
    register_agents update_maintenance_schedules get_maintenance_schedules \
    start_maintenances stop_maintenances get_maintenance_statuses drain_agents \
    deactivate_agents reactivate_agents mark_agents_gone launch_standalone_containers \
    kill_standalone_containers wait_standalone_containers remove_standalone_containers \
    view_standalone_containers modify_resource_provider_configs \
    mark_resource_providers_gone view_resource_providers prune_images resize_volumes \
    create_block_disks destroy_block_disks create_mount_disks destroy_mount_disks \
    destroy_raw_disks";

#[test]
fn every_key_of_the_access_lists_is_one_that_mesos_knows() {
    let cluster = Cluster::of(APART);
    let defined: Vec<&str> = DEFINED.split_whitespace().collect();
    for (host, folder) in [("master", "mesos-master"), ("agent-1", "mesos-agent")] {
        for key in lists(&cluster, host, folder).as_object().expect("lists").keys() {
            assert!(defined.contains(&key.as_str()), "{host}: {key}");
        }
    }
}

/// Whether a key is about reading only.
fn is_read(key: &str) -> bool {
    key.starts_with("view_")
        || ["get_endpoints", "access_sandboxes", "access_mesos_logs"].contains(&key)
}

#[test]
fn who_is_not_named_may_nothing_and_an_agent_may_only_register() {
    let cluster = Cluster::of(APART);
    for (host, folder) in [("master", "mesos-master"), ("agent-1", "mesos-agent")] {
        let lists = lists(&cluster, host, folder);
        assert_eq!(lists["permissive"], false);
        for (key, entries) in lists.as_object().expect("lists") {
            let Some(entries) = entries.as_array() else { continue };
            let names = |entry: &Value| entry["principals"]["values"].as_array().cloned();
            let named: Vec<Value> =
                entries.iter().flat_map(|entry| names(entry).expect("names")).collect();
            let expected = match key.as_str() {
                "register_frameworks" | "run_tasks" => json!(["marathon", "chronos"]),
                "register_agents" => json!(["agent"]),
                "reserve_resources"
                | "unreserve_resources"
                | "create_volumes"
                | "resize_volumes"
                | "destroy_volumes" => json!(["marathon"]),
                key if host == "master" && is_read(key) => json!(["platform", "edge"]),
                _ => json!(["platform"]),
            };
            assert_eq!(Value::from(named), expected, "{host}: {key}");
        }
    }
}
