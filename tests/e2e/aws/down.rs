//! Takes a cluster down: all of it, in any state, and nothing that does not belong to it.

use std::time::Duration;

use platform::event::RunResult;
use serde_json::json;

use super::{BODY, also, calm, is_empty, up, with_old_machines};
use crate::harness::{Ec2, Lab, inner, until};

/// The longest that an instance may take to be terminated.
const END: Duration = Duration::from_secs(60);

#[test]
fn down_shows_all_asks_and_leaves_nothing() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    up(&lab).exits(0);
    let refused = lab.run(&["down"]).exits(4);
    for kind in
        ["instance", "subnet", "internet gateway", "security group", "VPC", "key pair"]
    {
        let line = format!("remove {kind} ");
        assert!(refused.said().contains(&line), "{kind}: {}", refused.said());
    }
    let down = lab.run(&["down", "--yes", "-o", "json"]).exits(0);
    assert_eq!(down.result(), RunResult::Changed);
    assert!(down.stdout.contains("0 left"), "{}", down.said());
    is_empty(&ec2);
    let again = lab.run(&["down", "--yes", "-o", "json"]).exits(0);
    assert_eq!(again.result(), RunResult::Unchanged);
    // AWS remembers the calls that launched instances which have ended.
    assert_eq!(up(&lab).exits(0).result(), RunResult::Changed);
}

#[test]
fn a_cluster_that_is_half_made_goes_as_well() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    ec2.set_faults(&json!({"states": {"pending": {}}}));
    let mut run = lab.start(&["up", "--machines-only", "--yes", "-o", "json"]);
    run.wait_for("a wait", |event| {
        matches!(event, platform::event::Event::Waiting { .. })
    });
    run.kill();
    let down = lab.run(&["down", "--yes", "-o", "json"]).exits(0);
    assert_eq!(down.result(), RunResult::Changed, "also while instances are pending");
    is_empty(&ec2);
}

#[test]
fn a_strangers_instance_stays_and_so_does_what_it_stands_on() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    up(&lab).exits(0);
    let subnet = ec2.of_kind("subnet")[0].id.clone();
    let launched = ec2.has_to(
        "RunInstances",
        &[
            ("ImageId", "ami-0a1b2c3d4e5f60002"),
            ("InstanceType", "t3.micro"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("SubnetId", &subnet),
        ],
    );
    let stranger = inner(&launched, "instanceId").expect("an id");
    let preview = lab.run(&["down"]).exits(4);
    let kept = format!("keep subnet {subnet}");
    assert!(preview.said().contains(&kept), "{}", preview.said());

    let down = lab.run(&["down", "--yes", "-o", "json"]).exits(1);
    let command = format!("aws ec2 terminate-instances --instance-ids {stranger}");
    for part in [&stranger, &subnet, &command, "not part of this cluster"] {
        assert!(down.stdout.contains(part), "{part} is not said: {}", down.said());
    }
    let alive: Vec<String> =
        ec2.of_kind("instance").into_iter().map(|found| found.id).collect();
    assert_eq!(alive, std::slice::from_ref(&stranger));
    assert_eq!(ec2.of_kind("subnet").len(), 1, "the others went");
    assert_eq!(ec2.of_kind("vpc").len(), 1);

    ec2.has_to("TerminateInstances", &[("InstanceId.1", &stranger)]);
    until("the stranger's end", END, || {
        ec2.has_to("DescribeInstances", &[]);
        ec2.of_kind("instance").is_empty().then_some(())
    });
    lab.run(&["down", "--yes"]).exits(0);
    is_empty(&ec2);
}

#[test]
fn what_a_service_of_the_account_left_in_the_network_is_named_once() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    up(&lab).exits(0);
    let vpc = ec2.of_kind("vpc")[0].id.clone();
    let made = ec2.has_to(
        "CreateSecurityGroup",
        &[("GroupName", "Guarded"), ("GroupDescription", "a service's"), ("VpcId", &vpc)],
    );
    let group = inner(&made, "groupId").expect("an id");
    let subnet = ec2.of_kind("subnet")[0].id.clone();
    let made = ec2.has_to(
        "CreateVpcEndpoint",
        &[
            ("VpcEndpointType", "Interface"),
            ("VpcId", &vpc),
            ("SubnetId.1", &subnet),
            ("SecurityGroupId.1", &group),
            ("ServiceName", "com.amazonaws.us-east-1.guardduty-data"),
        ],
    );
    let endpoint = inner(&made, "vpcEndpointId").expect("an id");

    let down = lab.run(&["down", "--yes"]).exits(1);
    for command in [
        format!("aws ec2 delete-security-group --group-id {group}"),
        format!("aws ec2 delete-vpc-endpoints --vpc-endpoint-ids {endpoint}"),
    ] {
        let n_times = down.said().matches(&command).count();
        assert!(n_times <= 1, "{command} is said {n_times} times: {}", down.said());
    }
    assert!(down.said().contains(&endpoint), "{}", down.said());
    assert_eq!(ec2.of_kind("instance").len(), 0, "what nobody stands on goes");

    ec2.has_to("DeleteVpcEndpoints", &[("VpcEndpointId.1", &endpoint)]);
    let down = lab.run(&["down", "--yes"]).exits(1);
    let command = format!("aws ec2 delete-security-group --group-id {group}");
    assert_eq!(down.said().matches(&command).count(), 1, "{}", down.said());
    ec2.has_to("DeleteSecurityGroup", &[("GroupId", &group)]);
    lab.run(&["down", "--yes"]).exits(0);
    is_empty(&ec2);
}

#[test]
fn an_expired_cluster_goes_and_no_other() {
    let ec2 = with_old_machines();
    let lab = Lab::aws(&ec2, BODY);
    up(&lab).exits(0);
    let expired = || lab.run(&["down", "--expired", "--yes", "-o", "json"]);
    let never = expired().exits(4);
    assert!(never.stdout.contains("expires: 8h"), "{}", never.said());

    also(&lab, "expires: 8h");
    let plan = lab.run(&["plan"]).exits(10);
    assert!(plan.stdout.contains("(CreateTags)"), "{}", plan.stdout);
    up(&lab).exits(0);
    assert_eq!(up(&lab).exits(0).result(), RunResult::Unchanged);
    for kind in ["vpc", "instance", "key-pair"] {
        assert!(ec2.of_kind(kind)[0].tags.contains_key("platform:expires"), "{kind}");
    }
    assert_eq!(expired().exits(0).result(), RunResult::Unchanged);

    let key = ec2.of_kind("key-pair")[0].id.clone();
    let tag =
        [("Tag.1.Key", "platform:expires"), ("Tag.1.Value", "2020-01-01T00:00:00Z")];
    ec2.has_to("CreateTags", &[&[("ResourceId.1", key.as_str())], &tag[..]].concat());
    assert_eq!(expired().exits(0).result(), RunResult::Changed);
    is_empty(&ec2);
}

#[test]
fn what_still_holds_on_is_tried_again_until_it_lets_go() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    up(&lab).exits(0);
    let held = json!({"action": "DeleteSubnet", "do": "error", "times": 4,
        "code": "DependencyViolation", "message": "The subnet has dependencies"});
    ec2.set_faults(&json!({ "rules": [held] }));
    lab.run(&["down", "--yes"]).exits(0);
    calm(&ec2);
    is_empty(&ec2);
}
