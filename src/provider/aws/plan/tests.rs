//! Plans against a model of AWS that does their steps: afterwards nothing is left to do.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use jiff::Timestamp;

use super::super::launch::Launch;
use super::super::seen::{
    Image, Instance, InstanceState, KeyPair, Offer, Rule, SecurityGroup, Seen, Source,
    Subnet, TypeFacts, Vpc,
};
use super::super::wanted::Wanted;
use super::super::{CLUSTER_TAG, EXPIRES_TAG, GROUP_TAG, NODE_TAG};
use super::{AwsPlan, Refusal, Step, plan};
use crate::inventory::{self, Provider};

const TEXT: &str = "cluster: lab
provider:
  aws:
    region: us-east-1
    image: ami-0123456789abcdef0
    ssh: {user: admin, key: key}
    admin_cidrs: [203.0.113.0/24]
groups:
  control: {roles: [control], count: 3, type: m7i.large, disk: 50GiB}
  edge: {roles: [edge], count: 1, type: [t3.medium, t3a.medium]}
  workers: {roles: [agent], count: 4, type: m7i.large}
";

fn wanted(text: &str) -> Wanted {
    let inventory = inventory::read(text, &|_: &Path| true).expect("it is right");
    let Provider::Aws(aws) = &inventory.provider else { panic!("it is of AWS") };
    Wanted::of(&inventory, aws, "ssh-ed25519 AAAA operator".to_owned())
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

/// An account with nothing of the cluster.
fn nothing() -> Seen {
    let zones = ["a", "b", "c", "d"].map(|zone| format!("us-east-1{zone}"));
    let kinds = ["m7i.large", "t3.medium", "t3a.medium"];
    let offers = zones.iter().flat_map(|zone| {
        kinds.map(|kind| Offer { kind: kind.to_owned(), zone: zone.clone() })
    });
    let facts = |kind: &str| TypeFacts {
        kind: kind.to_owned(),
        architectures: vec!["x86_64".to_owned()],
    };
    Seen {
        offers: offers.collect(),
        types: kinds.map(facts).into(),
        zones: zones.into(),
        image: Some(Image {
            id: "ami-0123456789abcdef0".to_owned(),
            name: "debian".to_owned(),
            root_device: "/dev/xvda".to_owned(),
            root_gib: Some(8),
            architecture: "x86_64".to_owned(),
        }),
        ..Seen::default()
    }
}

/// What AWS would have after this number of steps of a plan.
fn after(mut seen: Seen, wanted: &Wanted, plan: &AwsPlan, n_steps: usize) -> Seen {
    for step in plan.steps().take(n_steps) {
        make(&mut seen, wanted, plan, step);
    }
    seen
}

fn whole(seen: Seen, wanted: &Wanted) -> Seen {
    let plan = plan(wanted, &seen, now()).expect("there is a plan");
    let n_steps = plan.steps().count();
    after(seen, wanted, &plan, n_steps)
}

fn make(seen: &mut Seen, wanted: &Wanted, plan: &AwsPlan, step: &Step) {
    let vpc = "vpc-1".to_owned();
    match step {
        Step::ImportKey { name, public } => {
            seen.key_pair = Some(KeyPair {
                id: "key-1".to_owned(),
                name: name.clone(),
                public: Some(public.clone()),
                created: Some(now()),
                tags: tags(plan, &[]),
            });
        }
        Step::MakeVpc { cidr } => {
            seen.routes.insert(vpc.clone(), ("rtb-1".to_owned(), None));
            seen.vpcs.push(Vpc { id: vpc, cidr: cidr.to_string() });
        }
        Step::MakeSubnet { zone, cidr } => {
            let (id, cidr, zone) =
                (format!("subnet-{zone}"), cidr.to_string(), zone.clone());
            seen.subnets.push(Subnet { id, vpc, zone, cidr });
        }
        Step::MakeInternetGateway => seen.gateways.push(("igw-1".to_owned(), None)),
        Step::AttachInternetGateway => seen.gateways[0].1 = Some(vpc),
        Step::Route => {
            let gateway = Some("igw-1".to_owned());
            seen.routes.insert(vpc, ("rtb-1".to_owned(), gateway));
        }
        Step::MakeSecurityGroup { .. } | Step::Allow { .. } | Step::Forbid { .. } => {
            guard(seen, wanted, step);
        }
        Step::Protect { instance, security_groups, .. } => {
            let found = seen.instances.iter_mut().find(|found| found.id == *instance);
            let ids =
                security_groups.iter().map(|which| wanted.security_group_name(*which));
            found.unwrap().security_groups =
                ids.map(|name| format!("sg-{name}")).collect();
        }
        Step::Expire { at, .. } => {
            let tags = &mut seen.key_pair.as_mut().unwrap().tags;
            match at {
                Some(at) => tags.insert(EXPIRES_TAG.to_owned(), at.to_string()),
                None => tags.remove(EXPIRES_TAG),
            };
        }
        Step::Launch(launch) => {
            let first = seen.instances.len();
            let new = (first..first + launch.count).map(|n| run(wanted, plan, launch, n));
            seen.instances.extend(new);
        }
        Step::Start { instances } => {
            for (id, _) in instances {
                let found = seen.instances.iter_mut().find(|found| found.id == *id);
                found.unwrap().state = InstanceState::Running;
            }
        }
    }
}

/// Does the steps that change security groups.
fn guard(seen: &mut Seen, wanted: &Wanted, step: &Step) {
    let groups = &mut seen.security_groups;
    match step {
        Step::Allow { security_group, rules } => {
            let group = named(groups, &wanted.security_group_name(*security_group));
            let all = || wanted.rules(*security_group, &group.id);
            let rules = rules.clone().unwrap_or_else(all);
            group.rules.extend(rules);
        }
        Step::Forbid { security_group, rules } => {
            let group = named(groups, &wanted.security_group_name(*security_group));
            group.rules.retain(|rule| !rules.contains(rule));
        }
        Step::MakeSecurityGroup { name, .. } => {
            let (id, name) = (format!("sg-{name}"), name.clone());
            let vpc = "vpc-1".to_owned();
            groups.push(SecurityGroup { id, name, vpc, rules: Vec::new(), tagged: true });
        }
        _ => {}
    }
}

fn named<'a>(groups: &'a mut [SecurityGroup], name: &str) -> &'a mut SecurityGroup {
    groups.iter_mut().find(|group| group.name == name).unwrap()
}

