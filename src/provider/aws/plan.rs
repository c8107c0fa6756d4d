//! Plans a cluster's machines and their network at AWS.
//!
//! Pure: compares what the inventory asks for with what AWS has. Steps are in phases: the steps of
//! one phase do not depend on each other and are done in parallel.

mod instances;
mod network;
mod security_groups;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::launch::Launch;
use super::seen::{Instance, Rule, Seen};
use super::wanted::{GroupKind, Wanted};
use super::{CLUSTER_TAG, Machine};
use crate::host::HostName;
use crate::inventory::Cidr;

/// What to do, in order, and what exists.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AwsPlan {
    /// The phases; each is finished before the next begins.
    pub phases: Vec<Vec<Step>>,
    /// The ids of what exists already; more are added as steps are done.
    pub network: NetworkIds,
    /// The wanted instances that exist, in the order of the inventory.
    pub instances: Vec<Instance>,
    /// Differences from the inventory that are not changed, in sentences.
    pub notes: Vec<String>,
}

/// The ids of the network and of everything else that all machines need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkIds {
    /// The network.
    pub vpc: Option<String>,
    /// Its subnets, by zone.
    pub subnets: BTreeMap<String, String>,
    /// Its internet gateway.
    pub gateway: Option<String>,
    /// Its main route table.
    pub route_table: Option<String>,
    /// Its security groups.
    pub security_groups: BTreeMap<GroupKind, String>,
    /// The time from which `down --expired` may remove the cluster.
    pub expires: Option<Timestamp>,
}

/// One call, or one call for each of several equal things.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Imports the operator's public key at AWS.
    ImportKey {
        /// Its name there.
        name: String,
        /// The key, as one line.
        public: String,
    },
    /// Makes the network.
    MakeVpc {
        /// Its addresses.
        cidr: Cidr,
    },
    /// Makes a subnet.
    MakeSubnet {
        /// Its zone.
        zone: String,
        /// Its addresses.
        cidr: Cidr,
    },
    /// Makes the internet gateway.
    MakeInternetGateway,
    /// Attaches the internet gateway to the VPC.
    AttachInternetGateway,
    /// Routes traffic for other networks through the internet gateway.
    Route,
    /// Makes a security group.
    MakeSecurityGroup {
        /// The security group.
        security_group: GroupKind,
        /// Its name.
        name: String,
    },
    /// Adds rules to a security group.
    Allow {
        /// The security group.
        security_group: GroupKind,
        /// The rules; `None` if they are decided once the group is made.
        rules: Option<Vec<Rule>>,
    },
    /// Removes rules from a security group.
    Forbid {
        /// The security group.
        security_group: GroupKind,
        /// The rules.
        rules: Vec<Rule>,
    },
    /// Restores the security groups of an instance.
    Protect {
        /// The instance.
        instance: String,
        /// Its name in the cluster.
        host: HostName,
        /// The security groups.
        security_groups: Vec<GroupKind>,
    },
    /// Notes the expiry time of the cluster on everything that exists.
    Expire {
        /// The ids of what exists.
        resources: Vec<String>,
        /// The expiry time; `None` if the cluster does not expire.
        at: Option<Timestamp>,
    },
    /// Makes instances.
    Launch(Launch),
    /// Starts instances that were stopped.
    Start {
        /// Their ids and names.
        instances: Vec<(String, HostName)>,
    },
}

