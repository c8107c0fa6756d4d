//! The cluster's own certificate authority (CA), and the certificates that it gives to services.
//!
//! The clock is passed in. A certificate is kept and used again, so that a run that changes
//! nothing writes nothing. It is renewed before it ends, and when its names change.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;
use x509_parser::pem::Pem;
use x509_parser::prelude::{GeneralName, X509Certificate};

use super::draft::Draft;
use super::{State, StateError, files};
use crate::secret::Secret;

const CA_LIFE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
/// Clients refuse server certificates that live longer than 398 days.
const LEAF_LIFE: SignedDuration = SignedDuration::from_hours(397 * 24);
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Certificates are valid from a little before they are made, as hosts' clocks differ.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_hours(1);

/// The cluster's certificate authority.
#[derive(Debug)]
pub struct Ca {
    cert_pem: String,
    key: Secret,
    cluster: String,
    leaves: PathBuf,
    draft: Arc<Draft>,
}

/// A name or address that a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum San {
    /// A DNS name.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

/// A service's certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The service's certificate, then the CA's, as PEM.
    pub cert_chain_pem: String,
    /// The private key (PKCS #8) as PEM.
    pub key: Secret,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file of the CA cannot be used.
    #[error(transparent)]
    File(#[from] StateError),
    /// A file of the CA holds something else.
    #[error(
        "{} does not contain what this program wrote there: restore the file, or remove its \
         folder to start with a new CA",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The CA itself expires soon, and no certificate can be valid for longer than the CA.
    #[error(
        "the CA in {} expires at {ends}: remove that folder to start with a new CA",
        path.display()
    )]
    Ending {
        /// The CA's folder.
        path: PathBuf,
        /// When it expires.
        ends: Timestamp,
    },
    /// A certificate could not be made.
    #[error("cannot make the certificate of {name}")]
    Make {
        /// The name that the certificate is for.
        name: String,
        /// Why.
        source: rcgen::Error,
    },
}

impl State {
    /// The cluster's CA. The first call makes it; once it is kept, it stays the same.
    ///
    /// # Errors
    /// When its files cannot be written or are not what this program wrote, and when it expires
    /// within 30 days of `now`.
    pub fn ca(&self, now: Timestamp) -> Result<Ca, CaError> {
        let folder = self.folder.join("ca");
        let cluster = self.cluster.as_str().to_owned();
        let key = ca_key(&self.draft, &folder.join("ca.key"), &cluster)?;
        let cert_path = folder.join("ca.crt");
        let cert_pem = match self.draft.read_text(&cert_path)? {
            Some(pem) => pem,
            None => {
                let made = ca_certificate(&cluster, &key, now)?;
                self.draft.write(&cert_path, made.clone().into_bytes());
                made
            }
        };
        let ends = match Seen::read(&cert_pem) {
            Some(seen) if seen.signed_by(&cert_pem) && seen.is_of(&key) => seen.ends,
            _ => return Err(CaError::Damaged { path: cert_path }),
        };
        if ends.duration_since(now) <= RENEW_BEFORE {
            return Err(CaError::Ending { path: folder, ends });
        }
        let draft = Arc::clone(&self.draft);
        Ok(Ca { cert_pem, key, cluster, leaves: folder, draft })
    }
}

impl Ca {
    /// The CA's own certificate as PEM, which clients trust.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The certificate of a service. The kept one is used if it is for the same names, this CA
    /// signed it, and it is valid for more than 30 days; else a new one is made.
    ///
    /// # Errors
    /// When a name is not a DNS name, or the folder cannot be written.
    pub fn certificate(
        &self,
        name: &str,
        sans: &[San],
        now: Timestamp,
    ) -> Result<Leaf, CaError> {
        let path = self.leaves.join(format!("{}.pem", files::name_for(name)));
        if let Some(kept) = self.draft.read_text(&path)?
            && let Some(leaf) = self.still_good(&kept, sans, now)
        {
            return Ok(leaf);
        }
        let made = self
            .issue(name, sans, now)
            .map_err(|source| CaError::Make { name: name.to_owned(), source })?;
        // One file for both, so that no crash can leave a key with another key's certificate.
        let both = format!("{}{}", made.cert_chain_pem, made.key.expose());
        self.draft.write(&path, both.into_bytes());
        Ok(made)
    }

