//! Reads the folder in which the registry of this host keeps its images.
//!
//! The registry changes it at any time, and writes its small files in place. What is half written
//! or just gone is taken for not there, and seen at the next look.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use std::{fs, io};

use crate::holdings::{Holdings, Images, Tagged};
use crate::names::{Digest, Repository, Tag};

/// The folder of a registry.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

/// The folder cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct Unreadable {
    path: PathBuf,
    source: io::Error,
}

impl Folder {
    /// The folder with this root, as the registry's configuration has it.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// What the registry has, with the times at which tags were written.
    ///
    /// # Errors
    ///
    /// If a part of it is there and cannot be read.
    pub fn read(&self) -> Result<Holdings, Unreadable> {
        // A registry that has nothing yet has no folders in it, but the root is there.
        entries(&self.root, io::Result::Err)?;
        let mut holdings = Holdings::default();
        self.descend(&self.repositories(), "", &mut holdings)?;
        Ok(holdings)
    }

    /// Adds the repositories below a folder, of which each may have others below it.
    fn descend(
        &self,
        at: &Path,
        name: &str,
        holdings: &mut Holdings,
    ) -> Result<(), Unreadable> {
        for entry in listed(at)? {
            if entry == "_manifests" {
                if let Ok(repository) = Repository::try_from(name.to_owned()) {
                    let images = images(&at.join(entry))?;
                    holdings.0.insert(repository, images);
                }
            } else if !entry.starts_with('_') {
                let slash = if name.is_empty() { "" } else { "/" };
                let name = format!("{name}{slash}{entry}");
                self.descend(&at.join(entry), &name, holdings)?;
            }
        }
        Ok(())
    }

    /// What a tag points to now.
    pub fn tagged(&self, repository: &Repository, tag: &Tag) -> Option<Digest> {
        let tags = self.repository(repository).join("_manifests/tags");
        link(&tags.join(tag.as_str()).join("current/link"))
    }

    /// Whether a repository has a manifest.
    pub fn has_manifest(&self, repository: &Repository, digest: &Digest) -> bool {
        has_link(&self.repository(repository).join("_manifests/revisions/sha256"), digest)
    }

    /// Whether a repository has the whole of a blob.
    pub fn has_blob(&self, repository: &Repository, digest: &Digest, size: u64) -> bool {
        let digits = digest.digits();
        let data = self.root.join("docker/registry/v2/blobs/sha256").join(&digits[..2]);
        has_link(&self.repository(repository).join("_layers/sha256"), digest)
            && fs::metadata(data.join(digits).join("data"))
                .is_ok_and(|data| data.len() == size)
    }

    /// How many bytes are free under it.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn free(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.root)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn repositories(&self) -> PathBuf {
        self.root.join("docker/registry/v2/repositories")
    }

    fn repository(&self, repository: &Repository) -> PathBuf {
        self.repositories().join(repository.as_str())
    }
}

fn images(at: &Path) -> Result<Images, Unreadable> {
    let mut images = Images::default();
    let revisions = at.join("revisions/sha256");
    for digits in listed(&revisions)? {
        if let Ok(digest) = Digest::try_from(format!("sha256:{digits}"))
            && has_link(&revisions, &digest)
        {
            images.manifests.insert(digest);
        }
    }
    let tags = at.join("tags");
    for name in listed(&tags)? {
        let file = tags.join(&name).join("current/link");
        if let (Ok(tag), Some(at), Some(digest)) =
            (Tag::try_from(name), written(&file), link(&file))
            && images.manifests.contains(&digest)
        {
            images.tags.insert(tag, Tagged { at, digest });
        }
    }
    Ok(images)
}

/// The names in a folder, none if there is no such folder.
fn listed(at: &Path) -> Result<Vec<String>, Unreadable> {
    entries(at, |error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Vec::new()),
        _ => Err(error),
    })
}

fn entries(
    at: &Path,
    otherwise: impl FnOnce(io::Error) -> io::Result<Vec<String>>,
) -> Result<Vec<String>, Unreadable> {
    let read = || -> io::Result<Vec<String>> {
        let names = fs::read_dir(at)?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>()?;
        // The registry makes no other names.
        Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
    };
    let failed = |source| Unreadable { path: at.to_owned(), source };
    read().or_else(otherwise).map_err(failed)
}

fn has_link(at: &Path, digest: &Digest) -> bool {
    link(&at.join(digest.digits()).join("link")).as_ref() == Some(digest)
}

/// What a small file points to.
fn link(file: &Path) -> Option<Digest> {
    Digest::try_from(fs::read_to_string(file).ok()?).ok()
}

/// When a file was written, in microseconds since 1970.
fn written(file: &Path) -> Option<u64> {
    let at = fs::metadata(file).ok()?.modified().ok()?;
    u64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok()
}
