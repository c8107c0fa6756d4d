//! Processes that outlive the agent: told apart, waited for and signalled without being children.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::record::Process;

/// The start of the machine that this is.
pub fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    text.map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The process of this number, if it lives.
pub fn find(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    from_stat(&stat, boot_id())
}

/// The process that wrote its `/proc/self/stat` into a file.
pub fn from_file(path: &Path, boot_id: String) -> Option<Process> {
    from_stat(&fs::read_to_string(path).ok()?, boot_id)
}

/// Number and start time: the first field, and the 20th after the name, which may hold anything.
fn from_stat(stat: &str, boot_id: String) -> Option<Process> {
    let (head, tail) = stat.rsplit_once(')')?;
    let pid = head.split_whitespace().next()?.parse().ok()?;
    let start_time = tail.split_whitespace().nth(19)?.parse().ok()?;
    Some(Process { pid, start_time, boot_id })
}

/// A process being watched.
#[derive(Debug)]
pub struct Watched {
    pid: Pid,
    handle: AsyncFd<OwnedFd>,
}

impl Watched {
    /// Takes hold of the process; `None` when it is no more.
    ///
    /// # Errors
    /// When the kernel gives no handle to a process that is there.
    pub fn open(process: &Process) -> io::Result<Option<Self>> {
        let Some(pid) = Pid::from_raw(process.pid) else {
            return Ok(None);
        };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Asked after the handle was taken, so that the handle is of the process asked about.
        if find(process.pid).as_ref() != Some(process) {
            return Ok(None);
        }
        #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd stays open")]
        let handle = AsyncFd::with_interest(handle, Interest::READABLE)?;
        Ok(Some(Self { pid, handle }))
    }

    /// Resolves when the process has ended.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn ended(&self) -> io::Result<()> {
        self.handle.readable().await.map(|_| ())
    }

    /// Signals the whole group that the process leads; one that is gone is left alone.
    pub fn signal_group(&self, signal: Signal) {
        // No other process gets the number while the group has a member.
        if let Err(error) = kill_process_group(self.pid, signal)
            && error != rustix::io::Errno::SRCH
        {
            crate::agent::log(&format!("cannot signal group {:?}: {error}", self.pid));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn a_name_may_hold_anything() {
        let fields: Vec<String> = (3..=25).map(|n| n.to_string()).collect();
        let stat = format!("12 (a) b (c)) S {}", fields[1..].join(" "));
        let process = from_stat(&stat, "b".into()).unwrap();
        assert_eq!((process.pid, process.start_time), (12, 22));
        assert_eq!(from_stat("12 (a) S", "b".into()), None);
    }

    #[tokio::test]
    async fn an_end_is_seen_and_a_later_process_is_another() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = find(i32::try_from(child.id()).unwrap()).unwrap();
        let watched = Watched::open(&process).unwrap().unwrap();
        let other = Process { start_time: process.start_time + 1, ..process.clone() };
        assert!(Watched::open(&other).unwrap().is_none());
        child.kill().unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(10), watched.ended()).await;
        ended.unwrap().unwrap();
        child.wait().unwrap();
        assert!(Watched::open(&process).unwrap().is_none());
    }
}
