//! What machines need: key pair, VPC, subnets, internet gateway.

use std::collections::BTreeSet;

use super::super::CLUSTER_TAG;
use super::super::network;
use super::super::seen::{KeyPair, Seen, Subnet, Vpc};
use super::super::wanted::Wanted;
use super::{AwsPlan, Refusal, Step, push};
use crate::inventory::{AwsNetwork, Cidr};

/// How many zones a cluster is spread over if the inventory names none.
const ZONES: usize = 3;

/// The plan so far, and where machines can be.
pub(super) struct NetworkPlan {
    pub(super) plan: AwsPlan,
    /// The zones to spread machines over, each with the addresses of its subnet if the program
    /// assigns addresses in it.
    pub(super) zones: Vec<(String, Option<Cidr>)>,
}

pub(super) fn lay(wanted: &Wanted, seen: &Seen) -> Result<NetworkPlan, Refusal> {
    let mut plan = AwsPlan::default();
    push(&mut plan, key(wanted, seen.key_pair.as_ref())?);
    let network = match &wanted.aws.network {
        AwsNetwork::Made(cidr) => made(wanted, seen, *cidr, plan)?,
        AwsNetwork::Given { vpc, subnets } => given(wanted, seen, vpc, subnets, plan)?,
    };
    nobody_is_elsewhere(wanted, seen, network.plan.network.vpc.as_deref())?;
    Ok(network)
}

fn key(wanted: &Wanted, found: Option<&KeyPair>) -> Result<Vec<Step>, Refusal> {
    let (name, public) = (wanted.name(), wanted.public_key.clone());
    let Some(found) = found else { return Ok(vec![Step::ImportKey { name, public }]) };
    if found.tags.get(CLUSTER_TAG).map(String::as_str) != Some(wanted.cluster.as_str()) {
        let (id, cluster) = (found.id.clone(), wanted.cluster.to_string());
        return Err(Refusal::Untagged { what: "key pair", name, id, cluster });
    }
    let bare = |key: &str| -> String {
        key.split_whitespace().take(2).collect::<Vec<&str>>().join(" ")
    };
    match &found.public {
        Some(there) if bare(there) != bare(&public) => {
            let begins = bare(there).chars().take(40).collect();
            Err(Refusal::OtherKey { name, begins })
        }
        _ => Ok(Vec::new()),
    }
}

/// The zones that the inventory names, or the first ones.
fn zones(wanted: &Wanted, seen: &Seen) -> Result<Vec<String>, Refusal> {
    let mut known = seen.zones.clone();
    known.sort();
    if wanted.aws.zones.is_empty() {
        known.truncate(ZONES);
        return Ok(known);
    }
    match wanted.aws.zones.iter().find(|zone| !known.contains(zone)) {
        Some(zone) => Err(Refusal::Zone { zone: zone.clone(), known }),
        None => Ok(wanted.aws.zones.clone()),
    }
}

/// The cluster's own network.
fn made(
    wanted: &Wanted,
    seen: &Seen,
    cidr: Cidr,
    mut plan: AwsPlan,
) -> Result<NetworkPlan, Refusal> {
    let vpc = own_vpc(seen, cidr, &mut plan)?;
    let mut steps = Vec::new();
    let zones = subnets(wanted, seen, cidr, &mut plan, &mut steps)?;
    let gateway = gateway(seen, vpc);
    if gateway.is_none() {
        steps.push(Step::MakeInternetGateway);
    }
    push(&mut plan, steps);
    let attached = gateway.as_ref().is_some_and(|(_, attached)| *attached);
    plan.network.gateway = gateway.map(|(id, _)| id);
    let routes = vpc.and_then(|vpc| seen.routes.get(&vpc.id));
    plan.network.route_table = routes.map(|(table, _)| table.clone());
    let routed = routes.and_then(|(_, route)| route.as_ref());
    if !attached {
        push(&mut plan, vec![Step::AttachInternetGateway]);
    }
    if routed.is_none() || routed != plan.network.gateway.as_ref() {
        push(&mut plan, vec![Step::Route]);
    }
    Ok(NetworkPlan { plan, zones })
}

/// The cluster's VPC; if runs collided and there are several, the one with the lowest id.
fn own_vpc<'a>(
    seen: &'a Seen,
    cidr: Cidr,
    plan: &mut AwsPlan,
) -> Result<Option<&'a Vpc>, Refusal> {
    let Some(vpc) = seen.vpcs.iter().min_by(|a, b| a.id.cmp(&b.id)) else {
        push(plan, vec![Step::MakeVpc { cidr }]);
        return Ok(None);
    };
    if vpc.cidr != cidr.to_string() {
        let (there, wanted) = (vpc.cidr.clone(), cidr.to_string());
        return Err(Refusal::OtherNetwork { vpc: vpc.id.clone(), there, wanted });
    }
    for other in seen.vpcs.iter().filter(|other| other.id != vpc.id) {
        plan.notes.push(format!(
            "{} is a second network of this cluster, and is not used: `platform down` removes it",
            other.id
        ));
    }
    plan.network.vpc = Some(vpc.id.clone());
    Ok(Some(vpc))
}

