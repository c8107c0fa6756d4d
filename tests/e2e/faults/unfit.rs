//! Unfit hosts: found before the first change.

use super::{SMALL, check_clean, check_untouched, check_up, unwrap, wrap};
use crate::harness::{CATALOG, Given, Lab, Machine, docker, turn, until};
use std::time::Duration;

#[test]
fn a_host_that_is_not_fit_is_told_before_anything_is_changed() {
    let _turn = turn();
    let given = Given::new(2);
    let (lab, machine) = (given.lab(SMALL), given.machine(1));
    a_full_disk(&lab, &machine);
    a_docker_that_is_too_new(&lab, &machine);
    engines_that_cannot_be_used(&lab, &given);
    an_address_that_a_host_does_not_have(&given);
    one_machine_that_is_written_twice(&given);
    control_groups_of_version_2_alone(&lab, &machine);
    a_port_that_another_program_holds(&lab, &machine);
    servers_that_forbid_forwarding(&lab, &given);
    a_server_that_runs_one_command_at_a_time(&lab, &machine);
    a_host_without_systemd(&given);
    an_image_that_the_catalogue_lacks(&lab);
    check_untouched(&given.machine(1));
    check_untouched(&given.machine(2));
    a_disk_that_fills_while_files_are_written(&given, &machine);
}

fn a_full_disk(lab: &Lab, machine: &Machine) {
    machine.sh(
        "mkdir /var/lib/platform && mount -t tmpfs -o size=64k none /var/lib/platform",
    );
    check_up(
        lab,
        4,
        &[
            "control-1: only 64KiB are free on /var/lib/platform; free some space",
            "nothing was changed",
        ],
    );
    machine.sh("umount /var/lib/platform && rmdir /var/lib/platform");
}

fn a_docker_that_is_too_new(lab: &Lab, machine: &Machine) {
    wrap(
        machine,
        "docker",
        "[ \"$1\" = info ] && echo '28.0.0 [] []' || exec /usr/bin/docker \"$@\"",
    );
    let inventory = with_needs(lab, "{docker: \"<26\"}");
    check_up(
        lab,
        4,
        &[
            "control-1: Docker 28.0.0 is too new for zookeeper 3.8.0, which needs a version below 26",
            "older Docker",
        ],
    );
    lab.file("lab.yaml", inventory);
    unwrap(machine, "docker");
}

/// As hardening guides recommend; the program reaches both hosts through their SSH servers.
fn servers_that_forbid_forwarding(lab: &Lab, given: &Given) {
    let machines = [1, 2].map(|number| given.machine(number));
    for machine in &machines {
        harden(machine, "AllowTcpForwarding no");
    }
    check_up(
        lab,
        4,
        &[
            "control-1: its SSH server forbids connections through it",
            "edge-1: its SSH server forbids connections through it",
            "AllowTcpForwarding",
            "nothing was changed",
        ],
    );
    for machine in &machines {
        soften(machine);
    }
}

fn a_server_that_runs_one_command_at_a_time(lab: &Lab, machine: &Machine) {
    harden(machine, "MaxSessions 1");
    check_up(
        lab,
        4,
        &["control-1: its SSH server runs only one command", "nothing was changed"],
    );
    soften(machine);
}

/// A restart ends when the server listens again, a reload before that; sessions survive both.
fn harden(machine: &Machine, setting: &str) {
    machine.sh(&format!(
        "echo '{setting}' >/etc/ssh/sshd_config.d/00-hard.conf && systemctl restart ssh"
    ));
}

fn soften(machine: &Machine) {
    machine.sh("rm /etc/ssh/sshd_config.d/00-hard.conf && systemctl restart ssh");
}

/// Two hosts, each with a different reason: both are reported at once.
fn engines_that_cannot_be_used(lab: &Lab, given: &Given) {
    let [podman, remapped] = [1, 2].map(|number| given.machine(number));
    wrap(&podman, "docker", "exec podman \"$@\"");
    let settings = "/etc/docker/daemon.json";
    remapped.sh(&format!(
        "mkdir -p /etc/docker && echo '{{\"userns-remap\": \"default\"}}' >{settings}"
    ));
    check_up(
        lab,
        4,
        &[
            "control-1: /usr/local/bin/docker is Podman's",
            "edge-1: Docker's setting `userns-remap` in /etc/docker/daemon.json does not let",
        ],
    );
    unwrap(&podman, "docker");
    remapped.sh(&format!("rm {settings}"));
}

fn an_address_that_a_host_does_not_have(given: &Given) {
    let control = "[{address: '{1}', name: control-1}]";
    let outer = "[{address: 203.0.113.11, name: control-1, ssh: '{1}'}]";
    let lab = given.lab(&SMALL.replace(control, outer));
    let (own, problem) = (given.address(1), "203.0.113.11 is not one of its addresses");
    let expected = format!("control-1: {problem} ({own}");
    check_up(&lab, 4, &[&expected, "nothing was changed", "and `ssh` to"]);
}

fn one_machine_that_is_written_twice(given: &Given) {
    let (machine, second) = (given.machine(1), given.address(9));
    machine.sh(&format!("ip address add {second}/24 dev eth0"));
    let twice = SMALL.replace("'{2}'", "'{9}'");
    check_up(&given.lab(&twice), 4, &["control-1 and edge-1 are the same machine"]);
    machine.sh(&format!("ip address delete {second}/24 dev eth0"));
}

