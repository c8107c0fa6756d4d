//! Checks whether machines are back after a reboot or a lost connection, and takes the cluster's
//! lock on them again.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use crate::event::{Events, in_words};
use crate::host::HostName;
use crate::plan::Reboot;
use crate::remote::{Argv, As, ErrorKind, Exec, Input, Remote};
use crate::resource::boot::{self, RebootState};
use crate::run::Fleet;
use crate::run::gate::GateState;
use crate::run::lock::{ClusterLock, LockError};

/// How long a machine may take to answer a short question.
const ANSWER: Duration = Duration::from_secs(10);

/// Checks machines that reboot. Connections that ended with the reboot are made again, and the
/// cluster's lock is taken again.
pub(crate) struct RebootCheck<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) lock: &'a ClusterLock,
    pub(crate) events: &'a Events,
}

/// The progress of one machine.
enum Progress {
    Back(String),
    Away(String),
    Lost(String),
}

impl RebootCheck<'_> {
    /// Whether all of these machines are back. A machine that came back with a wrong setting ends
    /// the wait.
    pub(crate) async fn look(&self, reboots: &[Reboot]) -> GateState {
        let looked = join_all(reboots.iter().map(|reboot| self.look_at(reboot))).await;
        let (mut said, mut lost, mut all) = (Vec::new(), Vec::new(), true);
        for known in looked {
            match known {
                Progress::Back(what) => said.push(what),
                Progress::Away(what) => {
                    all = false;
                    said.push(what);
                }
                Progress::Lost(why) => lost.push(why),
            }
        }
        match (lost.is_empty(), all) {
            (false, _) => GateState::Never(lost.join("; ")),
            (true, true) => GateState::Open(said.join(", ")),
            (true, false) => GateState::Closed(said.join(", ")),
        }
    }

    /// The state of a gate, after the lock was taken again on those of its hosts that answer: the
    /// lock is lost with the connection. No gate opens for a run whose lock another run holds. A
    /// host that is away does not keep a gate of other hosts closed: its own steps fail with a
    /// message.
    pub(crate) async fn with_lock(&self, seen: GateState) -> GateState {
        let lost = self.lock.lost().await;
        let retaken = join_all(lost.iter().map(|host| self.retake(host))).await;
        let failed: Vec<&LockError> =
            retaken.iter().filter_map(|retaken| retaken.as_ref().err()).collect();
        let taken =
            failed.into_iter().find(|error| matches!(error, LockError::Held { .. }));
        match taken {
            Some(error) => GateState::Never(in_words(error)),
            None => seen,
        }
    }

    async fn retake(&self, host: &HostName) -> Result<(), LockError> {
        if let Some(remote) = self.fleet.get(host) {
            // If this fails, the host does not report either whether the lock is free.
            let _ = timeout(ANSWER, remote.renew()).await;
        }
        self.lock.retake(self.fleet, host, self.events).await
    }

    async fn look_at(&self, reboot: &Reboot) -> Progress {
        let host = &reboot.host;
        let Some(remote) = self.fleet.get(host) else {
            return Progress::Lost(format!("there is no connection to {host}"));
        };
        match reboot_state(remote.as_ref(), &reboot.before).await {
            Some(RebootState::Before) => {
                Progress::Away(format!("{host} has not gone down yet"))
            }
            Some(RebootState::Hybrid) => self.welcome(reboot).await,
            Some(RebootState::InVain { command_line }) => {
                Progress::Lost(in_vain(reboot, &command_line))
            }
            None => match remote.renew().await {
                Ok(()) => Progress::Away(format!("{host} does not answer yet")),
                Err(error) if error.kind() == ErrorKind::Unsafe => {
                    Progress::Lost(in_words(&error))
                }
                Err(_) => Progress::Away(format!("{host} is down")),
            },
        }
    }

    async fn welcome(&self, reboot: &Reboot) -> Progress {
        let host = &reboot.host;
        match self.lock.retake(self.fleet, host, self.events).await {
            Ok(()) => Progress::Back(format!("{host} booted with cgroup v1")),
            Err(error) => Progress::Lost(in_words(&error)),
        }
    }
}

/// What a machine reports about its boot; `None` if it does not answer.
async fn reboot_state(remote: &dyn Remote, before: &str) -> Option<RebootState> {
    let exec = Exec {
        purpose: "check after a reboot".to_owned(),
        argv: Argv::new(["sh", "-c", boot::LOOK]),
        user: As::Login,
        input: Input::Empty,
        on_line: None,
        deadline: ANSWER,
    };
    let output = remote.exec(exec).await.ok().filter(|output| output.status == 0)?;
    boot::reboot_state(&String::from_utf8_lossy(&output.stdout), before)
}

fn in_vain(reboot: &Reboot, command_line: &str) -> String {
    format!(
        "{} came back with control groups of version 2 only; its kernel was started with \
         `{}`: make it boot from the /boot/grub/grub.cfg that update-grub writes, and remove \
         other settings for control groups from there",
        reboot.host,
        command_line.trim()
    )
}
