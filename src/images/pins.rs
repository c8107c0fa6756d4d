//! The digests of tags: each registry is asked once, and the answer kept in `platform.lock`.
//!
//! The file is beside the inventory and belongs into version control with it. So from the first use
//! on everyone has the same images, until someone updates the file. It is small, sorted by
//! reference, and replaced as a whole.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use oci_client::client::ClientConfig;
use serde::Deserialize;

use super::upstream::{self, UpstreamError};
use crate::digest::Digest;
use crate::reference::{PinnedReference, Reference};

/// The name of the file.
pub const FILE: &str = "platform.lock";

const HEAD: &str = "\
# The digest of each tag. `platform` asked the registries once and wrote this file: commit it to
# version control, so that everyone gets the same images. To ask the registries again and use the
# current images of the tags: platform image pin --update INVENTORY
";

/// The digests of references that are written with a tag.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pins(BTreeMap<String, Digest>);

/// A reference whose digest was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The reference, such as `docker.io/mesosphere/marathon:v1.11.24`.
    pub reference: String,
    /// Its digest now.
    pub digest: Digest,
    /// Its digest before, if one was kept.
    pub before: Option<Digest>,
}

/// Why tags cannot be turned into digests.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what this program writes.
    #[error(
        "{} is damaged: restore it from version control, or fix what is wrong with it",
        path.display()
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<serde_yaml::Error>,
    },
    /// The file cannot be written.
    #[error("cannot keep digests in {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A registry does not give the digest of a tag.
    #[error(
        "{reference} has no digest in {}, and its registry does not give one: run the command \
         again once this computer can reach the registry; or run `platform image pin INVENTORY` on \
         a computer that can, and copy the file here; or name an archive in the catalogue",
        path.display()
    )]
    Ask {
        /// The image.
        reference: String,
        /// The file.
        path: PathBuf,
        /// What the registry or the network said.
        source: Box<UpstreamError>,
    },
}

/// The content of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    images: BTreeMap<String, Digest>,
}

impl FromIterator<(String, Digest)> for Pins {
    fn from_iter<T: IntoIterator<Item = (String, Digest)>>(pins: T) -> Self {
        Self(pins.into_iter().collect())
    }
}

impl Pins {
    /// Reads the file of a folder; if there is no file, there are no digests.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn read(folder: &Path) -> Result<Self, PinError> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(source) => return Err(PinError::Read { path, source }),
        };
        match serde_yaml::from_str::<Form>(&text) {
            Ok(form) => Ok(Self(form.images)),
            Err(source) => Err(PinError::Form { path, source: Box::new(source) }),
        }
    }

    /// A reference with its digest; `None` if the digest is not known. A reference that already
    /// has a digest keeps it.
    pub fn pinned(&self, reference: &Reference) -> Option<PinnedReference> {
        let kept = || Some(reference.at(self.0.get(reference.name())?.clone()));
        reference.pinned().or_else(kept)
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let line = |(reference, digest): (&String, &Digest)| {
            format!("\n  {reference}: {digest}")
        };
        let lines: String = self.0.iter().map(line).collect();
        format!("{HEAD}images:{}\n", if lines.is_empty() { " {}" } else { &lines })
    }
}

/// Asks the registries for the digests of all `references` that the folder's file does not have,
/// keeps them there, and returns them. If no digest is missing, nothing is asked or written.
///
/// # Errors
/// When the file cannot be read or written, or a registry does not answer; then nothing is
/// written.
pub async fn fill(
    folder: &Path,
    references: &[Reference],
    settings: impl Fn() -> ClientConfig,
) -> Result<Vec<Pin>, PinError> {
    let pins = Pins::read(folder)?;
    let missing = references.iter().filter(|reference| pins.pinned(reference).is_none());
    let answers = ask(folder, missing.cloned().collect(), settings).await?;
    keep(folder, |pins| {
        let is_new = |(reference, _): &(String, Digest)| !pins.0.contains_key(reference);
        // Another run may have kept some while the registries were asked: those stay.
        answers.into_iter().filter(is_new).collect()
    })
}

