//! The state folder of a cluster on this computer: `.platform/<cluster>/` beside the inventory.
//!
//! It keeps what must outlive a run and must stay private: the cluster's CA, random secrets,
//! pinned host keys, the journal, whether the ensemble ever served, which machines are being
//! added, what a run began and has not ended, and the lock of the current run. Only the owner may
//! enter the folder (0700); files are 0600 and replaced as a whole. The folder does not record
//! hosts, so no machine is lost with it. A run that only reads writes nothing here: what it makes
//! is kept only when the cluster is about to be changed.

mod addition;
mod ca;
mod draft;
mod ensemble;
mod exchange;
mod files;
mod journal;
mod lock;
mod secrets;
mod ssh_key;
mod unfinished;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

pub use addition::{Addition, Asked, AskedHost};
pub use ca::{Ca, CaError, Kept, Leaf, Rank};
pub use exchange::Exchange;
pub use files::StateError;
pub use journal::{Clock, Ending, Journal, JournalError, Line, Run, RunSummary};
pub use lock::{Holder, Lock, LockError, operator};
pub use secrets::{Environment, SecretError};
pub use ssh_key::{SshKey, SshKeyError};

use self::draft::Draft;
use crate::inventory::ClusterName;
use crate::remote::ssh::NewPins;

/// The folder of one cluster. It may not exist yet.
#[derive(Debug, Clone)]
pub struct State {
    folder: PathBuf,
    cluster: ClusterName,
    draft: Arc<Draft>,
    /// Certificates from before this time are renewed.
    renew_since: Option<Timestamp>,
}

impl State {
    /// The folder beside an inventory; changes nothing on the disk.
    pub fn of(inventory: &Path, cluster: &ClusterName) -> Self {
        let beside = inventory.parent().unwrap_or(Path::new(""));
        let folder = beside.join(".platform").join(cluster.as_str());
        Self {
            folder,
            cluster: cluster.clone(),
            draft: Arc::default(),
            renew_since: None,
        }
    }

    /// The same folder with its own draft of files: what is made through it and not kept is unknown
    /// to other values. The accepted host keys are shared.
    #[must_use]
    pub fn with_own_draft(&self) -> Self {
        Self { draft: Arc::new(self.draft.apart()), ..self.clone() }
    }

    /// Checks that the folder belongs to this user, if it exists. Another user's folder cannot be
    /// trusted, and what is written to it is not secret. Only root can open such a folder at all.
    ///
    /// # Errors
    /// When it belongs to another user.
    pub fn check_owner(&self) -> Result<(), StateError> {
        let me = rustix::process::geteuid().as_raw();
        let all = self.folder.parent().unwrap_or(&self.folder);
        files::check_owner(all, me)?;
        files::check_owner(&self.folder, me)
    }

    /// Makes the folder if it is missing. Repeated, it changes nothing, but permissions that were
    /// widened are narrowed again.
    ///
    /// # Errors
    /// When the folder cannot be made or belongs to another user.
    pub fn make(&self) -> Result<(), StateError> {
        self.check_owner()?;
        files::make_folder(&self.folder)?;
        files::keep(&self.folder.join(".gitignore"), || b"*\n".to_vec()).map(drop)
    }

    /// Writes to the folder all that was made for the cluster and is not kept yet. Until then,
    /// only this value and its clones hold it.
    ///
    /// # Errors
    /// When the folder cannot be written; the call can then be repeated.
    pub fn keep(&self) -> Result<(), StateError> {
        self.make()?;
        self.draft.keep()?;
        self.draft.keep_pins(&self.known_hosts())
    }

    /// The host keys that were accepted and are not kept yet, as lines of a file of known hosts. Code
    /// that accepts a key adds its line here. [`State::keep`] and [`State::keep_pins`] write the lines
    /// to the file; otherwise they are forgotten.
    pub fn new_pins(&self) -> NewPins {
        self.draft.new_pins()
    }

    /// Keeps the host keys that were accepted, and nothing else: for a verb that goes on to use
    /// the hosts without changing the cluster.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep_pins(&self) -> Result<(), StateError> {
        self.draft.keep_pins(&self.known_hosts())
    }

    /// The files that the folder lacked and that are not kept yet, relative to it.
    pub fn made(&self) -> Vec<PathBuf> {
        let inside = |path: PathBuf| {
            path.strip_prefix(&self.folder).map(Path::to_owned).unwrap_or(path)
        };
        let lacked = self.draft.paths().into_iter().filter(|path| !path.exists());
        lacked.map(inside).collect()
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The host keys that were accepted for this cluster, in OpenSSH's form. The file may
    /// not exist yet.
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// The folder of the journals of all runs. It may not exist yet.
    pub fn journal_dir(&self) -> PathBuf {
        self.folder.join("journal")
    }
}

/// A state folder for the tests of these modules.
#[cfg(test)]
mod fixture {
    use super::State;

    /// The folder of a cluster `lab7`; it exists until the first value is dropped.
    pub(super) fn state() -> (tempfile::TempDir, State) {
        let dir = tempfile::tempdir().unwrap();
        let inventory = dir.path().join("lab.yaml");
        let state = State::of(&inventory, &"lab7".parse().unwrap());
        state.make().unwrap();
        (dir, state)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_folder_is_its_owners_alone_and_git_never_sees_it() {
        let dir = tempfile::tempdir().unwrap();
        let inventory = dir.path().join("lab.yaml");
        let cluster: ClusterName = "lab7".parse().unwrap();
        let state = State::of(&inventory, &cluster);
        assert!(!dir.path().join(".platform").exists());

        state.make().unwrap();
        assert_eq!(state.folder(), dir.path().join(".platform/lab7"));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(state.folder()), 0o700);
        let ignored = std::fs::read(state.folder().join(".gitignore")).unwrap();
        assert_eq!(ignored, b"*\n");
    }

    #[test]
    fn permissions_that_were_widened_are_narrowed_again() {
        let dir = tempfile::tempdir().unwrap();
        let inventory = dir.path().join("lab.yaml");
        let cluster: ClusterName = "lab7".parse().unwrap();
        let state = State::of(&inventory, &cluster);
        state.make().unwrap();
        let wide = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(state.folder(), wide).unwrap();
        state.make().unwrap();
        let mode = state.folder().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
