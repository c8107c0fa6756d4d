//! The key that a host shows while a connection is made.

use std::io;

use russh::keys::{Certificate, PublicKeyBase64, PublicKeyOrCertificate};

use crate::remote::known_hosts::Key;

use super::certificate;

/// The key that a host shows: bare or in a certificate.
#[derive(Debug)]
pub(super) struct Shown {
    pub key: Key,
    /// The certificate, and the authority that it names.
    pub certificate: Option<(Box<Certificate>, Key)>,
}

impl Shown {
    /// What was shown; `None` if it is not a key.
    pub(super) fn new(shown: &PublicKeyOrCertificate) -> Option<Self> {
        let key = Key::from_blob(shown.public_key().public_key_bytes())?;
        let certificate = match shown.certificate() {
            Some(it) => Some((Box::new(it.clone()), certificate::authority(it)?)),
            None => None,
        };
        Some(Self { key, certificate })
    }

    /// The key, and the key of the certificate's authority: if one is revoked, nothing is
    /// accepted.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        [&self.key]
            .into_iter()
            .chain(self.certificate.iter().map(|(_, authority)| authority))
    }

    /// The key as a line of a file of public keys.
    pub(super) fn line(&self) -> io::Result<String> {
        match &self.certificate {
            Some((certificate, _)) => certificate.to_openssh().map_err(io::Error::other),
            None => Ok(self.key.to_string()),
        }
    }
}
