//! The whole life of a platform on AWS: created, grown, and removed. Here the instances of the
//! test EC2 are machines, which cloud-init sets up as at AWS.

use platform::event::{Event, RunResult};

use super::is_empty;
use crate::harness::{Ec2, Lab, turn};

const BODY: &str = "groups:
  control: {roles: [control], count: 1, type: m7i.large}
  edge: {roles: [edge], count: 1, type: t3.medium}
  workers:
    roles: [agent]
    count: 1   # to begin with
    type: [m7i.large, m6i.large]
platform:
  images: {rehearsed}
  zookeeper: {heap: 128MiB}
";

#[test]
fn a_platform_comes_up_on_aws_grows_loses_a_machine_and_goes() {
    let _turn = turn();
    let ec2 = Ec2::with_machines();
    let lab = Lab::aws(&ec2, BODY);
    comes_up_from_nothing(&ec2, &lab);
    is_not_touched_by_a_second_run(&ec2, &lab);
    grows_by_one_and_touches_nobody_else(&ec2, &lab);
    gets_another_agent_for_one_that_someone_ended(&ec2, &lab);
    leaves_nothing(&ec2, &lab);
}

fn comes_up_from_nothing(ec2: &Ec2, lab: &Lab) {
    let up = lab.up();
    assert_eq!(up.result(), RunResult::Changed);
    assert_eq!(ec2.of_kind("instance").len(), 3);
    let pins = std::fs::read_to_string(lab.state().join("known_hosts"));
    assert!(pins.unwrap_or_default().is_empty(), "no key was trusted at first sight");
    let json = lab.run(&["status", "-o", "json"]).exits(0).json();
    assert_eq!(json["problems"], serde_json::json!([]), "{json:#}");
    let uptime = lab.run(&["exec", "--limit", "workers", "--", "uptime"]).exits(0);
    assert!(uptime.stdout.starts_with("== i-"), "{}", uptime.stdout);
    lab.run(&["ssh", "control-1", "--", "true"]).exits(0);
}

fn is_not_touched_by_a_second_run(ec2: &Ec2, lab: &Lab) {
    let before = ec2.changes().len();
    let up = lab.up();
    assert_eq!(up.result(), RunResult::Unchanged, "{}", up.said());
    assert_eq!(ec2.changes().len(), before);
    lab.is_settled();
}

fn grows_by_one_and_touches_nobody_else(ec2: &Ec2, lab: &Lab) {
    let old: Vec<String> =
        ec2.of_kind("instance").into_iter().map(|found| found.id).collect();
    let run = lab.run(&["add-node", "--count", "1", "--yes", "-o", "json"]).exits(0);
    assert!(run.has_done("run a task on each new agent"), "{}", run.said());
    let text = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    assert!(text.contains("    count: 2   # to begin with\n"), "{text}");
    let new = ec2.of_kind("instance").into_iter().find(|found| !old.contains(&found.id));
    let new = new.expect("it was launched").id;
    let changed = run.events().into_iter().filter_map(|event| match event {
        // The firewalls of the others let the new machine in.
        Event::StepStarted { stage, host: Some(host), .. }
            if !["machines", "firewall"].contains(&stage.as_str()) =>
        {
            Some(host.to_string())
        }
        _ => None,
    });
    assert!(changed.into_iter().all(|host| host == new), "{}", run.said());
    lab.is_settled();
}

fn gets_another_agent_for_one_that_someone_ended(ec2: &Ec2, lab: &Lab) {
    let workers = ec2.of_kind("instance").into_iter();
    let mut workers = workers.filter(|found| found.tags["platform:group"] == "workers");
    let ended = workers.next().expect("an agent").id;
    ec2.has_to("TerminateInstances", &[("InstanceId.1", &ended)]);
    let status = lab.run(&["status"]).exits(1);
    assert!(
        status.stdout.contains("a machine of workers does not exist"),
        "{}",
        status.said()
    );
    let plan = lab.run(&["plan"]).exits(10);
    assert!(plan.stdout.contains(&format!("{ended} was")), "{}", plan.said());
    assert_eq!(lab.up().result(), RunResult::Changed);
    lab.run(&["status"]).exits(0);
}

fn leaves_nothing(ec2: &Ec2, lab: &Lab) {
    let down = lab.run(&["down", "--yes", "-o", "json"]).exits(0);
    assert_eq!(down.result(), RunResult::Changed);
    is_empty(ec2);
    let again = lab.run(&["down", "--yes", "-o", "json"]).exits(0);
    assert_eq!(again.result(), RunResult::Unchanged);
}
