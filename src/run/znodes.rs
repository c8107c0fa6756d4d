//! Makes sure that only the owners of ZooKeeper nodes can access them.
//!
//! The administrator's requests are sent to the leader, through the SSH connection to its own
//! host: other members may not have the latest changes yet.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::health::zookeeper::members;
use crate::api::zookeeper::session::{Session, SessionError};
use crate::api::zookeeper::{Answer, Mode};
use crate::component::znode::{self, ADMINISTRATOR, AccessList, Seen, Znode};
use crate::event::in_words;
use crate::host::HostName;
use crate::inventory::component::ZOOKEEPER_PORT;
use crate::remote::Stream;
use crate::run::Fleet;
use crate::run::apply::ZnodeAccess;
use crate::secret::Secret;
use crate::topology::{Member, Topology};

/// How long a member may take to answer a question.
const ANSWER: Duration = Duration::from_secs(5);

/// Everything that is needed to ask an ensemble as its administrator.
pub(crate) struct EnsembleAdmin<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) topology: &'a Topology,
    /// The administrator's password.
    pub(crate) password: &'a Secret,
}

/// Nodes that other users than their owners may access.
#[derive(Debug, thiserror::Error)]
#[error("{0}; run `platform up` again, which repairs it")]
pub struct NotSecured(String);

impl EnsembleAdmin<'_> {
    /// Checks that only their owners may access these nodes.
    ///
    /// # Errors
    /// When another user may access one, or ZooKeeper does not answer.
    pub(crate) async fn insist(&self, nodes: Vec<Znode>) -> Result<(), NotSecured> {
        let members = members(self.fleet, self.topology).await;
        let seen = self.seen(&members, &nodes).await;
        if seen == Seen::Unknown {
            let why = "ZooKeeper does not report who may access its nodes";
            return Err(NotSecured(why.to_owned()));
        }
        let open = znode::changes(nodes, &seen);
        let open = open.iter().map(|it| format!("{}: {}", it.node.path, it.reason));
        let open: Vec<String> = open.collect();
        match open.is_empty() {
            true => Ok(()),
            false => Err(NotSecured(format!(
                "ZooKeeper nodes are not secured: {}",
                open.join("; ")
            ))),
        }
    }

    /// What the ensemble reports about nodes; `members` is what its members report about
    /// themselves.
    pub(crate) async fn seen(
        &self,
        members: &BTreeMap<HostName, Result<Answer, String>>,
        nodes: &[Znode],
    ) -> Seen {
        match self.leader(members) {
            Some(leader) => self.lists(leader, nodes).await.unwrap_or(Seen::Unknown),
            None => Seen::Unknown,
        }
    }

    async fn lists(&self, leader: &Member, nodes: &[Znode]) -> Result<Seen, String> {
        let mut session = self.open(leader).await?;
        let mut lists: BTreeMap<String, Option<AccessList>> = BTreeMap::new();
        for node in nodes {
            let list = session.access(node.path).await.map_err(said)?;
            lists.insert(node.path.to_owned(), list);
        }
        session.close().await.map_err(said)?;
        Ok(Seen::Told(lists))
    }

    async fn secure(&self, node: &Znode) -> Result<(), String> {
        let members = members(self.fleet, self.topology).await;
        let leader = self.leader(&members).ok_or("no member of ZooKeeper leads")?;
        let mut session = self.open(leader).await?;
        session.secure(node.path, &node.access).await.map_err(said)?;
        session.close().await.map_err(said)
    }

    fn leader(
        &self,
        members: &BTreeMap<HostName, Result<Answer, String>>,
    ) -> Option<&Member> {
        let leads = |member: &&Member| match members.get(&member.host) {
            Some(Ok(Answer::Serving(status))) => {
                matches!(status.mode, Mode::Leader | Mode::Standalone)
            }
            _ => false,
        };
        self.topology.zookeeper()?.members().iter().find(leads)
    }

    async fn open(&self, member: &Member) -> Result<Session<Box<dyn Stream>>, String> {
        let remote = self.fleet.get(&member.host);
        let remote = remote.ok_or("there is no connection to its host")?;
        let address = member.address.to_string();
        let stream = remote.dial(&address, ZOOKEEPER_PORT, ANSWER).await;
        let stream = stream.map_err(|error| in_words(&error))?;
        let session = Session::open(stream, ADMINISTRATOR, self.password, ANSWER).await;
        session.map_err(said)
    }
}

impl ZnodeAccess for EnsembleAdmin<'_> {
    fn secure<'a>(&'a self, node: &'a Znode) -> BoxFuture<'a, Result<(), String>> {
        self.secure(node).boxed()
    }
}

fn said(error: SessionError) -> String {
    in_words(&error)
}
