//! Existing machines: `up` installs what is missing, and `down` leaves them as they were.

use platform::event::RunResult;

use crate::harness::{Given, Lab, Machine, Traces, turn};

const BODY: &str = "
groups: {all: {roles: [control, edge], hosts: [{address: '{1}', name: rack-1}]}}
platform:
  images: {images}
  zookeeper: {heap: 128MiB}
  base:
    packages: [tree]
    users: [{name: deploy}]
    sysctls: {net.ipv4.tcp_keepalive_time: '1234'}
";

#[test]
fn a_machine_without_docker_gets_all_it_needs_and_is_left_as_it_was() {
    let _turn = turn();
    let given = Given::new(1);
    given.remove_docker(1);
    let machine = given.machine(1);
    let before = Traces::on(&machine);
    let lab = given.lab(BODY);

    assert_eq!(lab.up().result(), RunResult::Changed);
    lab.is_settled();
    assert_eq!(lab.up().result(), RunResult::Unchanged);
    let status = lab.run(&["status"]).exits(0);
    assert!(status.stdout.contains("rack-1 leads"), "{}", status.said());

    is_not_another_cluster_s(&lab);
    keeps_data_unless_it_is_purged(&lab, &machine);
    let difference = before.difference(&Traces::on(&machine));
    assert!(difference.is_empty(), "{difference:#?}");
}

fn is_not_another_cluster_s(lab: &Lab) {
    let text = std::fs::read_to_string(lab.inventory()).expect("it was written");
    let text = text.replace(lab.cluster(), "other");
    let other = lab.file("other.yaml", text);
    let belongs = format!("rack-1: it belongs to the cluster `{}`", lab.cluster());
    for verb in ["up", "down"] {
        let run = lab.program().arg(verb).arg(&other).arg("--yes").output();
        let run = run.expect("the program starts");
        let said = String::from_utf8_lossy(&run.stdout);
        assert_eq!(run.status.code(), Some(4), "{verb}: {said}");
        assert!(said.contains(&belongs), "{verb}: {said}");
    }
    lab.is_settled();
}

fn keeps_data_unless_it_is_purged(lab: &Lab, machine: &Machine) {
    let refused = lab.run(&["down"]).exits(4);
    assert!(machine.is("systemctl is-active platform-zookeeper"), "{}", refused.said());

    let down = lab.run(&["down", "--yes", "-o", "json"]).exits(0);
    assert_eq!(down.result(), RunResult::Changed);
    assert!(machine.is("[ -s /var/lib/platform/zookeeper/version-2/acceptedEpoch ]"));
    assert!(machine.is("[ -d /var/lib/platform/registry/docker ]"));
    assert!(!machine.is("systemctl cat platform-zookeeper"));
    let again = lab.run(&["down", "--yes", "-o", "json"]).exits(0);
    assert_eq!(again.result(), RunResult::Unchanged, "{}", again.said());

    let purge = lab.run(&["down", "--purge", "--yes", "-o", "json"]).exits(0);
    assert_eq!(purge.result(), RunResult::Changed);
    let again = lab.run(&["down", "--purge", "--yes", "-o", "json"]).exits(0);
    assert_eq!(again.result(), RunResult::Unchanged, "{}", again.said());
}
