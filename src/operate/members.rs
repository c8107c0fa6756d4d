//! Asks the members of the ensemble how they are, each through its own host.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;

use crate::api::zookeeper::{self, Answer};
use crate::event::in_words;
use crate::host::HostName;
use crate::remote::RemoteError;
use crate::run::Fleet;
use crate::topology::{Member, Topology, ZOOKEEPER_PORT};

/// How long a member may take to answer a short question.
const ANSWER: Duration = Duration::from_secs(5);

/// What each member of the ensemble says of itself, or why it says nothing.
pub(super) async fn members(
    fleet: &Fleet,
    topology: &Topology,
) -> BTreeMap<HostName, Result<Answer, String>> {
    let members = topology.ensemble.iter().flat_map(|ensemble| ensemble.members());
    let asked = members.map(|member| async move {
        (member.host.clone(), ask_member(fleet, member).await)
    });
    join_all(asked).await.into_iter().collect()
}

/// Asks a member how it is, through its own host.
pub(super) async fn ask_member(fleet: &Fleet, member: &Member) -> Result<Answer, String> {
    let remote = fleet.get(&member.host).ok_or("there is no connection to its host")?;
    let address = member.address.to_string();
    let stream = remote.dial(&address, ZOOKEEPER_PORT, ANSWER).await.map_err(
        |error| match error {
            RemoteError::Dial { .. } => {
                format!("nothing answers on port {ZOOKEEPER_PORT}")
            }
            error => in_words(&error),
        },
    )?;
    zookeeper::mntr(stream, ANSWER).await.map_err(|error| error.to_string())
}
