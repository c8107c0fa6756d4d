//! Which instances to launch and to start, in which zones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::super::launch::{Attempt, Launch, Placement};
use super::super::network;
use super::super::seen::{Image, Instance, InstanceState, Seen};
use super::super::wanted::{Wanted, WantedGroup};
use super::network::NetworkPlan;
use super::{NetworkIds, Refusal, Step};
use crate::host::HostName;
use crate::inventory::AwsImage;
use crate::unit::Size;

/// The plan for the instances of all groups.
#[derive(Default)]
pub(super) struct InstancePlan {
    pub(super) steps: Vec<Step>,
    /// The wanted instances that exist.
    pub(super) instances: Vec<Instance>,
    pub(super) notes: Vec<String>,
}

pub(super) fn instances(
    wanted: &Wanted,
    seen: &Seen,
    network: &NetworkPlan,
) -> Result<InstancePlan, Refusal> {
    let mut instances = InstancePlan::default();
    let mut addresses = AddressPool::new(wanted, seen, network);
    for group in &wanted.groups {
        match &group.nodes {
            Some(nodes) => named(group, nodes, &mut addresses, &mut instances)?,
            None => alike(group, &mut addresses, &mut instances)?,
        }
    }
    let stopped = instances.instances.iter().filter(|found| {
        matches!(found.state, InstanceState::Stopped | InstanceState::Stopping)
    });
    let stopped: Vec<(String, HostName)> =
        stopped.filter_map(|found| Some((found.id.clone(), found.host()?))).collect();
    if !stopped.is_empty() {
        instances.steps.push(Step::Start { instances: stopped });
    }
    instances.notes.extend(leftovers(seen, &instances.instances));
    instances.notes.extend(strangers(wanted, seen));
    Ok(instances)
}

/// Instances that lack a security group because someone removed it.
pub(super) fn protect(
    wanted: &Wanted,
    ids: &NetworkIds,
    instances: &[Instance],
) -> Vec<Step> {
    let lacks = |instance: &Instance, group: &WantedGroup| {
        let mut security_groups = group.security_groups().into_iter();
        security_groups.any(|security_group| {
            let id = ids.security_groups.get(&security_group);
            id.is_none_or(|id| !instance.security_groups.contains(id))
        })
    };
    let groups = wanted.groups.iter();
    let found = groups.flat_map(|group| {
        let of_group = |instance: &&Instance| instance.group() == Some(&group.name);
        let found = instances.iter().filter(of_group);
        found.filter(|instance| lacks(instance, group)).filter_map(|instance| {
            Some(Step::Protect {
                instance: instance.id.clone(),
                host: instance.host()?,
                security_groups: group.security_groups(),
            })
        })
    });
    found.collect()
}

/// Machines that are missing in one zone.
struct Opening<'a> {
    /// The machine's name, if it has one.
    node: Option<&'a HostName>,
    count: usize,
    /// The zone.
    home: &'a str,
    /// Why they are missing.
    reason: String,
}

/// Where instances can be, and which addresses are free.
struct AddressPool<'a> {
    wanted: &'a Wanted,
    seen: &'a Seen,
    network: &'a NetworkPlan,
    taken: BTreeSet<Ipv4Addr>,
    /// The number of named machines before, in all groups.
    n_named: usize,
}

impl<'a> AddressPool<'a> {
    fn new(wanted: &'a Wanted, seen: &'a Seen, network: &'a NetworkPlan) -> Self {
        let of_ours = seen.instances.iter().filter_map(|found| found.private);
        let of_others = seen.strangers.iter().map(|(_, address)| *address);
        let taken = of_ours.chain(of_others).collect();
        Self { wanted, seen, network, taken, n_named: 0 }
    }

    fn zones(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.network.zones.iter().map(|(zone, _)| zone.as_str())
    }

    /// The instances of a group: those that exist, the oldest first, and those that ended. If the
    /// network is new, instances that ended belonged to another cluster.
    fn of_group(&self, name: &str) -> (Vec<&'a Instance>, Vec<&'a Instance>) {
        let instances = self.seen.instances.iter();
        let of_group = instances.filter(|found| found.group() == Some(name));
        let (mut alive, ended): (Vec<_>, Vec<_>) =
            of_group.partition(|found| found.state.is_alive());
        alive.sort_by_key(|found| (found.launched, &found.id));
        let is_new = self.network.plan.network.vpc.is_none();
        (alive, if is_new { Vec::new() } else { ended })
    }

    /// The types and zones to try for machines of a zone: the group's types in that zone, in the
    /// inventory's order, then the same types in the other zones.
    fn attempts(&self, group: &WantedGroup, home: &str, named: bool) -> Vec<Attempt> {
        let zones = || self.network.zones.iter();
        let at_home = zones().filter(|(zone, _)| zone == home);
        let elsewhere = zones().filter(|(zone, _)| zone != home);
        let mut attempts = Vec::new();
        for (zone, subnet) in at_home.chain(elsewhere) {
            for kind in group.types.iter().filter(|kind| self.is_offered(kind, zone)) {
                let address = subnet.filter(|_| named).and_then(|subnet| {
                    let places =
                        (self.n_named..).map_while(|n| network::place(subnet, n));
                    places.into_iter().find(|placement| !self.taken.contains(placement))
                });
                let placement = Placement { zone: zone.clone(), address };
                attempts.push(Attempt { kind: kind.clone(), placement });
            }
        }
        attempts
    }

