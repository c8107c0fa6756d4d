//! A platform that grows: machines are added to it, and other machines only let them in.
//!
//! Each provider has one platform, because one is expensive to create: a test follows its whole
//! life.

use std::fs;

use platform::event::{Event, RunResult};
use serde_json::Value;

use crate::harness::{Given, Lab, Machine, Run, Writes, turn};

const BODY: &str = "
groups:
    control: {roles: [control], count: 1, memory: 1GiB}
    edge: {roles: [edge], count: 1, memory: 512MiB}
    workers:   # they do the work
      roles: [agent]
      count:   1   # until spring
      memory: &small 512MiB
platform:
  images: {rehearsed}
  zookeeper: {heap: 128MiB}
";

#[test]
fn machines_are_made_for_a_group_and_others_only_let_them_in() {
    let _turn = turn();
    let lab = Lab::local(BODY);
    lab.up();
    says_what_cannot_be_added(&lab);
    // It differs from its wanted state, and is not checked.
    lab.machine("edge-1").sh("mkdir -m 700 /opt/drift && chmod 701 /etc/platform");
    let others = ["control-1", "edge-1", "workers-1"].map(|host| lab.machine(host));
    let others = Others::of(others);
    let text = fs::read_to_string(lab.inventory()).expect("it is there");
    is_finished_by_the_same_words_after_it_was_killed(&lab, &text);
    others.only_let_them_in();
    registered(&lab, 3);
    let plan = lab.run(&["plan"]).exits(10);
    assert!(plan.stdout.contains("edge-1"), "{}", plan.said());
    is_finished_by_up_after_it_was_killed(&lab);
    registered(&lab, 4);
    is_not_for_a_cluster_that_lacks_machines(&lab);
    lab.run(&["down", "--yes"]).exits(0);
    assert_eq!(lab.remains(), [""; 0]);
}

/// Nothing is written if the files already show that the change is impossible.
fn says_what_cannot_be_added(lab: &Lab) {
    let text = fs::read(lab.inventory()).expect("it is there");
    let said = |words: &[&str], code: i32, said: &str| {
        let run = lab.run(&[&["add-node"], words].concat()).exits(code);
        assert!(run.said().contains(said), "{said}: {}", run.said());
        assert_eq!(fs::read(lab.inventory()).ok().as_ref(), Some(&text), "{words:?}");
    };
    said(&["10.9.9.9", "--yes"], 2, "say how many to add with `--count`");
    said(&["--count", "0"], 2, "0 is not in 1..=65535");
    said(&["--count", "1", "--group", "worker"], 2, "did you mean `workers`?");
    said(&["--count", "2", "--group", "control"], 4, "decides by a majority");
    said(&["--count", "250", "--yes"], 3, "has room for 244 machines");
    let asked = lab.run(&["add-node", "--count", "2"]).exits(4);
    let diff = "-      count:   1   # until spring\n+      count:   3   # until spring\n";
    assert!(asked.stderr.contains(diff), "{}", asked.said());
    assert!(asked.stderr.contains("workers-3\n    make container"), "{}", asked.said());
    assert_eq!(fs::read(lab.inventory()).ok(), Some(text));
}

const ADD: [&str; 6] = ["add-node", "--count", "2", "--yes", "-o", "json"];

fn is_finished_by_the_same_words_after_it_was_killed(lab: &Lab, before: &str) {
    let mut killed = lab.start(&ADD);
    killed.wait_for("the first step on a new machine", |event| match event {
        Event::StepFinished { stage, .. } => stage == "base",
        _ => false,
    });
    killed.kill();
    let text = before.replace("count:   1   #", "count:   3   #");
    assert_eq!(fs::read_to_string(lab.inventory()).ok().as_ref(), Some(&text));
    let other = lab.run(&["add-node", "--count", "1", "--yes"]).exits(4);
    assert!(other.said().contains("2 machines to group workers"), "{}", other.said());

    let run = lab.run(&ADD).exits(0);
    assert_eq!(run.result(), RunResult::Changed);
    assert_eq!(fs::read_to_string(lab.inventory()).ok().as_ref(), Some(&text));
    assert!(run.stdout.contains("continuing the add-node of 2 machines"));
    assert!(run.stdout.contains("are not changed: edge-1"), "{}", run.said());
    assert!(run.has_done("run a task on each new agent"), "{}", run.said());
    only_these_are_changed(&run, &["workers-2", "workers-3"]);
}

/// The steps by which a host lets another one in.
const LETS_IN: [&str; 2] =
    ["write file /etc/platform/firewall/rules.nft", "load firewall"];

/// On other hosts, no steps and commands except checks, the firewall, and the lock on the hosts
/// that keep it.
fn only_these_are_changed(run: &Run, new: &[&str]) {
    let is_new = |host: &str| new.contains(&host);
    for event in run.events() {
        if let Event::StepStarted { host: Some(host), step, .. } = event {
            let is_known = LETS_IN.contains(&step.as_str()) || is_new(host.as_str());
            assert!(is_known, "{step} on {host}");
        }
    }
    for (host, purpose) in run.commands().iter().filter(|(host, _)| !is_new(host)) {
        let known = ["probe", "lock", "apply firewall", "confirm the firewall"];
        assert!(known.contains(&&**purpose), "{purpose} on {host}");
    }
}

fn is_finished_by_up_after_it_was_killed(lab: &Lab) {
    let words = ["add-node", "--count", "1", "--yes", "-o", "json"];
    let mut killed = lab.start(&words);
    killed.wait_for("the inventory", |event| match event {
        Event::StageFinished { stage, ok, .. } => stage == "inventory" && *ok,
        _ => false,
    });
    killed.kill();
    lab.up();
    lab.is_settled();
    assert!(!lab.state().join("add-node.json").exists());
}

