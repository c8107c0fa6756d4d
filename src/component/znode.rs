//! The ZooKeeper nodes that are created before the components that use them start, and their
//! access lists.
//!
//! A member accepts only the users in its configuration. What each user may do with a node depends
//! only on the node's own list: a new ensemble lets everyone do everything at its root, and Chronos
//! gives its first nodes no list at all. So this program creates these nodes with their lists
//! before their owners start, and only the administrator can create others beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};

use super::Inputs;
use super::spec::Spec;
use crate::inventory::Component;
use crate::secret::Secret;
use crate::topology::Topology;

/// The administrator, for whom access lists do not count.
pub const ADMINISTRATOR: &str = "super";

/// What a user may do with a node, in ZooKeeper's own bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rights(pub u32);

impl Rights {
    /// To see its data and its children's names.
    pub const READ: Self = Self(1);
    /// Everything: to read, write, create and delete children, and change the list itself.
    pub const ALL: Self = Self(31);

    /// The words for each right.
    const WORDS: [(u32, &'static str); 5] = [
        (1, "read it"),
        (2, "write it"),
        (4, "create nodes below it"),
        (8, "delete nodes below it"),
        (16, "decide who may"),
    ];
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |(bit, _): &&(u32, &str)| self.0 & bit != 0;
        let words = Self::WORDS.iter().filter(has).map(|(_, word)| *word);
        f.write_str(&words.collect::<Vec<&str>>().join(", "))
    }
}

/// What one user, or everyone, may do with a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// How ZooKeeper identifies the user: `digest` or `world`.
    pub scheme: String,
    /// The user with a hash of its password, or `anyone`.
    pub id: String,
    /// What the user may do.
    pub rights: Rights,
}

impl Grant {
    /// These rights for everyone.
    pub fn anyone(rights: Rights) -> Self {
        Self { scheme: "world".to_owned(), id: "anyone".to_owned(), rights }
    }

    /// All rights for one user.
    fn owner((user, password): User<'_>) -> Self {
        let id = identity(user, password);
        Self { scheme: "digest".to_owned(), id, rights: Rights::ALL }
    }

    fn is_for_anyone(&self) -> bool {
        self.scheme == "world"
    }
}

/// The access list of a node. Except for the administrator, users not in it may do nothing.
pub type AccessList = BTreeSet<Grant>;

/// A node and its access list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Znode {
    /// Its path.
    pub path: &'static str,
    /// Its list.
    pub access: AccessList,
}

/// What is known of the nodes of an ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The ensemble did not answer.
    Unknown,
    /// The list of each node that was asked for; `None` if there is no such node.
    Told(BTreeMap<String, Option<AccessList>>),
}

impl Seen {
    /// The nodes of a new ensemble: only its own, open to everyone.
    pub fn of_new() -> Self {
        let open = || Some(AccessList::from([Grant::anyone(Rights::ALL)]));
        Self::Told(OWN.map(|path| (path.to_owned(), open())).into())
    }
}

/// A node that has to be created, or has to get another list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secure {
    /// The node as it should be.
    pub node: Znode,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set the access list of {}", self.node.path)
    }
}

/// The nodes that ZooKeeper itself creates and leaves open.
const OWN: [&str; 3] = ["/", "/zookeeper", "/zookeeper/quota"];

/// A user as ZooKeeper's lists name it: with a hash of name and password.
pub fn identity(user: &str, password: &Secret) -> String {
    let hash = Sha1::digest(format!("{user}:{}", password.expose()));
    format!("{user}:{}", BASE64_STANDARD.encode(hash))
}

/// A user of ZooKeeper and its password.
type User<'a> = (&'a str, &'a Secret);

/// The users that members accept: the administrator, and those of the cluster's components.
pub fn users(topology: &Topology, inputs: &Inputs) -> Vec<String> {
    let of = |(user, password): User<'_>| identity(user, password);
    let own = (ADMINISTRATOR, inputs.secret(super::zookeeper::SUPER_SECRET));
    let of_components = of_components(topology).map(|user| user.with_password(inputs));
    std::iter::once(own).chain(of_components).map(of).collect()
}

/// How a component uses ZooKeeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZookeeperUser {
    /// Its user.
    pub name: &'static str,
    /// The name of the secret that is the user's password.
    pub secret: &'static str,
    /// The nodes that it owns, parents first.
    pub nodes: &'static [&'static str],
    /// Whether everyone may read its nodes.
    pub is_public: bool,
}

