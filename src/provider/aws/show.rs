//! A plan of calls as text for people and as JSON for programs.

use std::fmt::{self, Write};

use super::launch::Launch;
use super::plan::{AwsPlan, Step};
use super::seen::{Rule, Source};
use super::wanted::Firewall;
use crate::host::HostName;

impl AwsPlan {
    /// The steps, each with its reason and the call that it is, what is waited for, and what
    /// stays.
    ///
    /// # Errors
    /// When `out` refuses the text.
    pub fn show(&self, out: &mut impl Write) -> fmt::Result {
        for step in self.steps() {
            writeln!(out, "  {}\n    {step} ({})", step.subject(), step.call())?;
        }
        for found in self.awaited() {
            let host = found.host().map_or(found.id.clone(), |host| host.to_string());
            writeln!(out, "  {host}\n    wait for {}: it is {}", found.id, found.state)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(out, "  note: {note}"))
    }

    /// The plan as JSON: `steps`, each with `subject`, `step` and `call`; `waits`; `notes`.
    pub fn to_json(&self) -> serde_json::Value {
        let steps: Vec<_> = self
            .steps()
            .map(|step| {
                let (subject, call) = (step.subject(), step.call());
                serde_json::json!({
                    "subject": subject, "step": step.to_string(), "call": call
                })
            })
            .collect();
        let waits: Vec<&str> = self.awaited().map(|found| found.id.as_str()).collect();
        serde_json::json!({ "steps": steps, "waits": waits, "notes": self.notes })
    }
}

impl Step {
    /// What it is about: a machine, or a part of the network.
    pub fn subject(&self) -> String {
        match self {
            Self::ImportKey { .. } => "key pair".to_owned(),
            Self::MakeVpc { .. } => "network".to_owned(),
            Self::MakeSubnet { zone, .. } => format!("subnet in {zone}"),
            Self::MakeGateway | Self::AttachGateway | Self::Route => "way out".to_owned(),
            Self::MakeFirewall { firewall, .. }
            | Self::Allow { firewall, .. }
            | Self::Forbid { firewall, .. } => match firewall {
                Firewall::Cluster => "security group of the cluster".to_owned(),
                Firewall::Edge => "security group of the edge".to_owned(),
            },
            Self::Protect { host, .. } => host.to_string(),
            Self::Expire { .. } => "tags".to_owned(),
            Self::Launch(launch) => launch.whom(),
            Self::Start { instances } => hosts(instances),
        }
    }

    /// The machine that it is about, where it is about one alone.
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
            Self::MakeGateway => "CreateInternetGateway",
            Self::AttachGateway => "AttachInternetGateway",
            Self::Route => "CreateRoute",
            Self::MakeFirewall { .. } => "CreateSecurityGroup",
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
                write!(f, "give the public key to AWS as {name}")
            }
            Self::MakeVpc { cidr } => write!(f, "make VPC {cidr}"),
            Self::MakeSubnet { zone, cidr } => write!(f, "make subnet {cidr} in {zone}"),
            Self::MakeGateway => f.write_str("make internet gateway"),
            Self::AttachGateway => f.write_str("attach internet gateway"),
            Self::Route => f.write_str("route 0.0.0.0/0 to the internet gateway"),
            Self::MakeFirewall { name, .. } => write!(f, "make security group {name}"),
            Self::Allow { rules: None, firewall: Firewall::Cluster } => {
                f.write_str("let in all from each other, and SSH from admin_cidrs")
            }
            Self::Allow { rules: None, firewall: Firewall::Edge } => {
                f.write_str("let in the edge's ports from admin_cidrs")
            }
            Self::Allow { rules: Some(rules), .. } => {
                write!(f, "let in {}", listed(rules))
            }
            Self::Forbid { rules, .. } => write!(f, "no longer let in {}", listed(rules)),
            Self::Protect { instance, .. } => {
                write!(f, "give {instance} its security groups back")
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
