//! The cluster's lock on its hosts: two operators on two computers cannot change one cluster at
//! the same time.
//!
//! A command that waits for the end of its input holds the lock, so the lock is released with the
//! connection, however that ends. A host may not notice that end, for example if the network was
//! down for a while; so the command also ends when its input falls silent. Only a run that
//! changes something takes the lock.

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

/// The longest wait for a host to say whether it is free.
const ANSWER: Duration = Duration::from_secs(30);

/// How often a run sends a heartbeat to the hosts.
const BEAT: Duration = Duration::from_secs(5);

/// After this much silence, a host releases the lock.
const SILENCE: Duration = Duration::from_secs(30);

/// Takes the lock, or prints its holder: the run and its name. The arguments are this run, its
/// name, how many seconds to wait, and after how many seconds of silence to release the lock.
const SCRIPT: &str = r#"mkdir -p -m 755 /run/platform
exec 9>>/run/platform/cluster
if flock -w "$3" 9; then
  printf '%s %s\n' "$1" "$2" >/run/platform/holder
  echo locked
  while [ -n "$(timeout "$4" head -c 1 9>&-)" ]; do :; done
else
  printf 'held %s\n' "$(cat /run/platform/holder 2>/dev/null)"
fi"#;

/// Prints the holder of the lock, and nothing if nobody holds it.
const WHO: &str = r#"[ ! -e /run/platform/cluster ] || flock -n /run/platform/cluster true ||
cat /run/platform/holder"#;

/// The holder of the cluster's lock on a host: its run, and its name. `None` if nobody holds it
/// there, or the host does not answer.
pub async fn holder(remote: &dyn Remote) -> Option<(String, String)> {
    let exec = Exec {
        purpose: "check the lock".to_owned(),
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

/// Holds the lock; dropping it releases the lock.
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

/// The run that wants the lock.
pub struct Claim<'a> {
    /// The run.
    pub run: &'a str,
    /// The text for another run: who, since when, doing what.
    pub holder: &'a str,
    /// Whether a run was begun on this computer. Such a run has ended, because this run holds
    /// this computer's own lock: if a host still holds that run's lock, it will release it soon.
    pub is_over: &'a (dyn Fn(&str) -> bool + Sync),
}

/// Why the lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error("{host} is being changed by another run: {holder}; wait until that run ends")]
    Held {
        /// The host that reported it.
        host: HostName,
        /// Who, since when, doing what.
        holder: String,
    },
    /// An interrupted run still holds it.
    #[error(
        "{host} still holds the lock of {holder}, which was interrupted: run the command \
         again in a minute"
    )]
    NotLetGo {
        /// The host that reported it.
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

/// Takes the lock on these hosts, in this order: two runs cannot each hold a part of it for long,
/// because neither waits for another run that continues. For an interrupted run of this computer,
/// it waits until the hosts have noticed the end.
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
            "waiting until {host} releases the lock of an interrupted run: {holder}"
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
        // If the connection fails, the lock is lost, and so is everything else on this host: the
        // run gets the error there.
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

/// Sends heartbeats until nobody reads them.
async fn beat(mut keep: DuplexStream) {
    let mut times = tokio::time::interval(BEAT);
    while keep.write_all(b".").await.is_ok() {
        times.tick().await;
    }
}

impl ClusterLock {
    /// The hosts on which the lock is lost: it was released with the connection.
    pub async fn lost(&self) -> Vec<HostName> {
        let held = self.held.lock().await;
        let lost = held.iter().filter(|held| held.command.is_finished());
        lost.map(|held| held.host.clone()).collect()
    }

    /// Takes the lock again on a host that lost it by a reboot or with the connection. If the
    /// lock is not used on that host, this does nothing. If the host has not noticed the end of
    /// the connection, this waits.
    ///
    /// # Errors
    /// When another run took it first, or the host does not answer.
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

    /// Releases the lock, and waits until the hosts have noticed.
    pub async fn release(self) {
        let mut all = self.held.into_inner();
        for held in &mut all {
            held.beat.abort();
        }
        for held in &mut all {
            // A host that does not notice releases it with the connection.
            let _ = tokio::time::timeout(ANSWER, &mut held.command).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.beat.abort();
    }
}
