//! Images of public registries, pinned by digest.
//!
//! The content of a digest never changes. So manifests and configurations are kept in a cache
//! folder, and a run that changes nothing does not ask a registry.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use oci_client::client::ClientConfig;
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference as OciReference, RegistryOperation};
use tokio::io::AsyncReadExt;
use tokio_util::bytes::Bytes;
use tokio_util::io::StreamReader;

use super::manifest::{self, Descriptor, Document, Manifest, media_type};
use super::{Blob, Bytestream, Damaged, Image, ManifestError, Source, cache};
use crate::digest::Digest;
use crate::reference::{PinnedReference, Reference};

/// The longest that a registry may take to answer, or may pause while it sends a layer.
const ANSWER: Duration = Duration::from_secs(30);
/// The largest configuration.
const MAX_CONFIG_BYTES: u64 = 8 << 20;

/// A registry's image, whose layers are fetched when they are needed.
pub(super) struct Upstream {
    client: Client,
    reference: OciReference,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upstream({})", self.reference)
    }
}

/// Why an upstream image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// It does not name an image.
    #[error(
        "`{0}` is not an image's reference: write one such as docker.io/library/zookeeper:3.8"
    )]
    NoReference(String),
    /// The registry did not give what was asked for.
    #[error(
        "cannot fetch {what} of {reference}: check the name and the connection to the \
         registry, or name an archive instead"
    )]
    Fetch {
        /// The part.
        what: &'static str,
        /// The image.
        reference: String,
        /// What the registry or the network reported.
        source: Box<OciDistributionError>,
    },
    /// The registry took too long.
    #[error("the registry sent no {what} of {reference} within {}s", ANSWER.as_secs())]
    TimedOut {
        /// The part.
        what: &'static str,
        /// The image.
        reference: String,
    },
    /// The registry sent something that does not match the digest.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The connection broke off.
    #[error("lost the connection while reading the configuration of {reference}")]
    Read {
        /// The image.
        reference: String,
        /// Why.
        source: io::Error,
    },
    /// It is not an image that hosts can run.
    #[error("cannot use {reference}")]
    Manifest {
        /// The image.
        reference: String,
        /// Why.
        source: ManifestError,
    },
    /// The cache folder cannot be written.
    #[error("cannot keep a part of {reference} in the cache")]
    Cache {
        /// The image.
        reference: String,
        /// Why.
        source: io::Error,
    },
}

/// The settings for public registries: TLS, the system's trusted certificates, the operator's
/// proxy.
pub fn settings() -> ClientConfig {
    ClientConfig {
        connect_timeout: Some(ANSWER),
        read_timeout: Some(ANSWER),
        ..ClientConfig::default()
    }
}

/// Finds an image by its digest. If it is an index, the image for
/// `linux/<architecture>` is used. The manifest and the configuration are fetched only the first
/// time, layers when they are read.
///
/// # Errors
/// When the registry does not send what matches the digest, or hosts
/// cannot run the image.
pub async fn resolve(
    reference: &PinnedReference,
    cache: &Path,
    architecture: &str,
    settings: ClientConfig,
) -> Result<Image, UpstreamError> {
    let pinned = reference.digest();
    let reference = parse(&reference.to_string())?;
    let fetch = |source: OciDistributionError| UpstreamError::Fetch {
        what: "anything",
        reference: reference.whole(),
        source: Box::new(source),
    };
    let client = Client::try_from(settings).map_err(fetch)?;
    let upstream = Arc::new(Upstream { client, reference });
    upstream.image(pinned, cache, architecture).await
}

/// Asks a registry for the current digest of a reference without one. If there is an index, its
/// digest is used, so that it is valid for every processor.
///
/// # Errors
/// When the text is not a reference, or the registry does not answer with a digest.
pub async fn digest_of(
    reference: &Reference,
    settings: ClientConfig,
) -> Result<Digest, UpstreamError> {
    let fetch = |source| UpstreamError::Fetch {
        what: "the digest",
        reference: reference.to_string(),
        source: Box::new(source),
    };
    let client = Client::try_from(settings).map_err(fetch)?;
    let upstream = Upstream { client, reference: parse(reference.name())? };
    let (client, anonymous) = (&upstream.client, RegistryAuth::Anonymous);
    let digest = client.fetch_manifest_digest(&upstream.reference, &anonymous);
    let digest = upstream.in_time("digest", digest).await?;
    digest.parse().map_err(|_| {
        let answer = format!("the registry answered `{digest}`");
        fetch(OciDistributionError::GenericError(Some(answer)))
    })
}

/// A reference as the client of registries knows it.
fn parse(reference: &str) -> Result<OciReference, UpstreamError> {
    reference.parse().map_err(|_| UpstreamError::NoReference(reference.to_owned()))
}