/// The subnet of each zone; missing ones get the lowest free part of the network.
fn subnets(
    wanted: &Wanted,
    seen: &Seen,
    network: Cidr,
    plan: &mut AwsPlan,
    steps: &mut Vec<Step>,
) -> Result<Vec<(String, Option<Cidr>)>, Refusal> {
    let vpc = plan.network.vpc.clone();
    let of_ours = |subnet: &&Subnet| vpc.as_ref() == Some(&subnet.vpc);
    let there: Vec<&Subnet> = seen.subnets.iter().filter(of_ours).collect();
    let taken: BTreeSet<&str> = there.iter().map(|subnet| subnet.cidr.as_str()).collect();
    let parts = (0..).map_while(|n| network::subnet(network, n));
    let mut free = parts.filter(|cidr| !taken.contains(cidr.to_string().as_str()));
    let mut zones = Vec::new();
    for zone in self::zones(wanted, seen)? {
        if let Some(subnet) = there.iter().find(|subnet| subnet.zone == zone) {
            plan.network.subnets.insert(zone.clone(), subnet.id.clone());
            zones.push((zone, subnet.cidr.parse().ok()));
            continue;
        }
        let no_room = || Refusal::NoRoom {
            network: network.to_string(),
            what: format!("a subnet in {zone}"),
        };
        let cidr = free.next().ok_or_else(no_room)?;
        steps.push(Step::MakeSubnet { zone: zone.clone(), cidr });
        zones.push((zone, Some(cidr)));
    }
    Ok(zones)
}

/// The cluster's internet gateway, and whether it is attached to the cluster's network. A gateway
/// that is attached to another network is ignored.
fn gateway(seen: &Seen, vpc: Option<&Vpc>) -> Option<(String, bool)> {
    let here =
        |to: &Option<String>| to.is_some() && to.as_ref() == vpc.map(|vpc| &vpc.id);
    let attached = seen.gateways.iter().find(|(_, to)| here(to));
    let loose = seen.gateways.iter().find(|(_, to)| to.is_none());
    attached
        .map(|(id, _)| (id.clone(), true))
        .or_else(|| loose.map(|(id, _)| (id.clone(), false)))
}

/// A network that exists already: it is not changed.
fn given(
    wanted: &Wanted,
    seen: &Seen,
    vpc: &str,
    subnets: &[String],
    mut plan: AwsPlan,
) -> Result<NetworkPlan, Refusal> {
    if !seen.vpcs.iter().any(|found| found.id == vpc) {
        return Err(Refusal::NoNetwork { what: "vpc", id: vpc.to_owned() });
    }
    plan.network.vpc = Some(vpc.to_owned());
    for id in subnets {
        let found = seen.subnets.iter().find(|subnet| subnet.id == *id);
        let no_subnet = || Refusal::NoNetwork { what: "subnet", id: id.clone() };
        let found = found.ok_or_else(no_subnet)?;
        let unfit = |why: String| Refusal::Subnet { subnet: id.clone(), why };
        if found.vpc != vpc {
            return Err(unfit(format!("it is in {}, not in {vpc}", found.vpc)));
        }
        let zone = &found.zone;
        if plan.network.subnets.insert(zone.clone(), id.clone()).is_some() {
            return Err(unfit(format!("another of the subnets is also in {zone}")));
        }
    }
    let mut zones: Vec<String> = plan.network.subnets.keys().cloned().collect();
    if let Some(zone) = wanted.aws.zones.iter().find(|zone| !zones.contains(zone)) {
        return Err(Refusal::Zone { zone: zone.clone(), known: zones });
    }
    if !wanted.aws.zones.is_empty() {
        zones.clone_from(&wanted.aws.zones);
    }
    Ok(NetworkPlan { plan, zones: zones.into_iter().map(|zone| (zone, None)).collect() })
}

/// Checks that the cluster's instances are in its network: if the network lost its tag, no second
/// network may be made.
fn nobody_is_elsewhere(
    wanted: &Wanted,
    seen: &Seen,
    network: Option<&str>,
) -> Result<(), Refusal> {
    for instance in seen.instances.iter().filter(|found| found.state.is_alive()) {
        let Some(vpc) = &instance.vpc else { continue };
        if network != Some(vpc.as_str()) {
            return Err(Refusal::Elsewhere {
                instance: instance.id.clone(),
                vpc: vpc.clone(),
                network: network.map(str::to_owned),
                cluster: wanted.cluster.to_string(),
            });
        }
    }
    Ok(())
}
