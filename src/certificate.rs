//! Certificates: what stands in them, and how they are written as text.
//!
//! Pure: the clock is passed in. [`own`] judges the certificate that the operator brings.

pub mod own;
mod pem;

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rcgen::{KeyPair, PublicKeyData};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::{GeneralName, X509Certificate, X509Name};

pub use own::OwnCertificate;

/// A certificate with less time than this is due for a new one.
pub const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What a certificate contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// From when it is valid.
    pub from: Timestamp,
    /// Until when it is valid.
    pub until: Timestamp,
    /// The names and addresses that it is for.
    pub sans: Vec<San>,
}

/// A name or address that a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum San {
    /// A DNS name.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

impl std::fmt::Display for San {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

impl Certificate {
    /// Reads a certificate; `None` if these bytes are none.
    pub fn of_der(der: &[u8]) -> Option<Self> {
        let (rest, read) = parse_x509_certificate(der).ok()?;
        let at = |seconds| Timestamp::from_second(seconds).ok();
        let names = read.subject_alternative_name().ok()?;
        let names = names.map(|extension| extension.value.general_names.as_slice());
        Some(Self {
            subject: name_of(read.subject()),
            issuer: name_of(read.issuer()),
            from: at(read.validity().not_before.timestamp())?,
            until: at(read.validity().not_after.timestamp())?,
            sans: names.unwrap_or_default().iter().filter_map(san).collect(),
            // OpenSSL's trusted certificates have more bytes behind the certificate itself.
            der: der[..der.len() - rest.len()].to_vec(),
        })
    }

    /// The certificates in a text that this program wrote; `None` if it contains anything else.
    pub fn all_in(text: &str) -> Option<Vec<Self>> {
        let blocks = pem::blocks(text).ok()?.into_iter();
        let certificates = blocks.filter(|block| block.label == CERTIFICATE);
        certificates.map(|block| Self::of_der(&block.bytes()?)).collect()
    }

    /// The certificate as PEM.
    pub fn pem(&self) -> String {
        pem::write(CERTIFICATE, &self.der)
    }

    /// Whether it is the certificate of this key.
    pub fn is_of(&self, key: &KeyPair) -> bool {
        self.parsed(|read| read.public_key().subject_public_key.data == key.der_bytes())
    }

    /// Whether the owner of another certificate signed it.
    pub fn is_signed_by(&self, other: &Self) -> bool {
        self.parsed(|read| {
            other.parsed(|issuer| {
                read.issuer() == issuer.subject()
                    && read.verify_signature(Some(issuer.public_key())).is_ok()
            })
        })
    }

    /// Whether its own owner signed it.
    pub fn is_self_signed(&self) -> bool {
        self.is_signed_by(self)
    }

    /// Whether its owner may sign others.
    fn is_authority(&self) -> bool {
        self.parsed(|read| read.is_ca())
    }

    /// Whether a server may show it: if it says what it is for, servers are among that.
    fn is_for_servers(&self) -> bool {
        self.parsed(|read| {
            let purposes = read.extended_key_usage().ok().flatten();
            purposes
                .is_none_or(|purposes| purposes.value.server_auth || purposes.value.any)
        })
    }

    /// Whether OpenSSL refuses its signature. Nobody looks at the signature of a root.
    fn is_weakly_signed(&self) -> bool {
        let is_weak = |read: &X509Certificate<'_>| {
            let algorithm = read.signature_algorithm.algorithm.to_id_string();
            WEAK.contains(&algorithm.as_str())
        };
        self.subject != self.issuer && self.parsed(is_weak)
    }

    /// Asks something of the certificate, which was read before.
    fn parsed(&self, ask: impl FnOnce(&X509Certificate<'_>) -> bool) -> bool {
        parse_x509_certificate(&self.der).is_ok_and(|(_, read)| ask(&read))
    }
}

/// The label of a certificate in PEM.
const CERTIFICATE: &str = "CERTIFICATE";

/// RSA with MD5 and with SHA-1 (two numbers), ECDSA with SHA-1.
const WEAK: [&str; 4] = [
    "1.2.840.113549.1.1.4",
    "1.2.840.113549.1.1.5",
    "1.3.14.3.2.29",
    "1.2.840.10045.4.1",
];

/// The common name, or else the whole name.
fn name_of(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|name| name.as_str().ok());
    common.map_or_else(|| name.to_string(), str::to_owned)
}

fn san(name: &GeneralName<'_>) -> Option<San> {
    match name {
        GeneralName::DNSName(name) => Some(San::Dns((*name).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| v6()).ok().map(San::Ip)
        }
        _ => None,
    }
}