fn tags(plan: &AwsPlan, extra: &[(&str, &str)]) -> BTreeMap<String, String> {
    let ends = plan.network.expires.map(|at| at.to_string());
    let ends = ends.iter().map(|at| (EXPIRES_TAG, at.as_str()));
    let own = [(CLUSTER_TAG, "lab")].into_iter().chain(ends);
    let all = own.chain(extra.iter().copied());
    all.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn run(wanted: &Wanted, plan: &AwsPlan, launch: &Launch, n: usize) -> Instance {
    let placement = &launch.attempts[0].placement;
    let mut extra = vec![(GROUP_TAG, launch.group.as_str())];
    extra.extend(launch.node.as_ref().map(|node| (NODE_TAG, node.as_str())));
    let groups =
        launch.security_groups.iter().map(|which| wanted.security_group_name(*which));
    let any = Ipv4Addr::new(10, 42, 99, u8::try_from(n).unwrap());
    Instance {
        id: format!("i-{n}"),
        state: InstanceState::Running,
        reason: None,
        kind: launch.attempts[0].kind.clone(),
        zone: placement.zone.clone(),
        vpc: Some("vpc-1".to_owned()),
        private: Some(placement.address.unwrap_or(any)),
        public: None,
        security_groups: groups.map(|name| format!("sg-{name}")).collect(),
        launched: Some(now()),
        tags: tags(plan, &extra),
    }
}

fn shown(wanted: &Wanted, seen: &Seen) -> String {
    let plan = plan(wanted, seen, now()).unwrap().machine_plan(None, now());
    let mut text = plan.notes.join("\n");
    plan.show(&mut text).unwrap();
    text
}

#[test]
fn a_plan_that_was_cut_after_any_step_is_finished_by_the_next() {
    let wanted = wanted(TEXT);
    let first = plan(&wanted, &nothing(), now()).unwrap();
    for n_steps in 0..=first.steps().count() {
        let cut = after(nothing(), &wanted, &first, n_steps);
        let seen = whole(cut, &wanted);
        let last = plan(&wanted, &seen, now()).unwrap();
        assert!(last.is_complete(), "after {n_steps}: {:#?}", last.phases);
        assert_eq!(seen.instances.len(), 8, "after {n_steps}");
        assert_eq!((seen.vpcs.len(), seen.subnets.len()), (1, 3), "after {n_steps}");
        assert_eq!(last.running().len(), 8);
        assert_eq!(last.notes, [""; 0]);
    }
}

#[test]
fn machines_with_names_are_replaced_in_their_place() {
    let wanted = wanted(TEXT);
    let mut seen = whole(nothing(), &wanted);
    let is_it = |found: &&mut Instance| found.host().unwrap().as_str() == "control-2";
    let found = seen.instances.iter_mut().find(is_it).unwrap();
    let before = (found.private, found.zone.clone());
    (found.state, found.private, found.vpc) = (InstanceState::Terminated, None, None);
    found.reason = Some("Client.UserInitiatedShutdown".to_owned());
    let text = shown(&wanted, &seen);
    assert!(text.contains("it was terminated (Client.UserInitiatedShutdown)"), "{text}");
    let plan = plan(&wanted, &seen, now()).unwrap();
    let steps: Vec<&Step> = plan.steps().collect();
    let [Step::Launch(launch)] = steps.as_slice() else { panic!("{steps:#?}") };
    let placement = launch.attempts[0].placement.clone();
    assert_eq!((placement.address, placement.zone), before);
    assert_eq!(launch.known, ["i-1"], "another launch than the first is meant");
}

#[test]
fn an_address_that_is_decided_is_taken_before_aws_chooses_any() {
    let wanted = wanted(TEXT);
    let plan = plan(&wanted, &nothing(), now()).unwrap();
    let launches = plan.phases.iter().map(|phase| {
        let launched = phase.iter().filter_map(|step| match step {
            Step::Launch(launch) => Some(launch.planned().is_some()),
            _ => None,
        });
        launched.collect::<Vec<bool>>()
    });
    let launches: Vec<Vec<bool>> = launches.filter(|phase| !phase.is_empty()).collect();
    let [placed, alike] = launches.as_slice() else { panic!("{launches:?}") };
    assert!(placed.iter().all(|decided| *decided), "{launches:?}");
    assert!(alike.iter().all(|decided| !decided), "{launches:?}");
}

#[test]
fn a_type_is_tried_in_its_zone_and_then_elsewhere() {
    let wanted = wanted(TEXT);
    let plan = plan(&wanted, &nothing(), now()).unwrap();
    let edge = plan.steps().find_map(|step| match step {
        Step::Launch(launch) if launch.group == "edge" => Some(launch),
        _ => None,
    });
    let attempts = &edge.unwrap().attempts;
    let tried: Vec<String> = attempts
        .iter()
        .map(|attempt| format!("{} {}", attempt.kind, attempt.placement.zone))
        .collect();
    assert_eq!(
        tried[..3],
        ["t3.medium us-east-1a", "t3a.medium us-east-1a", "t3.medium us-east-1b"]
    );
    assert_eq!(tried.len(), 6);
}

#[test]
fn what_the_inventory_has_no_place_for_is_told_and_kept() {
    let wanted = wanted(TEXT);
    let seen = whole(nothing(), &wanted);
    let fewer = self::wanted(&TEXT.replace("count: 4", "count: 3").replace(
        "  edge: {roles: [edge], count: 1, type: [t3.medium, t3a.medium]}",
        "  way-in: {roles: [edge], count: 1, type: t3.medium}",
    ));
    let text = shown(&fewer, &seen);
    for said in [
        "workers: 4 machines exist and the inventory asks for 3: none is removed",
        "edge-1 (i-3) is not in the inventory and is not changed",
    ] {
        assert!(text.contains(said), "{said} is not said:\n{text}");
    }
    let other = self::wanted(&TEXT.replace("m7i.large, disk", "t3.medium, disk"));
    let text = shown(&other, &seen);
    assert!(text.contains("control-1 stays a m7i.large"), "{text}");
}

#[test]
fn rules_of_others_go_and_new_ones_come() {
    let wanted = wanted(TEXT);
    let mut seen = whole(nothing(), &wanted);
    seen.security_groups[0].rules.push(Rule {
        protocol: "tcp".to_owned(),
        ports: Some((22, 22)),
        source: Source::Network("0.0.0.0/0".to_owned()),
    });
    let more = self::wanted(&TEXT.replace("[203", "[198.51.100.7/32, 203"));
    let text = shown(&more, &seen);
    for said in [
        "no longer accept tcp 22 from 0.0.0.0/0 (RevokeSecurityGroupIngress)",
        "accept tcp 22 from 198.51.100.7/32 (AuthorizeSecurityGroupIngress)",
        "tcp 443 from 198.51.100.7/32",
        "tcp 10000-20000 from 198.51.100.7/32",
    ] {
        assert!(text.contains(said), "{said} is not said:\n{text}");
    }
    let seen = whole(seen, &more);
    assert!(plan(&more, &seen, now()).unwrap().is_complete());
}

#[test]
fn an_end_is_noted_moved_and_taken_back() {
    let with = |hours: u8| {
        wanted(&TEXT.replace("  aws:\n", &format!("  aws:\n    expires: {hours}h\n")))
    };
    let seen = whole(nothing(), &with(8));
    let ends =
        |seen: &Seen| seen.key_pair.as_ref().unwrap().tags.get(EXPIRES_TAG).cloned();
    assert_eq!(ends(&seen).as_deref(), Some("2026-01-01T20:00:00Z"));
    assert!(plan(&with(8), &seen, now()).unwrap().is_complete());
    let seen = whole(seen, &with(10));
    assert_eq!(ends(&seen).as_deref(), Some("2026-01-01T22:00:00Z"));
    let seen = whole(seen, &wanted(TEXT));
    assert_eq!(ends(&seen), None);
}

#[test]
fn what_is_not_safe_or_cannot_be_had_is_refused() {
    let wanted = wanted(TEXT);
    let all = whole(nothing(), &wanted);
    let refused = |change: &dyn Fn(&mut Seen)| {
        let mut seen = all.clone();
        change(&mut seen);
        plan(&wanted, &seen, now()).expect_err("it is refused")
    };
    let untagged = refused(&|seen| seen.security_groups[0].tagged = false);
    assert!(matches!(untagged, Refusal::Untagged { what: "security group", .. }));
    let elsewhere = refused(&|seen| seen.vpcs.clear());
    assert!(
        elsewhere.to_string().contains("create-tags --resources vpc-1"),
        "{elsewhere}"
    );
    let other = refused(&|seen| {
        seen.key_pair.as_mut().unwrap().public = Some("ssh-ed25519 BBBB".to_owned());
    });
    assert!(matches!(other, Refusal::OtherKey { .. }));
    let network = refused(&|seen| seen.vpcs[0].cidr = "10.9.0.0/16".to_owned());
    assert!(
        network.to_string().contains("write `network: {cidr: 10.9.0.0/16}`"),
        "{network}"
    );
    let arm = refused(&|seen| {
        seen.instances.pop();
        seen.image.as_mut().unwrap().architecture = "arm64".to_owned();
    });
    assert!(matches!(arm, Refusal::Architecture { .. }));
    let image = refused(&|seen| {
        seen.instances.pop();
        seen.image = None;
    });
    assert!(matches!(image, Refusal::NoImage { .. }));
    let type_ = refused(&|seen| {
        seen.instances.pop();
        seen.types.clear();
    });
    assert!(matches!(type_, Refusal::NoType { .. }));
    let offer = refused(&|seen| {
        seen.instances.pop();
        seen.offers.clear();
    });
    assert!(matches!(offer, Refusal::NoOffer { .. }));
}

#[test]
fn a_network_that_exists_is_used_and_not_changed() {
    let text = TEXT.replace(
        "    image:",
        "    network: {vpc: vpc-0123456789abcdef0, subnets: [subnet-0123456789abcdef0, \
         subnet-0123456789abcdef1]}\n    image:",
    );
    let wanted = wanted(&text);
    let vpc = "vpc-0123456789abcdef0".to_owned();
    let subnet = |n: u8, zone: &str| Subnet {
        id: format!("subnet-0123456789abcdef{n}"),
        vpc: vpc.clone(),
        zone: zone.to_owned(),
        cidr: format!("10.0.{n}.0/24"),
    };
    let mut seen = nothing();
    seen.vpcs.push(Vpc { id: vpc.clone(), cidr: "10.0.0.0/16".to_owned() });
    seen.subnets = vec![subnet(0, "us-east-1a"), subnet(1, "us-east-1b")];
    let calls: Vec<&str> =
        plan(&wanted, &seen, now()).unwrap().steps().map(Step::call).collect();
    let groups = ["CreateSecurityGroup"; 2].iter();
    let expected: Vec<&str> = ["ImportKeyPair"]
        .iter()
        .chain(groups)
        .chain(&["AuthorizeSecurityGroupIngress"; 2])
        .chain(&["RunInstances"; 6])
        .copied()
        .collect();
    assert_eq!(calls, expected);
    seen.subnets[1].zone = "us-east-1a".to_owned();
    assert!(matches!(plan(&wanted, &seen, now()), Err(Refusal::Subnet { .. })));
    seen.subnets.pop();
    assert!(matches!(plan(&wanted, &seen, now()), Err(Refusal::NoNetwork { .. })));
}
