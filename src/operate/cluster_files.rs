//! A cluster as the operator's files describe it: the inventory, the catalogue and the state
//! folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::certificate::OwnCertificate;
use crate::certificate::own::{self, Given};
use crate::images::build::{self, BuildError};
use crate::images::recipes::{self, RecipeError};
use crate::inventory::catalog::{self, Catalog, ImageSource};
use crate::inventory::{self, BuiltIn, CatalogSource, Component, Diagnostic, Inventory};
use crate::reference::Reference;
use crate::remote::config::expand_home;
use crate::resource::Content;
use crate::secret::Secret;
use crate::state::{State, StateError};

/// The largest file of the operator that is read: a thousand hosts need less than a tenth of it.
const LARGEST: u64 = 4 << 20;

/// A cluster as the operator's files describe it.
#[derive(Debug)]
pub struct ClusterFiles {
    /// The path of the inventory.
    pub path: PathBuf,
    /// The inventory.
    pub inventory: Inventory,
    /// The state folder: what is kept for the cluster on this computer.
    pub state: State,
    /// The contents of the files that it names, once they are read.
    sources: Arc<Mutex<BTreeMap<PathBuf, Content>>>,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterFilesError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder, where a file is needed.
    #[error("`{}` is a folder, not a file: give the path of a file in it", .0.display())]
    Folder(PathBuf),
    /// A file is not readable text.
    #[error("{} is not UTF-8: {why}; save it as UTF-8", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The evidence.
        why: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Someone changed the inventory while the operator was asked.
    #[error("{} was changed while this command ran: nothing was written to it", .0.display())]
    ChangedMeanwhile(PathBuf),
    /// A file has faults.
    #[error("{} cannot be used", path.display())]
    Faults {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: String,
        /// The faults, in the order of the file.
        faults: Vec<Diagnostic>,
    },
    /// The catalogue lacks the image of a component that the inventory needs.
    #[error("{catalog} has no image for {component}: add it below `components`")]
    NoImage {
        /// The catalogue.
        catalog: String,
        /// The component.
        component: Component,
    },
    /// The built-in files cannot be written.
    #[error(transparent)]
    Recipes(#[from] RecipeError),
    /// The operator's own certificate cannot be used.
    #[error(transparent)]
    OwnCertificate(#[from] own::Unusable),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

/// The images that the inventory's components are made from.
#[derive(Debug)]
pub struct Images {
    /// The catalogue's name for messages: the path of its file, or that it is built in.
    pub name: String,
    /// The catalogue.
    pub catalog: Catalog,
    /// The folder that its relative paths start from.
    pub folder: PathBuf,
    /// The cache of built images and parts of archives; all of it can be made again.
    pub cache: PathBuf,
    /// The folder with the file that says which digest each tag has.
    pub pins: PathBuf,
}

impl ClusterFiles {
    /// Reads the inventory; writes nothing.
    ///
    /// # Errors
    /// When the inventory cannot be read or has faults, or another user owns its state folder.
    pub fn open(path: &Path) -> Result<Self, ClusterFilesError> {
        let folder = folder_of(path);
        let inventory = inventory(path, &|file| exists(&folder, file))?;
        let state = State::of(path, &inventory.cluster);
        state.check_owner()?;
        Ok(Self { path: path.to_owned(), inventory, state, sources: Arc::default() })
    }

    /// The same files, for a check that keeps nothing.
    pub(super) fn with_own_draft(&self) -> Self {
        let state = self.state.with_own_draft();
        Self { state, ..self.with(self.inventory.clone()) }
    }

    /// The same files, for a run that renews all certificates of hosts that are from before this
    /// time.
    pub(super) fn renewing(&self, since: Timestamp) -> Self {
        let state = self.state.renewing(since);
        Self { state, ..self.with(self.inventory.clone()) }
    }

    /// The same cluster with another inventory.
    pub(super) fn with(&self, inventory: Inventory) -> Self {
        let (path, state) = (self.path.clone(), self.state.clone());
        Self { path, inventory, state, sources: self.sources.clone() }
    }

    /// The operator's own certificate, if the inventory names one.
    ///
    /// # Errors
    /// When its files cannot be read, or clients would refuse it.
    pub(super) fn own_certificate(
        &self,
        now: Timestamp,
    ) -> Result<Option<OwnCertificate>, ClusterFilesError> {
        let Some(tls) = &self.inventory.platform.tls else { return Ok(None) };
        let given = |file: &PathBuf| {
            let bytes = bytes(&self.folder().join(expand_home(file)))?;
            // Comments around the blocks may have any encoding.
            let text = Secret::new(String::from_utf8_lossy(&bytes));
            Ok(Given { name: file.display().to_string(), text })
        };
        let certificates = [&tls.certificate].into_iter().chain(&tls.chain).map(given);
        let certificates: Vec<Given> =
            certificates.collect::<Result<_, ClusterFilesError>>()?;
        Ok(Some(own::judge(&certificates, &given(&tls.key)?, now)?))
    }

    /// The content of a file that the inventory names. It is read once: the content that a plan
    /// shows is also the content that is installed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn source(&self, source: &Path) -> Result<Content, ClusterFilesError> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(content) = sources.get(source) {
            return Ok(content.clone());
        }
        let path = self.folder().join(source);
        let bytes = std::fs::read(&path)
            .map_err(|source| ClusterFilesError::Read { path, source })?;
        let content = Content::from(bytes);
        sources.insert(source.to_owned(), content.clone());
        Ok(content)
    }

    /// The folder that the inventory's relative paths start from.
    pub fn folder(&self) -> PathBuf {
        folder_of(&self.path)
    }

    /// Reads the catalogue that the inventory names.
    ///
    /// # Errors
    /// When it cannot be read, has faults, or lacks a component that the inventory needs.
    pub fn images(&self) -> Result<Images, ClusterFilesError> {
        let images = Images::read(&self.inventory.platform.images, &self.folder())?;
        match catalog::missing(&images.catalog, &self.inventory).first() {
            None => Ok(images),
            Some(component) => Err(ClusterFilesError::NoImage {
                catalog: images.name,
                component: *component,
            }),
        }
    }
}

/// Reads an inventory alone, for a verb that neither connects nor writes: the files that it names
/// need not be on this computer.
///
/// # Errors
/// When it cannot be read or has faults.
pub fn inventory_alone(path: &Path) -> Result<Inventory, ClusterFilesError> {
    inventory(path, &|_| true)
}

fn inventory(
    path: &Path,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<Inventory, ClusterFilesError> {
    let text = read(path)?;
    inventory::read(&text, exists).map_err(|faults| ClusterFilesError::Faults {
        path: path.to_owned(),
        text,
        faults,
    })
}

impl Images {
    /// Reads a catalogue. `folder` is the inventory's folder: paths of catalogues are relative to
    /// it, and what is built from built-in catalogues is kept there.
    ///
    /// # Errors
    /// When it cannot be read or has faults.
    pub fn read(
        source: &CatalogSource,
        folder: &Path,
    ) -> Result<Self, ClusterFilesError> {
        match source {
            CatalogSource::File(path) => {
                Self::of_file(&folder.join(expand_home(path)), folder)
            }
            CatalogSource::BuiltIn(name) => Self::built_in(*name, folder),
        }
    }

    fn of_file(path: &Path, pins: &Path) -> Result<Self, ClusterFilesError> {
        let text = read(path)?;
        let folder = folder_of(path);
        let catalog =
            catalog::read(&text, &|file| exists(&folder, file)).map_err(|faults| {
                ClusterFilesError::Faults { path: path.to_owned(), text, faults }
            })?;
        let (name, cache) = (path.display().to_string(), folder.join(".cache"));
        Ok(Self { name, catalog, folder, cache, pins: pins.to_owned() })
    }

    fn built_in(name: BuiltIn, beside: &Path) -> Result<Self, ClusterFilesError> {
        let text = recipes::catalog(name);
        let catalog = catalog::read(text, &recipes::exists);
        let catalog = catalog.expect("a test reads each of them");
        let cache = beside.join(".platform").join(".cache");
        let folder = recipes::unpack(&cache)?;
        let name = format!("the built-in catalogue `{name}`");
        Ok(Self { name, catalog, folder, cache, pins: beside.to_owned() })
    }

    /// The tags of the registry images that these components, and local machines, are made from.
    ///
    /// # Errors
    /// When a folder to build from cannot be read.
    pub fn references(&self, needed: &[Component]) -> Result<Vec<Reference>, BuildError> {
        let entries = self.catalog.components.iter();
        let needed = entries.filter(|(component, _)| needed.contains(component));
        let mut found = Vec::new();
        for entry in needed.map(|(_, entry)| entry).chain(&self.catalog.machine) {
            match &entry.source {
                ImageSource::Build(folder) => {
                    found.extend(build::references(&self.folder.join(folder))?);
                }
                ImageSource::Upstream(reference) => found.push(reference.clone()),
                ImageSource::Archive(_) => (),
            }
        }
        Ok(found)
    }
}

/// The text of one of the operator's files.
pub(super) fn read(path: &Path) -> Result<String, ClusterFilesError> {
    text_of(bytes(path)?)
        .map_err(|why| ClusterFilesError::Encoding { path: path.to_owned(), why })
}

/// The bytes of one of the operator's files.
fn bytes(path: &Path) -> Result<Vec<u8>, ClusterFilesError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::IsADirectory => ClusterFilesError::Folder(path.to_owned()),
        _ => ClusterFilesError::Read { path: path.to_owned(), source },
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    // A device or a pipe may never end.
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        let said = format!("it is larger than {} MiB", LARGEST >> 20);
        return Err(unreadable(io::Error::other(said)));
    }
    Ok(bytes)
}

