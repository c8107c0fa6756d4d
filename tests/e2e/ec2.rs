//! The test EC2 does what moto does not: the tests of provider `aws` rely on this.

use std::fs;
use std::io::ErrorKind;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use serde_json::json;

use crate::harness::{Ec2, inner, turn, until};

const IMAGE: &str = "ami-0a1b2c3d4e5f60002";

/// A VPC with a subnet and a security group.
struct Network {
    vpc: String,
    subnet: String,
    group: String,
}

#[test]
fn ec2_does_a_call_with_a_token_once() {
    let ec2 = Ec2::start();
    let network = network(&ec2);
    let first = launch(&ec2, &network, "1", "token-a").unwrap();
    let again = launch(&ec2, &network, "1", "token-a").unwrap();
    assert_eq!(inner(&first, "instanceId"), inner(&again, "instanceId"));
    assert_eq!(ec2.of_kind("instance").len(), 1);
    let other = launch(&ec2, &network, "2", "token-a");
    assert_eq!(other.unwrap_err(), "IdempotentParameterMismatch");
    launch(&ec2, &network, "2", "token-b").unwrap();
    assert_eq!(ec2.of_kind("instance").len(), 3);
}

#[test]
fn ec2_deletes_nothing_that_is_needed() {
    let ec2 = Ec2::start();
    let network = network(&ec2);
    let launched = launch(&ec2, &network, "1", "token").unwrap();
    let instance = inner(&launched, "instanceId").unwrap();
    let delete = |action: &str, name: &str, id: &str| ec2.call(action, &[(name, id)]);
    let group = || delete("DeleteSecurityGroup", "GroupId", &network.group);
    let subnet = || delete("DeleteSubnet", "SubnetId", &network.subnet);
    let vpc = || delete("DeleteVpc", "VpcId", &network.vpc);
    ec2.set_faults(&json!({"states": {"shutting-down": {"describes": 1}}}));
    for needed in [group(), subnet(), vpc()] {
        assert_eq!(needed.unwrap_err(), "DependencyViolation");
    }
    ec2.has_to("TerminateInstances", &[("InstanceId.1", &instance)]);
    assert_eq!(subnet().unwrap_err(), "DependencyViolation");
    assert_eq!(state(&ec2), "shutting-down");
    assert_eq!(state(&ec2), "terminated");
    for free in [group(), subnet(), vpc()] {
        free.unwrap();
    }
    let left = ec2.resources();
    assert!(left.iter().all(|resource| resource.kind == "instance"), "{left:?}");
}

#[test]
fn ec2_has_instances_wait_before_they_run() {
    let ec2 = Ec2::start();
    let network = network(&ec2);
    ec2.set_faults(&json!({"states": {"pending": {"describes": 2}}}));
    launch(&ec2, &network, "1", "token").unwrap();
    let seen = [state(&ec2), state(&ec2), state(&ec2)];
    assert_eq!(seen, ["pending", "pending", "running"]);
}

#[test]
fn ec2_refuses_what_does_not_exist() {
    let ec2 = Ec2::start();
    let network = network(&ec2);
    let ask = |image: &str, kind: &str| {
        let parameters = [
            ("ImageId", image),
            ("InstanceType", kind),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("SubnetId", &network.subnet),
        ];
        ec2.call("RunInstances", &parameters).unwrap_err()
    };
    assert_eq!(ask("ami-nonsense", "t3.small"), "InvalidAMIID.Malformed");
    assert_eq!(ask("ami-00000000", "t3.small"), "InvalidAMIID.NotFound");
    assert_eq!(ask(IMAGE, "t3.gigantic"), "InvalidParameterValue");
    assert_eq!(ask(IMAGE, "t4g.small"), "InvalidParameterValue");
    assert!(ec2.of_kind("instance").is_empty());
    let vpcs: Vec<_> =
        (0..4).map(|_| ec2.call("CreateVpc", &[("CidrBlock", "10.9.0.0/16")])).collect();
    assert!(vpcs[..3].iter().all(Result::is_ok), "{vpcs:?}");
    assert_eq!(vpcs[3].as_ref().unwrap_err(), "VpcLimitExceeded");
}

#[test]
fn ec2_fails_when_it_is_told_to() {
    let ec2 = Ec2::start();
    let network = network(&ec2);
    ec2.set_faults(&json!({"rules": [
        {"do": "capacity", "zone": "us-east-1a", "times": 1},
        {"action": "DescribeVpcs", "do": "throttle", "every": 2},
    ]}));
    let full = launch(&ec2, &network, "1", "token").unwrap_err();
    assert_eq!(full, "InsufficientInstanceCapacity");
    launch(&ec2, &network, "1", "token").unwrap();
    let look = || ec2.call("DescribeVpcs", &[]);
    assert!(look().is_ok());
    assert_eq!(look().unwrap_err(), "RequestLimitExceeded");
    assert!(look().is_ok());
}

#[test]
fn ec2_cuts_connections_before_and_after_the_work() {
    let ec2 = Ec2::start();
    let cut = |when: &str| {
        ec2.set_faults(&json!({"rules": [{"action": "*changes", "do": when, "nth": 1}]}));
        let made = ec2.try_call("CreateVpc", &[("CidrBlock", "10.9.0.0/16")]);
        let kind = made.unwrap_err().kind();
        assert!(
            matches!(kind, ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof),
            "{kind}"
        );
        ec2.of_kind("vpc").len()
    };
    assert_eq!(cut("cut-before"), 0);
    assert_eq!(cut("cut-after"), 1);
}

