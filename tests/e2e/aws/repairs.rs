//! Changes that someone else made to a cluster: found, reported, and repaired if the operator
//! agrees.

use platform::event::RunResult;
use serde_json::json;

use super::{BODY, calm, is_whole, node, up, with_old_machines};
use crate::harness::{Ec2, Lab, Resource};

#[test]
fn machines_that_someone_ended_are_said_and_replaced_where_they_were() {
    let ec2 = with_old_machines();
    let lab = Lab::aws(&ec2, BODY);
    up(&lab).exits(0);
    let (control, worker) = (node(&ec2, "control-2"), worker(&ec2));
    for id in [&control.id, &worker] {
        ec2.has_to("TerminateInstances", &[("InstanceId.1", id)]);
    }
    let plan = lab.run(&["plan"]).exits(10);
    for part in ["control-2\n    launch", "User initiated", &worker, "there are 3 of 4"] {
        assert!(plan.stdout.contains(part), "{part} is missing:\n{}", plan.stdout);
    }
    lab.run(&["up", "--machines-only"]).exits(4);
    assert_eq!(ec2.of_kind("instance").len(), 6, "nobody agreed");
    assert_eq!(up(&lab).exits(0).result(), RunResult::Changed);
    is_whole(&ec2);
    let again = node(&ec2, "control-2");
    assert_ne!(again.id, control.id);
    assert_eq!((again.address, again.zone), (control.address, control.zone));
}

#[test]
fn machines_that_someone_stopped_are_started() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    up(&lab).exits(0);
    let id = node(&ec2, "control-1").id;
    ec2.has_to("StopInstances", &[("InstanceId.1", &id)]);
    let plan = lab.run(&["plan"]).exits(10);
    assert!(plan.stdout.contains("(StartInstances)"), "{}", plan.stdout);
    assert_eq!(up(&lab).exits(0).result(), RunResult::Changed);
    assert_eq!(node(&ec2, "control-1").state.as_deref(), Some("running"));
}

#[test]
fn an_instance_that_ends_during_a_run_is_told_and_replaced_by_the_next() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    ec2.set_faults(&json!({"states": {"pending": {"seconds": 8}}}));
    let mut run = lab.start(&["up", "--machines-only", "--yes", "-o", "json"]);
    run.wait_for("a wait", |event| {
        matches!(event, platform::event::Event::Waiting { seen, .. } if seen.contains("8 pending"))
    });
    let id = node(&ec2, "edge-1").id;
    ec2.has_to("TerminateInstances", &[("InstanceId.1", &id)]);
    let ended = run.end().exits(1);
    assert!(ended.stdout.contains(&format!("edge-1 ({id}) was")), "{}", ended.said());
    calm(&ec2);
    up(&lab).exits(0);
    is_whole(&ec2);
}

#[test]
fn a_firewall_that_someone_changed_is_mended() {
    let ec2 = with_old_machines();
    let lab = Lab::aws(&ec2, BODY);
    up(&lab).exits(0);
    let groups = ec2.of_kind("security-group");
    let is_edge = |group: &&Resource| {
        group.name.as_deref().is_some_and(|name| name.ends_with("-edge"))
    };
    let edge = groups.iter().find(is_edge).expect("the edge's");
    let open = [
        ("GroupId", edge.id.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "22"),
        ("IpPermissions.1.ToPort", "22"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"),
    ];
    ec2.has_to("AuthorizeSecurityGroupIngress", &open);
    let plan = lab.run(&["plan"]).exits(10);
    let said = "no longer accept tcp 22 from 0.0.0.0/0 (RevokeSecurityGroupIngress)";
    assert!(plan.stdout.contains(said), "{}", plan.stdout);
    assert_eq!(up(&lab).exits(0).result(), RunResult::Changed);
    assert_eq!(up(&lab).exits(0).result(), RunResult::Unchanged);

    is_made_anew_where_it_was_deleted(&ec2, &lab, &edge.id);
}

/// A group that is in use cannot be deleted: it must be detached from the machine first.
fn is_made_anew_where_it_was_deleted(ec2: &Ec2, lab: &Lab, edge: &str) {
    let machine = node(ec2, "edge-1");
    let groups = ec2.of_kind("security-group");
    let other = groups.iter().find(|group| group.id != edge).expect("the cluster's");
    let only = [("InstanceId", machine.id.as_str()), ("GroupId.1", &other.id)];
    ec2.has_to("ModifyInstanceAttribute", &only);
    ec2.has_to("DeleteSecurityGroup", &[("GroupId", edge)]);
    let plan = lab.run(&["plan"]).exits(10);
    for part in ["make security group", "restore the security groups of"] {
        assert!(plan.stdout.contains(part), "{part} is missing:\n{}", plan.stdout);
    }
    assert_eq!(up(lab).exits(0).result(), RunResult::Changed);
    assert_eq!(up(lab).exits(0).result(), RunResult::Unchanged);
    is_whole(ec2);
}

#[test]
fn what_lost_its_tag_is_neither_used_nor_made_a_second_time_unseen() {
    let ec2 = with_old_machines();
    let lab = Lab::aws(&ec2, BODY);
    up(&lab).exits(0);
    let untag = |id: &str| {
        ec2.has_to(
            "DeleteTags",
            &[("ResourceId.1", id), ("Tag.1.Key", "platform:cluster")],
        );
    };
    let tag = |id: &str| {
        let cluster = lab.cluster();
        let tags = [("Tag.1.Key", "platform:cluster"), ("Tag.1.Value", cluster)];
        ec2.has_to("CreateTags", &[&[("ResourceId.1", id)], &tags[..]].concat());
    };
    for kind in ["vpc", "key-pair", "security-group"] {
        let id = ec2.of_kind(kind)[0].id.clone();
        untag(&id);
        let run = up(&lab).exits(4);
        let help = format!("aws ec2 create-tags --resources {id}");
        assert!(run.stdout.contains(&help), "{kind}: {}", run.said());
        tag(&id);
    }
    let worker = worker(&ec2);
    untag(&worker);
    let plan = lab.run(&["plan"]).exits(10);
    assert!(
        plan.said().contains(&format!("{worker} is in the cluster's network")),
        "{}",
        plan.said()
    );
    tag(&worker);
    assert_eq!(up(&lab).exits(0).result(), RunResult::Unchanged);
}

fn worker(ec2: &Ec2) -> String {
    let found = ec2.of_kind("instance").into_iter();
    let mut workers = found.filter(|found| !found.tags.contains_key("platform:node"));
    workers.next().expect("there are some").id
}
