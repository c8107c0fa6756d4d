//! What goes wrong in a platform that runs apps: each fault is named, and `up` mends it.
//!
//! It is one test, because a platform is dear to make: its faults come one after another.

mod agents;

use std::time::Duration;

use platform::event::RunResult;
use serde_json::{Value, json};

use crate::harness::{Lab, Services, turn};

const BODY: &str = "
groups:
  control: {roles: [zookeeper, master, marathon], count: 3, memory: 1GiB}
  edge: {roles: [edge], count: 1, memory: 512MiB}
  workers: {roles: [agent], count: 2, memory: 1GiB, attributes: {rack: a}}
platform:
  images: {rehearsed}
  zookeeper: {heap: 128MiB}
";

/// The longest until a fault shows, or all services have another leader.
const SEEN: Duration = Duration::from_secs(30);

#[test]
fn a_platform_with_faults_names_them_and_is_mended() {
    let _turn = turn();
    let lab = Lab::local(BODY);
    lab.up();
    Services::of(&lab).run_app(&app(), 2);
    agents::an_agent_that_was_marked_gone_rests_and_comes_back_as_another(&lab);
}

/// An app with a task on each agent, which is replaced wherever it is lost.
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

/// Runs `up`, which has to change something, and insists that all is well then.
fn mend(lab: &Lab) {
    let up = lab.up();
    assert_eq!(up.result(), RunResult::Changed, "{}", up.said());
    lab.run(&["status"]).exits(0);
    lab.is_settled();
}
