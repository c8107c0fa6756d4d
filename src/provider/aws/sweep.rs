//! The removal of a cluster: in which order its resources are removed, and which are kept.
//!
//! Pure. Invariant: a resource without the cluster's tag is never removed, and neither is a
//! resource that a foreign resource uses.

use std::fmt;

use jiff::Timestamp;

/// The number of instances that one call terminates.
pub(super) const AT_ONCE: usize = 200;

/// A resource at AWS with the cluster's tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsResource {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// Its name, or another text that identifies it.
    pub name: String,
    /// The resources that contain or own it: ids of a VPC, a subnet, security groups.
    pub within: Vec<String>,
}

/// The kinds of resources, in the order in which they are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An instance.
    Instance,
    /// A network interface that remained after its instance.
    Interface,
    /// A disk that remained after its instance.
    Volume,
    /// A security group.
    SecurityGroup,
    /// A subnet.
    Subnet,
    /// An internet gateway.
    Gateway,
    /// A VPC.
    Vpc,
    /// A key pair: it is removed last, because it stores when the cluster expires.
    KeyPair,
}

/// A foreign resource in the cluster's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignResource {
    /// Its kind and id, such as `instance i-0abc`.
    pub what: String,
    /// The AWS CLI command that removes it.
    pub command: String,
    /// The resources that it uses: ids of its VPC, subnet and security groups.
    pub on: Vec<String>,
}

/// All resources of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterResources {
    /// Its resources, in the order in which they are removed.
    pub things: Vec<AwsResource>,
    /// Foreign resources in its network.
    pub strangers: Vec<ForeignResource>,
    /// When `down --expired` may take it down.
    pub expires: Option<Timestamp>,
}

/// A resource that is kept, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The resource.
    pub thing: AwsResource,
    /// Why it is kept.
    pub why: Why,
}

/// Why a resource is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// A foreign resource uses it.
    ForeignResource(ForeignResource),
    /// Another reason, as text.
    Said(String),
}

impl ClusterResources {
    /// What can be removed, in order, and what is kept because a foreign resource uses it.
    pub fn sort(&self) -> (Vec<AwsResource>, Vec<Left>) {
        let holder = |thing: &AwsResource| {
            let holds = |id: &String| match thing.kind {
                // Foreign resources in the network need its internet gateway.
                Kind::Gateway => thing.within.contains(id),
                _ => thing.id == *id,
            };
            self.strangers.iter().find(|stranger| stranger.on.iter().any(holds))
        };
        let (mut go, mut stay) = (Vec::new(), Vec::new());
        for thing in &self.things {
            match holder(thing) {
                Some(stranger) => {
                    let why = Why::ForeignResource(stranger.clone());
                    stay.push(Left { thing: thing.clone(), why });
                }
                None => go.push(thing.clone()),
            }
        }
        // A later run needs to find when the cluster expires.
        if let (false, Some(at)) =
            (stay.is_empty(), go.iter().position(|thing| thing.kind == Kind::KeyPair))
        {
            let why = Why::Said(
                "it is removed with the last resource of the cluster".to_owned(),
            );
            stay.push(Left { thing: go.remove(at), why });
        }
        go.sort_by_key(|thing| thing.kind);
        (go, stay)
    }

    /// The number of steps that remove what can be removed.
    pub fn n_steps(&self) -> usize {
        let (go, _) = self.sort();
        let n_instances = go.iter().filter(|thing| thing.kind == Kind::Instance).count();
        go.len() - n_instances + n_instances.div_ceil(AT_ONCE)
    }

    /// The planned removal as text: what is removed, what is kept and why.
    pub fn show(&self) -> String {
        let (go, stay) = self.sort();
        let go = go.iter().map(|thing| format!("  remove {thing}\n"));
        let stay =
            stay.iter().map(|Left { thing, why }| format!("  keep {thing}: {why}\n"));
        go.chain(stay).collect()
    }

    /// Whether there are no resources.
    pub fn is_empty(&self) -> bool {
        self.things.is_empty()
    }
}

impl Left {
    /// What is left, why, and the command that removes the obstacle. A foreign resource is named
    /// once, with everything that it keeps.
    pub fn told(left: &[Self], region: &str) -> Vec<String> {
        let mut kept: Vec<(&ForeignResource, Vec<String>)> = Vec::new();
        let mut told = Vec::new();
        for Self { thing, why } in left {
            let stranger = match why {
                Why::ForeignResource(stranger) => stranger,
                Why::Said(why) => {
                    let command = thing.command();
                    told.push(format!("{thing}: {why} (`{command} --region {region}`)"));
                    continue;
                }
            };
            match kept.iter_mut().find(|(known, _)| *known == stranger) {
                Some((_, things)) => things.push(thing.to_string()),
                None => kept.push((stranger, vec![thing.to_string()])),
            }
        }
        let kept = kept.into_iter().map(|(ForeignResource { what, command, .. }, things)| {
            format!(
                "{what} is not part of this cluster and uses {}: if nobody needs it any more, \
                 remove it (`{command} --region {region}`) and run the command again",
                things.join(", ")
            )
        });
        kept.chain(told).collect()
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignResource(ForeignResource { what, .. }) => {
                write!(f, "{what}, which is not part of this cluster, uses it")
            }
            Self::Said(why) => f.write_str(why),
        }
    }
}

