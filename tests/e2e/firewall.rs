//! The firewall of machines that exist: it locks nobody out, touches nothing of others, and goes.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use platform::event::{Event, RunResult};

use crate::harness::{Given, Lab, Machine, until};

/// The longest that a machine of this computer may take to answer.
const ANSWER: Duration = Duration::from_secs(1);

/// Longer than new rules are on trial.
const TAKEN_BACK: Duration = Duration::from_secs(90);

fn body(firewall: &str) -> String {
    format!(
        "groups: {{all: {{roles: [base], hosts: [{{address: '{{1}}', name: one}}, \
         {{address: '{{2}}', name: two}}]}}}}\nplatform: {{firewall: {{{firewall}}}}}\n"
    )
}

#[test]
fn a_firewall_locks_nobody_out_and_touches_nothing_of_others() {
    let _turn = crate::harness::turn();
    let given = Given::new(2);
    let machine = given.machine(1);
    machine.sh("nft add table inet operator");
    let gateway = given.address(1).replace(".11", ".1");
    let right = given.fill(&body(&format!("admin_cidrs: [{gateway}/32]")));
    let lab = given.lab(&right);

    let (answers, is_in) = (|n| answers(&given.address(n)), |n| reaches_two(&given, n));
    assert_eq!(lab.up().result(), RunResult::Changed);
    lab.is_settled();
    assert!(answers(1) && is_in(1), "administrators and hosts are let in");
    assert!(has_table(&machine, "operator") && has_table(&machine, "platform"));

    is_seen_when_it_was_flushed(&lab, &machine);
    comes_back_after(&machine, "systemctl restart nftables");
    machine.sh("systemctl stop nftables");
    lab.up();
    machine.stop();
    machine.start();
    until("rules and logins after a boot", Duration::from_secs(30), || {
        (has_table(&machine, "platform") && answers(1)).then_some(())
    });

    let wrong = given.fill(&body("admin_cidrs: [203.0.113.0/24]"));
    takes_a_mistake_back(&lab, &wrong, &gateway);
    assert!(answers(1) && answers(2));
    takes_back_what_a_killed_run_left(&lab, &machine, &wrong);
    lab.rewrite(&right);
    lab.up();
    lab.is_settled();

    lab.rewrite(&given.fill(&body("enabled: false")));
    let up = lab.up();
    assert!(up.said().contains("firewall is switched off"), "{}", up.said());
    assert!(!has_table(&machine, "platform"));
    lab.rewrite(&right);
    lab.up();
    machine.sh("nft add table inet operator");
    lab.run(&["down", "--yes"]).exits(0);
    assert!(has_table(&machine, "operator") && !has_table(&machine, "platform"));
    assert!(!machine.is("systemctl cat platform-firewall || [ -e /etc/platform ]"));
}

fn answers(address: &str) -> bool {
    let address: SocketAddr = format!("{address}:22").parse().expect("an address");
    TcpStream::connect_timeout(&address, ANSWER).is_ok()
}

/// Whether the first machine reaches the second, as a host of the cluster.
fn reaches_two(given: &Given, from: u8) -> bool {
    let two = given.address(2);
    given.machine(from).is(&format!("timeout 2 bash -c '</dev/tcp/{two}/22'"))
}

fn has_table(machine: &Machine, name: &str) -> bool {
    machine.is(&format!("nft list table inet {name} >/dev/null 2>&1"))
}

fn is_seen_when_it_was_flushed(lab: &Lab, machine: &Machine) {
    for by_hand in ["nft flush ruleset", "nft insert rule inet platform incoming accept"]
    {
        machine.sh(by_hand);
        let plan = lab.run(&["plan"]).exits(10);
        let said = "load firewall: was changed or removed by someone else";
        assert!(plan.stdout.contains(said), "{by_hand}: {}", plan.stdout);
        assert_eq!(lab.up().result(), RunResult::Changed);
        lab.is_settled();
    }
}

fn comes_back_after(machine: &Machine, flush: &str) {
    machine.sh("systemctl start nftables && systemctl restart platform-firewall");
    machine.sh(flush);
    until("rules after a flush", Duration::from_secs(10), || {
        has_table(machine, "platform").then_some(())
    });
}

fn takes_a_mistake_back(lab: &Lab, wrong: &str, from: &str) {
    lab.rewrite(wrong);
    let up = lab.run(&["up", "--yes"]).exits(1);
    for part in [
        "the firewall of one was taken back: a new SSH connection did not get through",
        &format!("add {from}, from which your connections reach it, to `admin_cidrs`"),
    ] {
        assert!(up.said().contains(part), "{part}: {}", up.said());
    }
    let plan = lab.run(&["plan"]).exits(10);
    assert!(plan.stdout.contains("load firewall: has other rules"), "{}", plan.stdout);
}

fn takes_back_what_a_killed_run_left(lab: &Lab, machine: &Machine, wrong: &str) {
    lab.rewrite(wrong);
    let mut running = lab.start(&["up", "--yes", "-o", "json"]);
    running.wait_for("the new rules", |event| {
        matches!(event, Event::StepStarted { step, .. } if step == "load firewall")
    });
    until("the new rules", Duration::from_secs(10), || {
        machine.is("grep -q ^tried /run/platform/firewall").then_some(())
    });
    running.kill();
    until("the rules from before", TAKEN_BACK, || {
        machine.is("grep -q ^confirmed /run/platform/firewall").then_some(())
    });
}
