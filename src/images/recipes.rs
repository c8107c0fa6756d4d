//! The catalogues that come with the program, and the folders from which their images are built.
//!
//! They are part of the binary, so that it works from any folder. Images are built from folders, so
//! the files are written to the disk for that.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::build::is_executable;
use crate::digest::Digest;
use crate::inventory::BuiltIn;

/// A file of `images/`.
struct Recipe {
    /// Its path in `images/`.
    path: &'static str,
    content: &'static [u8],
}

macro_rules! recipes {
    ($($path:literal),* $(,)?) => {
        &[$(Recipe { path: $path, content: include_bytes!(concat!("../../images/", $path)) }),*]
    };
}

const RECIPES: &[Recipe] = recipes![
    "base.yaml",
    "base/rootfs",
    "clusterd.yaml",
    "clusterd/Dockerfile",
    "haproxy/Dockerfile",
    "keepalived/Dockerfile",
    "keepalived/answers",
    "keepalived/reachable",
    "keepalived/serve",
    "machine/Dockerfile",
    "machine/files/etc/ssh/sshd_config.d/machine.conf",
    "machine/files/etc/sudoers.d/platform",
    "machine/files/etc/systemd/journald.conf.d/machine.conf",
    "machine/files/etc/systemd/system/docker.service.d/machine.conf",
    "machine/files/etc/systemd/system/ssh.service.d/machine.conf",
    "machine/files/usr/lib/machine/boot",
    "mesos-package/Dockerfile",
    "mesos.yaml",
    "mesos/Dockerfile",
    "registry/Dockerfile",
    "registry/serve",
    "zookeeper/Dockerfile",
    "zookeeper/KnownUsers.java",
    "zookeeper/serve",
];

/// Why the recipes cannot be written out.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// A file or folder cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder is not empty.
    #[error("{} is not empty: name an empty folder, or one that does not exist", .0.display())]
    NotEmpty(PathBuf),
}

/// The text of a catalogue.
pub fn catalog(name: BuiltIn) -> &'static str {
    let file = format!("{name}.yaml");
    let found = RECIPES.iter().find(|recipe| recipe.path == file);
    let text = found.and_then(|recipe| std::str::from_utf8(recipe.content).ok());
    text.expect("a test reads each of them")
}

/// Whether a file or folder exists, relative to the catalogues.
pub fn exists(path: &Path) -> bool {
    RECIPES.iter().any(|recipe| Path::new(recipe.path).starts_with(path))
}

/// Writes all files into an empty folder, for an operator who wants to change them. The folder is
/// made if it does not exist.
///
/// # Errors
/// When the folder is not empty, or cannot be written.
pub fn export(folder: &Path) -> Result<(), RecipeError> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(false) => Err(RecipeError::NotEmpty(folder.to_owned())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let path = folder.to_owned();
            Err(RecipeError::Write { path, source: error })
        }
        _ => write(folder),
    }
}

/// The folder below `cache` with all files, to build from. It is written if it does not exist or
/// is not complete.
///
/// # Errors
/// When it cannot be written.
pub fn unpack(cache: &Path) -> Result<PathBuf, RecipeError> {
    let folder = cache.join(format!("recipes-{}", version()));
    if RECIPES.iter().all(|recipe| recipe.is_in(&folder)) {
        return Ok(folder);
    }
    let failed = |source| RecipeError::Write { path: folder.clone(), source };
    make_private(cache).map_err(failed)?;
    let new = tempfile::Builder::new().prefix(".recipes-").tempdir_in(cache);
    let new = new.map_err(failed)?;
    let whole = new.path().join("whole");
    write(&whole)?;
    let put = || -> io::Result<()> {
        if folder.exists() {
            fs::rename(&folder, new.path().join("old"))?;
        }
        fs::rename(&whole, &folder)
    };
    match put() {
        // Another run may have written the same folder at the same time.
        Err(_) if RECIPES.iter().all(|recipe| recipe.is_in(&folder)) => Ok(folder),
        Err(source) => Err(failed(source)),
        Ok(()) => Ok(folder),
    }
}

/// Makes a folder that only this user may enter and that version control ignores.
fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::write(folder.join(".gitignore"), "*\n")
}

fn write(folder: &Path) -> Result<(), RecipeError> {
    for recipe in RECIPES {
        let path = folder.join(recipe.path);
        recipe.write(&path).map_err(|source| RecipeError::Write { path, source })?;
    }
    Ok(())
}

