//! Images that this program sends to registries, or into a host's Docker.
//!
//! [`archive`] reads files of `docker save` and OCI layouts, [`upstream`] reads public registries,
//! [`build`] makes images from folders in the operator's own Docker, and [`load`] packs an image
//! for `docker load`. [`recipes`] has the folders that come with the program, [`pins`] the digests
//! of tags. The digests of an [`Image`] are known before any layer is read. Layers are streamed,
//! and checked while they are streamed: no layer is held in memory. Only [`resolved`] depends on
//! components.

pub mod archive;
pub mod build;
mod cache;
pub mod load;
mod manifest;
pub mod pins;
pub mod recipes;
pub mod resolved;
pub mod upstream;
mod verified;

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt};
use tokio_util::bytes::Bytes;

use crate::digest::Digest;
use manifest::Descriptor;
pub use manifest::{ManifestError, media_type};
pub use verified::Damaged;
use verified::Verified;

/// An image: what a registry needs to know about it, and where its parts are.
#[derive(Debug, Clone)]
pub struct Image {
    /// The manifest, byte for byte.
    pub manifest: Bytes,
    /// The manifest's media type.
    pub media_type: String,
    /// The manifest's digest, by which hosts pull the image.
    pub digest: Digest,
    /// Its configuration.
    pub config: Blob,
    /// Its layers, the lowest first. A layer may occur twice.
    pub layers: Vec<Blob>,
}

impl Image {
    /// The digest of the configuration, which is the image's id in Docker.
    pub fn id(&self) -> &Digest {
        &self.config.digest
    }

    /// All parts that the manifest refers to, each once.
    pub fn blobs(&self) -> Vec<&Blob> {
        let mut seen = std::collections::HashSet::new();
        let all = std::iter::once(&self.config).chain(&self.layers);
        all.filter(|blob| seen.insert(&blob.digest)).collect()
    }
}

/// A part of an image: a layer or the configuration.
#[derive(Debug, Clone)]
pub struct Blob {
    /// The digest it must have.
    pub digest: Digest,
    /// Its size in bytes, as it is sent.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
    /// A name that says what it is and where it comes from, such as
    /// `layer 2 of /srv/zookeeper.tar`.
    pub name: String,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Bytes(Bytes),
    File { path: Arc<Path>, offset: u64 },
    Upstream(Arc<upstream::Upstream>),
}

/// A stream of the bytes of a blob.
pub type Bytestream = Box<dyn AsyncRead + Send + Unpin>;

impl Blob {
    fn described(descriptor: &Descriptor, name: String, source: Source) -> Self {
        Self {
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            media_type: descriptor.media_type.clone(),
            name,
            source,
        }
    }

    /// Opens the blob to read it once from its beginning. The reader returns exactly
    /// [`size`](Self::size) bytes. If they do not have the digest, it fails with [`Damaged`]
    /// instead of returning the last of them.
    ///
    /// # Errors
    /// When the file or the registry that has it cannot be reached.
    pub async fn open(&self) -> io::Result<Bytestream> {
        let raw: Bytestream = match &self.source {
            Source::Bytes(bytes) => Box::new(io::Cursor::new(bytes.clone())),
            Source::File { path, offset } => {
                let mut file = File::open(path).await?;
                file.seek(io::SeekFrom::Start(*offset)).await?;
                Box::new(file)
            }
            Source::Upstream(upstream) => upstream.open(&self.digest).await?,
        };
        Ok(Box::new(Verified::new(raw.take(self.size), self)))
    }
}
