//! Plans for machines that do not exist yet, against what new machines really answer.

use std::collections::{BTreeMap, BTreeSet};

use platform::component::{self, Context};
use platform::host::HostName;
use platform::plan::{Foreseen, MembersHealth, Plan};
use platform::resource::Facts;
use platform::resource::probe::Questions;

use crate::cluster::Cluster;

fn cluster(worker: &str) -> Cluster {
    Cluster::of(&format!(
        "cluster: rack7\nprovider: {{ssh: {{}}}}\nplatform: {{base: {{sysctls: \
         {{vm.max_map_count: \"262144\"}}, packages: [jq]}}}}\ngroups:\n  \
           control: {{roles: [control], hosts: [{{address: 10.0.0.1, name: c1}}]}}\n  \
           edge: {{roles: [edge], hosts: [{{address: 10.0.0.11, name: e1}}]}}\n  \
           workers: {{roles: [agent], hosts: [{{address: 10.0.0.31, name: {worker}}}]}}\n"
    ))
}

/// No host runs yet.
fn none() -> BTreeSet<HostName> {
    BTreeSet::new()
}

/// What is planned of machines before they exist.
fn before(cluster: &mut Cluster) -> Plan {
    let nodes = cluster.topology.nodes.iter();
    let facts: BTreeMap<HostName, Facts> = nodes
        .map(|node| {
            let context =
                Context { topology: &cluster.topology, node, inputs: &cluster.inputs };
            let wants = component::wants(context, &Facts::default()).unwrap();
            let mut asked = Questions::about(wants.iter().map(|(_, resource)| resource));
            component::ask(context, &mut asked);
            (node.host.clone(), Facts::of_new_machine(&asked))
        })
        .collect();
    cluster.plan(&facts, &MembersHealth::default(), &[]).unwrap()
}

/// What is planned once they answer; `there` is what each has by then.
fn after(cluster: &mut Cluster, also: &str) -> Plan {
    let nodes = cluster.topology.nodes.iter();
    let facts: BTreeMap<HostName, Facts> =
        nodes.map(|node| (node.host.clone(), cluster.answer(node, &[], also))).collect();
    cluster.plan(&facts, &MembersHealth::default(), &[]).unwrap()
}

#[test]
fn a_new_machine_gets_what_was_planned_for_it_and_nothing_else() {
    let mut cluster = cluster("w1");
    let plan = before(&mut cluster);
    let real = after(&mut cluster, "");
    assert_eq!(plan.n_changes(), real.n_changes());
    let foreseen = Foreseen::of(&plan, &none(), &BTreeMap::new());
    assert_eq!(foreseen.missing(&real, &cluster.topology, &[]), [""; 0]);
}

#[test]
fn what_a_machine_needs_beyond_that_is_named_and_what_it_has_already_is_not() {
    let mut cluster = cluster("w1");
    let foreseen = Foreseen::of(&before(&mut cluster), &none(), &BTreeMap::new());
    // It has the package, and a directory that everyone may write to.
    let also = "{\"q\":\"package\",\"name\":\"jq\",\"status\":\"installed\",\"version\":\"1.6\"}\n\
                {\"q\":\"path\",\"path\":\"/etc/platform\",\"kind\":\"directory\",\"mode\":\"777\",\
                \"owner\":[\"root\",\"0\"],\"group\":[\"root\",\"0\"]}";
    let real = after(&mut cluster, also);
    let missing = foreseen.missing(&real, &cluster.topology, &[]);
    let change = |host| format!("{host}: set access of directory /etc/platform");
    for (said, expected) in missing.iter().zip(["c1", "e1", "w1"].map(change)) {
        assert!(said.starts_with(&expected), "{missing:?}");
    }
    assert_eq!(missing.len(), 3, "{missing:?}");
}

