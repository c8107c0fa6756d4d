//! Runs that are killed during removal or the proof: the next run notices, and continues there.

use std::fs;
use std::time::Duration;

use platform::event::{Event, RunResult};
use serde_json::{Value, json};

use super::{SMALL, check_finished};
use crate::harness::{Given, Lab, Run, Services, turn, until};

const LOCAL: &str = "
groups:
  control: {roles: [control], count: 1, memory: 512MiB}
  edge: {roles: [edge], count: 1, memory: 512MiB}
platform:
  images: {images}
  zookeeper: {heap: 128MiB}
";

#[test]
fn local_machines_whose_removal_is_killed_are_not_counted_on() {
    let _turn = turn();
    let lab = Lab::local(LOCAL);
    lab.up();
    kill_down(&lab, &["down", "--yes", "-o", "json"]);
    assert_eq!(lab.up().result(), RunResult::Changed);
    lab.is_settled();
    kill_down(&lab, &["down", "--yes", "-o", "json"]);
    let down = lab.run(&["down", "--yes"]).exits(0);
    assert!(!down.said().contains("Nothing was changed"), "{}", down.said());
    assert_eq!(lab.remains(), [""; 0]);
}

#[test]
fn a_machine_that_the_inventory_has_no_more_is_named_with_what_to_do() {
    let _turn = turn();
    let with = |count| {
        format!(
            "groups: {{node: {{roles: [base], count: {count}, memory: 256MiB}}}}\n\
             platform: {{images: {{images}}}}\n"
        )
    };
    let lab = Lab::local(&with(2));
    lab.up();
    lab.rewrite(&with(1));
    names_the_machine_that_is_too_many(&lab);
}

/// Begins a `down`, and kills it as soon as it removes something.
fn kill_down(lab: &Lab, words: &[&str]) -> Run {
    let mut run = lab.start(words);
    run.wait_for("a removal", |event| matches!(event, Event::StageStarted { .. }));
    until("the note of the removal", Duration::from_secs(10), || {
        lab.state().join("removal-begun").exists().then_some(())
    });
    run.kill()
}

fn names_the_machine_that_is_too_many(lab: &Lab) {
    // Its address is in the firewall of the other machine, until `up` takes it out.
    for (verb, code) in [(&["plan"][..], 10), (&["up", "--yes"], 0), (&["status"], 0)] {
        let said = lab.run(verb).exits(code).said();
        let container = format!("docker rm --force platform-{}-node-2", lab.cluster());
        for part in
            ["node-2 (running) is not in the inventory and is not changed", &container]
        {
            assert!(said.contains(part), "{verb:?}: `{part}` is not in:\n{said}");
        }
    }
}

#[test]
fn a_purge_that_is_killed_leaves_nothing_that_stops_the_next_run() {
    let _turn = turn();
    let given = Given::new(2);
    let lab = given.lab(SMALL);
    lab.up();
    assert!(lab.state().join("ensemble-served").exists());
    kill_down(&lab, &["down", "--purge", "--yes", "-o", "json"]);
    // Whether or not the data still exists now, this is not refused because of it.
    assert!(!lab.state().join("ensemble-served").exists());
    lab.run(&["down", "--purge", "--yes"]).exits(0);
    lab.up();
    check_finished(&lab);
    // Its data is removed as in a purge that was interrupted here.
    let purge = lab.state().join("removal-begun");
    fs::write(&purge, "begun").expect("the folder is ours");
    given.machine(1).sh(
        "systemctl stop platform-zookeeper; rm -rf /var/lib/platform/zookeeper/version-2 \
         /var/lib/platform/zookeeper/initialize",
    );
    let plan = lab.run(&["plan"]).exits(10).said();
    assert!(plan.contains("the rest of an interrupted `down --purge`"), "{plan}");
    assert_eq!(lab.up().result(), RunResult::Changed);
    check_finished(&lab);
    assert!(!purge.exists());
}

const MESOS: &str = "
groups:
  control: {roles: [control, edge], count: 1, memory: 1536MiB}
  workers: {roles: [agent], count: 1, memory: 1GiB}
platform:
  images: {rehearsed}
  zookeeper: {heap: 128MiB}
";

#[test]
fn a_proof_that_did_not_end_is_made_by_the_next_run() {
    let _turn = turn();
    let lab = Lab::local(MESOS);
    let mut run = lab.start(&["up", "--yes", "-o", "json"]);
    run.wait_for("the app's use", |event| match event {
        Event::StepStarted { step, .. } => step == "reach every instance",
        _ => false,
    });
    run.kill();
    let address = format!("{}.11", lab.prefix());
    let services = Services::at(&lab, &address);
    assert_eq!(services.tasks().len(), 1, "the app of the proof runs on");
    let plan = lab.run(&["plan"]).exits(0).said();
    assert!(plan.contains("did not make its proof"), "{plan}");
    takes_it_up(&lab, &services);
    an_app_alone_tells_of_one(&lab, &services);
}

fn takes_it_up(lab: &Lab, services: &Services<'_>) {
    let up = lab.up();
    assert!(up.has_done("run an app with 1 instance"), "{}", up.said());
    assert_eq!(services.tasks(), [], "{}", up.said());
    assert_eq!(lab.up().result(), RunResult::Unchanged);
    lab.is_settled();
}

/// As if another computer's run had left it.
fn an_app_alone_tells_of_one(lab: &Lab, services: &Services<'_>) {
    let app: Value = json!({"id": "/platform-proof", "cmd": "sleep 1000", "cpus": 0.1,
        "mem": 32, "instances": 1});
    services.run_app(&app, 1);
    takes_it_up(lab, services);
}
