//! Members that lose their data or their machine: the data of the others is never at risk.

use std::time::Duration;

use super::{check_finished, check_up};
use crate::harness::{Lab, docker, turn, until};

const DATA: &str = "/var/lib/platform/zookeeper";

/// The longest until a unit that ends after each start is noticed.
const SOON: Duration = Duration::from_secs(60);

const BODY: &str = "groups:\n\
    \x20 control: {roles: [control], count: 3, memory: 768MiB}\n\
    \x20 edge: {roles: [edge], count: 1, memory: 512MiB}\n\
    platform:\n\
    \x20 images: {images}\n\
    \x20 zookeeper: {heap: 128MiB}\n";

#[test]
fn what_members_lose_comes_back_from_a_majority_and_is_never_begun_anew() {
    let _turn = turn();
    let lab = Lab::local(BODY);
    lab.up();
    zookeeper(&lab, "control-1", "create /kept precious");
    one_member_loses_its_data(&lab);
    one_member_cannot_read_its_data(&lab);
    one_member_loses_its_machine(&lab);
    two_members_lose_their_data(&lab);
    all_members_lose_their_data(&lab);
}

fn one_member_loses_its_data(lab: &Lab) {
    wipe(lab, "control-3");
    check_up(lab, 0, &["control-3"]);
    check_kept(lab);
}

/// As after a power failure, which leaves an empty file.
fn one_member_cannot_read_its_data(lab: &Lab) {
    lab.machine("control-3").sh(&format!(
        "systemctl stop platform-zookeeper; : >{DATA}/version-2/acceptedEpoch; \
         systemctl start --no-block platform-zookeeper"
    ));
    let said = until("status to say what heals it", SOON, || {
        let status = lab.run(&["status"]).exits(1).said();
        status.contains("its data is broken: ").then_some(status)
    });
    assert!(said.contains("acceptedEpoch"), "ZooKeeper's own words: {said}");
    check_up(
        lab,
        1,
        &["platform-zookeeper.service on control-3", "its data is broken: "],
    );
    let (_, advice) = said.split_once("run `").expect("advice");
    let (command, _) = advice.split_once("` as root on this host").expect("advice");
    lab.machine("control-3").sh(command);
    check_up(lab, 0, &[]);
    check_kept(lab);
}

fn one_member_loses_its_machine(lab: &Lab) {
    let container = lab.machine("control-2").container().to_owned();
    assert!(docker(&["rm", "--force", &container]).status.success());
    let plan = lab.run(&["plan"]).exits(10).said();
    assert!(plan.contains("control-2\n    make container"), "{plan}");
    check_up(lab, 0, &["1 machine made or started"]);
    check_kept(lab);
}

fn two_members_lose_their_data(lab: &Lab) {
    wipe(lab, "control-1");
    wipe(lab, "control-2");
    let texts =
        ["data is gone from control-1, control-2", "if you know that control-3 has"];
    let refused = check_up(lab, 4, &texts).said();
    lab.run(&["plan"]).exits(4);
    lab.run(&["status"]).exits(1);
    // The advice in the message is correct.
    let (_, advice) = refused.split_once("run `").expect("advice");
    let (command, rest) = advice.split_once("` as root on ").expect("advice");
    let (host, _) = rest.split_once(';').expect("advice");
    lab.run(&["exec", "--sudo", "--limit", host, "--", "sh", "-c", command]).exits(0);
    lab.up();
    check_kept(lab);
}

fn all_members_lose_their_data(lab: &Lab) {
    for host in ["control-1", "control-2", "control-3"] {
        wipe(lab, host);
    }
    let texts =
        ["has served before", "none of control-1, control-2, control-3 has any data"];
    check_up(lab, 4, &texts);
    lab.run(&["plan"]).exits(4);
    // The advice when nothing can be restored.
    std::fs::remove_file(lab.state().join("ensemble-served")).expect("it is the note");
    lab.up();
    check_finished(lab);
}

/// Removes a member's data, including its number: it is down from now on, whatever systemd tries.
fn wipe(lab: &Lab, host: &str) {
    lab.machine(host).sh(&format!(
        "systemctl stop platform-zookeeper && rm -rf {DATA}/* && \
         ! systemctl start platform-zookeeper"
    ));
}

fn check_kept(lab: &Lab) {
    check_finished(lab);
    for host in ["control-1", "control-2", "control-3"] {
        let said = zookeeper(lab, host, "get /kept");
        assert!(said.contains("precious"), "{host} says {said}");
    }
}

/// Sends a command to a member as the administrator, with ZooKeeper's own client.
fn zookeeper(lab: &Lab, host: &str, command: &str) -> String {
    let password = std::fs::read_to_string(lab.state().join("secrets/zookeeper-super"));
    let password = password.expect("the state folder keeps it");
    lab.machine(host).sh(&format!(
        "printf 'addauth digest super:{password}\\n{command}\\nquit\\n' |
         docker exec -i platform-zookeeper /usr/lib/java/bin/java -Xmx64m \
           -Dorg.slf4j.simpleLogger.defaultLogLevel=off \
           -cp /usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar \
           org.apache.zookeeper.ZooKeeperMain -server $(hostname -i):2181"
    ))
}
