//! Impossible requests are refused with advice, and nothing is changed.

use serde_json::json;

use super::{BODY, up};
use crate::harness::{Ec2, Lab};

/// Each inventory is the good one with one text replaced, and the expected message.
const CASES: [(&str, &str, i32, &str); 5] = [
    ("debian-12-amd64-*", "debian-1-*", 3, "there is no image `debian-1-*`"),
    (
        "type: t3.medium",
        "type: t3.medum",
        3,
        "no instance type `t3.medum` (group `edge`)",
    ),
    ("type: t3.medium", "type: t4g.medium", 3, "for x86_64, but `t4g.medium`"),
    ("    image:", "    zones: [us-east-1z]\n    image:", 3, "the zone `us-east-1z`"),
    (
        "region: us-east-1\n",
        "region: ap-nowhere-1\n",
        1,
        "that the region is enabled for the account",
    ),
];

#[test]
fn what_does_not_exist_or_fit_is_refused_before_anything_is_made() {
    let ec2 = Ec2::start();
    for (part, other, code, said) in CASES {
        let lab = Lab::aws(&ec2, BODY);
        let text = std::fs::read_to_string(lab.inventory()).expect("the inventory");
        assert!(text.contains(part), "{part}");
        lab.file("lab.yaml", text.replace(part, other));
        let run = up(&lab).exits(code);
        assert!(run.stdout.contains(said), "{other}: {}", run.said());
    }
    assert_eq!(ec2.changes().len(), 0);
}

#[test]
fn credentials_that_are_none_or_not_good_are_told_apart() {
    let ec2 = Ec2::start();
    let cases = [
        ("AKIATESTEXPIRED00001", "the credentials have expired"),
        ("AKIATESTOLDTOKEN0001", "the credentials have expired"),
        ("AKIAUNKNOWN000000001", "aws sts get-caller-identity"),
    ];
    for (key, said) in cases {
        let mut lab = Lab::aws(&ec2, BODY);
        lab.set("AWS_ACCESS_KEY_ID", key);
        let run = up(&lab).exits(1);
        assert!(run.stdout.contains(said), "{key}: {}", run.said());
    }
    let mut lab = Lab::aws(&ec2, BODY);
    lab.set("AWS_ACCESS_KEY_ID", "");
    lab.set("AWS_SECRET_ACCESS_KEY", "");
    lab.set("HOME", "/nonexistent");
    let run = up(&lab).exits(1);
    assert!(run.stdout.contains("no AWS credentials were found"), "{}", run.said());
    assert_eq!(ec2.changes().len(), 0);
}

#[test]
fn a_right_that_is_missing_is_named_with_its_call() {
    let ec2 = Ec2::start();
    let mut lab = Lab::aws(&ec2, BODY);
    lab.set("AWS_ACCESS_KEY_ID", "AKIATESTLIMITED00001");
    ec2.set_faults(&json!({"denied": ["CreateVpc"]}));
    let run = up(&lab).exits(1);
    for part in ["ec2:CreateVpc", "platform init --provider aws"] {
        assert!(run.stdout.contains(part), "{part} is not said: {}", run.said());
    }
}

#[test]
fn limits_and_networks_that_overlap_are_told() {
    let ec2 = Ec2::start();
    let vpcs: Vec<String> = (0..5)
        .filter_map(|n| {
            let made = ec2.call("CreateVpc", &[("CidrBlock", &format!("10.{n}.0.0/16"))]);
            crate::harness::inner(&made.ok()?, "vpcId")
        })
        .collect();
    let lab = Lab::aws(&ec2, BODY);
    let run = up(&lab).exits(1);
    for part in ["VpcLimitExceeded", "Service Quotas"] {
        assert!(run.stdout.contains(part), "{part} is not said: {}", run.said());
    }
    ec2.has_to("DeleteVpc", &[("VpcId", vpcs.last().expect("some were made"))]);
    up(&lab).exits(0);

    let text = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    let other = text.replace(&format!("{}.0/24", lab.prefix()), "10.81.0.0/16");
    lab.file("lab.yaml", other);
    let run = up(&lab).exits(4);
    assert!(run.stdout.contains("a network cannot be changed"), "{}", run.said());
}

#[test]
fn a_subnet_of_someone_else_in_the_way_is_told() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    let stop = json!({"action": "CreateSubnet", "do": "error", "times": 3,
        "code": "InternalError", "message": "An internal error has occurred"});
    ec2.set_faults(&json!({ "rules": [stop] }));
    up(&lab).exits(1);
    ec2.set_faults(&json!({}));
    let vpc = ec2.of_kind("vpc")[0].id.clone();
    let cidr = format!("{}.0/27", lab.prefix());
    ec2.has_to("CreateSubnet", &[("VpcId", &vpc), ("CidrBlock", &cidr)]);
    let run = up(&lab).exits(4);
    for part in ["InvalidSubnet.Conflict", "a foreign resource took its place"] {
        assert!(run.stdout.contains(part), "{part} is not said: {}", run.said());
    }
}
