//! Looks whether machines are back that were told to boot anew, or whose connection was lost, and
//! takes again what the cluster's lock had there.

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

/// Looks at machines that boot anew. Connections that end with the old boot are made anew, and
/// so is what the cluster's lock had there.
pub(crate) struct RebootCheck<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) lock: &'a ClusterLock,
    pub(crate) events: &'a Events,
}

/// How far one machine is.
enum Progress {
    Back(String),
    Away(String),
    Lost(String),
}

impl RebootCheck<'_> {
    /// Whether all of these machines are back. One that came back wrong ends the wait.
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

    /// What was seen at a gate, once the lock was taken again on those of its hosts that answer: it
    /// goes with a connection that is lost. No gate lets a run through whose lock another has. A
    /// host that is away keeps no gate of others shut: its own steps fail, and say so.
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
            // Where this fails, the host does not say either whether the lock is free.
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

/// What a machine says of its boot; none where it does not answer.
async fn reboot_state(remote: &dyn Remote, before: &str) -> Option<RebootState> {
    let exec = Exec {
        purpose: "look after a reboot".to_owned(),
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
        "{} came back with control groups of version 2 alone; its kernel was started with \
         `{}`: have it boot from the /boot/grub/grub.cfg that update-grub writes, and leave \
         no other word about control groups there",
        reboot.host,
        command_line.trim()
    )
}
