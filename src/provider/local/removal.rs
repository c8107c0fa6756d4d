//! Removes a cluster's resources from Docker, and waits until they are gone.
//!
//! A Docker command continues after the run that started it is killed, and so may still be
//! running when the next run begins. It is no error if that command removes a resource first, and
//! the next run waits for a resource that it is about to remove: a removal has ended when Docker
//! no longer lists the resource.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::docker::{self, Kind, docker};
use super::{MachineError, names};
use crate::inventory::ClusterName;

/// The longest that Docker may take to remove containers or volumes: a machine's own Docker may
/// have gigabytes of data.
const REMOVED: Duration = Duration::from_secs(120);
/// The longest that Docker may take to release a network.
const LET_GO: Duration = Duration::from_secs(30);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// The resources that Docker is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The resources to remove, such as `container platform-lab-edge-1`.
    pub things: String,
    /// Docker's message about them.
    pub said: String,
    /// The longest wait.
    pub deadline: Duration,
}

/// Removes all resources of a kind that a cluster has, and returns their names.
pub(super) async fn all(
    kind: Kind,
    cluster: &ClusterName,
    waits: &(dyn Fn(Wait) + Sync),
) -> Result<Vec<String>, MachineError> {
    until_gone(kind, async || names(kind, cluster).await, waits).await
}

/// Removes one resource of a cluster.
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

/// Removes what is left, repeatedly, until nothing is left. If a run is killed while a container
/// starts, and the container is then removed, Docker may keep that container's network endpoint:
/// the endpoint is then disconnected.
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
        // A removed network has no endpoints; if any are left, the next try sees them.
        let ends = docker(&docker::ask_ends(network)).await.unwrap_or_default();
        for end in ends.lines().filter(|end| !end.trim().is_empty()) {
            let _ = docker(&docker::cut_end(network, end)).await;
        }
    }
}
