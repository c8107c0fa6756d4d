//! Copies one image: its parts, its manifest, its tags, in this order.

use std::io;

use crate::folder::Folder;
use crate::lacking::{Image, Lacking, Retag};
use crate::manifest::{NotCopied, Part, Parts};
use crate::names::{Digest, Repository, Tag};
use crate::registry::{Manifest, Registry, RegistryError};

/// How deep indexes may be nested.
const DEEPEST: usize = 3;
/// What a disk has to have left after a blob: the registry writes small files too, and a full disk
/// harms more than the registry.
const RESERVE: u64 = 16 << 20;

/// Between which registries an image is copied.
#[derive(Debug, Clone, Copy)]
pub struct Copy<'a> {
    /// The registry that has it.
    pub from: &'a Registry,
    /// The registry of this host.
    pub to: &'a Registry,
    /// The folder of the registry of this host.
    pub folder: &'a Folder,
}

/// Why an image is not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A registry cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It is nothing that can be copied.
    #[error(transparent)]
    NotCopied(#[from] NotCopied),
    /// Its indexes are nested too deeply.
    #[error("its indexes are nested deeper than {DEEPEST}")]
    Deep,
    /// The disk has no room for it.
    #[error(
        "the disk of the registry has {} MiB free, and needs {} MiB for the next part and its own \
         work",
        free >> 20,
        (size + RESERVE).div_ceil(1 << 20)
    )]
    NoRoom {
        /// The free bytes.
        free: u64,
        /// The size of the part.
        size: u64,
    },
    /// The system does not tell how much is free.
    #[error("the free space of the registry's disk is not known")]
    Unknown(#[source] io::Error),
    /// The registry has taken a part, and does not have it.
    #[error("the registry of this host has {0} with another size: its disk lost data")]
    Lost(Digest),
    /// A tag was pushed just now.
    #[error("the tag {0} was pushed again meanwhile")]
    Pushed(Tag),
}

impl Copy<'_> {
    /// Copies an image with its tags; what is there already is not copied again.
    ///
    /// # Errors
    ///
    /// If a part cannot be copied: then no manifest names it. If a tag changed meanwhile: then it
    /// stays as it is.
    pub fn image(self, lacking: &Lacking) -> Result<(), CopyError> {
        let Image { repository, digest } = &lacking.image;
        let manifest = self.from.manifest(repository, digest)?;
        if !lacking.is_held {
            self.parts(repository, &manifest, DEEPEST)?;
            self.to.put_manifest(repository, digest.as_str(), &manifest)?;
        }
        for Retag { tag, now, .. } in &lacking.tags {
            if self.folder.tagged(repository, tag) != *now {
                return Err(CopyError::Pushed(tag.clone()));
            }
            self.to.put_manifest(repository, tag.as_str(), &manifest)?;
        }
        Ok(())
    }

    /// Copies what a manifest names.
    fn parts(
        self,
        repository: &Repository,
        manifest: &Manifest,
        depth: usize,
    ) -> Result<(), CopyError> {
        let parts = Parts::of(&manifest.kind, &manifest.bytes)?;
        for Part { digest, .. } in &parts.manifests {
            if self.folder.has_manifest(repository, digest) {
                continue;
            }
            let depth = depth.checked_sub(1).ok_or(CopyError::Deep)?;
            let child = self.from.manifest(repository, digest)?;
            self.parts(repository, &child, depth)?;
            self.to.put_manifest(repository, digest.as_str(), &child)?;
        }
        parts.blobs.iter().try_for_each(|blob| self.blob(repository, blob))
    }

    fn blob(self, repository: &Repository, blob: &Part) -> Result<(), CopyError> {
        let Part { digest, size } = blob;
        let is_there = || self.folder.has_blob(repository, digest, *size);
        if is_there() {
            return Ok(());
        }
        let (free, size) = (self.folder.free().map_err(CopyError::Unknown)?, *size);
        if free < size.saturating_add(RESERVE) {
            return Err(CopyError::NoRoom { free, size });
        }
        self.to.copy_blob(self.from, repository, blob)?;
        if is_there() { Ok(()) } else { Err(CopyError::Lost(digest.clone())) }
    }
}
