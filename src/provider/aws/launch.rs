//! Instances to launch with one call, and where to try next if there is no capacity.

use std::net::{IpAddr, Ipv4Addr};

use super::Machine;
use super::token;
use super::wanted::GroupKind;
use crate::host::HostName;
use crate::inventory::ClusterName;

/// Instances to launch with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Their group.
    pub group: String,
    /// The machine's name, if it has one; it is then launched alone.
    pub node: Option<HostName>,
    /// How many.
    pub count: usize,
    /// Types and zones, in the order in which they are tried; the next is tried if there is no
    /// capacity. Never empty.
    pub attempts: Vec<Attempt>,
    /// The image's id.
    pub image: String,
    /// The name of the image's root disk.
    pub root_device: String,
    /// The size of the disk in GiB.
    pub disk_gib: u32,
    /// Whether they are spot instances, which AWS may end.
    pub spot: bool,
    /// Whether they are protected from termination; `down` still removes them.
    pub protected: bool,
    /// Their security groups.
    pub security_groups: Vec<GroupKind>,
    /// Whether they get a public address.
    pub public_address: bool,
    /// The ids of the instances that are or were in their place. If these change, it is another
    /// launch, with another token.
    pub known: Vec<String>,
    /// The reason.
    pub reason: String,
}

/// One type and place to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The type.
    pub kind: String,
    /// The place.
    pub placement: Placement,
}

/// Where an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The zone.
    pub zone: String,
    /// The private address; if `None`, AWS chooses one.
    pub address: Option<Ipv4Addr>,
}

impl Launch {
    /// The zone that it is for.
    pub fn home(&self) -> &str {
        self.attempts.first().map_or("", |attempt| attempt.placement.zone.as_str())
    }

    /// The machines that it makes: a machine's name, or a number of machines of a group.
    pub fn whom(&self) -> String {
        match (&self.node, self.count) {
            (Some(node), _) => node.to_string(),
            (None, 1) => format!("1 machine of {}", self.group),
            (None, count) => format!("{count} machines of {}", self.group),
        }
    }

    /// The machine as it will be, if its name and address are known before.
    pub fn planned(&self) -> Option<Machine> {
        Some(Machine {
            host: self.node.clone()?,
            group: self.group.clone(),
            address: IpAddr::V4(self.attempts.first()?.placement.address?),
            ssh: None,
            host_keys: Vec::new(),
        })
    }

    /// The token of one of its attempts in a network. It is made from everything that the call
    /// asks for, so no other call has the same token: a new network has new ids.
    pub fn token(&self, cluster: &ClusterName, order: &Order<'_>) -> String {
        let Order { attempt, subnet, security_groups, count, turn } = order;
        let numbers = [*count, *turn].map(|number| number.to_string());
        let address =
            attempt.placement.address.map(|at| at.to_string()).unwrap_or_default();
        let node = self.node.as_ref().map_or("", HostName::as_str);
        let flags = format!(
            "{} GiB, {}{}{}",
            self.disk_gib,
            if self.spot { "spot " } else { "" },
            if self.protected { "protected " } else { "" },
            if self.public_address { "public" } else { "" },
        );
        let words = [cluster.as_str(), &self.group, node, &self.image, &flags];
        let placement =
            [self.home(), &attempt.placement.zone, &attempt.kind, &address, subnet];
        let ids = security_groups.iter().chain(&self.known).map(String::as_str);
        let numbers = numbers.iter().map(String::as_str);
        token::of(words.into_iter().chain(placement).chain(numbers).chain(ids))
    }
}

/// One call that launches instances.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The type and place.
    pub attempt: &'a Attempt,
    /// The id of the subnet.
    pub subnet: &'a str,
    /// The ids of their security groups.
    pub security_groups: &'a [String],
    /// How many.
    pub count: usize,
    /// How many such calls returned instances that have ended since. AWS remembers what a token
    /// launched longer than it shows instances that have ended.
    pub turn: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        Launch {
            group: "workers".to_owned(),
            node: None,
            count: 2,
            attempts: Vec::new(),
            image: "ami-1".to_owned(),
            root_device: "/dev/xvda".to_owned(),
            disk_gib: 8,
            spot: false,
            protected: false,
            security_groups: Vec::new(),
            public_address: true,
            known: Vec::new(),
            reason: "it does not exist".to_owned(),
        }
    }

    #[test]
    fn only_the_very_same_call_has_the_same_token() {
        let placement = Placement { zone: "us-east-1a".to_owned(), address: None };
        let attempt = Attempt { kind: "t3.micro".to_owned(), placement };
        let cluster = "lab1".parse().unwrap();
        let groups = ["sg-1".to_owned()];
        let order = Order {
            attempt: &attempt,
            subnet: "subnet-1",
            security_groups: &groups,
            count: 2,
            turn: 0,
        };
        let token = launch().token(&cluster, &order);
        assert_eq!(launch().token(&cluster, &order), token);
        let made_anew = ["sg-2".to_owned()];
        let others = [
            Order { subnet: "subnet-2", ..order },
            Order { security_groups: &made_anew, ..order },
            Order { count: 1, ..order },
            Order { turn: 1, ..order },
        ];
        for other in others {
            assert_ne!(launch().token(&cluster, &other), token, "{other:?}");
        }
        let larger = Launch { disk_gib: 9, ..launch() };
        assert_ne!(larger.token(&cluster, &order), token);
        let after_another = Launch { known: vec!["i-1".to_owned()], ..launch() };
        assert_ne!(after_another.token(&cluster, &order), token);
    }
}
