//! The private registry: checks it, asks whether it has an image, and uploads images.
//!
//! Trusts only the cluster's CA, and uses no proxy: the registry is reached through a tunnel on
//! this computer. Blobs that the registry has are not sent again; the others are streamed,
//! several at once. Hosts pull by digest, and the manifest is sent last, so a partial upload
//! never counts as an image.

mod contents;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, HeaderValue};
use tokio_util::io::ReaderStream;

pub use self::contents::{Described, Part, Runs, Variant};
use super::tunnel;
use crate::digest::Digest;
use crate::images::{Blob, Damaged, Image, media_type};
use crate::secret::Secret;
use crate::unit::Size;

const ANSWER: Duration = Duration::from_secs(15);
/// The time that a blob's upload may take in addition to the time for its bytes.
const UPLOAD: Duration = Duration::from_secs(60);
/// A slower link counts as broken.
const MIN_BYTES_PER_SECOND: u64 = 256 << 10;
const BLOBS_AT_ONCE: usize = 4;
const CHUNK_BYTES: usize = 256 << 10;
/// How often a repeatable call is tried if its connection breaks.
const TRIES: usize = 3;

/// How to reach a registry.
#[derive(Debug)]
pub struct Access<'a> {
    /// Its name in messages, such as `the registry on edge-1`.
    pub name: &'a str,
    /// Its address on this computer, as `127.0.0.1:PORT`; its certificate must be for that
    /// address.
    pub address: &'a str,
    /// The cluster's CA as PEM.
    pub ca_pem: &'a str,
    /// The user to log in as.
    pub user: &'a str,
    /// That user's password.
    pub password: &'a Secret,
}

/// A client of a registry.
pub struct Registry {
    name: String,
    address: String,
    user: String,
    password: Secret,
    http: reqwest::Client,
    oci: Client,
}

/// Receives the bytes sent so far and the total bytes to send.
pub type OnBytes = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// Bytes of blobs that were sent.
    pub sent_bytes: u64,
    /// Blobs that the registry already had.
    pub n_blobs_there: usize,
    /// Whether the tag had to be written.
    pub tagged: bool,
}

/// Why a call to a registry failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The CA's certificate cannot be used.
    #[error("cannot talk to {name}: the CA's certificate is not usable")]
    Settings {
        /// The registry.
        name: String,
        /// Why.
        source: Box<OciDistributionError>,
    },
    /// It cannot be reached, or its certificate is wrong.
    #[error("cannot reach {name} ({what})")]
    Unreachable {
        /// The registry.
        name: String,
        /// The request.
        what: String,
        /// Why.
        source: reqwest::Error,
    },
    /// It took too long.
    #[error("{name} did not finish within {}s ({what})", deadline.as_secs())]
    TimedOut {
        /// The registry.
        name: String,
        /// The request.
        what: String,
        /// The longest it was allowed to take.
        deadline: Duration,
    },
    /// It accepts anyone.
    #[error(
        "{name} does not ask for a password: the program there is not the registry of this \
         cluster, or its configuration was changed by hand; `platform up` writes it \
         again"
    )]
    Open {
        /// The registry.
        name: String,
    },
    /// It rejects the password.
    #[error(
        "{name} rejects the password of `{user}`: its htpasswd file was changed by hand \
         or is out of date; `platform up` writes it again"
    )]
    WrongPassword {
        /// The registry.
        name: String,
        /// The user of the password.
        user: String,
    },
    /// It gave an unexpected answer.
    #[error("{name} answered {status} ({what})")]
    Answer {
        /// The registry.
        name: String,
        /// The request.
        what: String,
        /// The HTTP status.
        status: u16,
    },
    /// Its answer has not the form of a registry's.
    #[error("the answer of {name} cannot be read ({what})")]
    Unreadable {
        /// The registry.
        name: String,
        /// The request.
        what: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Its answer is longer than any of a registry should be.
    #[error("the answer of {name} is longer than {} ({what})", Size::bytes(*limit))]
    TooLong {
        /// The registry.
        name: String,
        /// The request.
        what: String,
        /// The most bytes that are read.
        limit: u64,
    },
    /// It rejected a part of an image.
    #[error("{name} did not accept {what}")]
    Push {
        /// The registry.
        name: String,
        /// Which part.
        what: String,
        /// Why.
        source: Box<OciDistributionError>,
    },
    /// It stored the image under a different digest.
    #[error(
        "{name} stored {what} under a different digest from the one it was sent with"
    )]
    OtherDigest {
        /// The registry.
        name: String,
        /// Which image.
        what: String,
    },
    /// A part of the image is damaged; nothing was tagged.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// A part of the image cannot be read.
    #[error("cannot read {what}")]
    Read {
        /// Which part.
        what: String,
        /// Why.
        source: io::Error,
    },
}

