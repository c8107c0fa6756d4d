//! A registry over HTTPS: its manifests and blobs.

use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use platform_daemon::settings::{Login, NoPassword};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::manifest::{Part, TYPES};
use crate::names::{Digest, Repository};

const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(20);
/// The time that a blob may take in addition to the time for its bytes.
const BLOB: Duration = Duration::from_secs(60);
/// A slower link counts as broken.
const MIN_BYTES_PER_SECOND: u64 = 256 << 10;
/// Registries accept no larger manifest.
const MAX_MANIFEST: u64 = 4 << 20;
const MAX_SAID: u64 = 16 << 10;
/// How much of a blob is in memory.
const CHUNK: u64 = 8 << 20;
const BYTES: &str = "application/octet-stream";

/// A registry.
#[derive(Debug)]
pub struct Registry {
    name: String,
    base: String,
    login: Login,
    agent: Agent,
    n_stored: AtomicU64,
}

/// A manifest that was read.
#[derive(Debug)]
pub struct Manifest {
    /// Its type.
    pub kind: String,
    /// Its bytes, which have the digest that was asked for.
    pub bytes: Vec<u8>,
}

/// Why a registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The password file cannot be read.
    #[error(transparent)]
    Password(#[from] NoPassword),
    /// It does not answer, or not in time, or the connection breaks.
    #[error("cannot talk to {name} ({what})")]
    Silent {
        /// The registry.
        name: String,
        /// The request.
        what: &'static str,
        /// Why.
        source: ureq::Error,
    },
    /// It does not do what it is asked to.
    #[error("{name} answers {status} ({what}){said}")]
    Answer {
        /// The registry.
        name: String,
        /// The request.
        what: &'static str,
        /// The status.
        status: u16,
        /// Its own words, after a separator.
        said: String,
    },
    /// What it has is not what it should be.
    #[error("{part} is damaged at {name}: its content has another digest")]
    Damaged {
        /// The registry.
        name: String,
        /// The digest that it should have.
        part: Digest,
    },
    /// It names another place for an upload.
    #[error("{name} wants an upload to be sent to `{place}`")]
    Elsewhere {
        /// The registry.
        name: String,
        /// The place.
        place: String,
    },
}

/// Why registries cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum NoAuthority {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has no certificate.
    #[error("{} has no certificate", .0.display())]
    Empty(PathBuf),
}

/// A client that trusts only this authority.
///
/// # Errors
///
/// If the certificate cannot be read.
pub fn agent(authority: &Path) -> Result<Agent, NoAuthority> {
    let path = authority.to_owned();
    let pem = match fs::read(authority) {
        Ok(pem) => pem,
        Err(source) => return Err(NoAuthority::Read { path, source }),
    };
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<Certificate<'static>> = certificates.collect();
    if certificates.is_empty() {
        return Err(NoAuthority::Empty(path));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::from(certificates))
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        // The environment may name a proxy, which does not reach the cluster's own hosts.
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(ANSWER))
        .build();
    Ok(config.into())
}

impl Registry {
    /// A registry at an address; asks nothing yet.
    pub fn new(name: String, address: SocketAddr, login: Login, agent: Agent) -> Self {
        let base = format!("https://{address}");
        Self { name, base, login, agent, n_stored: AtomicU64::new(0) }
    }

    /// How many bytes of blobs it has taken.
    pub fn n_stored(&self) -> u64 {
        self.n_stored.load(Ordering::Relaxed)
    }

    /// Reads a manifest and checks it against its digest.
    ///
    /// # Errors
    ///
    /// If the registry does not have it, or it is damaged.
    pub fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Manifest, RegistryError> {
        let what = "reading a manifest";
        let url = format!("{}/v2/{repository}/manifests/{digest}", self.base);
        let request = self.agent.get(url).header("authorization", self.login()?);
        let answer = request.header("accept", TYPES.join(", ")).call();
        let mut answer = self.expect(what, 200, answer)?;
        let kind = answer.headers().get("content-type");
        let kind =
            kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
        let body = answer.body_mut().with_config().limit(MAX_MANIFEST).read_to_vec();
        let bytes = body.map_err(|source| self.silent(what, source))?;
        if Digest::of(&bytes) != *digest {
            return Err(self.damaged(digest));
        }
        Ok(Manifest { kind, bytes })
    }

    /// Stores a manifest, under a tag or its own digest. All of its parts have to be there.
    ///
    /// # Errors
    ///
    /// If the registry does not accept it.
    pub fn put_manifest(
        &self,
        repository: &Repository,
        reference: &str,
        manifest: &Manifest,
    ) -> Result<(), RegistryError> {
        let url = format!("{}/v2/{repository}/manifests/{reference}", self.base);
        let request = self.agent.put(url).header("authorization", self.login()?);
        let answer = request.content_type(&manifest.kind).send(&manifest.bytes[..]);
        self.expect("storing a manifest", 201, answer).map(drop)
    }

    /// Stores a blob that another registry has. Only a chunk of it is kept in memory.
    ///
    /// # Errors
    ///
    /// If either of the registries does not answer, or the blob is damaged: then it is not stored.
    pub fn copy_blob(
        &self,
        from: &Self,
        repository: &Repository,
        blob: &Part,
    ) -> Result<(), RegistryError> {
        let body = from.blob(repository, blob)?.into_body().into_with_config();
        let mut body = body.limit(blob.size + 1).reader();
        let mut upload = self.begin_upload(repository)?;
        let sent = self.send(&mut upload, &mut body, from, blob);
        if sent.is_err() {
            // A registry keeps what it got of an upload for a week, unless it is told not to. If
            // that fails too, the first error is the one to tell.
            let login = self.login()?;
            let _ = self.agent.delete(&upload).header("authorization", login).call();
        }
        sent
    }

