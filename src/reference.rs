//! Images of registries, as an operator names them and as they are fetched.

use std::fmt;
use std::str::FromStr;

use crate::digest::{BadDigest, Digest};

/// An image of a registry, with its tag: `docker.io/library/zookeeper:3.8`. It may have a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    name: String,
    digest: Option<Digest>,
}

/// An image of a registry with its digest, so that it is always the same image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinnedReference {
    name: String,
    digest: Digest,
}

/// Why a text is not a [`Reference`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadReference {
    /// It does not name an image.
    #[error("`{0}` is not an image's reference")]
    Name(String),
    /// What follows `@` is not a digest.
    #[error(transparent)]
    Digest(#[from] BadDigest),
}

impl Reference {
    /// The reference without its digest.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The reference with its digest, if it has one.
    pub fn pinned(&self) -> Option<PinnedReference> {
        self.digest.clone().map(|digest| self.at(digest))
    }

    /// The same image at a digest.
    pub fn at(&self, digest: Digest) -> PinnedReference {
        PinnedReference { name: self.name.clone(), digest }
    }
}

impl PinnedReference {
    /// The digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl FromStr for Reference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let inner = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || !name.chars().all(inner) {
            return Err(BadReference::Name(text.to_owned()));
        }
        let digest = digest.map(str::parse).transpose()?;
        Ok(Self { name: name.to_owned(), digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.digest {
            Some(digest) => write!(f, "{}@{digest}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl fmt::Display for PinnedReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_back_as_it_was_written() {
        let digest = Digest::of(b"image");
        let loose: Reference = "docker.io/library/zookeeper:3.8".parse().unwrap();
        assert_eq!((loose.to_string().as_str(), loose.pinned()), (loose.name(), None));
        let text = format!("docker.io/library/zookeeper:3.8@{digest}");
        let pinned: Reference = text.parse().unwrap();
        assert_eq!(pinned.pinned(), Some(loose.at(digest)));
        assert_eq!(
            (pinned.to_string(), pinned.pinned().unwrap().to_string()),
            (text.clone(), text)
        );
    }

    #[test]
    fn other_texts_are_no_references() {
        for bad in ["", "-x", "a b", "a@b@c", "a@", "a@sha256:12", "$(x)"] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
