//! Files that were made for a cluster and are not kept yet.
//!
//! Every run makes the files that the state folder lacks, in memory. Only a run that is about to
//! change the cluster writes them to the folder; all others forget them. So if a folder was lost,
//! a run that only reads does not fill it with passwords that differ from those on the hosts.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::files::{self, StateError};
use crate::remote::ssh::NewPins;
use crate::secret::SecretBytes;

/// What was made and is not kept yet.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Files, by their paths.
    files: Mutex<BTreeMap<PathBuf, SecretBytes>>,
    /// Host keys that were accepted, as lines of a file of known hosts.
    pins: NewPins,
}

impl Draft {
    /// The content of a file as it will be once all files are kept; `None` if there is no file.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, StateError> {
        match self.files().get(path) {
            Some(made) => Ok(Some(made.expose().to_vec())),
            None => files::read(path),
        }
    }

    /// The same for a text file.
    pub(super) fn read_text(&self, path: &Path) -> Result<Option<String>, StateError> {
        let Some(bytes) = self.read(path)? else { return Ok(None) };
        let text = String::from_utf8(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
        text.map(Some).map_err(StateError::of("read as text", path))
    }

    /// Makes a file, or replaces it.
    pub(super) fn write(&self, path: &Path, bytes: Vec<u8>) {
        self.files().insert(path.to_owned(), SecretBytes::new(bytes));
    }

    /// The content of a file that is made once and then stays.
    pub(super) fn once(
        &self,
        path: &Path,
        make: impl FnOnce() -> Vec<u8>,
    ) -> Result<Vec<u8>, StateError> {
        if let Some(bytes) = self.read(path)? {
            return Ok(bytes);
        }
        let made = make();
        self.write(path, made.clone());
        Ok(made)
    }

    /// The files that were made and are not kept yet.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.files().keys().cloned().collect()
    }

    /// Writes all files that were made: each one whole, in a folder that only its owner may enter.
    pub(super) fn keep(&self) -> Result<(), StateError> {
        let mut made = self.files();
        while let Some((path, bytes)) = made.first_key_value() {
            if let Some(folder) = path.parent() {
                files::make_folder(folder)?;
            }
            files::write(path, bytes.expose())?;
            made.pop_first();
        }
        Ok(())
    }

    /// A draft of its own for files, with the same host keys.
    pub(super) fn apart(&self) -> Self {
        Self { files: Mutex::default(), pins: self.pins.clone() }
    }

    /// The host keys that were accepted, for all who accept more.
    pub(super) fn new_pins(&self) -> NewPins {
        self.pins.clone()
    }

    /// Adds the host keys that were accepted to a file of known hosts.
    pub(super) fn keep_pins(&self, file: &Path) -> Result<(), StateError> {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(line) = pins.first() {
            files::append(file, line)?;
            pins.remove(0);
        }
        Ok(())
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, SecretBytes>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_made_stays_the_same_and_is_on_the_disk_only_once_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets/admin");
        let draft = Draft::default();
        assert_eq!(draft.once(&path, || b"first".to_vec()).unwrap(), b"first");
        assert_eq!(draft.once(&path, || b"second".to_vec()).unwrap(), b"first");
        assert!(draft.paths() == std::slice::from_ref(&path));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

        draft.keep().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert!(draft.paths().is_empty());
        assert_eq!(draft.once(&path, || b"third".to_vec()).unwrap(), b"first");
        draft.write(&path, b"renewed".to_vec());
        assert_eq!(draft.read_text(&path).unwrap().as_deref(), Some("renewed"));
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
    }

    #[test]
    fn what_cannot_be_kept_is_still_to_be_kept() {
        let dir = tempfile::tempdir().unwrap();
        let in_the_way = dir.path().join("secrets");
        std::fs::write(&in_the_way, "a file").unwrap();
        let draft = Draft::default();
        draft.write(&in_the_way.join("admin"), b"made".to_vec());
        draft.keep().unwrap_err();
        std::fs::remove_file(&in_the_way).unwrap();
        draft.keep().unwrap();
        assert_eq!(std::fs::read(in_the_way.join("admin")).unwrap(), b"made");
    }

    #[test]
    fn a_host_key_that_is_kept_is_a_line_of_its_own_in_a_file_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (new, old) = (dir.path().join("new"), dir.path().join("old"));
        std::fs::write(&old, "# a note without its newline").unwrap();
        let draft = Draft::default();
        for (file, before) in [(&old, "# a note without its newline\n"), (&new, "")] {
            draft.new_pins().lock().unwrap().push("[host]:22 key\n".to_owned());
            draft.keep_pins(file).unwrap();
            draft.keep_pins(file).unwrap();
            let text = std::fs::read_to_string(file).unwrap();
            assert_eq!(text, format!("{before}[host]:22 key\n"));
        }
        assert_eq!(new.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