impl Registry {
    /// Creates a client for a registry; sends nothing yet.
    ///
    /// # Errors
    /// When the CA's certificate cannot be used.
    pub async fn new(access: Access<'_>) -> Result<Self, RegistryError> {
        let unusable = |source| RegistryError::Settings {
            name: access.name.to_owned(),
            source: Box::new(source),
        };
        let http = tunnel::https(access.ca_pem)
            .and_then(|builder| builder.connect_timeout(ANSWER).timeout(ANSWER).build());
        let http = http.map_err(|error| unusable(error.into()))?;
        let oci = Client::try_from(settings(&access)).map_err(unusable)?;
        let (user, password) = (access.user.to_owned(), access.password.clone());
        let login = RegistryAuth::Basic(user.clone(), password.expose().to_owned());
        oci.store_auth_if_needed(access.address, &login).await;
        let (name, address) = (access.name.to_owned(), access.address.to_owned());
        Ok(Self { name, address, user, password, http, oci })
    }

    /// Checks that the registry answers, asks for a password, and accepts the cluster's.
    ///
    /// # Errors
    /// When one of these fails; each has its own error.
    pub async fn check(&self) -> Result<(), RegistryError> {
        let url = format!("https://{}/v2/", self.address);
        let what = || "checking whether it answers".to_owned();
        let open = self.repeat(what(), || self.http.get(&url).send()).await?;
        match open.status() {
            StatusCode::UNAUTHORIZED => {}
            StatusCode::OK => {
                return Err(RegistryError::Open { name: self.name.clone() });
            }
            status => return Err(self.answer(what(), status)),
        }
        let login = || self.login(self.http.get(&url)).send();
        let closed = self.repeat(what(), login).await?;
        self.expect_ok(what(), closed.status())
    }

    /// Whether the user may push. Asks without sending anything that could be kept.
    ///
    /// # Errors
    /// When it cannot be asked, or refuses the password.
    pub async fn may_push(&self) -> Result<bool, RegistryError> {
        let url = format!("https://{}/v2/", self.address);
        let what = || "asking whether the user may push".to_owned();
        let write = || self.login(self.http.post(&url)).send();
        let answer = self.repeat(what(), write).await?;
        match answer.status() {
            StatusCode::FORBIDDEN => Ok(false),
            status => self.expect_ok(what(), status).map(|()| true),
        }
    }

    /// Whether the registry has the image with that manifest digest.
    ///
    /// # Errors
    /// When it cannot be asked, or refuses the password.
    pub async fn has(
        &self,
        repository: &str,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        Ok(self.manifest(repository, digest.as_str()).await?.is_some())
    }

    /// Uploads an image to the registry under a tag. If repeated, it sends nothing. If
    /// interrupted, it leaves blobs but no tag, and the next push sends only what is missing.
    ///
    /// # Errors
    /// When the registry cannot be reached or rejects a part, and when a part of the image is
    /// damaged or cannot be read: the tag is then unchanged.
    pub async fn push(
        &self,
        image: &Image,
        repository: &str,
        tag: &str,
        on_bytes: OnBytes,
    ) -> Result<Pushed, RegistryError> {
        let reference = Reference::with_tag(
            self.address.clone(),
            repository.to_owned(),
            tag.to_owned(),
        );
        let blobs = image.blobs();
        let missing = self.missing(&reference, &blobs).await?;
        let total = missing.iter().map(|blob| blob.size).sum();
        let progress = Progress { sent: Arc::default(), total, on_bytes };
        let sending: Vec<_> =
            missing.iter().map(|blob| self.send(&reference, blob, &progress)).collect();
        let mut sent = stream::iter(sending).buffer_unordered(BLOBS_AT_ONCE);
        while let Some(()) = sent.try_next().await? {}
        let there = self.manifest(repository, tag).await?;
        let tagged = there.as_deref() != Some(image.digest.as_str());
        if tagged {
            self.tag(&reference, image).await?;
        }
        let n_blobs_there = blobs.len() - missing.len();
        Ok(Pushed { sent_bytes: total, n_blobs_there, tagged })
    }

