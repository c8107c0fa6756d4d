//! A plan of calls in words, and in the form that all providers share. Pure.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;

use super::launch::Launch;
use super::plan::{AwsPlan, Step};
use super::seen::{Instance, Rule, Source};
use super::wanted::GroupKind;
use crate::host::HostName;
use crate::provider::{MachinePlan, MachineStep, MissingMachine, may_be_booting};

impl AwsPlan {
    /// The same in the form that all providers share, at this time. `cost` is the cost of the
    /// inventory's machines.
    pub fn machine_plan(&self, cost: Option<String>, now: Timestamp) -> MachinePlan {
        let awaited = self.awaited().filter_map(|found| {
            let group = found.group()?.to_owned();
            let (name, machine) = (name(found), found.machine());
            Some(MissingMachine { name, group, count: 1, machine, is_new: false })
        });
        let launched = self.steps().filter_map(|step| match step {
            Step::Launch(launch) => Some(launched(launch)),
            _ => None,
        });
        let waits = self.awaited().map(|found| MachineStep {
            subject: name(found),
            what: format!("wait for {}: it is {}", found.id, found.state),
            call: None,
        });
        MachinePlan {
            running: self.running(),
            booting: booting(&self.instances, now),
            missing: awaited.chain(launched).collect(),
            steps: self.steps().map(machine_step).chain(waits).collect(),
            cost,
            expires: self.network.expires,
            notes: self.notes.clone(),
        }
    }
}

/// The machines that may be booting: those that AWS launched or started recently.
pub fn booting(instances: &[Instance], now: Timestamp) -> BTreeSet<HostName> {
    let is_new = |launched: Timestamp| may_be_booting(launched, now);
    let new = instances.iter().filter(|found| found.launched.is_some_and(is_new));
    new.filter_map(Instance::host).collect()
}

fn name(found: &Instance) -> String {
    found.host().map_or_else(|| found.id.clone(), |host| host.to_string())
}

fn launched(launch: &Launch) -> MissingMachine {
    let name = match &launch.node {
        Some(node) => node.to_string(),
        None => format!("a machine of {}", launch.group),
    };
    let (group, count) = (launch.group.clone(), launch.count);
    MissingMachine { name, group, count, machine: launch.planned(), is_new: true }
}

fn machine_step(step: &Step) -> MachineStep {
    let (subject, what) = (step.subject(), step.to_string());
    MachineStep { subject, what, call: Some(step.call()) }
}

impl Step {
    /// What it changes: a machine, or a part of the network.
    pub fn subject(&self) -> String {
        match self {
            Self::ImportKey { .. } => "key pair".to_owned(),
            Self::MakeVpc { .. } => "network".to_owned(),
            Self::MakeSubnet { zone, .. } => format!("subnet in {zone}"),
            Self::MakeInternetGateway | Self::AttachInternetGateway | Self::Route => {
                "internet gateway".to_owned()
            }
            Self::MakeSecurityGroup { security_group, .. }
            | Self::Allow { security_group, .. }
            | Self::Forbid { security_group, .. } => match security_group {
                GroupKind::Cluster => "security group of the cluster".to_owned(),
                GroupKind::Edge => "security group of the edge".to_owned(),
            },
            Self::Protect { host, .. } => host.to_string(),
            Self::Expire { .. } => "tags".to_owned(),
            Self::Launch(launch) => launch.whom(),
            Self::Start { instances } => hosts(instances),
        }
    }

