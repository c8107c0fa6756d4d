//! The cluster's lock on its own hosts: two operators at two computers cannot change one
//! cluster at once.
//!
//! The lock is held by a command that waits for the end of its input, so it goes with the
//! connection, however that ends. It is taken only by a run that changes something.

use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Fleet;
use crate::host::HostName;
use crate::remote::{Argv, As, Exec, Input};

/// The longest that one run may hold it.
const HELD: Duration = Duration::from_secs(24 * 3600);

/// The longest to wait for a host to say whether it is free.
const ANSWER: Duration = Duration::from_secs(30);

const SCRIPT: &str = r#"mkdir -p -m 755 /run/platform
exec 9>>/run/platform/cluster
if flock -n 9; then
  printf '%s' "$1" >/run/platform/holder
  echo locked
  cat >/dev/null
else
  printf 'held %s\n' "$(cat /run/platform/holder 2>/dev/null)"
fi"#;

/// Holds the lock; dropping it lets go.
#[derive(Debug)]
pub struct ClusterLock {
    held: Vec<(DuplexStream, JoinHandle<()>)>,
}

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error("{host} is being changed by another run: {holder}; wait for it to end")]
    Held {
        /// The host that said so.
        host: HostName,
        /// Who, since when, doing what.
        holder: String,
    },
    /// A host did not answer.
    #[error("{host} did not say whether another run is changing the cluster")]
    NoAnswer {
        /// The host.
        host: HostName,
    },
}

/// Takes the lock on these hosts, in this order: two runs cannot each hold a part of it for
/// long, since none waits. `holder` is what another run is told.
///
/// # Errors
/// When another run holds it, or a host does not answer.
pub async fn take(
    fleet: &Fleet,
    hosts: &[HostName],
    holder: &str,
) -> Result<ClusterLock, LockError> {
    let mut held = Vec::new();
    for host in hosts {
        if fleet.contains_key(host) {
            held.push(take_one(fleet, host, holder).await?);
        }
    }
    Ok(ClusterLock { held })
}

async fn take_one(
    fleet: &Fleet,
    host: &HostName,
    holder: &str,
) -> Result<(DuplexStream, JoinHandle<()>), LockError> {
    let remote = fleet[host].clone();
    let (keep, input) = tokio::io::duplex(64);
    let (said, hears) = oneshot::channel::<String>();
    let argv = Argv::new(["sh", "-c", SCRIPT, "lock", holder]);
    let held = tokio::spawn(async move {
        let mut said = Some(said);
        let mut on_line = |line: &str| {
            if let Some(said) = said.take() {
                // The other end is gone only when the run is over.
                let _ = said.send(line.to_owned());
            }
        };
        let exec = Exec {
            purpose: "lock".to_owned(),
            argv,
            user: As::Root,
            input: Input::Stream(Box::new(input)),
            on_line: Some(&mut on_line),
            deadline: HELD,
        };
        // When the connection dies the lock is gone, and so is everything else on this host:
        // the run hears of it there.
        let _ = remote.exec(exec).await;
    });
    let no_answer = || LockError::NoAnswer { host: host.clone() };
    let line = tokio::time::timeout(ANSWER, hears)
        .await
        .map_err(|_| no_answer())?
        .map_err(|_| no_answer())?;
    match line.strip_prefix("held ") {
        Some(holder) => {
            Err(LockError::Held { host: host.clone(), holder: holder.to_owned() })
        }
        None => Ok((keep, held)),
    }
}

impl ClusterLock {
    /// Lets go, and waits until the hosts have heard of it.
    pub async fn release(self) {
        for (keep, held) in self.held {
            drop(keep);
            // A host that does not hear of it lets go with the connection.
            let _ = tokio::time::timeout(ANSWER, held).await;
        }
    }
}