impl ZookeeperUser {
    fn with_password(self, inputs: &Inputs) -> User<'_> {
        (self.name, inputs.secret(self.secret))
    }
}

/// How the components of a cluster use ZooKeeper.
fn of_components(topology: &Topology) -> impl Iterator<Item = ZookeeperUser> {
    let run = Spec::all().filter(|spec| runs(topology, spec.component));
    run.filter_map(|spec| spec.zookeeper)
}

fn runs(topology: &Topology, component: Component) -> bool {
    topology.nodes.iter().any(|node| node.runs(component))
}

/// The nodes that a cluster's ensemble should have, parents first.
pub fn wanted(topology: &Topology, inputs: &Inputs) -> Vec<Znode> {
    let everyone_reads = || Grant::anyone(Rights::READ);
    let mut nodes: Vec<Znode> =
        OWN.map(|path| Znode { path, access: [everyone_reads()].into() }).into();
    for user in of_components(topology) {
        let mut access = AccessList::from([Grant::owner(user.with_password(inputs))]);
        access.extend(user.is_public.then(everyone_reads));
        let node = |path: &&'static str| Znode { path, access: access.clone() };
        nodes.extend(user.nodes.iter().map(node));
    }
    nodes
}

/// What has to be done so that the nodes are as wanted. If the ensemble did not answer, that is
/// nothing: it is asked again once it serves.
pub fn changes(wanted: Vec<Znode>, seen: &Seen) -> Vec<Secure> {
    let Seen::Told(lists) = seen else { return Vec::new() };
    let change = |node: Znode| {
        let reason = reason(&node, lists)?;
        Some(Secure { node, reason })
    };
    wanted.into_iter().filter_map(change).collect()
}

/// Why a node has to be changed; `None` if it is as wanted.
fn reason(node: &Znode, lists: &BTreeMap<String, Option<AccessList>>) -> Option<String> {
    let Some(found) = lists.get(node.path).and_then(Option::as_ref) else {
        return Some("the node does not exist yet".to_owned());
    };
    if *found == node.access {
        return None;
    }
    let excess = found.difference(&node.access).find(|grant| grant.is_for_anyone());
    Some(match excess {
        Some(grant) if grant.rights == Rights::ALL => {
            "anyone may do everything there".to_owned()
        }
        Some(grant) => format!("anyone may {}", grant.rights),
        None => "its access list is not as wanted".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(access: &[Grant]) -> Znode {
        Znode { path: "/mesos", access: access.iter().cloned().collect() }
    }

    fn check(found: Option<&[Grant]>, reason: Option<&str>) {
        let masters = Grant::owner(("mesos", &Secret::new("secret")));
        let wanted = node(&[Grant::anyone(Rights::READ), masters]);
        let found = found.map(|grants| node(grants).access);
        let seen = Seen::Told([("/mesos".to_owned(), found)].into());
        let changes = changes(vec![wanted], &seen);
        let reasons: Vec<&str> =
            changes.iter().map(|change| change.reason.as_str()).collect();
        assert_eq!(reasons, reason.into_iter().collect::<Vec<&str>>());
    }

    #[test]
    fn a_node_is_secured_unless_its_list_says_what_it_should() {
        let masters = Grant::owner(("mesos", &Secret::new("secret")));
        let read = Grant::anyone(Rights::READ);
        check(Some(&[masters.clone(), read.clone()]), None);
        check(None, Some("the node does not exist yet"));
        let open = Grant::anyone(Rights::ALL);
        check(Some(&[open]), Some("anyone may do everything there"));
        let write = Grant::anyone(Rights(3));
        check(Some(&[write]), Some("anyone may read it, write it"));
        let other = "its access list is not as wanted";
        check(Some(std::slice::from_ref(&read)), Some(other));
        check(Some(&[Grant::owner(("mesos", &Secret::new("old"))), read]), Some(other));
    }

    #[test]
    fn of_an_ensemble_that_does_not_tell_nothing_is_planned() {
        assert!(changes(vec![node(&[])], &Seen::Unknown).is_empty());
    }

    #[test]
    fn a_user_is_named_as_zookeeper_itself_does() {
        // The output of `DigestAuthenticationProvider super:test`.
        let named = identity("super", &Secret::new("test"));
        assert_eq!(named, "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
    }
}
