//! What is created and with how many calls, and that every computer finds it again.

use platform::event::RunResult;
use serde_json::json;

use super::{ALL, BODY, N_MACHINES, also, calm, is_whole, node, up};
use crate::harness::{Ec2, Lab};

#[test]
fn machines_are_made_with_few_calls_and_found_again_with_fewer() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    assert_eq!(up(&lab).exits(0).result(), RunResult::Changed);
    is_whole(&ec2);
    let calls = ec2.calls();
    assert!(calls.len() <= 40, "{} calls: {calls:#?}", calls.len());
    everything_is_tagged(&ec2, lab.cluster());
    launches_are_safe(&ec2);

    let before = calls.len();
    assert_eq!(up(&lab).exits(0).result(), RunResult::Unchanged);
    let calls = ec2.calls();
    assert!(calls.len() - before <= 12, "{:#?}", &calls[before..]);
    assert!(calls[before..].iter().all(|call| !call.changes), "{:#?}", &calls[before..]);
}

fn everything_is_tagged(ec2: &Ec2, cluster: &str) {
    for (kind, _) in ALL {
        for found in ec2.of_kind(kind) {
            let tag = found.tags.get("platform:cluster").map(String::as_str);
            assert_eq!(tag, Some(cluster), "{found:#?}");
            assert!(found.tags.contains_key("Name"), "{found:#?}");
        }
    }
    for found in ec2.of_kind("instance") {
        assert!(
            found.tags["platform:host-key"].starts_with("ssh-ed25519 "),
            "{found:#?}"
        );
        let named = found.tags.contains_key("platform:node");
        assert_eq!(named, found.tags["platform:group"] != "workers", "{found:#?}");
    }
    assert!(ec2.changes().iter().all(|call| call.action != "CreateTags"));
}

fn launches_are_safe(ec2: &Ec2) {
    let launches: Vec<_> =
        ec2.changes().into_iter().filter(|call| call.action == "RunInstances").collect();
    assert_eq!(launches.len(), 3 + 1 + 3, "one to a name, one to a group and zone");
    for launch in launches {
        let said = |name: &str| launch.parameters.get(name).map(String::as_str);
        assert_eq!(said("MetadataOptions.HttpTokens"), Some("required"));
        assert_eq!(said("MetadataOptions.HttpPutResponseHopLimit"), Some("1"));
        assert_eq!(said("BlockDeviceMapping.1.Ebs.Encrypted"), Some("true"));
        assert_eq!(said("BlockDeviceMapping.1.Ebs.VolumeType"), Some("gp3"));
        assert!(said("ClientToken").is_some_and(|token| token.len() == 64));
    }
}

#[test]
fn another_computer_sees_the_same_machines() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    up(&lab).exits(0);
    std::fs::remove_dir_all(lab.state()).expect("the folder of what is kept");
    assert_eq!(up(&lab).exits(0).result(), RunResult::Unchanged);
    is_whole(&ec2);
}

#[test]
fn a_plan_shows_each_call_and_makes_none() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    let plan = lab.run(&["plan"]).exits(10);
    for part in [
        "(CreateVpc)",
        "in us-east-1b",
        "(AuthorizeSecurityGroupIngress)",
        "control-2\n    launch m7i.large",
        "2 machines of workers\n    launch 2 × m7i.large in us-east-1a",
        "disk 50 GiB",
        "USD an hour",
    ] {
        assert!(plan.stdout.contains(part), "{part} is missing:\n{}", plan.stdout);
    }
    assert_eq!(ec2.changes().len(), 0);
    let steps = lab.run(&["plan", "-o", "json"]).exits(10).json();
    let steps = steps["machines"]["steps"].as_array().expect("a list").len();
    up(&lab).exits(0);
    assert_eq!(ec2.changes().len(), steps, "each step is one call");
}

#[test]
fn without_capacity_another_type_or_zone_is_taken_and_said() {
    let ec2 = Ec2::start();
    let body = BODY.replace("type: t3.medium", "type: [t3.medium, t3a.medium]");
    let lab = Lab::aws(&ec2, &body);
    let none = |kind: &str, zone: &str| json!({"action": "RunInstances", "do": "capacity", "type": kind, "zone": zone});
    ec2.set_faults(&json!({"rules": [
        none("t3.medium", "us-east-1a"), none("m7i.large", "us-east-1b")
    ]}));
    let run = up(&lab).exits(0);
    assert_eq!(run.result(), RunResult::Changed);
    assert_eq!(ec2.of_kind("instance").len(), N_MACHINES);
    assert_eq!(node(&ec2, "edge-1").instance_type.as_deref(), Some("t3a.medium"));
    assert_ne!(node(&ec2, "control-2").zone.as_deref(), Some("us-east-1b"));
    for part in ["edge-1: t3.medium in us-east-1a", "control-2: m7i.large in us-east-1b"]
    {
        assert!(run.stdout.contains(part), "{part} is not said:\n{}", run.said());
    }
    calm(&ec2);
    assert_eq!(up(&lab).exits(0).result(), RunResult::Unchanged);

    up_where_there_is_none_at_all();
}

fn up_where_there_is_none_at_all() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    let none = json!({"action": "RunInstances", "do": "capacity", "type": "t3.medium"});
    ec2.set_faults(&json!({ "rules": [none] }));
    let run = up(&lab).exits(1);
    assert!(run.stdout.contains("no capacity for edge-1 in any zone"), "{}", run.said());
    calm(&ec2);
    up(&lab).exits(0);
    is_whole(&ec2);
}

#[test]
fn spot_and_protection_are_as_asked() {
    let ec2 = Ec2::start();
    let body = BODY
        .replace("count: 4, type: m7i.large", "count: 4, type: m7i.large, spot: true")
        .replace("disk: 50GiB", "disk: 50GiB, termination_protection: true");
    let lab = Lab::aws(&ec2, &body);
    also(&lab, "expires: 8h");
    up(&lab).exits(0);
    for found in ec2.of_kind("instance") {
        let spot = found.lifecycle.as_deref() == Some("spot");
        assert_eq!(spot, found.tags["platform:group"] == "workers", "{found:#?}");
    }
    let control = node(&ec2, "control-1").id;
    let refused = ec2.call("TerminateInstances", &[("InstanceId.1", &control)]);
    assert_eq!(refused.unwrap_err(), "OperationNotPermitted");
    let down = lab.run(&["down", "--yes", "-o", "json"]).exits(0);
    assert_eq!(down.result(), RunResult::Changed, "who names the cluster means it");
}