    /// The machine that it changes, if it changes only one.
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Self::Launch(launch) => launch.node.as_ref(),
            Self::Protect { host, .. } => Some(host),
            _ => None,
        }
    }

    /// The call that it makes, in AWS's name for it.
    pub fn call(&self) -> &'static str {
        match self {
            Self::ImportKey { .. } => "ImportKeyPair",
            Self::MakeVpc { .. } => "CreateVpc",
            Self::MakeSubnet { .. } => "CreateSubnet",
            Self::MakeInternetGateway => "CreateInternetGateway",
            Self::AttachInternetGateway => "AttachInternetGateway",
            Self::Route => "CreateRoute",
            Self::MakeSecurityGroup { .. } => "CreateSecurityGroup",
            Self::Allow { .. } => "AuthorizeSecurityGroupIngress",
            Self::Forbid { .. } => "RevokeSecurityGroupIngress",
            Self::Protect { .. } => "ModifyInstanceAttribute",
            Self::Expire { at: Some(_), .. } => "CreateTags",
            Self::Expire { at: None, .. } => "DeleteTags",
            Self::Launch(_) => "RunInstances",
            Self::Start { .. } => "StartInstances",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ImportKey { name, .. } => {
                write!(f, "import the public key as {name}")
            }
            Self::MakeVpc { cidr } => write!(f, "make VPC {cidr}"),
            Self::MakeSubnet { zone, cidr } => write!(f, "make subnet {cidr} in {zone}"),
            Self::MakeInternetGateway => f.write_str("make internet gateway"),
            Self::AttachInternetGateway => f.write_str("attach internet gateway"),
            Self::Route => f.write_str("route 0.0.0.0/0 to the internet gateway"),
            Self::MakeSecurityGroup { name, .. } => {
                write!(f, "make security group {name}")
            }
            Self::Allow { rules: None, security_group: GroupKind::Cluster } => {
                f.write_str("accept everything from each other, and SSH from admin_cidrs")
            }
            Self::Allow { rules: None, security_group: GroupKind::Edge } => {
                f.write_str("accept the edge's ports from admin_cidrs")
            }
            Self::Allow { rules: Some(rules), .. } => {
                write!(f, "accept {}", listed(rules))
            }
            Self::Forbid { rules, .. } => write!(f, "no longer accept {}", listed(rules)),
            Self::Protect { instance, .. } => {
                write!(f, "restore the security groups of {instance}")
            }
            Self::Expire { at: Some(at), .. } => {
                write!(f, "note that it expires at {at}")
            }
            Self::Expire { at: None, .. } => f.write_str("note that it does not expire"),
            Self::Launch(launch) => show_launch(launch, f),
            Self::Start { instances } => {
                let ids: Vec<&str> =
                    instances.iter().map(|(id, _)| id.as_str()).collect();
                write!(f, "start {}: stopped", ids.join(", "))
            }
        }
    }
}

fn show_launch(launch: &Launch, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Launch { count, disk_gib, image, reason, .. } = launch;
    let Some(first) = launch.attempts.first() else { return Ok(()) };
    f.write_str("launch ")?;
    if launch.node.is_none() {
        write!(f, "{count} × ")?;
    }
    write!(f, "{} in {}", first.kind, first.placement.zone)?;
    if let Some(address) = first.placement.address {
        write!(f, " at {address}")?;
    }
    write!(f, " from {image}, disk {disk_gib} GiB")?;
    if launch.spot {
        f.write_str(", spot")?;
    }
    if launch.protected {
        f.write_str(", protected from termination")?;
    }
    write!(f, ": {reason}")
}

fn hosts(instances: &[(String, HostName)]) -> String {
    let hosts: Vec<&str> = instances.iter().map(|(_, host)| host.as_str()).collect();
    hosts.join(", ")
}

fn listed(rules: &[Rule]) -> String {
    let rules: Vec<String> = rules.iter().map(Rule::to_string).collect();
    rules.join(", ")
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.protocol.as_str(), self.ports) {
            ("-1", _) => f.write_str("everything")?,
            (protocol, None) => f.write_str(protocol)?,
            (protocol, Some((from, to))) if from == to => write!(f, "{protocol} {from}")?,
            (protocol, Some((from, to))) => write!(f, "{protocol} {from}-{to}")?,
        }
        match &self.source {
            Source::Network(network) => write!(f, " from {network}"),
            Source::Group(group) => write!(f, " from {group}"),
        }
    }
}
