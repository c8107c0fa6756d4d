//! Folders on this computer for tests.

use std::fs;
use std::path::{Path, PathBuf};

/// The content of a folder.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Copies a folder with its whole content and permissions.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("room");
    for entry in entries(from) {
        let to = to.join(entry.file_name().expect("a name"));
        match entry.is_dir() {
            true => copy_folder(&entry, &to),
            false => drop(fs::copy(&entry, to).expect("room")),
        }
    }
    let permissions = fs::metadata(from).expect("a folder").permissions();
    fs::set_permissions(to, permissions).expect("it is ours");
}
