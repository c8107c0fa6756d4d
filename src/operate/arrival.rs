//! Looks whether machines are back that were told to boot anew, or whose connection was lost, and
//! takes again what the cluster's lock had there.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use super::Ambient;
use crate::event::in_words;
use crate::host::HostName;
use crate::plan::Reboot;
use crate::remote::{Argv, As, ErrorKind, Exec, Input, Remote};
use crate::resource::boot::{self, Arrival};
use crate::run::Fleet;
use crate::run::gate::Look;
use crate::run::lock::{ClusterLock, LockError};

/// How long a machine may take to answer a short question.
const ANSWER: Duration = Duration::from_secs(10);

/// Looks at machines that boot anew. Connections that end with the old boot are made anew, and
/// so is what the cluster's lock had there.
pub(super) struct Lookout<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) lock: &'a ClusterLock,
    pub(super) ambient: &'a Ambient<'a>,
}

/// What is known of one machine.
enum Known {
    Back(String),
    Away(String),
    Lost(String),
}

impl Lookout<'_> {
    /// Whether all of these machines are back. One that came back wrong ends the wait.
    pub(super) async fn look(&self, reboots: &[Reboot]) -> Look {
        let looked = join_all(reboots.iter().map(|reboot| self.look_at(reboot))).await;
        let (mut said, mut lost, mut all) = (Vec::new(), Vec::new(), true);
        for known in looked {
            match known {
                Known::Back(what) => said.push(what),
                Known::Away(what) => {
                    all = false;
                    said.push(what);
                }
                Known::Lost(why) => lost.push(why),
            }
        }
        match (lost.is_empty(), all) {
            (false, _) => Look::Never(lost.join("; ")),
            (true, true) => Look::Open(said.join(", ")),
            (true, false) => Look::Closed(said.join(", ")),
        }
    }

    /// What was seen at a gate, once the lock was taken again on those of its hosts that answer: it
    /// goes with a connection that is lost. No gate lets a run through whose lock another has. A
    /// host that is away keeps no gate of others shut: its own steps fail, and say so.
    pub(super) async fn with_lock(&self, seen: Look) -> Look {
        let lost = self.lock.lost().await;
        let retaken = join_all(lost.iter().map(|host| self.retake(host))).await;
        let failed: Vec<&LockError> =
            retaken.iter().filter_map(|retaken| retaken.as_ref().err()).collect();
        let taken =
            failed.into_iter().find(|error| matches!(error, LockError::Held { .. }));
        match taken {
            Some(error) => Look::Never(in_words(error)),
            None => seen,
        }
    }

    async fn retake(&self, host: &HostName) -> Result<(), LockError> {
        if let Some(remote) = self.fleet.get(host) {
            // Where this fails, the host does not say either whether the lock is free.
            let _ = timeout(ANSWER, remote.renew()).await;
        }
        self.lock.retake(self.fleet, host, &self.ambient.events).await
    }

    async fn look_at(&self, reboot: &Reboot) -> Known {
        let host = &reboot.host;
        let Some(remote) = self.fleet.get(host) else {
            return Known::Lost(format!("there is no connection to {host}"));
        };
        match arrival(remote.as_ref(), &reboot.before).await {
            Some(Arrival::Before) => Known::Away(format!("{host} has not gone down yet")),
            Some(Arrival::Hybrid) => self.welcome(reboot).await,
            Some(Arrival::InVain { command_line }) => {
                Known::Lost(in_vain(reboot, &command_line))
            }
            None => match remote.renew().await {
                Ok(()) => Known::Away(format!("{host} does not answer yet")),
                Err(error) if error.kind() == ErrorKind::Unsafe => {
                    Known::Lost(in_words(&error))
                }
                Err(_) => Known::Away(format!("{host} is down")),
            },
        }
    }

    async fn welcome(&self, reboot: &Reboot) -> Known {
        let host = &reboot.host;
        match self.lock.retake(self.fleet, host, &self.ambient.events).await {
            Ok(()) => Known::Back(format!("{host} booted with cgroup v1")),
            Err(error) => Known::Lost(in_words(&error)),
        }
    }
}

/// What a machine says of its boot; none where it does not answer.
async fn arrival(remote: &dyn Remote, before: &str) -> Option<Arrival> {
    let exec = Exec {
        purpose: "look after a reboot".to_owned(),
        argv: Argv::new(["sh", "-c", boot::LOOK]),
        user: As::Login,
        input: Input::Empty,
        on_line: None,
        deadline: ANSWER,
    };
    let output = remote.exec(exec).await.ok().filter(|output| output.status == 0)?;
    boot::arrival(&String::from_utf8_lossy(&output.stdout), before)
}

fn in_vain(reboot: &Reboot, command_line: &str) -> String {
    format!(
        "{} came back with control groups of version 2 alone; its kernel was started with \
         `{}`: have it boot from the /boot/grub/grub.cfg that update-grub writes, and leave \
         no other word about control groups there",
        reboot.host,
        command_line.trim()
    )
}
