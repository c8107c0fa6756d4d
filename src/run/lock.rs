//! The cluster's lock on its own hosts: two operators at two computers cannot change one
//! cluster at once.
//!
//! The lock is held by a command that waits for the end of its input, so it goes with the
//! connection, however that ends. A host may not hear of that end, as when the network was cut
//! for a while; so the command also ends when its input falls silent. It is taken only by a
//! run that changes something.

use std::time::Duration;

use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::{Mutex, oneshot};
use tokio::task::{AbortHandle, JoinHandle};

use super::Fleet;
use crate::event::{Event, Events};
use crate::host::HostName;
use crate::remote::{Argv, As, Exec, Input, Remote};

/// The longest that one run may hold it.
const HELD: Duration = Duration::from_secs(24 * 3600);

/// The longest to wait for a host to say whether it is free.
const ANSWER: Duration = Duration::from_secs(30);

/// How often a run gives a sign of life to the hosts.
const BEAT: Duration = Duration::from_secs(5);

/// After so long a silence a host lets go.
const SILENCE: Duration = Duration::from_secs(30);

/// Takes the lock, or says who has it: his run and his name. The arguments are this run, its
/// name, how many seconds to wait, and after how many of silence to let go.
const SCRIPT: &str = r#"mkdir -p -m 755 /run/platform
exec 9>>/run/platform/cluster
if flock -w "$3" 9; then
  printf '%s %s\n' "$1" "$2" >/run/platform/holder
  echo locked
  while [ -n "$(timeout "$4" head -c 1 9>&-)" ]; do :; done
else
  printf 'held %s\n' "$(cat /run/platform/holder 2>/dev/null)"
fi"#;

/// Tells who has the lock, and nothing where nobody has it.
const WHO: &str = r#"[ ! -e /run/platform/cluster ] || flock -n /run/platform/cluster true ||
cat /run/platform/holder"#;

/// Who has the cluster's lock on a host: his run, and his name. None where nobody has it there, or
/// the host does not say.
pub async fn holder(remote: &dyn Remote) -> Option<(String, String)> {
    let exec = Exec {
        purpose: "look at the lock".to_owned(),
        argv: Argv::new(["sh", "-c", WHO]),
        user: As::Root,
        input: Input::Empty,
        on_line: None,
        deadline: ANSWER,
    };
    let output = remote.exec(exec).await.ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let (run, holder) = said.trim_end().split_once(' ')?;
    Some((run.to_owned(), holder.to_owned()))
}

/// Holds the lock; dropping it lets go.
#[derive(Debug)]
pub struct ClusterLock {
    run: String,
    holder: String,
    held: Mutex<Vec<Held>>,
}

/// Holds the lock of one host.
#[derive(Debug)]
struct Held {
    host: HostName,
    beat: AbortHandle,
    command: JoinHandle<()>,
}