    fn is_offered(&self, kind: &str, zone: &str) -> bool {
        self.seen.offers.iter().any(|offer| offer.kind == kind && offer.zone == zone)
    }

    /// The launch that fills an opening.
    fn launch(
        &mut self,
        group: &WantedGroup,
        opening: Opening<'_>,
    ) -> Result<Launch, Refusal> {
        let Opening { node, count, home, reason } = opening;
        self.check(group)?;
        let attempts = self.attempts(group, home, node.is_some());
        if attempts.is_empty() {
            return Err(Refusal::NoOffer {
                kinds: group.types.clone(),
                zones: self.zones().map(str::to_owned).collect(),
                group: group.name.clone(),
            });
        }
        let image = self.image()?;
        let (alive, ended) = self.of_group(&group.name);
        let in_place = alive.into_iter().chain(ended).filter(|found| match node {
            Some(node) => found.host().as_ref() == Some(node),
            None => found.zone == home,
        });
        let mut known: Vec<String> = in_place.map(|found| found.id.clone()).collect();
        known.sort();
        self.taken
            .extend(attempts.iter().filter_map(|attempt| attempt.placement.address));
        Ok(Launch {
            group: group.name.clone(),
            node: node.cloned(),
            count,
            attempts,
            image: image.id.clone(),
            root_device: image.root_device.clone(),
            disk_gib: disk(group, image)?,
            spot: group.spot,
            protected: group.protected,
            security_groups: group.security_groups(),
            public_address: self.wanted.aws.ssh.jump.is_empty(),
            known,
            reason,
        })
    }

    fn image(&self) -> Result<&'a Image, Refusal> {
        self.seen.image.as_ref().ok_or_else(|| Refusal::NoImage {
            wanted: match &self.wanted.aws.image {
                AwsImage::Id(id) => format!("`{id}`"),
                AwsImage::Newest { owner, name } => format!("`{name}` of `{owner}`"),
            },
        })
    }

    /// Checks that the types of a group exist, and fit the image.
    fn check(&self, group: &WantedGroup) -> Result<(), Refusal> {
        let image = self.image()?;
        for kind in &group.types {
            let facts = self.seen.types.iter().find(|facts| facts.kind == *kind);
            let (kind, group) = (kind.clone(), group.name.clone());
            let Some(facts) = facts else { return Err(Refusal::NoType { kind, group }) };
            if !facts.architectures.contains(&image.architecture) {
                return Err(Refusal::Architecture {
                    image: image.id.clone(),
                    architecture: image.architecture.clone(),
                    kind,
                    has: facts.architectures.clone(),
                    group,
                });
            }
        }
        Ok(())
    }
}

/// Machines with names: each is launched alone; the zones take turns.
fn named(
    group: &WantedGroup,
    nodes: &[HostName],
    addresses: &mut AddressPool<'_>,
    instances: &mut InstancePlan,
) -> Result<(), Refusal> {
    let (alive, ended) = addresses.of_group(&group.name);
    for (n, node) in nodes.iter().enumerate() {
        let is_it = |found: &&&Instance| found.host().as_ref() == Some(node);
        match alive.iter().find(is_it) {
            Some(found) => {
                instances.notes.extend(other_type(group, found));
                instances.instances.push((*found).clone());
            }
            None => {
                let last = ended.iter().filter(is_it).max_by_key(|found| found.launched);
                let reason = match last {
                    Some(found) => format!("it was {}", end_of(found)),
                    None => "it does not exist".to_owned(),
                };
                let home = addresses.zones().cycle().nth(n).unwrap_or_default();
                let launch = addresses.launch(
                    group,
                    Opening { node: Some(node), count: 1, home, reason },
                )?;
                instances.steps.push(Step::Launch(launch));
            }
        }
        addresses.n_named += 1;
    }
    Ok(())
}

/// Machines without names: they are spread over the zones as evenly as possible.
fn alike(
    group: &WantedGroup,
    addresses: &mut AddressPool<'_>,
    instances: &mut InstancePlan,
) -> Result<(), Refusal> {
    let (alive, ended) = addresses.of_group(&group.name);
    instances.notes.extend(alive.iter().filter_map(|found| other_type(group, found)));
    instances.instances.extend(alive.iter().map(|found| (*found).clone()));
    if alive.len() > group.count {
        instances.notes.push(format!(
            "{}: {} machines exist and the inventory asks for {}: none is removed",
            group.name,
            alive.len(),
            group.count
        ));
    }
    let zones: Vec<&str> = addresses.zones().collect();
    let mut there: BTreeMap<&str, usize> = zones.iter().map(|zone| (*zone, 0)).collect();
    for found in &alive {
        *there.entry(found.zone.as_str()).or_default() += 1;
    }
    let missing = group.count.saturating_sub(alive.len());
    for (zone, count) in spread(missing, &zones, there) {
        let reason = match (ended.as_slice(), alive.len()) {
            ([], 0) => "none exists".to_owned(),
            ([], n) => format!("there are {n} of {}", group.count),
            (ended, n) => format!("there are {n} of {}: {}", group.count, ends_of(ended)),
        };
        let launch =
            addresses.launch(group, Opening { node: None, count, home: zone, reason })?;
        instances.steps.push(Step::Launch(launch));
    }
    Ok(())
}

