//! Removing what Docker has of a cluster, and waiting until it is gone.
//!
//! A command of Docker's goes on when the run is killed that gave it, and so may be at work when
//! the next run comes. What it removes first is no fault, and what it is about to remove is waited
//! for: the end of a removal is that Docker does not list the thing any more.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::docker::{self, Kind, docker};
use super::{MachineError, names};
use crate::inventory::ClusterName;

/// The longest that Docker may take to remove containers or volumes: a machine's own Docker may
/// have gigabytes.
const REMOVED: Duration = Duration::from_secs(120);
/// The longest that Docker may take to let go of a network.
const LET_GO: Duration = Duration::from_secs(30);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// What Docker has to be waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What is to go, such as `container platform-lab-edge-1`.
    pub things: String,
    /// What Docker says of it.
    pub said: String,
    /// The longest that is waited.
    pub deadline: Duration,
}

/// Removes all of a kind that a cluster has, and gives their names.
pub(super) async fn all(
    kind: Kind,
    cluster: &ClusterName,
    waits: &(dyn Fn(Wait) + Sync),
) -> Result<Vec<String>, MachineError> {
    until_gone(kind, async || names(kind, cluster).await, waits).await
}

/// Removes one thing of a cluster.
pub(super) async fn one(
    kind: Kind,
    cluster: &ClusterName,
    name: &str,
    waits: &(dyn Fn(Wait) + Sync),
) -> Result<(), MachineError> {
    let left = async || {
        let mut names = names(kind, cluster).await?;
        names.retain(|found| found == name);
        Ok(names)
    };
    until_gone(kind, left, waits).await.map(drop)
}

/// Removes what is left, again and again, until nothing is. Docker may hold on to the end of a
/// network for a container that was removed while it was being started, as a run that is killed
/// can leave one: that end is cut off.
async fn until_gone(
    kind: Kind,
    left: impl AsyncFn() -> Result<Vec<String>, MachineError>,
    waits: &(dyn Fn(Wait) + Sync),
) -> Result<Vec<String>, MachineError> {
    let (begun, deadline) = (Instant::now(), deadline(kind));
    let (mut seen, mut told) = (Vec::new(), false);
    loop {
        let names = left().await?;
        if names.is_empty() {
            return Ok(seen);
        }
        seen.extend(
            names.iter().filter(|name| !seen.contains(name)).cloned().collect::<Vec<_>>(),
        );
        let said = match docker(&docker::remove(kind, &names)).await {
            Ok(_) => "nothing".to_owned(),
            Err(MachineError::Docker(refused)) => refused.to_string(),
            Err(error) => return Err(error),
        };
        let names = left().await?;
        if names.is_empty() {
            return Ok(seen);
        }
        let things = format!("{} {}", kind.word(), names.join(", "));
        if begun.elapsed() > deadline {
            return Err(too_long(kind, things, deadline, said));
        }
        if !told {
            waits(Wait { things, said, deadline });
            told = true;
        }
        if kind == Kind::Network {
            cut_ends(&names).await;
        }
        sleep(PAUSE).await;
    }
}

fn deadline(kind: Kind) -> Duration {
    match kind {
        Kind::Container | Kind::Volume => REMOVED,
        Kind::Network => LET_GO,
    }
}

fn too_long(
    kind: Kind,
    things: String,
    deadline: Duration,
    said: String,
) -> MachineError {
    match kind {
        Kind::Container | Kind::Volume => {
            MachineError::NotRemoved { things, deadline, said }
        }
        Kind::Network => MachineError::Held { networks: things, said },
    }
}

async fn cut_ends(networks: &[String]) {
    for network in networks {
        // One that is gone has none; which still hold on is seen by the next attempt.
        let ends = docker(&docker::ask_ends(network)).await.unwrap_or_default();
        for end in ends.lines().filter(|end| !end.trim().is_empty()) {
            let _ = docker(&docker::cut_end(network, end)).await;
        }
    }
}
