//! The private registry: is it there, does it have an image, give it one.
//!
//! Trusts the cluster's CA and nothing else, and uses no proxy: the registry is reached at a
//! tunnel's end on this computer. Blobs that are there are not sent again; the others are
//! streamed, several at once. Hosts pull by digest, so nothing half-sent can be taken for an
//! image: the manifest goes last.

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

use crate::images::{Blob, Damaged, Digest, Image, media_type};
use crate::secret::Secret;

const ANSWER: Duration = Duration::from_secs(15);
/// What a blob's upload may take beside the time for its bytes.
const UPLOAD: Duration = Duration::from_secs(60);
/// Slower than this, a link is broken.
const MIN_BYTES_PER_SECOND: u64 = 256 << 10;
const BLOBS_AT_ONCE: usize = 4;
const CHUNK_BYTES: usize = 256 << 10;
/// How often a call that may be repeated is tried when its connection breaks.
const TRIES: usize = 3;

/// How to reach a registry.
#[derive(Debug)]
pub struct Access<'a> {
    /// What to call it in messages, such as `the registry on edge-1`.
    pub name: &'a str,
    /// Its address here, as `127.0.0.1:PORT`; its certificate must be for that address.
    pub address: &'a str,
    /// The cluster's CA as PEM.
    pub ca_pem: &'a str,
    /// The user to log in as.
    pub user: &'a str,
    /// That user's password.
    pub password: &'a Secret,
}

/// A registry that can be asked.
pub struct Registry {
    name: String,
    address: String,
    user: String,
    password: Secret,
    http: reqwest::Client,
    oci: Client,
}

/// Gets the bytes sent so far and the bytes to send in all.
pub type OnBytes = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// Bytes of blobs that were sent.
    pub sent_bytes: u64,
    /// Blobs that were there already.
    pub n_blobs_there: usize,
    /// Whether the tag had to be written.
    pub tagged: bool,
}

/// Why a registry did not do what it should.
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
    /// It cannot be reached, or is not who its certificate should say.
    #[error("cannot reach {name}: {what}")]
    Unreachable {
        /// The registry.
        name: String,
        /// What was asked.
        what: String,
        /// Why.
        source: reqwest::Error,
    },
    /// It took too long.
    #[error("{name} did not finish within {}s: {what}", deadline.as_secs())]
    TimedOut {
        /// The registry.
        name: String,
        /// What was asked.
        what: String,
        /// The longest it was allowed to take.
        deadline: Duration,
    },
    /// It lets anyone in.
    #[error(
        "{name} asks for no password: what answers there is not the registry of this \
         cluster, or its configuration was changed by hand; `platform up` writes it \
         again"
    )]
    Open {
        /// The registry.
        name: String,
    },
    /// It refuses the password.
    #[error(
        "{name} refuses the password of `{user}`: its htpasswd file was changed by hand \
         or is not up to date; `platform up` writes it again"
    )]
    WrongPassword {
        /// The registry.
        name: String,
        /// Whose password.
        user: String,
    },
    /// It gave an answer that makes no sense.
    #[error("{name} answered {status}: {what}")]
    Answer {
        /// The registry.
        name: String,
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
    },
    /// It did not take a part of an image.
    #[error("{name} did not take {what}")]
    Push {
        /// The registry.
        name: String,
        /// Which part.
        what: String,
        /// Why.
        source: Box<OciDistributionError>,
    },
    /// It keeps the image under another digest.
    #[error("{name} keeps {what} under another digest than it was sent with")]
    OtherDigest {
        /// The registry.
        name: String,
        /// Which image.
        what: String,
    },
    /// A part of the image is not what it should be; nothing was tagged.
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
    /// Prepares to talk to a registry; sends nothing yet.
    ///
    /// # Errors
    /// When the CA's certificate cannot be used.
    pub async fn new(access: Access<'_>) -> Result<Self, RegistryError> {
        let unusable = |source| RegistryError::Settings {
            name: access.name.to_owned(),
            source: Box::new(source),
        };
        let ca = reqwest::Certificate::from_pem(access.ca_pem.as_bytes());
        let http = ca.and_then(|ca| {
            let builder = reqwest::Client::builder().no_proxy().tls_certs_only([ca]);
            builder.connect_timeout(ANSWER).timeout(ANSWER).build()
        });
        let http = http.map_err(|error| unusable(error.into()))?;
        let oci = Client::try_from(settings(&access)).map_err(unusable)?;
        let (user, password) = (access.user.to_owned(), access.password.clone());
        let login = RegistryAuth::Basic(user.clone(), password.expose().to_owned());
        oci.store_auth_if_needed(access.address, &login).await;
        let (name, address) = (access.name.to_owned(), access.address.to_owned());
        Ok(Self { name, address, user, password, http, oci })
    }

    /// Proves that the registry answers, asks for a password, and takes ours.
    ///
    /// # Errors
    /// When one of these is not so; each has its own.
    pub async fn check(&self) -> Result<(), RegistryError> {
        let url = format!("https://{}/v2/", self.address);
        let what = || "is it there".to_owned();
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

    /// Gives an image to the registry under a tag. Repeated, it sends nothing. Broken off, it
    /// leaves blobs but no tag, and the next push sends only what is missing.
    ///
    /// # Errors
    /// When the registry cannot be reached or does not take a part, and when a part of the
    /// image is damaged or cannot be read: the tag is then as it was before.
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

    /// Lets a repository have an image's blobs that another one of this registry has, without
    /// sending them: the push that follows sends what is missing. Repeated, it changes nothing.
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
            // One that cannot be had so is sent.
            let _ = self.in_time(&blob.name, ANSWER, mounted).await?;
        }
        Ok(())
    }

    /// The digest of the manifest that a tag or digest leads to.
    async fn manifest(
        &self,
        repository: &str,
        reference: &str,
    ) -> Result<Option<String>, RegistryError> {
        let url =
            format!("https://{}/v2/{repository}/manifests/{reference}", self.address);
        let what = || format!("does it have {repository} {reference}");
        let head = || {
            let request = self.login(self.http.head(&url));
            // Without these, it would convert what it has into an older form.
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
        // An upload's own error does not say why its source broke off.
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
        // The connection may still hold the source, so what it noted is taken out from under it.
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

    /// Makes a call that may be repeated, again while its connection breaks.
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

    /// The same for calls of the push.
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
        // Twice as fast as in chunks, and a layer is not held in memory.
        use_monolithic_push: true,
        tls_certs_only: vec![Certificate { encoding, data }],
        connect_timeout: Some(ANSWER),
        // The client would take the operator's proxy from the environment unless it is given
        // one: this one, for anything but the one address that it talks to.
        https_proxy: Some("http://127.0.0.1:9".to_owned()),
        no_proxy: Some(host.to_owned()),
        ..ClientConfig::default()
    }
}

/// A broken connection, not an answer and not a deadline.
fn is_transient(error: &reqwest::Error) -> bool {
    (error.is_connect() || error.is_request()) && !error.is_timeout()
}