/// `up` restarts what does not run.
fn is_not_for_a_cluster_that_lacks_machines(lab: &Lab) {
    let text = fs::read(lab.inventory()).expect("it is there");
    lab.machine("control-1").kill();
    let run = lab.run(&["add-node", "--count", "1", "--yes"]).exits(4);
    assert!(run.said().contains("do not run: control-1;"), "{}", run.said());
    assert_eq!(fs::read(lab.inventory()).ok(), Some(text));
}

fn registered(lab: &Lab, n_agents: usize) {
    let status = lab.run(&["status", "-o", "json"]).json();
    let agents = status["mesos"]["agents"].as_array().cloned().unwrap_or_default();
    let active = agents.iter().filter(|agent| agent["active"] == Value::Bool(true));
    assert_eq!(active.count(), n_agents, "{status:#}");
}

/// Machines on which nothing may be written, except who is let in.
struct Others(Vec<(Machine, Writes)>);

impl Others {
    fn of(machines: impl IntoIterator<Item = Machine>) -> Self {
        let seen = |machine: Machine| (machine.clone(), Writes::on(&machine));
        Self(machines.into_iter().map(seen).collect())
    }

    fn only_let_them_in(self) {
        for (machine, writes) in self.0 {
            writes.are_still_the_last_but_for_the_firewall_on(&machine);
        }
    }
}

const GIVEN: &str = "
groups:
   all:   # everything that decides
      roles: [ control, edge ]
      hosts:
      -   '{1}'
   workers:
      roles: [agent]
      attributes: &attributes {rack: a}
      resources: {mem: 128MiB}
      hosts: [
        {address: '{2}', name: w-1, attributes: *attributes},  # the first, [really]
        ]   # more to come
platform:
  images: {rehearsed}
  zookeeper: {heap: 128MiB}
";

#[test]
fn machines_that_exist_are_added_where_an_odd_inventory_lists_them() {
    let _turn = turn();
    let given = Given::new(3);
    let lab = given.lab(GIVEN);
    lab.up();
    let text = fs::read_to_string(lab.inventory()).expect("it is there");
    let address = given.address(3);
    says_what_cannot_be_given(&lab, &given);
    let others = Others::of([1, 2].map(|number| given.machine(number)));

    given.machine(3).sh("systemctl stop ssh.socket ssh; true");
    let add = ["add-node", &address, "--attribute", "ssd=true", "--yes", "-o", "json"];
    let silent = lab.run(&add).exits(5);
    assert!(silent.said().contains(&address), "{}", silent.said());
    assert_eq!(fs::read_to_string(lab.inventory()).ok().as_ref(), Some(&text));
    let line = "  # the first, [really]\n";
    let new = format!("        {{address: '{address}', attributes: {{ssd: 'true'}}}},\n");
    let expected = text.replace(line, &format!("{line}{new}"));

    given.machine(3).sh("systemctl start ssh.socket || systemctl start ssh");
    is_not_taken_from_another_cluster(&lab, &given, &add);
    // An agent that does not answer does not block anything.
    given.machine(2).sh("systemctl stop ssh.socket ssh; true");
    let run = lab.run(&add).exits(0);
    only_these_are_changed(&run, &[&address]);
    assert!(run.has_done("run a task on each new agent"), "{}", run.said());
    assert!(run.stdout.contains("cannot be reached, and are not changed: w-1"));
    assert_eq!(fs::read_to_string(lab.inventory()).ok(), Some(expected));
    others.only_let_them_in();
    given.machine(2).sh("systemctl start ssh.socket || systemctl start ssh");
    let status = lab.run(&["status"]).exits(0);
    assert!(status.stdout.contains("ssd:true"), "{}", status.said());
    // The agent that did not answer does not let the new one in yet.
    let up = lab.up();
    assert!(up.has_done("load firewall"), "{}", up.said());
    lab.is_settled();
    let again = lab.run(&add).exits(4);
    assert!(again.said().contains("already in group `workers`"), "{}", again.said());
    lab.run(&["down", "--yes", "--purge"]).exits(0);
}

/// The record of another cluster is found before anything is written on a new host.
fn is_not_taken_from_another_cluster(lab: &Lab, given: &Given, add: &[&str]) {
    let (ours, new) = (given.machine(2), given.machine(3));
    for file in ["manifest", "generation"] {
        let path = format!("/var/lib/platform/{file}");
        let text = String::from_utf8(ours.get(&path)).expect("a text");
        new.sh("mkdir -p /var/lib/platform");
        new.put(&path, text.replace(lab.cluster(), "other").as_bytes());
    }
    let other = lab.run(add).exits(4);
    assert!(
        other.said().contains("it belongs to the cluster `other`"),
        "{}",
        other.said()
    );
    new.sh("rm -r /var/lib/platform");
}

fn says_what_cannot_be_given(lab: &Lab, given: &Given) {
    let known = given.address(2);
    let line = |run: Run| run.said();
    let said = line(lab.run(&["add-node", &known, "--yes"]).exits(4));
    assert!(said.contains("already in group `workers` (line 15)"), "{said}");
    let said = line(lab.run(&["add-node", "--count", "1", "--yes"]).exits(2));
    assert!(said.contains("makes no machines"), "{said}");
    let said = line(lab.run(&["add-node", "w9.example.com"]).exits(2));
    assert!(said.contains("`w9.example.com` is not an IP address"), "{said}");
}
