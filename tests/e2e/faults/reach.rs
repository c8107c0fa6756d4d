//! Hosts that cannot be reached, or where the program cannot work.

use std::process::Command;

use super::{BARE, check_untouched, check_up};
use crate::harness::{Given, turn};

#[test]
fn a_host_that_cannot_be_worked_on_says_why_and_where() {
    let _turn = turn();
    let given = Given::new(1);
    unreachable_hosts_are_listed_one_by_one(&given);
    a_key_that_the_host_does_not_know_is_named(&given);
    a_changed_host_key_stops_the_run_and_names_file_and_line(&given);
    a_look_pins_no_host_key(&given);
    an_unknown_host_key_is_not_taken_where_nobody_can_be_asked(&given);
    a_user_who_may_not_become_root_learns_what_to_set(&given);
    check_untouched(&given.machine(1));
}

fn unreachable_hosts_are_listed_one_by_one(given: &Given) {
    let lab = given.lab(
        "groups: {node: {roles: [base], hosts: ['{1}', '{8}', '{9}']}}\n\
         platform: {images: {images}}\n",
    );
    let run = check_up(&lab, 5, &["cannot connect to 2 hosts", "Nothing was changed"]);
    for number in [8, 9] {
        let host = given.address(number);
        let line = format!("\n  cannot reach {host}: {host}: ");
        assert!(run.said().contains(&line), "{}", run.said());
    }
}

fn a_key_that_the_host_does_not_know_is_named(given: &Given) {
    let lab = given.lab_with("{user: platform, key: wrong, host_keys: accept-new}", BARE);
    let key = lab.folder().join("wrong");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.expect("ssh-keygen runs").success());
    check_up(
        &lab,
        5,
        &[
            "does not accept the login of `platform`",
            "wrong (refused)",
            "authorized_keys",
        ],
    );
}

fn a_changed_host_key_stops_the_run_and_names_file_and_line(given: &Given) {
    let lab = given.lab(BARE);
    check_up(&lab, 0, &["nothing to do"]);
    let machine = given.machine(1);
    machine.sh(
        "cd /etc/ssh && mkdir /root/old && mv ssh_host_ed25519_key* /root/old && \
         ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key && systemctl restart ssh",
    );
    let place = lab.state().join("known_hosts:1");
    for verb in ["plan", "up"] {
        let run = lab.run(&[verb]).exits(4);
        let said = run.said();
        assert!(said.contains("has changed: it shows ssh-ed25519 SHA256:"), "{said}");
        assert!(said.contains(&place.display().to_string()), "{said}");
    }
    machine.sh("mv /root/old/* /etc/ssh/ && rmdir /root/old && systemctl restart ssh");
    check_up(&lab, 0, &["nothing to do"]);
}

fn a_look_pins_no_host_key(given: &Given) {
    let lab = given.lab(BARE);
    let pins = lab.state().join("known_hosts");
    lab.run(&["plan"]).exits(0);
    assert!(!pins.exists(), "a plan changes nothing, on this computer either");
    lab.run(&["exec", "--", "true"]).exits(0);
    assert!(pins.exists());
}

fn an_unknown_host_key_is_not_taken_where_nobody_can_be_asked(given: &Given) {
    let access = format!("{{{}, host_keys: ask}}", given.login());
    let lab = given.lab_with(&access, BARE);
    check_up(&lab, 4, &["was not accepted", "SHA256:", "host_keys: accept-new"]);
    assert!(!lab.state().join("known_hosts").exists());
}

fn a_user_who_may_not_become_root_learns_what_to_set(given: &Given) {
    let lab = given.lab(BARE);
    let machine = given.machine(1);
    machine.sh("mv /etc/sudoers.d/platform /root/sudoers");
    check_up(&lab, 5, &["cannot become root", "sudo_password", "NOPASSWD"]);
    let with_password = |password: &str| {
        std::fs::write(lab.folder().join("password"), password).expect("it is ours");
        let access = format!(
            "{{{}, host_keys: accept-new, sudo_password: {{file: {}}}}}",
            given.login(),
            lab.folder().join("password").display()
        );
        given.lab_with(&access, BARE)
    };
    machine.sh("echo 'platform ALL=(ALL) ALL' >/etc/sudoers.d/password && \
         echo platform:open-sesame | chpasswd");
    let refused = check_up(&with_password("sesame-open"), 5, &["does not accept"]);
    assert!(!refused.said().contains("sesame"), "{}", refused.said());
    check_up(&with_password("open-sesame"), 0, &["nothing to do"]);
    machine.sh("rm /etc/sudoers.d/password && usermod -p '*' platform && \
         mv /root/sudoers /etc/sudoers.d/platform");
}