/// Why no plan is made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A zone is not available.
    #[error(
        "the zone `{zone}` is not available in this region to this account; available: {}",
        known.join(", ")
    )]
    Zone {
        /// The zone.
        zone: String,
        /// The available zones.
        known: Vec<String>,
    },
    /// The network that the inventory names does not exist.
    #[error(
        "there is no {what} `{id}` in this region: list them with `aws ec2 describe-{what}s`"
    )]
    NoNetwork {
        /// `vpc` or `subnet`.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// Subnets that cannot be used together.
    #[error("the subnet `{subnet}` cannot be used: {why}")]
    Subnet {
        /// The subnet.
        subnet: String,
        /// Why.
        why: String,
    },
    /// The existing network has other addresses than the inventory says.
    #[error(
        "refused: the cluster's network {vpc} has the addresses {there}, but the inventory says \
         {wanted}: a network cannot be changed; write `network: {{cidr: {there}}}`, or run \
         `platform down` first"
    )]
    OtherNetwork {
        /// The VPC.
        vpc: String,
        /// The addresses that it has.
        there: String,
        /// What the inventory says.
        wanted: String,
    },
    /// The network is too small.
    #[error(
        "the network {network} has no room left for {what}: write a larger one in the inventory"
    )]
    NoRoom {
        /// The network.
        network: String,
        /// What does not fit.
        what: String,
    },
    /// Something has the cluster's name, but not its tag.
    #[error(
        "refused: the {what} `{name}` ({id}) exists without this cluster's tag; if it belongs to \
         this cluster, add the tag again: `aws ec2 create-tags --resources {id} --tags \
         Key={CLUSTER_TAG},Value={cluster}`; if not, give the cluster another name"
    )]
    Untagged {
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
        /// Its id.
        id: String,
        /// The cluster.
        cluster: String,
    },
    /// Instances of the cluster are in another network.
    #[error(
        "refused: {instance} of this cluster is in {vpc}, which is not the cluster's network{}; \
         if someone removed the tag from {vpc}, add it again: `aws ec2 create-tags \
         --resources {vpc} --tags Key={CLUSTER_TAG},Value={cluster}`",
        network.as_ref().map(|id| format!(" ({id})")).unwrap_or_default()
    )]
    Elsewhere {
        /// The instance.
        instance: String,
        /// The network that it is in.
        vpc: String,
        /// The cluster's network, if there is one.
        network: Option<String>,
        /// The cluster.
        cluster: String,
    },
    /// The key pair with the cluster's name has another key.
    #[error(
        "refused: the key pair `{name}` at AWS has another public key than the inventory's \
         `ssh.key`: use the key with which the cluster was made; its public half begins with \
         `{begins}`"
    )]
    OtherKey {
        /// The key pair.
        name: String,
        /// The beginning of the key there.
        begins: String,
    },
    /// There is no such image.
    #[error(
        "there is no image {wanted} in this region: list images with `aws ec2 describe-images \
         --owners OWNER --filters Name=name,Values=NAME`"
    )]
    NoImage {
        /// What the inventory says.
        wanted: String,
    },
    /// There is no such type.
    #[error(
        "there is no instance type `{kind}` (group `{group}`) in this region: list types with \
         `aws ec2 describe-instance-types`"
    )]
    NoType {
        /// The type.
        kind: String,
        /// Whose it is.
        group: String,
    },
    /// None of the zones has any of the types.
    #[error(
        "none of the zones {} has {} (group `{group}`): write another type, or zones that have it: \
         `aws ec2 describe-instance-type-offerings --location-type availability-zone --filters \
         Name=instance-type,Values={}`",
        zones.join(", "), kinds.join(" or "), kinds.join(",")
    )]
    NoOffer {
        /// The types.
        kinds: Vec<String>,
        /// The zones.
        zones: Vec<String>,
        /// Whose they are.
        group: String,
    },
    /// The image is for another architecture than the type.
    #[error(
        "the image {image} is for {architecture}, but `{kind}` (group `{group}`) has {}: use an \
         image and a type with the same architecture",
        has.join(", ")
    )]
    Architecture {
        /// The image.
        image: String,
        /// The architecture of the image.
        architecture: String,
        /// The type.
        kind: String,
        /// The architectures of the type.
        has: Vec<String>,
        /// Whose it is.
        group: String,
    },
    /// The disk is too small for the image.
    #[error(
        "group `{group}` has a disk of {disk} GiB, but the image {image} needs {needed} GiB"
    )]
    SmallDisk {
        /// The group.
        group: String,
        /// The size of its disk.
        disk: u64,
        /// The image.
        image: String,
        /// The size that the image needs.
        needed: u64,
    },
}

impl Refusal {
    /// Whether the inventory asks for something that does not exist.
    pub fn is_of_inventory(&self) -> bool {
        !matches!(
            self,
            Self::OtherNetwork { .. }
                | Self::Untagged { .. }
                | Self::Elsewhere { .. }
                | Self::OtherKey { .. }
        )
    }
}