/// A file at the root of the control groups shows that there is only version 2.
fn control_groups_of_version_2_alone(lab: &Lab, machine: &Machine) {
    let mark = "/sys/fs/cgroup/cgroup.controllers";
    let is_of_version_2 = machine.is(&format!("[ -e {mark} ]"));
    if !is_of_version_2 {
        machine.sh(&format!("mount -o remount,rw /sys/fs/cgroup && touch {mark}"));
    }
    let inventory = with_needs(lab, "{cgroups: v1}");
    let problem = "control-1: it has only control groups of version 2, ";
    check_up(
        lab,
        4,
        &["nothing was changed", problem, "zookeeper 3.8.0 needs version 1"],
    );
    lab.file("lab.yaml", inventory);
    if !is_of_version_2 {
        machine.sh(&format!("rm {mark} && mount -o remount,ro /sys/fs/cgroup"));
    }
}

/// Gives the inventory a catalogue whose ZooKeeper has these requirements, as a catalogue may set
/// them; returns the original inventory.
fn with_needs(lab: &Lab, needs: &str) -> String {
    let catalog = std::fs::read_to_string(CATALOG).expect("the repository has one");
    let images = CATALOG.strip_suffix("base.yaml").expect("its name");
    let needy = catalog
        .replace("build: ", &format!("build: {images}"))
        .replace("zookeeper}", &format!("zookeeper, needs: {needs}}}"));
    lab.file("needy.yaml", needy);
    let inventory = std::fs::read_to_string(lab.inventory()).expect("it was written");
    lab.file("lab.yaml", inventory.replace(CATALOG, "needy.yaml"));
    inventory
}

fn a_port_that_another_program_holds(lab: &Lab, machine: &Machine) {
    machine.sh(
        "systemd-run --quiet --unit stranger perl -MIO::Socket::INET -e '\
         @open = IO::Socket::INET->new(LocalPort => 2181, Listen => 1, ReuseAddr => 1) or die; sleep'",
    );
    until("the stranger", Duration::from_secs(10), || {
        machine.is("ss -Hltn 'sport = :2181' | grep -q .").then_some(())
    });
    let run = check_up(
        lab,
        4,
        &["port 2181, which ZooKeeper needs, is taken by perl (process "],
    );
    assert!(run.said().contains("stop that program"), "{}", run.said());
    machine.sh("systemctl stop stranger");
}

fn a_host_without_systemd(given: &Given) {
    let machine = given.machine(1);
    let inspect = |format: &str| {
        let words = ["inspect", "--format", format, machine.container()];
        String::from_utf8_lossy(&docker(&words).stdout).trim().to_owned()
    };
    let label =
        inspect("--label=platform.cluster={{index .Config.Labels \"platform.cluster\"}}");
    let network = inspect("--network={{.HostConfig.NetworkMode}}");
    let address = format!("--ip={}", given.address(5));
    let key = machine.sh("cat /etc/ssh/authorized_keys/platform");
    let boot = format!(
        "mkdir -p /run/sshd /etc/ssh/authorized_keys && ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key \
         && echo '{}' >/etc/ssh/authorized_keys/platform && exec /usr/sbin/sshd -D",
        key.trim()
    );
    let run = ["run", "--detach", "--entrypoint=sh", &label, &network, &address];
    let started =
        docker(&[&run[..], &[&inspect("{{.Config.Image}}"), "-c", &boot]].concat());
    assert!(started.status.success(), "{started:?}");
    let lab = given.lab(
        "groups: {node: {roles: [base], hosts: ['{5}']}}\nplatform: {images: {images}}\n",
    );
    until("an sshd", Duration::from_secs(30), || {
        (lab.run(&["exec", "--", "true"]).code == 0).then_some(())
    });
    check_up(&lab, 4, &["is not run by systemd", "boots with systemd"]);
}

fn an_image_that_the_catalogue_lacks(lab: &Lab) {
    let other = lab.file("catalog.yaml", "components: {}\n");
    let body = std::fs::read_to_string(lab.inventory()).expect("it is there");
    let lacking = body.replace(crate::harness::CATALOG, "catalog.yaml");
    lab.file("lab.yaml", lacking);
    let catalogue = other.file_name().and_then(|name| name.to_str()).expect("a name");
    check_up(lab, 3, &[catalogue, "has no image for registry", "`components`"]);
    lab.file("lab.yaml", body);
}

/// The check before the run cannot see everything: this disk is small, but it is not the one for
/// the data.
fn a_disk_that_fills_while_files_are_written(given: &Given, machine: &Machine) {
    let lab = given.lab(
        "groups: {node: {roles: [base], hosts: ['{1}']}}\n\
         platform:\n\
         \x20 images: {images}\n\
         \x20 firewall: {enabled: false}\n\
         \x20 base: {files: [{path: /mnt/a-small, source: first}, {path: /mnt/big, source: big}]}\n",
    );
    lab.file("first", "small");
    lab.file("big", vec![7; 256 << 10]);
    let body = std::fs::read_to_string(lab.inventory()).expect("it is there");
    lab.file("lab.yaml", body);
    machine.sh("mount -t tmpfs -o size=64k none /mnt");
    check_up(&lab, 1, &["/mnt/big", "No space left on device", "again to finish"]);
    assert_eq!(machine.sh("ls /mnt").trim(), "a-small");
    check_clean(machine);
    machine.sh("umount /mnt");
    check_up(&lab, 0, &["2 changes made"]);
    lab.run(&["down", "--yes", "--purge"]).exits(0);
    check_untouched(machine);
}