    /// Adds an image's blobs to a repository from another repository of this registry, without
    /// sending them: the push that follows sends what is missing. If repeated, it changes
    /// nothing.
    ///
    /// # Errors
    /// When the registry does not answer in time.
    pub async fn mount(
        &self,
        image: &Image,
        from: &str,
        to: &str,
    ) -> Result<(), RegistryError> {
        let of = |repository: &str| {
            Reference::with_tag(
                self.address.clone(),
                repository.to_owned(),
                "latest".to_owned(),
            )
        };
        for blob in image.blobs() {
            let (from, to) = (of(from), of(to));
            let mounted = self.oci.mount_blob(&to, &from, blob.digest.as_str());
            // If a blob cannot be mounted, it is sent.
            let _ = self.in_time(&blob.name, ANSWER, mounted).await?;
        }
        Ok(())
    }

    /// The digest of the manifest to which a tag or digest refers; `None` if there is none.
    ///
    /// # Errors
    /// When the registry cannot be asked, or refuses the password.
    pub async fn manifest(
        &self,
        repository: &str,
        reference: &str,
    ) -> Result<Option<String>, RegistryError> {
        let url =
            format!("https://{}/v2/{repository}/manifests/{reference}", self.address);
        let what = || format!("asking for {repository} {reference}");
        let head = || {
            let request = self.login(self.http.head(&url));
            // Without these headers, it would convert its manifest into an older format.
            let accept = [media_type::MANIFEST, media_type::DOCKER_MANIFEST];
            accept
                .iter()
                .fold(request, |request, kind| request.header(ACCEPT, *kind))
                .send()
        };
        let answer = self.repeat(what(), head).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.expect_ok(what(), answer.status())?;
        let digest = answer.headers().get("docker-content-digest");
        Ok(digest.and_then(|digest| digest.to_str().ok()).map(str::to_owned))
    }

