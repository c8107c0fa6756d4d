//! Archives: files of `docker save` and OCI layouts, plain or compressed by gzip, or in a folder.
//!
//! A plain archive is read by position: listing its files takes a few small reads, whatever its
//! size. A compressed one is unpacked once into a cache folder. The manifest and the configuration
//! are checked here; layers are not read, but checked when they are sent.
//!
//! An archive may come from anyone, so its content never decides how much memory or disk is used.

mod headers;

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio_util::bytes::Bytes;

use super::manifest::{self, Descriptor, Document, Manifest, media_type};
use super::{Blob, Damaged, Image, ManifestError, Source, cache};
use crate::digest::Digest;

/// Indexes may point to indexes, but not deeper than this.
const MAX_DEPTH: usize = 4;
/// The largest manifest or configuration: both are small, so more is an attack or a mistake.
const MAX_JSON_BYTES: u64 = 8 << 20;
/// The most by which an archive may grow when it is unpacked. Images are usually compressed to a
/// third; one that grows by more than this is made to fill the disk.
const MOST_GROWTH: u64 = 100;
/// The size to which even a small archive may grow, as mostly empty files compress to nearly
/// nothing.
const LEAST_MOST: u64 = 64 << 20;
const SAVED: &str = "its `manifest.json`";
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 2] = [0x28, 0xb5];

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read.
    #[error("cannot read the archive {}", path.display())]
    Read {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ends too early, or is not a tar at all.
    #[error("{} is cut short or is not an archive: {detail}; fetch it again", path.display())]
    Broken {
        /// The archive.
        path: PathBuf,
        /// Where it ends.
        detail: String,
    },
    /// It is a tar, but not of an image.
    #[error(
        "{} contains no image: neither `manifest.json` (docker save) nor `index.json` (OCI \
         layout) is in it",
        path.display()
    )]
    NoManifest {
        /// The archive.
        path: PathBuf,
    },
    /// It contains several images, or none.
    #[error("{} contains {count} images: save only one", path.display())]
    NotOneImage {
        /// The archive.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// A file that its manifest names is not in it.
    #[error(
        "{} is not complete: its manifest names `{file}`, which is not in it",
        path.display()
    )]
    Missing {
        /// The archive.
        path: PathBuf,
        /// The missing file.
        file: String,
    },
    /// A part of it does not match its digest.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// It is not an image that hosts can run.
    #[error("cannot use the image in {}", path.display())]
    Manifest {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: ManifestError,
    },
    /// The cache folder cannot be written.
    #[error("cannot unpack {} into {}", path.display(), cache.display())]
    Cache {
        /// The archive.
        path: PathBuf,
        /// The cache folder.
        cache: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program was stopped while reading.
    #[error("stopped while reading {}", path.display())]
    Stopped {
        /// The archive.
        path: PathBuf,
    },
}

/// Finds the image in an archive. If there are several platforms, the one for
/// `linux/<architecture>` (such as `amd64`) is used. The cache folder is made and used only for
/// compressed content. Nothing is written twice.
///
/// # Errors
/// When the archive is cut short, damaged in a part that is read, contains no image that hosts
/// can run, or contains several.
pub async fn read(
    path: &Path,
    cache: &Path,
    architecture: &str,
) -> Result<Image, ArchiveError> {
    read_named(path, cache, architecture).await.map(|(image, _)| image)
}