/// Who wants the lock.
pub struct Claim<'a> {
    /// The run.
    pub run: &'a str,
    /// What another run is told: who, since when, doing what.
    pub holder: &'a str,
    /// Whether a run was begun on this computer. Such a run cannot go on, since this computer's
    /// own lock is held: where a host still has its lock, it will let go soon.
    pub is_over: &'a (dyn Fn(&str) -> bool + Sync),
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
    /// A run that was cut off still holds it.
    #[error(
        "{host} has not yet let go of {holder}, which was cut off: run again in a minute"
    )]
    NotLetGo {
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
/// long, since none waits for another that goes on. A run of this computer that was cut off is
/// waited for until the hosts have noticed.
///
/// # Errors
/// When another run holds it, or a host does not answer.
pub async fn take(
    fleet: &Fleet,
    hosts: &[HostName],
    claim: &Claim<'_>,
    events: &Events,
) -> Result<ClusterLock, LockError> {
    let mut held = Vec::new();
    for host in hosts.iter().filter(|host| fleet.contains_key(*host)) {
        held.push(take_one(fleet, host, claim, events).await?);
    }
    let (run, holder) = (claim.run.to_owned(), claim.holder.to_owned());
    Ok(ClusterLock { run, holder, held: Mutex::new(held) })
}

async fn take_one(
    fleet: &Fleet,
    host: &HostName,
    claim: &Claim<'_>,
    events: &Events,
) -> Result<Held, LockError> {
    let (run, holder) = match try_one(fleet, host, claim, Duration::ZERO).await? {
        Answer::Locked(held) => return Ok(held),
        Answer::Held { run, holder } => (run, holder),
    };
    let host = host.clone();
    if !(claim.is_over)(&run) {
        return Err(LockError::Held { host, holder });
    }
    events.emit(&Event::Warned {
        message: format!(
            "waiting until {host} lets go of a run that was cut off: {holder}"
        ),
    });
    match try_one(fleet, &host, claim, SILENCE + BEAT).await? {
        Answer::Locked(held) => Ok(held),
        Answer::Held { run, holder } if (claim.is_over)(&run) => {
            Err(LockError::NotLetGo { host, holder })
        }
        Answer::Held { holder, .. } => Err(LockError::Held { host, holder }),
    }
}

enum Answer {
    Locked(Held),
    Held { run: String, holder: String },
}

async fn try_one(
    fleet: &Fleet,
    host: &HostName,
    claim: &Claim<'_>,
    patience: Duration,
) -> Result<Answer, LockError> {
    let remote = fleet[host].clone();
    let (keep, input) = tokio::io::duplex(64);
    let (said, hears) = oneshot::channel::<String>();
    let seconds = |time: Duration| time.as_secs().to_string();
    let (patient, silent) = (seconds(patience), seconds(SILENCE));
    let words = ["sh", "-c", SCRIPT, "lock", claim.run, claim.holder, &patient, &silent];
    let argv = Argv::new(words);
    let command = tokio::spawn(async move {
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
    let beat = tokio::spawn(beat(keep)).abort_handle();
    let held = Held { host: host.clone(), beat, command };
    let no_answer = || LockError::NoAnswer { host: host.clone() };
    let line = tokio::time::timeout(ANSWER + patience, hears)
        .await
        .map_err(|_| no_answer())?
        .map_err(|_| no_answer())?;
    Ok(match line.strip_prefix("held ") {
        None if line == "locked" => Answer::Locked(held),
        None => return Err(no_answer()),
        Some(by) => {
            let (run, holder) = by.split_once(' ').unwrap_or((by, "it has just begun"));
            Answer::Held { run: run.to_owned(), holder: holder.to_owned() }
        }
    })
}

/// Gives signs of life until nobody listens.
async fn beat(mut keep: DuplexStream) {
    let mut times = tokio::time::interval(BEAT);
    while keep.write_all(b".").await.is_ok() {
        times.tick().await;
    }
}

impl ClusterLock {
    /// The hosts on which it is lost: it went with the connection.
    pub async fn lost(&self) -> Vec<HostName> {
        let held = self.held.lock().await;
        let lost = held.iter().filter(|held| held.command.is_finished());
        lost.map(|held| held.host.clone()).collect()
    }

    /// Takes the lock of a host again that has lost it by a reboot or with the connection. Where
    /// the lock is not on that host, there is nothing to take. A host that has not noticed the
    /// end of the connection is waited for.
    ///
    /// # Errors
    /// When another run came first, or the host does not answer.
    pub async fn retake(
        &self,
        fleet: &Fleet,
        host: &HostName,
        events: &Events,
    ) -> Result<(), LockError> {
        let is_here = |held: &Held| held.host == *host;
        let has_lost = |held: &Held| is_here(held) && held.command.is_finished();
        if !self.held.lock().await.iter().any(has_lost) {
            return Ok(());
        }
        let is_over = &|run: &str| run == self.run;
        let claim = Claim { run: &self.run, holder: &self.holder, is_over };
        let anew = take_one(fleet, host, &claim, events).await?;
        let mut held = self.held.lock().await;
        held.retain(|held| !is_here(held));
        held.push(anew);
        Ok(())
    }

    /// Lets go, and waits until the hosts have heard of it.
    pub async fn release(self) {
        let mut all = self.held.into_inner();
        for held in &mut all {
            held.beat.abort();
        }
        for held in &mut all {
            // A host that does not hear of it lets go with the connection.
            let _ = tokio::time::timeout(ANSWER, &mut held.command).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.beat.abort();
    }
}