impl AwsResource {
    /// A resource with this id and name, and the resources that contain or own it.
    pub fn new(
        kind: Kind,
        id: String,
        name: String,
        within: impl IntoIterator<Item = String>,
    ) -> Self {
        Self { kind, id, name, within: within.into_iter().collect() }
    }

    /// The AWS CLI command that removes it.
    pub fn command(&self) -> String {
        let id = &self.id;
        match self.kind {
            Kind::Instance => format!("aws ec2 terminate-instances --instance-ids {id}"),
            Kind::Interface => {
                format!("aws ec2 delete-network-interface --network-interface-id {id}")
            }
            Kind::Volume => format!("aws ec2 delete-volume --volume-id {id}"),
            Kind::SecurityGroup => {
                format!("aws ec2 delete-security-group --group-id {id}")
            }
            Kind::Subnet => format!("aws ec2 delete-subnet --subnet-id {id}"),
            Kind::Gateway => {
                format!("aws ec2 delete-internet-gateway --internet-gateway-id {id}")
            }
            Kind::Vpc => format!("aws ec2 delete-vpc --vpc-id {id}"),
            Kind::KeyPair => format!("aws ec2 delete-key-pair --key-name {}", self.name),
        }
    }
}

impl fmt::Display for AwsResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)?;
        match self.name.as_str() {
            "" => Ok(()),
            name => write!(f, " ({name})"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Instance => "instance",
            Self::Interface => "network interface",
            Self::Volume => "volume",
            Self::SecurityGroup => "security group",
            Self::Subnet => "subnet",
            Self::Gateway => "internet gateway",
            Self::Vpc => "VPC",
            Self::KeyPair => "key pair",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(kind: Kind, id: &str, within: &[&str]) -> AwsResource {
        let within = within.iter().map(|id| (*id).to_owned()).collect();
        AwsResource { kind, id: id.to_owned(), name: String::new(), within }
    }

    fn remains(strangers: Vec<ForeignResource>) -> ClusterResources {
        let things = vec![
            thing(Kind::KeyPair, "key-1", &[]),
            thing(Kind::Vpc, "vpc-1", &[]),
            thing(Kind::Gateway, "igw-1", &["vpc-1"]),
            thing(Kind::Subnet, "subnet-1", &["vpc-1"]),
            thing(Kind::Subnet, "subnet-2", &["vpc-1"]),
            thing(Kind::SecurityGroup, "sg-1", &["vpc-1"]),
            thing(Kind::Instance, "i-1", &["subnet-1"]),
        ];
        ClusterResources { things, strangers, expires: None }
    }

    fn stranger(on: &[&str]) -> ForeignResource {
        ForeignResource {
            what: "instance i-9".to_owned(),
            command: "aws ec2 terminate-instances --instance-ids i-9".to_owned(),
            on: on.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    fn ids<'a>(things: impl IntoIterator<Item = &'a AwsResource>) -> Vec<&'a str> {
        things.into_iter().map(|thing| thing.id.as_str()).collect()
    }

    #[test]
    fn all_goes_in_the_order_of_what_stands_on_what() {
        let (go, stay) = remains(Vec::new()).sort();
        let order = ["i-1", "sg-1", "subnet-1", "subnet-2", "igw-1", "vpc-1", "key-1"];
        assert_eq!(ids(&go), order);
        assert_eq!(stay, []);
    }

    #[test]
    fn what_a_stranger_stands_on_stays_with_its_way_out() {
        let (go, stay) = remains(vec![stranger(&["vpc-1", "subnet-2"])]).sort();
        assert_eq!(ids(&go), ["i-1", "sg-1", "subnet-1"]);
        let stay: Vec<&AwsResource> = stay.iter().map(|left| &left.thing).collect();
        assert_eq!(ids(stay), ["vpc-1", "igw-1", "subnet-2", "key-1"]);
    }

    #[test]
    fn a_stranger_is_named_once_with_all_that_it_keeps_and_what_removes_it() {
        let (_, stay) = remains(vec![stranger(&["vpc-1", "subnet-2"])]).sort();
        let told = Left::told(&stay, "us-east-1");
        let [first, key] = &told[..] else { panic!("{told:?}") };
        for part in [
            "VPC vpc-1, internet gateway igw-1, subnet subnet-2",
            "`aws ec2 terminate-instances --instance-ids i-9 --region us-east-1`",
        ] {
            assert!(first.contains(part), "{part} is not said: {first}");
        }
        assert!(key.starts_with("key pair key-1"), "{key}");
    }
}