/// Finds the image in an archive as [`read`] does, and the name with which Docker saved it.
///
/// # Errors
/// As [`read`].
pub async fn read_named(
    path: &Path,
    cache: &Path,
    architecture: &str,
) -> Result<(Image, Option<String>), ArchiveError> {
    let (archive, cache) = (path.to_owned(), cache.to_owned());
    let architecture = architecture.to_owned();
    let work = move || {
        let archive = Archive::open(&archive, &cache)?;
        Ok((archive.image(&architecture)?, archive.name()?))
    };
    let stopped = |_| ArchiveError::Stopped { path: path.to_owned() };
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

/// An archive with the positions of its files.
struct Archive {
    /// Its path as the operator gave it.
    path: PathBuf,
    files: Files,
    cache: PathBuf,
}

/// Where the files of an archive are.
enum Files {
    /// In a plain tar: the archive itself, or its unpacked copy in the cache.
    Tar(Arc<Path>, BTreeMap<String, Extent>),
    /// In the folder that the operator named.
    Folder,
}

#[derive(Debug, Clone, Copy)]
struct Extent {
    offset: u64,
    size: u64,
}

/// The place of a file of an archive.
struct Place {
    path: Arc<Path>,
    extent: Extent,
}

impl Place {
    /// The file that has it, at its first byte.
    fn open(&self) -> io::Result<File> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.extent.offset))?;
        Ok(file)
    }

    fn begins_with(&self, magic: [u8; 2]) -> io::Result<bool> {
        begins_with(&mut self.open()?, magic)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
    repo_tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Layout {
    manifests: Vec<Descriptor>,
}

impl Archive {
    fn open(path: &Path, cache: &Path) -> Result<Self, ArchiveError> {
        let unreadable = |source| ArchiveError::Read { path: path.to_owned(), source };
        let archive =
            |files| Self { path: path.to_owned(), files, cache: cache.to_owned() };
        let about = path.metadata().map_err(unreadable)?;
        if about.is_dir() {
            return Ok(archive(Files::Folder));
        }
        // Opening a pipe would wait until a program writes to it.
        if !about.is_file() {
            return Err(unreadable(io::Error::other("it is not an ordinary file")));
        }
        let mut file = File::open(path).map_err(unreadable)?;
        let mut plain = path.to_owned();
        if begins_with(&mut file, GZIP).map_err(unreadable)? {
            plain = unpacked(path, &mut file, cache)?;
            file = File::open(&plain).map_err(unreadable)?;
        }
        let broken =
            |detail: String| ArchiveError::Broken { path: path.to_owned(), detail };
        headers::check(&mut file).map_err(|error| broken(error.to_string()))?;
        let entries = places(path, &mut file)?;
        Ok(archive(Files::Tar(Arc::from(plain), entries)))
    }

    /// The first name with which Docker saved the image.
    fn name(&self) -> Result<Option<String>, ArchiveError> {
        if !self.has("manifest.json") {
            return Ok(None);
        }
        let saved: Vec<Saved> = self.json("manifest.json", SAVED)?;
        let names = saved.into_iter().filter_map(|saved| saved.repo_tags);
        Ok(names.flatten().next())
    }

    fn image(&self, architecture: &str) -> Result<Image, ArchiveError> {
        // Newer versions of Docker save both; the layout has digests for everything.
        if self.has("index.json") {
            self.layout_image(architecture)
        } else if self.has("manifest.json") {
            self.saved_image(architecture)
        } else {
            Err(ArchiveError::NoManifest { path: self.path.clone() })
        }
    }

    /// The image of an OCI layout: all parts are named by their digests and sent as they are.
    fn layout_image(&self, architecture: &str) -> Result<Image, ArchiveError> {
        let layout: Layout = self.json("index.json", "its index")?;
        let (bytes, manifest, digest) = self.find(layout.manifests, architecture)?;
        manifest.check_types().map_err(self.unusable())?;
        let config_file = file_of(&manifest.config.digest);
        let config_bytes = self.bytes(&config_file)?;
        self.check(&manifest.config.digest, &config_bytes, "the configuration")?;
        manifest::diff_ids(&config_bytes, manifest.layers.len(), architecture)
            .map_err(self.unusable())?;
        let config = self.config_blob(&manifest.config, config_bytes);
        let layers = manifest.layers.iter().enumerate();
        let layers = layers
            .map(|(n, layer)| {
                self.layer_blob(n, layer, self.place(&file_of(&layer.digest))?)
            })
            .collect::<Result<_, _>>()?;
        let media_type = manifest.media_type();
        Ok(Image { manifest: bytes, media_type, digest, config, layers })
    }

    /// The manifest for the hosts' platform, found through any indexes.
    fn find(
        &self,
        mut entries: Vec<Descriptor>,
        architecture: &str,
    ) -> Result<(Bytes, Manifest, Digest), ArchiveError> {
        for _ in 0..MAX_DEPTH {
            let picked =
                manifest::pick(&entries, architecture).map_err(self.unusable())?;
            let digest = picked.digest.clone();
            let bytes = self.bytes(&file_of(&digest))?;
            self.check(&digest, &bytes, "the manifest")?;
            match manifest::read(&bytes).map_err(self.unusable())? {
                Document::Manifest(manifest) => return Ok((bytes, manifest, digest)),
                Document::Index(deeper) => entries = deeper,
            }
        }
        Err(ArchiveError::NotOneImage { path: self.path.clone(), count: 0 })
    }

    /// The image of a file of `docker save`. It has no manifest for registries, so one is written.
    /// Plain layers are sent as they are; their digests are in the configuration.
    fn saved_image(&self, architecture: &str) -> Result<Image, ArchiveError> {
        let saved: Vec<Saved> = self.json("manifest.json", SAVED)?;
        let [saved] = saved.as_slice() else {
            let (path, count) = (self.path.clone(), saved.len());
            return Err(ArchiveError::NotOneImage { path, count });
        };
        let config_bytes = self.bytes(&saved.config)?;
        if let Some(expected) = digest_in(&saved.config) {
            self.check(&expected, &config_bytes, "the configuration")?;
        }
        let diff_ids =
            manifest::diff_ids(&config_bytes, saved.layers.len(), architecture)
                .map_err(self.unusable())?;
        let config = self.config_blob(&described(&config_bytes), config_bytes);
        let mut layers = Vec::new();
        for (n, (file, diff_id)) in saved.layers.iter().zip(diff_ids).enumerate() {
            layers.push(self.saved_layer(n, file, diff_id)?);
        }
        let descriptors = layers.iter().map(descriptor).collect();
        let manifest = Manifest::write(descriptor(&config), descriptors);
        let digest = Digest::of(&manifest);
        let media_type = media_type::MANIFEST.to_owned();
        Ok(Image { manifest, media_type, digest, config, layers })
    }

    fn saved_layer(
        &self,
        n: usize,
        file: &str,
        diff_id: Digest,
    ) -> Result<Blob, ArchiveError> {
        let place = self.place(file)?;
        let size = place.extent.size;
        let read = |source| ArchiveError::Read { path: self.path.clone(), source };
        let (mut digest, mut media_type) = (diff_id, media_type::TAR);
        if place.begins_with(ZSTD).map_err(read)? {
            return Err(self.unusable()(ManifestError::MediaType {
                what: format!("layer {}", n + 1),
                found: "tar compressed by zstd".to_owned(),
            }));
        }
        if place.begins_with(GZIP).map_err(read)? {
            digest = self.compressed_digest(n, &place, &digest)?;
            media_type = media_type::TAR_GZIP;
        }
        let media_type = media_type.to_owned();
        let layer = Descriptor { media_type, digest, size, platform: None };
        self.layer_blob(n, &layer, place)
    }

    /// The digest of a compressed layer, which the archive does not contain. The layer is read
    /// once and its uncompressed content checked by its digest; the result is kept in the cache as
    /// long as the archive does not change.
    fn compressed_digest(
        &self,
        n: usize,
        place: &Place,
        diff_id: &Digest,
    ) -> Result<Digest, ArchiveError> {
        let uncacheable = |source| ArchiveError::Cache {
            path: self.path.clone(),
            cache: self.cache.clone(),
            source,
        };
        // A folder is as old as it was before one of its files changes.
        let kept_for = match self.files {
            Files::Tar(..) => &self.path,
            Files::Folder => &*place.path,
        };
        let key = identity(kept_for).map_err(uncacheable)?;
        let memo =
            self.cache.join(format!("{key}-{}-{}", place.extent.offset, diff_id.hex()));
        let kept = std::fs::read_to_string(&memo).ok().and_then(|text| text.parse().ok());
        if let Some(digest) = kept {
            return Ok(digest);
        }
        let broken = |error: io::Error| ArchiveError::Broken {
            path: self.path.clone(),
            detail: format!("layer {}: {error}", n + 1),
        };
        let (outer, inner) = gzip_digests(place).map_err(broken)?;
        if inner != *diff_id {
            let (expected, found) = (diff_id.clone(), inner);
            return Err(Damaged { name: self.layer_name(n), expected, found }.into());
        }
        cache::keep(&memo, outer.as_str().as_bytes()).map_err(uncacheable)?;
        forget_older(kept_for, &self.cache).map_err(uncacheable)?;
        Ok(outer)
    }

    fn config_blob(&self, config: &Descriptor, bytes: Bytes) -> Blob {
        let name = format!("the configuration of {}", self.path.display());
        Blob::described(config, name, Source::Bytes(bytes))
    }

    fn layer_blob(
        &self,
        n: usize,
        layer: &Descriptor,
        place: Place,
    ) -> Result<Blob, ArchiveError> {
        let Place { path, extent } = place;
        if extent.size != layer.size {
            return Err(ArchiveError::Broken {
                path: self.path.clone(),
                detail: format!(
                    "layer {} has {} bytes instead of {}",
                    n + 1,
                    extent.size,
                    layer.size
                ),
            });
        }
        let source = Source::File { path, offset: extent.offset };
        Ok(Blob::described(layer, self.layer_name(n), source))
    }

    fn layer_name(&self, n: usize) -> String {
        format!("layer {} of {}", n + 1, self.path.display())
    }

    fn json<T: DeserializeOwned>(
        &self,
        file: &str,
        what: &'static str,
    ) -> Result<T, ArchiveError> {
        let bytes = self.bytes(file)?;
        serde_json::from_slice(&bytes)
            .map_err(|source| self.unusable()(ManifestError::Malformed { what, source }))
    }

    fn bytes(&self, file: &str) -> Result<Bytes, ArchiveError> {
        let place = self.place(file)?;
        let mut bytes = Vec::new();
        let size = place.extent.size.min(MAX_JSON_BYTES);
        let read = place.open().and_then(|file| file.take(size).read_to_end(&mut bytes));
        read.map_err(|source| ArchiveError::Read { path: self.path.clone(), source })?;
        Ok(bytes.into())
    }

    fn has(&self, file: &str) -> bool {
        self.place(file).is_ok()
    }

    fn place(&self, file: &str) -> Result<Place, ArchiveError> {
        let found = match &self.files {
            Files::Tar(plain, entries) => entries
                .get(file)
                .map(|extent| Place { path: Arc::clone(plain), extent: *extent }),
            Files::Folder => in_folder(&self.path, file),
        };
        found.ok_or_else(|| ArchiveError::Missing {
            path: self.path.clone(),
            file: file.to_owned(),
        })
    }

    fn check(&self, expected: &Digest, bytes: &[u8], what: &str) -> Result<(), Damaged> {
        let found = Digest::of(bytes);
        if found == *expected {
            return Ok(());
        }
        let name = format!("{what} of {}", self.path.display());
        Err(Damaged { name, expected: expected.clone(), found })
    }

    fn unusable(&self) -> impl FnOnce(ManifestError) -> ArchiveError + use<> {
        let path = self.path.clone();
        move |source| ArchiveError::Manifest { path, source }
    }
}

/// The place of an ordinary file of a folder. No name leads out of the folder.
fn in_folder(folder: &Path, file: &str) -> Option<Place> {
    let path = folder.join(plain_name(Path::new(file)));
    let about = path.metadata().ok().filter(Metadata::is_file)?;
    let extent = Extent { offset: 0, size: about.len() };
    Some(Place { path: path.into(), extent })
}

/// The position of each file of a tar; a link within it has the position of its target.
fn places(
    path: &Path,
    file: &mut File,
) -> Result<BTreeMap<String, Extent>, ArchiveError> {
    let broken = |detail: String| ArchiveError::Broken { path: path.to_owned(), detail };
    let length =
        file.seek(SeekFrom::End(0)).map_err(|error| broken(error.to_string()))?;
    file.rewind().map_err(|error| broken(error.to_string()))?;
    let mut places = BTreeMap::new();
    let mut links = Vec::new();
    let mut archive = tar::Archive::new(file);
    let entries =
        archive.entries_with_seek().map_err(|error| broken(error.to_string()))?;
    for entry in entries {
        let entry = entry.map_err(|error| broken(error.to_string()))?;
        let (Ok(name), kind) = (entry.path(), entry.header().entry_type()) else {
            continue;
        };
        let name = plain_name(&name);
        let place = Extent { offset: entry.raw_file_position(), size: entry.size() };
        if place.offset.saturating_add(place.size) > length {
            return Err(broken(format!("it ends within `{name}`")));
        }
        match entry.link_name() {
            Ok(Some(target)) if kind.is_symlink() => {
                let folder = Path::new(&name).parent().unwrap_or(Path::new(""));
                links.push((name.clone(), plain_name(&folder.join(target))));
            }
            Ok(Some(target)) if kind.is_hard_link() => {
                links.push((name, plain_name(&target)));
            }
            _ if kind.is_file() => drop(places.insert(name, place)),
            _ => {}
        }
    }
    for (name, target) in links {
        if let Some(place) = places.get(&target).copied() {
            places.insert(name, place);
        }
    }
    Ok(places)
}

/// A path with `.` and `..` resolved, as text.
fn plain_name(path: &Path) -> String {
    use std::path::Component;
    let mut parts: Vec<String> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    parts.join("/")
}

/// The unpacked copy of a compressed archive. Copies of earlier versions of the archive are
/// removed.
fn unpacked(path: &Path, file: &mut File, cache: &Path) -> Result<PathBuf, ArchiveError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
            ArchiveError::Broken { path: path.to_owned(), detail: source.to_string() }
        }
        _ => {
            let (path, cache) = (path.to_owned(), cache.to_owned());
            ArchiveError::Cache { path, cache, source }
        }
    };
    let copy = cache.join(format!("{}.tar", identity(path).map_err(failed)?));
    if copy.is_file() {
        return Ok(copy);
    }
    file.rewind().map_err(failed)?;
    let compressed = path.metadata().map_err(failed)?.len();
    let most = compressed.saturating_mul(MOST_GROWTH).max(LEAST_MOST);
    let mut plain = MultiGzDecoder::new(BufReader::new(file)).take(most + 1);
    let written = cache::keep_with(&copy, |to| match io::copy(&mut plain, to)? {
        written if written > most => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "unpacked it has more than {MOST_GROWTH} times its size; if that is \
                     right, unpack it by hand (`gunzip`) and name the plain archive"
            ),
        )),
        _ => Ok(()),
    });
    written.map_err(failed)?;
    forget_older(path, cache).map_err(failed)?;
    Ok(copy)
}

