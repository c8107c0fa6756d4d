//! The lock of a run on this computer: two runs on one cluster never overlap.
//!
//! The kernel holds the lock, so it is released when the process ends, in whatever way. The file
//! names the holder, for a run that finds the lock taken.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{Environment, State, StateError, files};

/// A run that was killed holds its lock until the kernel has freed its memory.
const DYING: Duration = Duration::from_secs(1);

/// The lock, held for a whole run; dropping it releases the lock.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The operator, as `user@machine`.
    pub who: String,
    /// The process on that machine.
    pub pid: u32,
    /// The verb that it runs, such as `up`.
    pub verb: String,
    /// Since when.
    pub since: Timestamp,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error("{}", held_text(.0.as_ref()))]
    Held(Option<Holder>),
    /// Its file cannot be used.
    #[error(transparent)]
    File(#[from] StateError),
}

impl State {
    /// Takes the lock for one run, within a second.
    ///
    /// # Errors
    /// [`LockError::Held`] when another run still holds it then.
    pub fn lock(&self, holder: &Holder) -> Result<Lock, LockError> {
        let path = self.folder.join("lock");
        let mut file = open(self).map_err(StateError::of("open the lock", &path))?;
        let begun = Instant::now();
        while !grab(&file).map_err(StateError::of("take the lock", &path))? {
            if begun.elapsed() > DYING {
                return Err(LockError::Held(read_holder(&mut file)));
            }
            pause();
        }
        write_holder(&mut file, holder)
            .map_err(StateError::of("write the lock", &path))?;
        Ok(Lock { file })
    }

    /// Who holds the lock now; `None` if nobody does. Does not change the lock.
    pub fn lock_holder(&self) -> Option<Holder> {
        let mut file = File::open(self.folder.join("lock")).ok()?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => None,
            Err(_) => read_holder(&mut file),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Another run must not read an old name before the next holder has written its own. The
        // lock itself is released when the file is closed.
        let _ = self.file.set_len(0);
    }
}

/// The operator as `user@machine`, for locks and journals.
pub fn operator(env: Environment<'_>) -> String {
    let user = env("USER").or_else(|| env("LOGNAME")).unwrap_or_else(user_by_number);
    let machine = rustix::system::uname();
    format!("{user}@{}", machine.nodename().to_string_lossy())
}

/// The user's name by its number, as cron jobs have no `USER`.
fn user_by_number() -> String {
    files::user_name(rustix::process::getuid().as_raw())
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, pid, verb, since } = self;
        write!(f, "{who} since {since}, running `{verb}` (process {pid})")
    }
}

fn held_text(holder: Option<&Holder>) -> String {
    match holder {
        Some(holder) => {
            format!("the cluster is locked by {holder}; wait until that run ends")
        }
        None => "the cluster is locked by a run that has just begun; wait until it ends"
            .into(),
    }
}

fn open(state: &State) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(state.folder.join("lock"))
}

fn grab(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a pause between two checks of a condition that has a deadline"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write_holder(file: &mut File, holder: &Holder) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(serde_json::to_string(holder)?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::fixture::state;

    fn holder(verb: &str) -> Holder {
        Holder {
            who: "ada@desk".into(),
            pid: 4711,
            verb: verb.into(),
            since: "2026-11-23T10:15:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn the_second_one_is_told_who_holds_it_and_since_when() {
        let (_dir, state) = state();
        let lock = state.lock(&holder("up")).unwrap();
        let refused = state.lock(&holder("down")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the cluster is locked by ada@desk since 2026-11-23T10:15:00Z, running `up` \
             (process 4711); wait until that run ends"
        );
        assert_eq!(state.lock_holder(), Some(holder("up")));
        drop(lock);
        assert_eq!(state.lock_holder(), None);
        state.lock(&holder("down")).unwrap();
    }

    #[test]
    fn a_lock_that_is_let_go_of_at_this_moment_is_waited_for() {
        let (_dir, state) = state();
        let lock = state.lock(&holder("up")).unwrap();
        std::thread::scope(|scope| {
            let next = scope.spawn(|| state.lock(&holder("down")));
            pause();
            drop(lock);
            next.join().unwrap().unwrap();
        });
    }

    #[test]
    fn of_many_at_once_exactly_one_gets_it() {
        let (_dir, state) = state();
        let (state, gate) = (&state, &std::sync::Barrier::new(8));
        let taken: Vec<Result<Lock, LockError>> = std::thread::scope(|scope| {
            let each = |_| {
                scope.spawn(move || {
                    gate.wait();
                    state.lock(&holder("up"))
                })
            };
            let all: Vec<_> = (0..8).map(each).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(taken.iter().filter(|one| one.is_ok()).count(), 1);
        let held =
            |one: &&Result<Lock, LockError>| matches!(one, Err(LockError::Held(_)));
        assert_eq!(taken.iter().filter(held).count(), 7);
    }

    #[test]
    fn the_operator_is_named_even_without_an_environment() {
        let ada = |name: &str| (name == "USER").then(|| "ada".to_owned());
        assert!(operator(&ada).starts_with("ada@"));
        let whoami = std::process::Command::new("id").arg("-un").output().unwrap();
        let whoami = String::from_utf8(whoami.stdout).unwrap();
        assert!(operator(&|_| None).starts_with(&format!("{}@", whoami.trim())));
    }
}
