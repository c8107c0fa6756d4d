//! What an image is built from: the files of its folder, and the base images of its Dockerfile.
//!
//! A base image is named by an `ARG NAME=IMAGE` line at the beginning of the Dockerfile that is
//! used in `FROM ${NAME}`. `platform/<sibling>` is the image of the folder beside it; anything else
//! is an image of a registry, which is used by its digest.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::super::pins::Pins;
use super::BuildError;
use crate::digest::Digest;
use crate::reference::{PinnedReference, Reference};

/// The longest chain of base images; with it, a folder that is built on itself is found.
const MAX_BASES: usize = 8;

/// A base image of a folder's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    /// The image of another folder.
    Folder(PathBuf),
    /// An image of a registry.
    Upstream(Reference),
}

/// The tag of a folder's image: a hash of the names, contents and executable bits in the folder,
/// and of its base images. Reads only these folders.
///
/// # Errors
/// When the folder cannot be read, is built on itself, or on an image that has no digest.
pub fn tag(folder: &Path, pins: &Pins) -> Result<String, BuildError> {
    tag_of(folder, pins, MAX_BASES)
}

/// The images of registries on which a folder and its bases are built, by their tags. Images that
/// are named with a digest are left out.
///
/// # Errors
/// When a folder cannot be read, or is built on itself.
pub fn references(folder: &Path) -> Result<Vec<Reference>, BuildError> {
    let mut found = Vec::new();
    collect(folder, MAX_BASES, &mut found)?;
    Ok(found)
}

fn collect(
    folder: &Path,
    bases_left: usize,
    found: &mut Vec<Reference>,
) -> Result<(), BuildError> {
    for (_, base) in bases(folder)? {
        match base {
            Base::Upstream(reference) if reference.pinned().is_none() => {
                found.push(reference)
            }
            Base::Upstream(_) => (),
            Base::Folder(_) if bases_left == 0 => {
                return Err(BuildError::Circle(folder.to_owned()));
            }
            Base::Folder(base) => collect(&base, bases_left - 1, found)?,
        }
    }
    Ok(())
}

fn tag_of(folder: &Path, pins: &Pins, bases_left: usize) -> Result<String, BuildError> {
    let mut hasher = Sha256::new();
    hash_folder(folder, Path::new(""), &mut hasher)?;
    for (_, base) in bases(folder)? {
        match base {
            Base::Upstream(reference) => {
                hasher.update(pinned(folder, &reference, pins)?.to_string());
            }
            Base::Folder(_) if bases_left == 0 => {
                return Err(BuildError::Circle(folder.to_owned()));
            }
            Base::Folder(base) => hasher.update(tag_of(&base, pins, bases_left - 1)?),
        }
    }
    let name = folder.file_name().unwrap_or(OsStr::new("image")).to_string_lossy();
    Ok(format!("platform/{name}:{}", Digest::finish(hasher).short()))
}

/// A registry's image with its digest.
pub(super) fn pinned(
    folder: &Path,
    reference: &Reference,
    pins: &Pins,
) -> Result<PinnedReference, BuildError> {
    pins.pinned(reference).ok_or_else(|| BuildError::NotPinned {
        folder: folder.to_owned(),
        reference: reference.to_string(),
    })
}

/// Hashes a folder. Of a file's mode only the executable bit counts, as the others come from the
/// operator's umask.
fn hash_folder(root: &Path, inner: &Path, hasher: &mut Sha256) -> Result<(), BuildError> {
    let folder = root.join(inner);
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Read { path, source }
    };
    let names = fs::read_dir(&folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let mut names: Vec<_> = names.map_err(unreadable(&folder))?;
    names.sort();
    for name in names {
        let (inner, path) = (inner.join(&name), folder.join(&name));
        let about = path.symlink_metadata().map_err(unreadable(&path))?;
        if about.is_dir() {
            hash_folder(root, &inner, hasher)?;
            continue;
        }
        let content = match about.is_symlink() {
            true => {
                fs::read_link(&path).map(|to| to.into_os_string().into_encoded_bytes())
            }
            false => fs::read(&path),
        };
        let content = content.map_err(unreadable(&path))?;
        let kind = match (about.is_symlink(), is_executable(&about)) {
            (true, _) => "link",
            (false, true) => "program",
            (false, false) => "file",
        };
        // The length separates the end of one file from the beginning of the next.
        hasher.update(format!("{kind} {} {}\n", inner.display(), content.len()));
        hasher.update(content);
    }
    Ok(())
}

pub(in crate::images) fn is_executable(about: &fs::Metadata) -> bool {
    about.permissions().mode() & 0o111 != 0
}

/// The base images of a folder's Dockerfile with the names of their arguments, in its order.
pub(super) fn bases(folder: &Path) -> Result<Vec<(String, Base)>, BuildError> {
    let path = folder.join("Dockerfile");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(BuildError::Read { path, source }),
    };
    let beside = folder.parent().unwrap_or(Path::new(""));
    let base = |(name, image): (&str, &str)| {
        let base = match sibling(image) {
            Some(sibling) => Base::Folder(beside.join(sibling)),
            None => Base::Upstream(image.parse().map_err(|source| BuildError::Base {
                folder: folder.to_owned(),
                source,
            })?),
        };
        Ok((name.to_owned(), base))
    };
    arguments(&text).into_iter().map(base).collect()
}