/// Removes what the cache has of earlier versions of the archive.
fn forget_older(path: &Path, cache: &Path) -> io::Result<()> {
    let (family, now) = (family(path)?, identity(path)?);
    cache::remove(cache, |name| name.starts_with(&family) && !name.starts_with(&now))
}

/// A name for the current version of an archive: if its content changes, its size or time does.
fn identity(path: &Path) -> io::Result<String> {
    let about = path.metadata()?;
    let version = format!("{} {} {}", about.len(), about.mtime(), about.mtime_nsec());
    Ok(format!("{}{}", family(path)?, Digest::of(version.as_bytes()).short()))
}

/// The prefix of the names of all files that are kept for an archive.
fn family(path: &Path) -> io::Result<String> {
    let path = path.canonicalize()?;
    let digest = Digest::of(path.as_os_str().as_encoded_bytes());
    Ok(format!("archive-{}-", digest.short()))
}

/// Whether the next bytes of a file are these.
fn begins_with(file: &mut File, magic: [u8; 2]) -> io::Result<bool> {
    let mut begin = Vec::new();
    file.take(2).read_to_end(&mut begin)?;
    Ok(begin == magic)
}

/// The digests of a compressed layer and of its uncompressed content, in one pass.
fn gzip_digests(place: &Place) -> io::Result<(Digest, Digest)> {
    struct Tee<R>(R, Sha256);
    impl<R: Read> Read for Tee<R> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n_read = self.0.read(buf)?;
            self.1.update(&buf[..n_read]);
            Ok(n_read)
        }
    }
    let packed = place.open()?.take(place.extent.size);
    let mut outer = BufReader::new(Tee(packed, Sha256::new()));
    let mut inner = Tee(MultiGzDecoder::new(&mut outer), Sha256::new());
    io::copy(&mut inner, &mut io::sink())?;
    let inner = inner.1;
    // Bytes after the compressed data also belong to the layer.
    io::copy(&mut outer, &mut io::sink())?;
    Ok((Digest::finish(outer.into_inner().1), Digest::finish(inner)))
}

fn file_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The digest in the name of a file of `docker save`, such as `<hex>.json`.
fn digest_in(file: &str) -> Option<Digest> {
    let stem = Path::new(file).file_stem()?.to_str()?;
    format!("sha256:{}", stem.trim_start_matches("sha256:")).parse().ok()
}

fn described(config: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type::CONFIG.to_owned(),
        digest: Digest::of(config),
        size: config.len() as u64,
        platform: None,
    }
}

fn descriptor(blob: &Blob) -> Descriptor {
    Descriptor {
        media_type: blob.media_type.clone(),
        digest: blob.digest.clone(),
        size: blob.size,
        platform: None,
    }
}