#[test]
fn a_machine_that_its_provider_names_gets_what_was_planned_for_one_of_its_group() {
    let mut planned = cluster("new-workers-1");
    let plan = before(&mut planned);
    let name: HostName = "new-workers-1".parse().unwrap();
    let unnamed = BTreeMap::from([(name, "workers".to_owned())]);
    let foreseen = Foreseen::of(&plan, &none(), &unnamed);
    let mut real = cluster("i-0123456789abcdef0");
    let plan = after(&mut real, "");
    assert_eq!(foreseen.missing(&plan, &real.topology, &[]), [""; 0]);
    let of_nobody = Foreseen::of(&before(&mut planned), &none(), &BTreeMap::new());
    let missing = of_nobody.missing(&plan, &real.topology, &[]);
    assert!(!missing.is_empty() && missing.iter().all(|line| line.starts_with("i-0")));
}

#[test]
fn an_image_that_is_built_later_brings_no_other_change() {
    let mut cluster = cluster("w1");
    let id = cluster.inputs.images.values().last().unwrap().id.clone();
    let all: Vec<String> =
        cluster.inputs.images.values().map(|image| image.id.clone()).collect();
    for image in cluster.inputs.images.values_mut() {
        image.id = "sha256:IMAGE-ID".to_owned();
    }
    let foreseen = Foreseen::of(&before(&mut cluster), &none(), &BTreeMap::new());
    for (image, id) in cluster.inputs.images.values_mut().zip(&all) {
        image.id.clone_from(id);
    }
    let real = after(&mut cluster, "");
    assert!(!foreseen.missing(&real, &cluster.topology, &[]).is_empty(), "{id}");
    let digits = |id: &String| id.trim_start_matches("sha256:").to_owned();
    let ids: Vec<(String, String)> =
        all.iter().map(|id| (digits(id), "IMAGE-ID".to_owned())).collect();
    assert_eq!(foreseen.missing(&real, &cluster.topology, &ids), [""; 0]);
}

#[test]
fn a_file_that_replaces_something_is_not_the_file_that_was_missing() {
    let mut cluster = cluster("w1");
    let foreseen = Foreseen::of(&before(&mut cluster), &none(), &BTreeMap::new());
    let path = "/etc/platform/docker/config.json";
    let also = format!(
        "{{\"q\":\"path\",\"path\":\"{path}\",\"kind\":\"directory\",\"mode\":\"755\",\
         \"owner\":[\"root\",\"0\"],\"group\":[\"root\",\"0\"]}}"
    );
    let real = after(&mut cluster, &also);
    let missing = foreseen.missing(&real, &cluster.topology, &[]);
    assert!(!missing.is_empty());
    assert!(missing.iter().all(|line| line.contains(path)), "{missing:?}");
}

#[test]
fn a_host_that_ran_already_is_not_one_of_the_new_machines_of_its_group() {
    let mut planned = cluster("new-workers-1");
    let name: HostName = "new-workers-1".parse().unwrap();
    let unnamed = BTreeMap::from([(name, "workers".to_owned())]);
    let plan = before(&mut planned);
    // It was there and lacked nothing; now it lacks all.
    let mut real = cluster("i-0123456789abcdef0");
    let running: BTreeSet<HostName> = ["i-0123456789abcdef0".parse().unwrap()].into();
    let foreseen = Foreseen::of(&plan, &running, &unnamed);
    let plan = after(&mut real, "");
    let missing = foreseen.missing(&plan, &real.topology, &[]);
    assert!(!missing.is_empty() && missing.iter().all(|line| line.starts_with("i-0")));
}

#[test]
fn on_a_host_that_ran_already_the_text_that_differs_has_to_be_the_same() {
    let mut cluster = cluster("w1");
    let all: BTreeSet<HostName> =
        cluster.topology.nodes.iter().map(|node| node.host.clone()).collect();
    let real = after(&mut cluster, "");
    let foreseen = Foreseen::of(&real, &all, &BTreeMap::new());
    assert_eq!(foreseen.missing(&real, &cluster.topology, &[]), [""; 0]);
    let other = real.clone().without_diffs(&all);
    let missing = foreseen.missing(&other, &cluster.topology, &[]);
    assert!(!missing.is_empty(), "a text differs");
    // The firewall's rules contain the addresses of machines that did not exist.
    assert!(missing.iter().all(|line| !line.contains("rules.nft")), "{missing:#?}");
}