/// Bytes as text, or the reason why they are not text.
fn text_of(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it looks like UTF-16".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let (good, byte) = (error.utf8_error().valid_up_to(), error.as_bytes());
        let line = byte[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} has the byte 0x{:02x}, perhaps Latin-1", byte[good])
    })
}

/// Replaces the whole text of one of the operator's files. Its permissions do not change, and a
/// link stays a link.
pub(super) fn rewrite(path: &Path, text: &str) -> Result<(), ClusterFilesError> {
    let replace = || -> io::Result<()> {
        let path = std::fs::canonicalize(path)?;
        let mut file = tempfile::NamedTempFile::new_in(folder_of(&path))?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(std::fs::metadata(&path)?.permissions())?;
        file.as_file().sync_data()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    replace().map_err(|source| ClusterFilesError::Write { path: path.to_owned(), source })
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Whether a file exists that is named in a file of this folder.
pub(super) fn exists(folder: &Path, file: &Path) -> bool {
    folder.join(expand_home(file)).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_another_encoding_is_told_with_its_line() {
        let latin1 = b"cluster: lab\n# f\xfcr\n".to_vec();
        assert_eq!(
            text_of(latin1),
            Err("line 2 has the byte 0xfc, perhaps Latin-1".to_owned())
        );
        let utf16 = b"\xff\xfec\0l\0".to_vec();
        assert_eq!(text_of(utf16), Err("it looks like UTF-16".to_owned()));
        assert_eq!(text_of(b"a: \xc3\xbc".to_vec()), Ok("a: ü".to_owned()));
    }

    #[test]
    fn a_folder_is_not_taken_for_a_file() {
        assert_eq!(
            read(Path::new("/")).unwrap_err().to_string(),
            "`/` is a folder, not a file: give the path of a file in it"
        );
    }

    #[test]
    fn a_file_without_an_end_is_not_read_to_it() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert!(
            matches!(&error, ClusterFilesError::Read { source, .. } if source.to_string().contains("4 MiB"))
        );
    }
}