/// How many machines each zone gets: each machine goes to the zone with the fewest.
fn spread<'z>(
    missing: usize,
    zones: &[&'z str],
    mut there: BTreeMap<&'z str, usize>,
) -> Vec<(&'z str, usize)> {
    let mut new: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..missing {
        let Some(zone) = zones.iter().min_by_key(|zone| there.get(**zone)) else { break };
        *there.entry(zone).or_default() += 1;
        *new.entry(zone).or_default() += 1;
    }
    let in_order = zones.iter().filter_map(|zone| Some((*zone, *new.get(zone)?)));
    in_order.collect()
}

/// The size of a group's disk in GiB.
fn disk(group: &WantedGroup, image: &Image) -> Result<u32, Refusal> {
    const LEAST: u32 = 8;
    let needed = image.root_gib.unwrap_or(LEAST);
    let Some(disk) = group.disk else { return Ok(needed) };
    let disk = disk.as_bytes().div_ceil(Size::gib(1).as_bytes());
    match u32::try_from(disk) {
        Ok(gib) if gib >= needed => Ok(gib),
        _ => Err(Refusal::SmallDisk {
            group: group.name.clone(),
            disk,
            image: image.id.clone(),
            needed: u64::from(needed),
        }),
    }
}

/// `i-0abc terminated (User initiated)`, without the id.
fn end_of(found: &Instance) -> String {
    match &found.reason {
        Some(reason) => format!("{} ({reason})", found.state),
        None => found.state.to_string(),
    }
}

/// How instances ended: the last few, and the number of earlier ones.
fn ends_of(ended: &[&Instance]) -> String {
    const FEW: usize = 3;
    let mut last: Vec<&Instance> = ended.to_vec();
    last.sort_by_key(|found| std::cmp::Reverse(found.launched));
    let few = last.iter().take(FEW);
    let few: Vec<String> =
        few.map(|found| format!("{} was {}", found.id, end_of(found))).collect();
    match last.len().saturating_sub(FEW) {
        0 => few.join(", "),
        more => format!("{}, and {more} before", few.join(", ")),
    }
}

/// A machine whose type is none of those that the inventory gives.
fn other_type(group: &WantedGroup, found: &Instance) -> Option<String> {
    let host = found.host()?;
    let wanted = group.types.join(" or ");
    (!group.types.contains(&found.kind)).then(|| {
        format!(
            "{host} stays a {}: the inventory says {wanted}, which only new machines become",
            found.kind
        )
    })
}

/// Instances of the cluster that are not in the inventory.
fn leftovers(seen: &Seen, wanted: &[Instance]) -> Vec<String> {
    let alive = seen.instances.iter().filter(|found| found.state.is_alive());
    let left = alive.filter(|found| wanted.iter().all(|other| other.id != found.id));
    left.map(|found| {
        let what = match (found.group(), found.tags.get(super::super::NODE_TAG)) {
            (Some(_), Some(node)) => format!("{node} ({})", found.id),
            (Some(group), None) => format!("{} of the group {group}", found.id),
            (None, _) => {
                format!("{}, which has no `{}`", found.id, super::super::GROUP_TAG)
            }
        };
        format!("{what} is not in the inventory and is not changed")
    })
    .collect()
}

/// Instances in the cluster's own network that do not belong to the cluster.
fn strangers(wanted: &Wanted, seen: &Seen) -> Vec<String> {
    let cluster = &wanted.cluster;
    let said = |(id, _): &(String, Ipv4Addr)| {
        format!(
            "{id} is in the cluster's network without the cluster's tag, and is not changed; if \
             someone removed the tag, add it again: `aws ec2 create-tags --resources {id} --tags \
             Key={},Value={cluster}`",
            super::super::CLUSTER_TAG
        )
    };
    seen.strangers.iter().map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_go_where_there_are_fewest() {
        let zones = ["a", "b", "c"];
        let there = |counts: [usize; 3]| zones.into_iter().zip(counts).collect();
        assert_eq!(spread(5, &zones, there([0, 0, 0])), [("a", 2), ("b", 2), ("c", 1)]);
        assert_eq!(spread(3, &zones, there([4, 0, 3])), [("b", 3)]);
        assert_eq!(spread(0, &zones, there([0, 0, 0])), []);
    }
}
