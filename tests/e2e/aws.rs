//! AWS machines without any components: created, found again, repaired, removed. EC2 is the test
//! double of tests/ec2, which needs no machines for this.

mod cuts;
mod down;
mod lifecycle;
mod made;
mod refused;
mod repairs;

use std::collections::BTreeMap;

use serde_json::json;

use crate::harness::{Ec2, Lab, Resource, Run};

/// Three machines with names over three zones, and agents.
const BODY: &str = "groups:
  control: {roles: [control], count: 3, type: m7i.large, disk: 50GiB}
  edge: {roles: [edge], count: 1, type: t3.medium}
  workers: {roles: [agent], count: 4, type: m7i.large}
platform: {images: {rehearsed}}
";
const N_MACHINES: usize = 8;

/// How many resources of each kind there are when everything is created.
const ALL: [(&str, usize); 6] = [
    ("vpc", 1),
    ("subnet", 3),
    ("internet-gateway", 1),
    ("security-group", 2),
    ("key-pair", 1),
    ("instance", N_MACHINES),
];

/// Runs `up` of the machines only, and expects success.
fn up(lab: &Lab) -> Run {
    lab.run(&["up", "--machines-only", "--yes", "-o", "json"])
}

/// An account where no machine counts as booting: a plan does not wait for its login, which comes
/// never.
fn with_old_machines() -> Ec2 {
    let ec2 = Ec2::start();
    ec2.set_faults(&json!({"age": 3600}));
    ec2
}

/// Checks that everything in the inventory exists exactly once.
fn is_whole(ec2: &Ec2) {
    for (kind, n) in ALL {
        let found = ec2.of_kind(kind);
        assert_eq!(found.len(), n, "{kind}: {found:#?}");
    }
    let zones: BTreeMap<String, usize> =
        ec2.of_kind("instance").into_iter().fold(BTreeMap::new(), |mut zones, found| {
            *zones.entry(found.zone.expect("a zone")).or_default() += 1;
            zones
        });
    assert_eq!(zones.len(), 3, "{zones:?}");
}

/// Checks that nothing is left except the terminated instances that AWS still shows.
fn is_empty(ec2: &Ec2) {
    let left = ec2.resources().into_iter();
    let left: Vec<_> =
        left.filter(|found| found.state.as_deref() != Some("terminated")).collect();
    assert!(left.is_empty(), "{left:#?}");
}

/// The instance of the machine with the given name.
fn node(ec2: &Ec2, name: &str) -> Resource {
    let found = ec2.of_kind("instance").into_iter();
    let mut of_name = found
        .filter(|found| found.tags.get("platform:node").is_some_and(|node| node == name));
    of_name.next().unwrap_or_else(|| panic!("there is no {name}"))
}

/// Adds a line under `provider.aws`.
fn also(lab: &Lab, line: &str) {
    let text = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    let text = text.replace("  aws:\n", &format!("  aws:\n    {line}\n"));
    lab.file("lab.yaml", text);
}

/// Stops all faults.
fn calm(ec2: &Ec2) {
    ec2.set_faults(&json!({}));
}
