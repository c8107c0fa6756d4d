//! Instances to launch by one call, and where else to try where there is no capacity.

use std::net::{IpAddr, Ipv4Addr};

use super::Machine;
use super::token;
use super::wanted::Firewall;
use crate::host::HostName;
use crate::inventory::ClusterName;

/// Instances to launch by one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Their group.
    pub group: String,
    /// The machine's name, where it has one; it is launched alone then.
    pub node: Option<HostName>,
    /// How many.
    pub count: usize,
    /// Where, as what; the first is tried first, the next where it has no capacity. Never empty.
    pub attempts: Vec<Attempt>,
    /// The image's id.
    pub image: String,
    /// What the image's disk is called.
    pub root_device: String,
    /// The size of the disk in GiB.
    pub disk_gib: u32,
    /// Whether AWS may take them back.
    pub spot: bool,
    /// Whether nothing but `down` may terminate them.
    pub protected: bool,
    /// Their security groups.
    pub firewalls: Vec<Firewall>,
    /// Whether they get an address that the world can reach.
    pub public_address: bool,
    /// The ids of those that are or were in their place: another launch is meant once they
    /// change.
    pub known: Vec<String>,
    /// Why.
    pub reason: String,
}

/// One way to launch instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The type.
    pub kind: String,
    /// Where.
    pub place: Place,
}

/// Where an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The zone.
    pub zone: String,
    /// The private address; AWS's choice where there is none.
    pub address: Option<Ipv4Addr>,
}

impl Launch {
    /// The zone that it is for.
    pub fn home(&self) -> &str {
        self.attempts.first().map_or("", |attempt| attempt.place.zone.as_str())
    }

    /// Whom it brings: a machine's name, or a number of machines of a group.
    pub fn whom(&self) -> String {
        match (&self.node, self.count) {
            (Some(node), _) => node.to_string(),
            (None, 1) => format!("1 machine of {}", self.group),
            (None, count) => format!("{count} machines of {}", self.group),
        }
    }

    /// The machine as it will be, where its name and address are known before.
    pub fn planned(&self) -> Option<Machine> {
        Some(Machine {
            host: self.node.clone()?,
            group: self.group.clone(),
            address: IpAddr::V4(self.attempts.first()?.place.address?),
            ssh: None,
            host_keys: Vec::new(),
        })
    }

    /// The token of one of its attempts, for so many instances.
    pub fn token(
        &self,
        cluster: &ClusterName,
        attempt: &Attempt,
        count: usize,
    ) -> String {
        let count = count.to_string();
        let node = self.node.as_ref().map_or("", HostName::as_str);
        let place = [self.home(), &attempt.place.zone, &attempt.kind];
        let words =
            [cluster.as_str(), &self.group, node, &count, &self.image].into_iter();
        token::of(words.chain(place).chain(self.known.iter().map(String::as_str)))
    }
}