/// A hash of all files, which differs in another version of the program.
fn version() -> String {
    let mut hasher = Sha256::new();
    for Recipe { path, content } in RECIPES {
        hasher.update(format!("{path} {}\n", content.len()));
        hasher.update(content);
    }
    Digest::finish(hasher).short().to_owned()
}

impl Recipe {
    /// Whether it is a program: each program begins with `#!`.
    fn is_program(&self) -> bool {
        self.content.starts_with(b"#!")
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        fs::write(path, self.content)?;
        let mode = if self.is_program() { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    fn is_in(&self, folder: &Path) -> bool {
        let path = folder.join(self.path);
        fs::read(&path).is_ok_and(|content| content == self.content)
            && fs::metadata(&path)
                .is_ok_and(|about| is_executable(&about) == self.is_program())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::images::build;
    use crate::images::pins::Pins;
    use crate::inventory::catalog;

    /// All files below a folder, except those that are made or put there by hand.
    fn files(folder: &Path) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let is_made = entry.file_name() == ".cache"
                || path.extension().is_some_and(|extension| extension == "deb");
            match path.is_dir() {
                _ if is_made => continue,
                true => found.extend(files(&path)),
                false => found.extend([path]),
            }
        }
        found
    }

    #[test]
    fn all_that_images_are_made_from_is_there_and_programs_are_programs() {
        let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("images");
        let there = files(&images);
        let known: BTreeSet<PathBuf> =
            RECIPES.iter().map(|recipe| images.join(recipe.path)).collect();
        assert_eq!(there, known);
        for recipe in RECIPES {
            assert!(recipe.is_in(&images), "{}", recipe.path);
        }
    }

    #[test]
    fn each_catalogue_is_valid_and_its_folders_can_be_built() {
        let dir = tempfile::tempdir().unwrap();
        let folder = unpack(dir.path()).unwrap();
        for name in BuiltIn::ALL {
            let catalog = catalog::read(super::catalog(name), &exists).unwrap();
            let entries = catalog.components.values().chain(&catalog.machine);
            for source in entries.map(|entry| &entry.source) {
                if let catalog::ImageSource::Build(inner) = source {
                    let references = build::references(&folder.join(inner)).unwrap();
                    let pins = references
                        .into_iter()
                        .map(|it| (it.name().to_owned(), Digest::of(b"x")));
                    build::tag(&folder.join(inner), &Pins::from_iter(pins)).unwrap();
                }
            }
        }
    }

    #[test]
    fn only_the_tests_know_of_the_stand_ins() {
        for recipe in RECIPES {
            let text = String::from_utf8_lossy(recipe.content);
            let names = ["standin", "stand-in"].map(|name| text.contains(name));
            assert_eq!(names, [false, false], "{}", recipe.path);
        }
    }

    #[test]
    fn what_is_unpacked_is_whole_again_after_it_was_changed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join(".platform/.cache");
        let folder = unpack(&cache).unwrap();
        let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("images");
        let tag = |images: &Path| build::tag(&images.join("zookeeper"), &Pins::default());
        assert_eq!(tag(&folder).unwrap(), tag(&images).unwrap());
        let made = |folder: &Path| fs::metadata(folder).unwrap().modified().unwrap();
        let first = made(&folder);
        assert_eq!((unpack(&cache).unwrap(), made(&folder)), (folder.clone(), first));

        fs::write(folder.join("zookeeper/serve"), "#!/bin/sh\n").unwrap();
        fs::write(folder.join("zookeeper/more"), "x").unwrap();
        assert_eq!(unpack(&cache).unwrap(), folder);
        assert_eq!(tag(&folder).unwrap(), tag(&images).unwrap());
        let left: Vec<_> = fs::read_dir(&cache).unwrap().collect();
        assert_eq!(left.len(), 2, "the folder and what keeps it from version control");
        let mode = fs::metadata(&cache).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700);
    }

    #[test]
    fn they_are_never_written_over_something() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("images");
        export(&folder).unwrap();
        assert_eq!(files(&folder).len(), RECIPES.len());
        assert!(matches!(export(&folder), Err(RecipeError::NotEmpty(_))));
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(matches!(export(&file), Err(RecipeError::Write { .. })));
        assert_eq!(fs::read(file).unwrap(), b"x");
    }
}
