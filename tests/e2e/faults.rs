//! Real faults: each one gives a clear message and a matching exit code, and leaves nothing
//! half-finished.

mod cut;
mod drift;
mod files;
mod forgotten;
mod kill;
mod members;
mod reach;
mod state;
mod unfit;

use crate::harness::{Given, Lab, Machine, Run};

/// One host without any component.
const BARE: &str = "groups: {node: {roles: [base], hosts: ['{1}']}}\n\
                    platform: {images: {images}, firewall: {enabled: false}}\n";

/// The smallest cluster: one member and one registry.
const SMALL: &str = "groups:\n\
    \x20 control: {roles: [control], hosts: [{address: '{1}', name: control-1}]}\n\
    \x20 edge: {roles: [edge], hosts: [{address: '{2}', name: edge-1}]}\n\
    platform:\n\
    \x20 images: {images}\n\
    \x20 zookeeper: {heap: 128MiB}\n";

/// Runs `up`, which must end with this exit code and print all of these texts.
fn check_up(lab: &Lab, code: i32, texts: &[&str]) -> Run {
    let run = lab.run(&["up", "--yes"]).exits(code);
    let said = run.said();
    for text in texts {
        assert!(said.contains(text), "`{text}` is not in:\n{said}");
    }
    run
}

/// Checks that `plan` finds nothing to do.
fn check_finished(lab: &Lab) {
    lab.run(&["plan"]).exits(0);
}

/// Checks that no run left anything half-written or half-sent on a machine.
fn check_clean(machine: &Machine) {
    let left = machine.sh(
        "find / -xdev \\( -path /proc -o -path /sys -o -path /var/lib/docker \\) -prune -o \
         \\( -name '*.platform-new' -o -path '/var/lib/platform/*.new' \
         -o -path /var/lib/platform/staged -o -path /run/platform/out \\) -print",
    );
    assert_eq!(left, "", "left on {}", machine.container());
}

/// Checks that the program never changed a machine.
fn check_untouched(machine: &Machine) {
    let touched = machine.is("ls -d /var/lib/platform /etc/platform");
    assert!(!touched, "{} was changed", machine.container());
}

/// Puts a program in front of the one with this name on a machine.
fn wrap(machine: &Machine, name: &str, script: &str) {
    machine.sh(&format!(
        "cat >/usr/local/bin/{name} <<'END'\n#!/bin/sh\n{script}\nEND\n\
         chmod 755 /usr/local/bin/{name}"
    ));
}

fn unwrap(machine: &Machine, name: &str) {
    machine.sh(&format!("rm /usr/local/bin/{name}"));
}

/// The small cluster on its own machines, up.
fn small() -> (Given, Lab) {
    let given = Given::new(2);
    let lab = given.lab(SMALL);
    lab.up();
    (given, lab)
}
