//! Faults in a platform that runs apps: each one is named, and `up` repairs it.
//!
//! It is one test, because a platform is expensive to create: its faults happen one after
//! another.

mod agents;
mod leaders;

use std::time::Duration;

use platform::event::RunResult;
use serde_json::{Value, json};

use crate::harness::{Lab, Services, turn, until};

const BODY: &str = "
groups:
  control: {roles: [zookeeper, master, marathon], count: 3, memory: 1GiB}
  edge: {roles: [edge], count: 1, memory: 512MiB}
  workers: {roles: [agent], count: 2, memory: 1GiB, attributes: {rack: a}}
platform:
  images: {rehearsed}
  zookeeper: {heap: 128MiB}
";

const CONTROL: [&str; 3] = ["control-1", "control-2", "control-3"];

/// The longest until a fault is visible, or all services have a new leader.
const SEEN: Duration = Duration::from_secs(30);

#[test]
fn a_platform_with_faults_names_them_and_is_mended() {
    let _turn = turn();
    let lab = Lab::local(BODY);
    lab.up();
    Services::of(&lab).run_app(&app(), 2);
    agents::agents_that_are_gone_or_refused_are_told_apart(&lab);
    agents::masters_that_know_another_secret_are_put_right(&lab);
    agents::a_docker_that_was_stopped_is_named(&lab);
    leaders::a_host_that_dies_in_a_run_ends_it_and_costs_no_quorum(&lab);
    agents::a_docker_that_was_started_runs_containers_again(&lab);
    leaders::the_host_that_leads_everything_is_missed_by_no_task(&lab);
    leaders::masters_that_lost_their_registry_begin_another_at_the_operator_s_word(&lab);
    lab.is_settled();
    a_key_that_was_lost_is_missed_and_machines_go_without_it(&lab);
}

/// Without the only key of the machines, the program cannot check them, but can take them down.
fn a_key_that_was_lost_is_missed_and_machines_go_without_it(lab: &Lab) {
    std::fs::remove_dir_all(lab.state()).expect("the folder is ours");
    for words in [&["status"][..], &["plan"], &["up", "--yes"]] {
        let said = lab.run(words).exits(4).said();
        assert!(said.contains("accept only the SSH key that was in "), "{said}");
        assert!(!lab.state().join("id_ed25519").exists(), "no other was made");
    }
    lab.run(&["down", "--yes"]).exits(0);
    assert_eq!(lab.remains(), [""; 0]);
}

/// Checks that a status soon contains this text.
fn is_told(lab: &Lab, problem: &str) {
    until(problem, SEEN, || lab.run(&["status"]).stdout.contains(problem).then_some(()));
}

/// An app with a task on each agent; a lost task is replaced.
fn app() -> Value {
    json!({
        "id": "/kept",
        "cmd": "exec sleep 100000",
        "cpus": 0.1,
        "mem": 32,
        "instances": 2,
        "constraints": [["hostname", "UNIQUE"]],
    })
}

fn status(lab: &Lab) -> Value {
    lab.run(&["status", "-o", "json"]).json()
}

/// The id of an agent, by its number from 0.
fn agent_id(status: &Value, agent: usize) -> Option<String> {
    status["mesos"]["agents"][agent]["id"].as_str().map(str::to_owned)
}

/// Runs `up`, which must change something, and checks that everything is healthy afterwards.
fn mend(lab: &Lab) {
    let up = lab.up();
    assert_eq!(up.result(), RunResult::Changed, "{}", up.said());
    lab.run(&["status"]).exits(0);
}