impl Upstream {
    async fn image(
        self: Arc<Self>,
        pinned: &Digest,
        cache: &Path,
        architecture: &str,
    ) -> Result<Image, UpstreamError> {
        let unusable = |source| UpstreamError::Manifest {
            reference: self.reference.whole(),
            source,
        };
        let (bytes, found, digest) = self.manifest(pinned, cache, architecture).await?;
        found.check_types().map_err(unusable)?;
        let config_bytes = self.config(&found.config, cache).await?;
        manifest::diff_ids(&config_bytes, found.layers.len(), architecture)
            .map_err(unusable)?;
        let name = |what: String| format!("{what} of {}", self.reference);
        let config = Blob::described(
            &found.config,
            name("the configuration".to_owned()),
            Source::Bytes(config_bytes),
        );
        let source = Source::Upstream(Arc::clone(&self));
        let layer = |(n, layer): (usize, &Descriptor)| {
            Blob::described(layer, name(format!("layer {}", n + 1)), source.clone())
        };
        let layers = found.layers.iter().enumerate().map(layer).collect();
        let media_type = found.media_type();
        Ok(Image { manifest: bytes, media_type, digest, config, layers })
    }

    /// The manifest for the hosts' platform: the pinned one, or one of the pinned index.
    async fn manifest(
        &self,
        pinned: &Digest,
        cache: &Path,
        architecture: &str,
    ) -> Result<(Bytes, Manifest, Digest), UpstreamError> {
        let unusable = |source| UpstreamError::Manifest {
            reference: self.reference.whole(),
            source,
        };
        let bytes = self.cached_manifest(pinned, cache).await?;
        let entries = match manifest::read(&bytes).map_err(unusable)? {
            Document::Manifest(manifest) => return Ok((bytes, manifest, pinned.clone())),
            Document::Index(entries) => entries,
        };
        let entry = manifest::pick(&entries, architecture).map_err(unusable)?;
        let bytes = self.cached_manifest(&entry.digest, cache).await?;
        match manifest::read(&bytes).map_err(unusable)? {
            Document::Manifest(manifest) => Ok((bytes, manifest, entry.digest.clone())),
            Document::Index(_) => Err(unusable(ManifestError::MediaType {
                what: "an entry of its index".to_owned(),
                found: media_type::INDEX.to_owned(),
            })),
        }
    }

    async fn cached_manifest(
        &self,
        digest: &Digest,
        cache: &Path,
    ) -> Result<Bytes, UpstreamError> {
        if let Some(bytes) = cache::content(digest, cache) {
            return Ok(bytes);
        }
        let reference = self.reference.clone_with_digest(digest.to_string());
        let accept = [
            media_type::MANIFEST,
            media_type::DOCKER_MANIFEST,
            media_type::INDEX,
            media_type::DOCKER_LIST,
        ];
        let pull =
            self.client.pull_manifest_raw(&reference, &RegistryAuth::Anonymous, &accept);
        let (bytes, _) = self.in_time("manifest", pull).await?;
        self.checked(digest, &bytes, "the manifest")?;
        self.keep(digest, &bytes, cache)?;
        Ok(bytes)
    }

    async fn config(
        &self,
        config: &Descriptor,
        cache: &Path,
    ) -> Result<Bytes, UpstreamError> {
        if let Some(bytes) = cache::content(&config.digest, cache) {
            return Ok(bytes);
        }
        let lost =
            |source| UpstreamError::Read { reference: self.reference.whole(), source };
        let mut bytes = Vec::new();
        let reader = self.open(&config.digest).await.map_err(lost)?;
        let whole = async {
            reader.take(MAX_CONFIG_BYTES).read_to_end(&mut bytes).await.map_err(lost)
        };
        let too_long = |_| UpstreamError::TimedOut {
            what: "configuration",
            reference: self.reference.whole(),
        };
        tokio::time::timeout(ANSWER, whole).await.map_err(too_long)??;
        self.checked(&config.digest, &bytes, "the configuration")?;
        self.keep(&config.digest, &bytes, cache)?;
        Ok(bytes.into())
    }

    /// Opens a blob; the reader has to check its digest.
    pub(super) async fn open(&self, digest: &Digest) -> io::Result<Bytestream> {
        let open = async {
            // The client does not log in by itself before it fetches a blob.
            let pull = RegistryOperation::Pull;
            self.client.auth(&self.reference, &RegistryAuth::Anonymous, pull).await?;
            self.client.pull_blob_stream(&self.reference, digest.as_str()).await
        };
        let opened = tokio::time::timeout(ANSWER, open)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
            .map_err(io::Error::other)?;
        Ok(Box::new(StreamReader::new(opened.stream.map_err(io::Error::other))))
    }

    async fn in_time<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, OciDistributionError>>,
    ) -> Result<T, UpstreamError> {
        let reference = self.reference.whole();
        match tokio::time::timeout(ANSWER, call).await {
            Err(_) => Err(UpstreamError::TimedOut { what, reference }),
            Ok(Err(source)) => {
                Err(UpstreamError::Fetch { what, reference, source: Box::new(source) })
            }
            Ok(Ok(got)) => Ok(got),
        }
    }

    fn checked(
        &self,
        expected: &Digest,
        bytes: &[u8],
        what: &str,
    ) -> Result<(), Damaged> {
        let found = Digest::of(bytes);
        if found == *expected {
            return Ok(());
        }
        let name = format!("{what} of {}", self.reference);
        Err(Damaged { name, expected: expected.clone(), found })
    }

    fn keep(
        &self,
        digest: &Digest,
        bytes: &[u8],
        cache: &Path,
    ) -> Result<(), UpstreamError> {
        let failed =
            |source| UpstreamError::Cache { reference: self.reference.whole(), source };
        cache::keep(&cache.join(digest.hex()), bytes).map_err(failed)
    }
}