    fn blob(
        &self,
        repository: &Repository,
        blob: &Part,
    ) -> Result<Response<Body>, RegistryError> {
        let url = format!("{}/v2/{repository}/blobs/{}", self.base, blob.digest);
        let request =
            self.agent.get(url).config().timeout_global(Some(allowed(blob.size)));
        let answer = request.build().header("authorization", self.login()?).call();
        self.expect("reading a blob", 200, answer)
    }

    /// The address of a new upload.
    fn begin_upload(&self, repository: &Repository) -> Result<String, RegistryError> {
        let url = format!("{}/v2/{repository}/blobs/uploads/", self.base);
        let request = self.agent.post(url).header("authorization", self.login()?);
        let answer = self.expect("beginning an upload", 202, request.send_empty())?;
        self.place(&answer)
    }

    /// Sends a blob to an upload, whose address is a new one after each chunk. The source is read
    /// before each request: if it breaks off, the upload is whole so far, and can be given up.
    fn send(
        &self,
        upload: &mut String,
        body: &mut impl Read,
        from: &Self,
        blob: &Part,
    ) -> Result<(), RegistryError> {
        let (mut hash, mut n_sent) = (Sha256::new(), 0);
        loop {
            let mut chunk = Vec::new();
            let read = body.take(CHUNK).read_to_end(&mut chunk);
            read.map_err(|error| from.silent("reading a blob", ureq::Error::Io(error)))?;
            hash.update(&chunk);
            let next = n_sent + chunk.len() as u64;
            if next >= blob.size || chunk.is_empty() {
                return match next == blob.size && Digest::from_hash(hash) == blob.digest {
                    true => self.finish(upload, &chunk, blob),
                    false => Err(from.damaged(&blob.digest)),
                };
            }
            let request =
                self.agent.patch(&*upload).header("authorization", self.login()?);
            let request =
                request.header("content-range", format!("{n_sent}-{}", next - 1));
            let answer = request.content_type(BYTES).send(&chunk[..]);
            *upload = self.place(&self.expect("storing a blob", 202, answer)?)?;
            self.n_stored.fetch_add(next - n_sent, Ordering::Relaxed);
            n_sent = next;
        }
    }

    /// Sends the last chunk of a blob.
    fn finish(
        &self,
        upload: &str,
        chunk: &[u8],
        blob: &Part,
    ) -> Result<(), RegistryError> {
        let separator = if upload.contains('?') { '&' } else { '?' };
        let url = format!("{upload}{separator}digest={}", blob.digest);
        // The registry may read the whole blob once more before it answers.
        let request =
            self.agent.put(url).config().timeout_global(Some(allowed(blob.size)));
        let request = request.build().header("authorization", self.login()?);
        let answer = request.content_type(BYTES).send(chunk);
        self.expect("storing a blob", 201, answer)?;
        self.n_stored.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Where an upload goes on.
    fn place(&self, answer: &Response<Body>) -> Result<String, RegistryError> {
        let place = answer.headers().get("location");
        let place = place.and_then(|place| place.to_str().ok()).unwrap_or_default();
        match place.strip_prefix(&self.base).unwrap_or(place) {
            path if path.starts_with('/') => Ok(format!("{}{path}", self.base)),
            // The password is for this registry alone.
            _ => Err(RegistryError::Elsewhere {
                name: self.name.clone(),
                place: place.to_owned(),
            }),
        }
    }

    fn login(&self) -> Result<String, NoPassword> {
        self.login.authorization()
    }

    fn expect(
        &self,
        what: &'static str,
        expected: u16,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, RegistryError> {
        let mut answer = answer.map_err(|source| self.silent(what, source))?;
        let status = answer.status().as_u16();
        if status == expected {
            return Ok(answer);
        }
        let body = answer.body_mut().with_config().limit(MAX_SAID).read_to_vec();
        let said = said(&body.unwrap_or_default());
        Err(RegistryError::Answer { name: self.name.clone(), what, status, said })
    }

    fn silent(&self, what: &'static str, source: ureq::Error) -> RegistryError {
        RegistryError::Silent { name: self.name.clone(), what, source }
    }

    fn damaged(&self, part: &Digest) -> RegistryError {
        RegistryError::Damaged { name: self.name.clone(), part: part.clone() }
    }
}

/// How long a blob may take.
fn allowed(size: u64) -> Duration {
    BLOB + Duration::from_secs(size / MIN_BYTES_PER_SECOND)
}

/// The words of a registry's error.
fn said(body: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    struct Said {
        errors: Vec<Fault>,
    }
    #[derive(Deserialize)]
    struct Fault {
        #[serde(default)]
        message: String,
    }
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    said.errors.first().map_or_else(String::new, |fault| format!(": {}", fault.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_registry_are_told() {
        let body = br#"{"errors":[{"code":"UNKNOWN","message":"unknown error"}]}"#;
        assert_eq!(said(body), ": unknown error");
        assert_eq!(said(b"<html>"), "");
    }
}