    fn still_good(&self, kept: &str, sans: &[San], now: Timestamp) -> Option<Leaf> {
        let seen = Seen::read(kept)?;
        let wanted: BTreeSet<&San> = sans.iter().collect();
        let good = seen.ends.duration_since(now) > RENEW_BEFORE
            && seen.sans.iter().collect::<BTreeSet<&San>>() == wanted
            && seen.signed_by(&self.cert_pem);
        let (chain, key) = kept.split_at(kept.find("-----BEGIN PRIVATE KEY")?);
        good.then(|| Leaf { cert_chain_pem: chain.to_owned(), key: Secret::new(key) })
    }

    fn issue(
        &self,
        name: &str,
        sans: &[San],
        now: Timestamp,
    ) -> Result<Leaf, rcgen::Error> {
        let issuer_key = KeyPair::from_pem(self.key.expose())?;
        let issuer = Issuer::from_ca_cert_pem(&self.cert_pem, issuer_key)?;
        let ca_ends = Seen::read(&self.cert_pem).map_or(now, |ca| ca.ends);
        let key = KeyPair::generate()?;
        let mut leaf = named(name, &self.cluster);
        leaf.subject_alt_names = sans.iter().map(san_type).collect::<Result<_, _>>()?;
        leaf.not_before = instant(now - CLOCK_SLACK);
        leaf.not_after = instant((now + LEAF_LIFE).min(ca_ends));
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let certificate = leaf.signed_by(&key, &issuer)?;
        Ok(Leaf {
            cert_chain_pem: format!("{}{}", certificate.pem(), self.cert_pem),
            key: Secret::new(key.serialize_pem()),
        })
    }
}

fn ca_key(draft: &Draft, path: &Path, cluster: &str) -> Result<Secret, CaError> {
    let made = match draft.read_text(path)? {
        Some(text) => text,
        None => {
            let failed = |source| CaError::Make { name: cluster.to_owned(), source };
            let made = KeyPair::generate().map_err(failed)?.serialize_pem();
            draft.write(path, made.clone().into_bytes());
            made
        }
    };
    let damaged = |_| CaError::Damaged { path: path.to_owned() };
    KeyPair::from_pem(&made).map_err(damaged)?;
    Ok(Secret::new(made))
}

fn ca_certificate(
    cluster: &str,
    key: &Secret,
    now: Timestamp,
) -> Result<String, CaError> {
    let mut ca = named(&format!("platform {cluster} CA"), cluster);
    ca.not_before = instant(now - CLOCK_SLACK);
    ca.not_after = instant(now + CA_LIFE);
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    KeyPair::from_pem(key.expose())
        .and_then(|key| ca.self_signed(&key))
        .map(|certificate| certificate.pem())
        .map_err(|source| CaError::Make { name: cluster.to_owned(), source })
}

fn named(name: &str, cluster: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationName, format!("platform {cluster}"));
    params
}

fn san_type(san: &San) -> Result<SanType, rcgen::Error> {
    Ok(match san {
        San::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
        San::Ip(address) => SanType::IpAddress(*address),
    })
}

/// Certificates count whole seconds.
fn instant(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.as_second())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// What a certificate contains.
struct Seen {
    pem: Pem,
    ends: Timestamp,
    sans: Vec<San>,
}

impl Seen {
    /// Reads the first certificate of a PEM text; `None` if there is no usable one.
    fn read(text: &str) -> Option<Self> {
        let pem = Pem::iter_from_buffer(text.as_bytes()).next()?.ok()?;
        let certificate = pem.parse_x509().ok()?;
        let ends =
            Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?;
        let names = certificate.subject_alternative_name().ok()?;
        let names = names.map(|extension| extension.value.general_names.as_slice());
        let sans =
            names.unwrap_or_default().iter().map(read_san).collect::<Option<_>>()?;
        Some(Self { pem, ends, sans })
    }

    fn is_of(&self, key: &Secret) -> bool {
        let (Ok(certificate), Ok(key)) =
            (self.pem.parse_x509(), KeyPair::from_pem(key.expose()))
        else {
            return false;
        };
        *certificate.public_key().subject_public_key.data == *key.public_key_raw()
    }