/// Compares what is wanted with what exists.
///
/// # Errors
/// When AWS does not have what is asked for, or it is not safe to change what exists; nothing was
/// changed then.
pub fn plan(wanted: &Wanted, seen: &Seen, now: Timestamp) -> Result<AwsPlan, Refusal> {
    let mut network = network::lay(wanted, seen)?;
    security_groups::add(wanted, seen, &mut network)?;
    let groups = instances::instances(wanted, seen, &network)?;
    let mut plan = network.plan;
    plan.notes.extend(groups.notes);
    expire(wanted, seen, now, &mut plan);
    // AWS gives an instance without an address any free one, so those with an address come first.
    let takes_any =
        |step: &Step| matches!(step, Step::Launch(launch) if launch.planned().is_none());
    let (any, mut placed): (Vec<Step>, Vec<Step>) =
        groups.steps.into_iter().partition(takes_any);
    placed.extend(instances::protect(wanted, &plan.network, &groups.instances));
    plan.instances = groups.instances;
    push(&mut plan, placed);
    push(&mut plan, any);
    Ok(plan)
}

impl AwsPlan {
    /// Whether nothing has to be done or waited for.
    pub fn is_complete(&self) -> bool {
        self.phases.is_empty() && self.awaited().next().is_none()
    }

    /// The steps in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.phases.iter().flatten()
    }

    /// The machines that run.
    pub fn running(&self) -> Vec<Machine> {
        let running = self.instances.iter().filter(|instance| instance.state.is_up());
        running.filter_map(Instance::machine).collect()
    }

    /// The instances that have to run before anything can be done on them.
    pub fn awaited(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|instance| !instance.state.is_up())
    }
}

/// Adds a phase if it has any step.
fn push(plan: &mut AwsPlan, steps: Vec<Step>) {
    if !steps.is_empty() {
        plan.phases.push(steps);
    }
}

/// Times closer to each other than this are the same: AWS's clock is not this computer's.
const SAME_TIME: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// Decides the expiry time of the cluster, and plans to note it on everything that exists.
fn expire(wanted: &Wanted, seen: &Seen, now: Timestamp, plan: &mut AwsPlan) {
    let key = seen.key_pair.as_ref();
    let noted = key.and_then(|key| noted_end(&key.tags));
    let begun = key.and_then(|key| key.created).unwrap_or(now);
    let end = wanted.aws.expires.and_then(|after| begun.checked_add(after).ok());
    // People read the tag: it needs no parts of a second.
    let end = end.and_then(|end| Timestamp::from_second(end.as_second()).ok());
    let same = match (noted, end) {
        (Some(noted), Some(end)) => noted.duration_since(end).abs() < SAME_TIME,
        (noted, end) => noted.is_none() && end.is_none(),
    };
    plan.network.expires = if same { noted } else { end };
    if let (false, Some(key)) = (same, key) {
        let resources = resources(wanted, seen, &key.id);
        push(plan, vec![Step::Expire { resources, at: end }]);
    }
}

/// The expiry time of the cluster, according to the tags.
pub(super) fn noted_end(tags: &BTreeMap<String, String>) -> Option<Timestamp> {
    tags.get(super::EXPIRES_TAG)?.parse().ok()
}

/// The ids of everything that exists and has the cluster's tag.
fn resources(wanted: &Wanted, seen: &Seen, key: &str) -> Vec<String> {
    let alive = seen.instances.iter().filter(|found| found.state.is_alive());
    let mut ids: Vec<String> = alive.map(|found| found.id.clone()).collect();
    let ours = seen.security_groups.iter().filter(|group| group.tagged);
    ids.extend(ours.map(|group| group.id.clone()));
    if wanted.makes_network() {
        ids.extend(seen.vpcs.iter().map(|vpc| vpc.id.clone()));
        ids.extend(seen.subnets.iter().map(|subnet| subnet.id.clone()));
        ids.extend(seen.gateways.iter().map(|(id, _)| id.clone()));
    }
    ids.push(key.to_owned());
    ids
}