/// The arguments at the beginning of a Dockerfile, with their default values. Only those that name
/// a base image are returned; comments may come before them.
fn arguments(dockerfile: &str) -> Vec<(&str, &str)> {
    let lines = || dockerfile.lines().map(str::trim);
    let is_base = |name: &str| {
        let from = format!("FROM ${{{name}}}");
        lines().any(|line| {
            line.strip_prefix(&from)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
    };
    lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map_while(|line| line.strip_prefix("ARG "))
        .filter_map(|argument| argument.trim().split_once('='))
        .filter(|(name, _)| is_base(name))
        .collect()
}

/// The folder beside this one after which an image is named.
fn sibling(image: &str) -> Option<&str> {
    let name = image.strip_prefix("platform/")?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn none() -> Pins {
        Pins::default()
    }

    const ON_BASE: &str = "# A comment.\nARG BASE=platform/base\nFROM ${BASE}\n";

    #[test]
    fn the_tag_follows_names_contents_executable_bits_and_the_base() {
        let dir = folder(&[("base/rootfs", "#!/bin/sh\n"), ("zk/Dockerfile", ON_BASE)]);
        let (base, zk) = (dir.path().join("base"), dir.path().join("zk"));
        let tags = || (tag(&base, &none()).unwrap(), tag(&zk, &none()).unwrap());
        let first = tags();
        assert!(
            first.1.starts_with("platform/zk:") && first.1.len() == 24,
            "{}",
            first.1
        );
        assert_eq!(first, tags());

        fs::set_permissions(base.join("rootfs"), fs::Permissions::from_mode(0o755))
            .unwrap();
        let executable = tags();
        assert!(executable.0 != first.0 && executable.1 != first.1);

        fs::write(zk.join("serve"), "x").unwrap();
        let with_file = tags();
        assert!(with_file.0 == executable.0 && with_file.1 != executable.1);
        fs::rename(zk.join("serve"), zk.join("served")).unwrap();
        assert_ne!(tags().1, with_file.1);
    }

    #[test]
    fn group_permissions_and_the_place_of_the_folder_do_not_matter() {
        let files = [("zk/Dockerfile", "FROM scratch\n"), ("zk/etc/conf", "x")];
        let (one, other) = (folder(&files), folder(&files));
        let conf = other.path().join("zk/etc/conf");
        fs::set_permissions(conf, fs::Permissions::from_mode(0o664)).unwrap();
        let tag_in =
            |dir: &tempfile::TempDir| tag(&dir.path().join("zk"), &none()).unwrap();
        assert_eq!(tag_in(&one), tag_in(&other));
    }

    #[test]
    fn a_folder_that_stands_on_itself_is_refused() {
        let dir = folder(&[("base/Dockerfile", ON_BASE)]);
        let base = dir.path().join("base");
        let circle = tag(&base, &none());
        assert!(matches!(circle, Err(BuildError::Circle(_))), "{circle:?}");
        let circle = references(&base);
        assert!(matches!(circle, Err(BuildError::Circle(_))), "{circle:?}");
    }

    #[test]
    fn only_leading_arguments_that_are_built_on_name_a_base() {
        assert_eq!(arguments(ON_BASE), [("BASE", "platform/base")]);
        let several =
            "ARG A=d.io/a:1\n\nARG V=3\nARG B=d.io/b:2\nFROM ${B} AS b\nFROM ${A}\n";
        assert_eq!(arguments(several), [("A", "d.io/a:1"), ("B", "d.io/b:2")]);
        assert_eq!(arguments("FROM scratch\nARG BASE=platform/base\nFROM ${BASE}"), []);
        assert_eq!(arguments("ARG A=d.io/a:1\nARG AB=d.io/b:1\nFROM ${AB}")[0].0, "AB");
        assert_eq!(arguments(""), []);
        assert_eq!(sibling("platform/base"), Some("base"));
        assert_eq!(sibling("platform/../../etc"), None);
    }

    #[test]
    fn a_base_that_is_no_image_of_a_registry_is_named_with_its_folder() {
        let dir = folder(&[("top/Dockerfile", "ARG X=d.io/x@sha256:00\nFROM ${X}\n")]);
        let refused = references(&dir.path().join("top")).unwrap_err();
        let said = crate::event::in_words(&refused);
        assert!(said.contains("/top names no base image: `sha256:00` is not"), "{said}");
    }

    #[test]
    fn the_tag_follows_the_digest_of_a_registrys_image() {
        let upstream = "ARG MESOS=d.io/mesos:1\nFROM ${MESOS}\n";
        let pinned = Digest::of(b"x");
        let on_both = format!(
            "ARG BASE=platform/mesos\nARG X=d.io/x@{pinned}\nFROM ${{BASE}}\nFROM ${{X}}\n"
        );
        let dir = folder(&[("mesos/Dockerfile", upstream), ("top/Dockerfile", &on_both)]);
        let (mesos, top) = (dir.path().join("mesos"), dir.path().join("top"));
        assert_eq!(references(&top).unwrap(), ["d.io/mesos:1".parse().unwrap()]);
        let without = tag(&mesos, &none());
        assert!(matches!(without, Err(BuildError::NotPinned { .. })), "{without:?}");
        let tags = |digest: &str| {
            let pins = [("d.io/mesos:1".to_owned(), Digest::of(digest.as_bytes()))];
            let pins = Pins::from_iter(pins);
            (tag(&mesos, &pins).unwrap(), tag(&top, &pins).unwrap())
        };
        let (one, other) = (tags("one"), tags("other"));
        assert!(one.0 != other.0 && one.1 != other.1);
        assert_eq!(one, tags("one"));
    }
}