    fn signed_by(&self, ca_pem: &str) -> bool {
        let Some(Ok(ca)) = Pem::iter_from_buffer(ca_pem.as_bytes()).next() else {
            return false;
        };
        let checked = |certificate: &X509Certificate<'_>| {
            let ca = ca.parse_x509().ok()?;
            certificate.verify_signature(Some(ca.public_key())).ok()
        };
        self.pem.parse_x509().is_ok_and(|certificate| checked(&certificate).is_some())
    }
}

fn read_san(name: &GeneralName<'_>) -> Option<San> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::ClusterName;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn state() -> (tempfile::TempDir, State) {
        let dir = tempfile::tempdir().unwrap();
        let cluster: ClusterName = "lab7".parse().unwrap();
        let state = State::of(&dir.path().join("lab.yaml"), &cluster);
        (dir, state)
    }

    fn sans() -> Vec<San> {
        let dns = San::Dns("registry.lab7.internal".to_owned());
        vec![dns, San::Ip("10.77.0.21".parse().unwrap()), San::Ip("::1".parse().unwrap())]
    }

    #[test]
    fn a_certificate_stays_the_same_until_thirty_days_before_its_end() {
        let (_dir, state) = state();
        let now = at("2026-11-23T10:15:00Z");
        let first = state.ca(now).unwrap().certificate("registry", &sans(), now).unwrap();
        let again = |later: Timestamp| {
            state.ca(later).unwrap().certificate("registry", &sans(), later).unwrap()
        };
        assert!(first == again(now));
        assert!(first == again(now + DAY * 366));
        assert!(first != again(now + DAY * 367));
    }

    #[test]
    fn other_names_or_another_ca_give_another_certificate() {
        let (_dir, state) = state();
        let now = at("2026-11-23T10:15:00Z");
        let first = state.ca(now).unwrap().certificate("registry", &sans(), now).unwrap();
        let fewer = state.ca(now).unwrap().certificate("registry", &sans()[1..], now);
        assert!(first != fewer.unwrap());

        let before =
            state.ca(now).unwrap().certificate("registry", &sans(), now).unwrap();
        state.keep().unwrap();
        std::fs::remove_file(state.folder().join("ca/ca.key")).unwrap();
        std::fs::remove_file(state.folder().join("ca/ca.crt")).unwrap();
        let after = state.ca(now).unwrap().certificate("registry", &sans(), now).unwrap();
        assert!(before != after);
    }

    #[test]
    fn the_order_of_names_does_not_matter() {
        let (_dir, state) = state();
        let now = at("2026-11-23T10:15:00Z");
        let ca = state.ca(now).unwrap();
        let first = ca.certificate("registry", &sans(), now).unwrap();
        let mut turned = sans();
        turned.reverse();
        assert!(first == ca.certificate("registry", &turned, now).unwrap());
    }

    #[test]
    fn certificates_end_within_398_days_and_the_ca_after_ten_years() {
        let (_dir, state) = state();
        let now = at("2026-11-23T10:15:00Z");
        let ca = state.ca(now).unwrap();
        assert_eq!(Seen::read(ca.cert_pem()).unwrap().ends, now + CA_LIFE);
        let leaf = ca.certificate("registry", &sans(), now).unwrap();
        let whole_life = Seen::read(&leaf.cert_chain_pem).unwrap().ends - now;
        assert!(now + whole_life + CLOCK_SLACK < now + DAY * 398);
    }

    #[test]
    fn a_damaged_or_ending_ca_is_said_not_replaced() {
        let (_dir, state) = state();
        let now = at("2026-11-23T10:15:00Z");
        state.ca(now).unwrap();
        state.keep().unwrap();
        let late = state.ca(now + CA_LIFE - DAY * 29);
        assert!(matches!(late, Err(CaError::Ending { .. })), "{late:?}");
        let other_key = KeyPair::generate().unwrap().serialize_pem();
        std::fs::write(state.folder().join("ca/ca.key"), other_key).unwrap();
        assert!(matches!(state.ca(now), Err(CaError::Damaged { .. })));
        std::fs::write(state.folder().join("ca/ca.crt"), "nonsense").unwrap();
        assert!(matches!(state.ca(now), Err(CaError::Damaged { .. })));
    }
}
