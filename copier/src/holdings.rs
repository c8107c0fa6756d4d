//! What a registry has, as copiers tell each other.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::names::{Digest, Repository, Tag};

/// The repositories of a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Holdings(pub BTreeMap<Repository, Images>);

/// The images of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// The manifests, with a tag or without one.
    pub manifests: BTreeSet<Digest>,
    /// The tags.
    pub tags: BTreeMap<Tag, Tagged>,
}

/// What a tag points to. Of two, the greater one is the later push.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tagged {
    /// When it was pushed, in microseconds since 1970; in what was only read from a folder, when the
    /// tag was written there.
    pub at: u64,
    /// The manifest. It decides between pushes of the same microsecond.
    pub digest: Digest,
}

impl Holdings {
    /// What a tag points to.
    pub fn tagged(&self, repository: &Repository, tag: &Tag) -> Option<&Tagged> {
        self.0.get(repository)?.tags.get(tag)
    }

    /// Whether it has a manifest.
    pub fn has(&self, repository: &Repository, digest: &Digest) -> bool {
        self.0.get(repository).is_some_and(|images| images.manifests.contains(digest))
    }

    /// Every tag.
    pub fn tags(&self) -> impl Iterator<Item = (&Repository, &Tag, &Tagged)> {
        self.0.iter().flat_map(|(repository, images)| {
            images.tags.iter().map(move |(tag, tagged)| (repository, tag, tagged))
        })
    }
}