#[test]
fn ec2_shows_what_was_made_later_where_it_is_told_to() {
    let ec2 = Ec2::start();
    ec2.set_faults(&json!({"eventual": {"seconds": 0.5}}));
    let made = ec2.has_to("CreateVpc", &[("CidrBlock", "10.9.0.0/16")]);
    let vpc = inner(&made, "vpcId").unwrap();
    let look = || ec2.call("DescribeVpcs", &[("VpcId.1", &vpc)]);
    assert_eq!(look().unwrap_err(), "InvalidVpcID.NotFound");
    until("the VPC", Duration::from_secs(10), || look().ok());
}

#[test]
fn ec2_tells_what_was_asked_and_what_there_is() {
    let ec2 = Ec2::start();
    let network = network(&ec2);
    launch(&ec2, &network, "1", "token").unwrap();
    let tag =
        [("ResourceId.1", &*network.vpc), ("Tag.1.Key", "a:b"), ("Tag.1.Value", "c d")];
    ec2.has_to("CreateTags", &tag);
    ec2.set_faults(&json!({"rules": [{"do": "throttle"}]}));
    ec2.call("DescribeVpcs", &[]).unwrap_err();

    let calls = ec2.all_calls();
    let numbers: Vec<_> = calls.iter().map(|call| call.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert_eq!(calls[3].action, "RunInstances");
    assert_eq!(calls[3].parameters["SubnetId"], network.subnet);
    assert_eq!((&*calls[3].code, calls[3].changes), ("ok", true));
    assert_eq!((&*calls[5].code, calls[5].changes), ("RequestLimitExceeded", false));
    assert_eq!(calls[5].faults, ["throttle"]);

    let [vpc] = &ec2.of_kind("vpc")[..] else { panic!("{:?}", ec2.resources()) };
    assert_eq!((&vpc.id, &*vpc.tags["a:b"]), (&network.vpc, "c d"));
    let [instance] = &ec2.of_kind("instance")[..] else {
        panic!("{:?}", ec2.resources())
    };
    assert_eq!(instance.zone.as_deref(), Some("us-east-1a"));
    assert_eq!(instance.region, "us-east-1");
    assert_eq!(instance.instance_type.as_deref(), Some("t3.small"));
    assert_eq!(instance.address.as_deref(), Some("10.9.1.4"));
    assert_eq!((&instance.public, &instance.lifecycle), (&None, &None));
    assert_eq!(ec2.of_kind("security-group")[0].name.as_deref(), Some("ours"));
}

#[test]
fn an_instance_is_a_machine_with_the_host_key_and_the_login_that_it_was_given() {
    let _turn = turn();
    let ec2 = Ec2::with_machines();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["login", "host"] {
        run(Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(at(name)));
    }
    let text = |name: &str| fs::read_to_string(at(name)).unwrap();
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let material = encode(&text("login.pub"));
    ec2.has_to(
        "ImportKeyPair",
        &[("KeyName", "login"), ("PublicKeyMaterial", &material)],
    );
    let indented = text("host").replace('\n', "\n    ");
    let user_data = format!(
        "#cloud-config\nssh_keys:\n  ed25519_private: |\n    {indented}\n  ed25519_public: {}",
        text("host.pub")
    );
    let network = network(&ec2);
    ec2.has_to(
        "RunInstances",
        &[
            ("ImageId", IMAGE),
            ("InstanceType", "t3.small"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("KeyName", "login"),
            ("UserData", &encode(&user_data)),
            ("SubnetId", &network.subnet),
        ],
    );
    let address = ec2.of_kind("instance")[0].address.clone().unwrap();
    fs::write(at("known"), format!("{address} {}", text("host.pub"))).unwrap();
    let who = until("a login", Duration::from_secs(60), || {
        let output = Command::new("ssh")
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"])
            .args(["-o", "StrictHostKeyChecking=yes", "-o"])
            .arg(format!("UserKnownHostsFile={}", at("known").display()))
            .arg("-i")
            .arg(at("login"))
            .args([&format!("admin@{address}"), "sudo id -u"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    assert_eq!(who, "0\n");
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

fn network(ec2: &Ec2) -> Network {
    let made = ec2.has_to("CreateVpc", &[("CidrBlock", "10.9.0.0/16")]);
    let vpc = inner(&made, "vpcId").unwrap();
    let made = ec2.has_to(
        "CreateSubnet",
        &[
            ("VpcId", &vpc),
            ("CidrBlock", "10.9.1.0/24"),
            ("AvailabilityZone", "us-east-1a"),
        ],
    );
    let subnet = inner(&made, "subnetId").unwrap();
    let made = ec2.has_to(
        "CreateSecurityGroup",
        &[("VpcId", &vpc), ("GroupName", "ours"), ("GroupDescription", "of a test")],
    );
    let group = inner(&made, "groupId").unwrap();
    Network { vpc, subnet, group }
}

fn launch(
    ec2: &Ec2,
    network: &Network,
    count: &str,
    token: &str,
) -> Result<String, String> {
    let parameters = [
        ("ImageId", IMAGE),
        ("InstanceType", "t3.small"),
        ("MinCount", "1"),
        ("MaxCount", count),
        ("ClientToken", token),
        ("SubnetId", &network.subnet),
        ("SecurityGroupId.1", &network.group),
    ];
    ec2.call("RunInstances", &parameters)
}

/// The state of the only instance, as EC2 reports it.
fn state(ec2: &Ec2) -> String {
    let described = ec2.has_to("DescribeInstances", &[]);
    let state = inner(&described, "instanceState").unwrap();
    inner(&state, "name").unwrap()
}