/// Asks the registries of all `references` again, keeps the digests in the folder's file, and
/// returns them, also those that have not changed.
///
/// # Errors
/// As [`fill`].
pub async fn update(
    folder: &Path,
    references: &[Reference],
    settings: impl Fn() -> ClientConfig,
) -> Result<Vec<Pin>, PinError> {
    let loose = references.iter().filter(|reference| reference.pinned().is_none());
    let answers = ask(folder, loose.cloned().collect(), settings).await?;
    keep(folder, |_| answers)
}

async fn ask(
    folder: &Path,
    mut references: Vec<Reference>,
    settings: impl Fn() -> ClientConfig,
) -> Result<Vec<(String, Digest)>, PinError> {
    references.sort();
    references.dedup();
    let path = folder.join(FILE);
    let mut answers = Vec::new();
    for reference in references {
        let failed = |source| PinError::Ask {
            reference: reference.to_string(),
            path: path.clone(),
            source: Box::new(source),
        };
        let digest = upstream::digest_of(&reference, settings()).await.map_err(failed)?;
        answers.push((reference.name().to_owned(), digest));
    }
    Ok(answers)
}

/// Puts the digests that `chosen` returns into the folder's file.
fn keep(
    folder: &Path,
    chosen: impl FnOnce(&Pins) -> Vec<(String, Digest)>,
) -> Result<Vec<Pin>, PinError> {
    let mut pins = Pins::read(folder)?;
    let before = pins.clone();
    let put = |(reference, digest): (String, Digest)| {
        let before = pins.0.insert(reference.clone(), digest.clone());
        Pin { reference, digest, before }
    };
    let asked = chosen(&before).into_iter().map(put).collect();
    if pins != before {
        let path = folder.join(FILE);
        replace(&path, &pins.text())
            .map_err(|source| PinError::Write { path, source })?;
    }
    Ok(asked)
}

/// Replaces the file as a whole. As it belongs into version control, it gets the usual permissions
/// of a new file.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let open = std::fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new()
        .permissions(open)
        .tempfile_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_as_it_is_written_in_the_order_of_the_references() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Pins::read(dir.path()).unwrap(), Pins::default());
        std::fs::write(dir.path().join(FILE), Pins::default().text()).unwrap();
        assert_eq!(Pins::read(dir.path()).unwrap(), Pins::default());
        let pins = [("d.io/z:1", "z"), ("127.0.0.1:5000/a/b:v1.0", "a")];
        let pins = pins.map(|(name, of)| (name.to_owned(), Digest::of(of.as_bytes())));
        let pins = Pins::from_iter(pins);
        let text = pins.text();
        assert!(text.find("127.0.0.1").unwrap() < text.find("d.io/z").unwrap(), "{text}");
        std::fs::write(dir.path().join(FILE), &text).unwrap();
        assert_eq!(Pins::read(dir.path()).unwrap(), pins);
        let pinned = format!("d.io/z:1@{}", Digest::of(b"z"));
        let found = |text: &str| {
            let reference: Reference = text.parse().unwrap();
            pins.pinned(&reference).map(|pinned| pinned.to_string())
        };
        assert_eq!(found("d.io/z:1"), Some(pinned.clone()));
        assert_eq!(found(&pinned), Some(pinned));
        assert_eq!(found("d.io/z:2"), None);
    }

    #[test]
    fn a_file_that_was_merged_badly_or_holds_something_else_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"x");
        let twice = format!("images:\n  d.io/z:1: {digest}\n  d.io/z:1: {digest}\n");
        let conflict = format!("images:\n<<<<<<< ours\n  d.io/z:1: {digest}\n=======\n");
        for text in [&twice, &conflict, "images: {d.io/z:1: v1}", "image: {}", ""] {
            std::fs::write(dir.path().join(FILE), text).unwrap();
            let read = Pins::read(dir.path());
            assert!(matches!(read, Err(PinError::Form { .. })), "{text}: {read:?}");
        }
    }
}