    async fn missing<'a>(
        &self,
        reference: &Reference,
        blobs: &[&'a Blob],
    ) -> Result<Vec<&'a Blob>, RegistryError> {
        let ask = |blob: &'a Blob| async move {
            let exists = || self.oci.blob_exists(reference, blob.digest.as_str());
            let there = self.repeat_push(&blob.name, exists).await?;
            Ok((!there).then_some(blob))
        };
        let asking: Vec<_> = blobs.iter().copied().map(ask).collect();
        let asked = stream::iter(asking).buffered(BLOBS_AT_ONCE);
        asked.try_filter_map(async |missing| Ok(missing)).try_collect().await
    }

    async fn send(
        &self,
        reference: &Reference,
        blob: &Blob,
        progress: &Progress,
    ) -> Result<(), RegistryError> {
        let unreadable = |source| RegistryError::Read { what: blob.name.clone(), source };
        let reader = blob.open().await.map_err(unreadable)?;
        // An upload's own error does not say why its source failed.
        let broken = Arc::new(Mutex::new(None));
        let (noted, progress) = (Arc::clone(&broken), progress.clone());
        let bytes = ReaderStream::with_capacity(reader, CHUNK_BYTES)
            .inspect_ok(move |chunk| progress.add(chunk.len() as u64))
            .map_err(move |error| {
                let kind = error.kind();
                *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                OciDistributionError::IoError(kind.into())
            });
        let deadline = UPLOAD + Duration::from_secs(blob.size / MIN_BYTES_PER_SECOND);
        let push = self.oci.push_blob_stream(
            reference,
            bytes,
            blob.digest.as_str(),
            Some(blob.size),
        );
        let pushed = self.in_time(&blob.name, deadline, push).await?;
        let Err(refused) = pushed else { return Ok(()) };
        // The connection may still hold the source, so the cause is taken from the shared value.
        let noted = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
        match noted {
            Some(error) => Err(match Damaged::behind(&error) {
                Some(damaged) => damaged.clone().into(),
                None => unreadable(error),
            }),
            None => Err(self.refused(&blob.name, refused)),
        }
    }

    async fn tag(
        &self,
        reference: &Reference,
        image: &Image,
    ) -> Result<(), RegistryError> {
        let what = format!("the manifest of {}", reference.repository());
        let kind = HeaderValue::from_str(&image.media_type)
            .unwrap_or(HeaderValue::from_static(media_type::MANIFEST));
        let put = || {
            self.oci.push_manifest_raw(reference, image.manifest.clone(), kind.clone())
        };
        let place = self.repeat_push(&what, put).await?;
        if place.ends_with(image.digest.as_str()) {
            return Ok(());
        }
        Err(RegistryError::OtherDigest { name: self.name.clone(), what })
    }

    /// Makes a repeatable call, and repeats it if its connection breaks.
    async fn repeat<F>(
        &self,
        what: String,
        call: impl Fn() -> F,
    ) -> Result<reqwest::Response, RegistryError>
    where
        F: Future<Output = reqwest::Result<reqwest::Response>>,
    {
        let mut answer = call().await;
        for _ in 1..TRIES {
            match &answer {
                Err(error) if is_transient(error) => answer = call().await,
                _ => break,
            }
        }
        let name = self.name.clone();
        answer.map_err(|source| match source.is_timeout() {
            true => RegistryError::TimedOut { name, what, deadline: ANSWER },
            false => RegistryError::Unreachable { name, what, source },
        })
    }

    /// The same for the calls of a push.
    async fn repeat_push<T, F>(
        &self,
        what: &str,
        call: impl Fn() -> F,
    ) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, OciDistributionError>>,
    {
        let mut answer = self.in_time(what, ANSWER, call()).await?;
        for _ in 1..TRIES {
            match &answer {
                Err(OciDistributionError::RequestError(error)) if is_transient(error) => {
                    answer = self.in_time(what, ANSWER, call()).await?;
                }
                _ => break,
            }
        }
        answer.map_err(|source| self.refused(what, source))
    }

    async fn in_time<T>(
        &self,
        what: &str,
        deadline: Duration,
        call: impl Future<Output = T>,
    ) -> Result<T, RegistryError> {
        let (name, what) = (self.name.clone(), what.to_owned());
        tokio::time::timeout(deadline, call).await.map_err(|_| RegistryError::TimedOut {
            name,
            what,
            deadline,
        })
    }

    fn login(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.basic_auth(&self.user, Some(self.password.expose()))
    }

    fn expect_ok(&self, what: String, status: StatusCode) -> Result<(), RegistryError> {
        match status {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED => Err(self.wrong_password()),
            status => Err(self.answer(what, status)),
        }
    }

    fn refused(&self, what: &str, source: OciDistributionError) -> RegistryError {
        let status = match &source {
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_) => Some(401),
            OciDistributionError::ServerError { code, .. } => Some(*code),
            OciDistributionError::RequestError(error) => {
                error.status().map(|status| status.as_u16())
            }
            _ => None,
        };
        if status == Some(401) {
            return self.wrong_password();
        }
        let (name, what) = (self.name.clone(), what.to_owned());
        RegistryError::Push { name, what, source: Box::new(source) }
    }

    fn wrong_password(&self) -> RegistryError {
        let (name, user) = (self.name.clone(), self.user.clone());
        RegistryError::WrongPassword { name, user }
    }

    fn answer(&self, what: String, status: StatusCode) -> RegistryError {
        RegistryError::Answer { name: self.name.clone(), what, status: status.as_u16() }
    }
}

#[derive(Clone)]
struct Progress {
    sent: Arc<AtomicU64>,
    total: u64,
    on_bytes: OnBytes,
}

impl Progress {
    fn add(&self, n_bytes: u64) {
        let before = self.sent.fetch_add(n_bytes, Ordering::Relaxed);
        (self.on_bytes)(before + n_bytes, self.total);
    }
}

fn settings(access: &Access<'_>) -> ClientConfig {
    let (encoding, data) = (CertificateEncoding::Pem, access.ca_pem.into());
    let host = access.address.rsplit_once(':').map_or(access.address, |(host, _)| host);
    ClientConfig {
        // Twice as fast as in chunks, and a layer is not kept in memory.
        use_monolithic_push: true,
        tls_certs_only: vec![Certificate { encoding, data }],
        connect_timeout: Some(ANSWER),
        // Without a proxy here, the client would use the proxy from the environment. This one is
        // used for every address except the one that the client talks to.
        https_proxy: Some("http://127.0.0.1:9".to_owned()),
        no_proxy: Some(host.to_owned()),
        ..ClientConfig::default()
    }
}

/// A broken connection; not an answer, and not a deadline.
fn is_transient(error: &reqwest::Error) -> bool {
    (error.is_connect() || error.is_request()) && !error.is_timeout()
}
