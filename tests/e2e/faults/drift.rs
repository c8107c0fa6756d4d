//! Manual changes that the program does not know of: shown by `plan`, repaired by `up`.

use zookeeper_client::Acls;

use super::state::a_state_folder_that_was_lost;
use super::{check_clean, check_finished, check_up, small};
use crate::harness::{Given, Lab, inside, turn, zookeeper_client};

const REGISTRY: &str = "platform-registry.service";
const MEMBER: &str = "platform-zookeeper.service";

#[test]
fn what_was_changed_by_hand_is_shown_and_put_right() {
    let _turn = turn();
    let (given, lab) = small();
    a_file_of_ours_that_was_edited(&given, &lab);
    a_unit_that_was_stopped(&given, &lab);
    a_node_that_was_opened_before_its_member_stopped(&given, &lab);
    a_registry_password_that_was_changed_on_the_host(&given, &lab);
    a_registry_password_that_was_changed_on_this_computer(&given, &lab);
    a_state_folder_that_was_lost(&given, &lab);
    for number in [1, 2] {
        check_clean(&given.machine(number));
    }
}

fn a_file_of_ours_that_was_edited(given: &Given, lab: &Lab) {
    let machine = given.machine(1);
    let file = "/etc/platform/zookeeper/zoo.cfg";
    let before = machine.sh(&format!("cat {file}"));
    let since = format!("systemctl show -P ExecMainStartTimestamp {MEMBER}");
    let started = machine.sh(&since);
    machine.sh(&format!("sed -i s/tickTime=2000/tickTime=3000/ {file}"));
    let plan = lab.run(&["plan"]).exits(10).said();
    for text in [file, "-tickTime=3000", "+tickTime=2000"] {
        assert!(plan.contains(text), "`{text}` is not in:\n{plan}");
    }
    check_up(lab, 0, &["1 change made on 1 host"]);
    assert_eq!(machine.sh(&format!("cat {file}")), before);
    assert_eq!(machine.sh(&since), started, "it never read what was edited");
    check_finished(lab);
    let restart = format!("systemctl restart {MEMBER}");
    machine.sh(&format!("sed -i s/tickTime=2000/tickTime=3000/ {file} && {restart}"));
    check_up(lab, 0, &["2 changes made on 1 host", "restart unit"]);
    assert_eq!(machine.sh(&format!("cat {file}")), before);
    check_finished(lab);
}

fn a_unit_that_was_stopped(given: &Given, lab: &Lab) {
    let machine = given.machine(2);
    machine.sh(&format!("systemctl stop {REGISTRY}"));
    let plan = lab.run(&["plan"]).exits(10).said();
    assert!(plan.contains("start unit platform-registry.service: is "), "{plan}");
    check_up(lab, 0, &["start unit platform-registry.service"]);
    machine.sh(&format!("systemctl is-active {REGISTRY}"));
    check_finished(lab);
}

/// The first look sees no node; the same run looks again once the member serves.
fn a_node_that_was_opened_before_its_member_stopped(given: &Given, lab: &Lab) {
    let password = std::fs::read_to_string(lab.state().join("secrets/zookeeper-super"));
    let password = password.expect("the state folder keeps it");
    let member = given.address(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let opened = async {
        let members = format!("{member}:2181");
        let admin = zookeeper_client(&members, "super", &password).await?;
        admin.set_acl("/", &Acls::anyone_all(), None).await
    };
    inside(&member, || runtime.block_on(opened)).expect("the administrator may");
    given.machine(1).sh(&format!("systemctl stop {MEMBER}"));
    check_up(
        lab,
        0,
        &["start unit platform-zookeeper.service", "set the access list of /"],
    );
    check_finished(lab);
}

fn a_registry_password_that_was_changed_on_the_host(given: &Given, lab: &Lab) {
    let machine = given.machine(2);
    let file = "/etc/platform/registry/htpasswd";
    let before = machine.sh(&format!("cat {file}"));
    machine.sh(&format!("sed -i 's/^platform:.*/platform:changed-by-hand/' {file}"));
    let plan = lab.run(&["plan"]).exits(10).said();
    assert!(plan.contains(file), "{plan}");
    assert!(!plan.contains("changed-by-hand") && !plan.contains("$2y$"), "{plan}");
    check_up(lab, 0, &["write file /etc/platform/registry/htpasswd"]);
    assert_eq!(machine.sh(&format!("cat {file}")), before);
    check_finished(lab);
}

fn a_registry_password_that_was_changed_on_this_computer(given: &Given, lab: &Lab) {
    let secret = lab.state().join("secrets/registry");
    std::fs::write(&secret, "chosen-by-hand").expect("the folder is ours");
    let up = check_up(lab, 0, &["write file /etc/platform/registry/htpasswd"]);
    assert!(!up.said().contains("chosen-by-hand"), "{}", up.said());
    check_finished(lab);
    // The hosts pull with it.
    let member = given.machine(1);
    member.sh(&format!("systemctl stop {MEMBER} && docker image prune --all --force"));
    check_up(lab, 0, &["pull image zookeeper"]);
    check_finished(lab);
}
