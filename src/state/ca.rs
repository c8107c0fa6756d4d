//! The cluster's own certificate authority (CA), and the certificates that it gives to services.
//!
//! The clock is passed in. A certificate is kept and used again, so that a run that changes
//! nothing writes nothing. It is renewed before it ends, and when its names change. The CA itself
//! can be exchanged: see [`super::exchange`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;

use super::draft::Draft;
use super::{State, StateError, files};
use crate::certificate::{Certificate, RENEW_BEFORE, San};
use crate::secret::Secret;

const CA_LIFE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
/// Clients refuse server certificates that live longer than 398 days.
const LEAF_LIFE: SignedDuration = SignedDuration::from_hours(397 * 24);
/// Certificates are valid from a little before they are made, as hosts' clocks differ.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_hours(1);

/// The cluster's certificate authority.
#[derive(Debug)]
pub struct Ca {
    trusted_pem: String,
    own: Certificate,
    key: Secret,
    cluster: String,
    leaves: PathBuf,
    /// Certificates from before this time are renewed.
    renew_since: Option<Timestamp>,
    draft: Arc<Draft>,
}

/// The certificates that are kept for a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Those of authorities: at most two.
    pub authorities: Vec<(Rank, Certificate)>,
    /// Those of services, whose names are their subjects.
    pub leaves: Vec<Certificate>,
}

/// What an authority does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// It signs certificates.
    Signs,
    /// It will sign: an exchange has begun.
    Next,
    /// It does not sign any more, and is still trusted.
    Old,
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
        "the CA in {} expires at {ends}: exchange it with `platform certs rotate --ca`",
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
        let Authorities { own, key, trusted, others } = self.authorities(now)?;
        let (folder, ends) = (self.ca_folder(), own.until);
        // An exchange replaces it anyway.
        if others.is_empty() && ends.duration_since(now) <= RENEW_BEFORE {
            return Err(CaError::Ending { path: folder, ends });
        }
        Ok(Ca {
            trusted_pem: trusted,
            own,
            key,
            cluster: self.cluster.as_str().to_owned(),
            leaves: folder,
            renew_since: self.renew_since,
            draft: Arc::clone(&self.draft),
        })
    }

    /// The same folder, for a run that renews all certificates of services that are from before
    /// this time.
    #[must_use]
    pub fn renewing(&self, since: Timestamp) -> Self {
        Self { renew_since: Some(since), ..self.clone() }
    }

    /// The certificates that are kept; makes none.
    ///
    /// # Errors
    /// When they cannot be read or are not what this program wrote.
    pub fn certificates(&self) -> Result<Kept, CaError> {
        let (folder, cert_path) = (self.ca_folder(), self.ca_certificate());
        let Some(trusted) = self.draft.read_text(&cert_path)? else {
            return Ok(Kept { authorities: Vec::new(), leaves: Vec::new() });
        };
        let Some(key) = self.draft.read_text(&self.ca_key())? else {
            return Err(CaError::Damaged { path: self.ca_key() });
        };
        let Authorities { own, others, .. } = self.read(Secret::new(key), trusted)?;
        let authorities = [(Rank::Signs, own)].into_iter().chain(others).collect();
        let mut leaves = Vec::new();
        for name in files::names(&folder)? {
            if !name.ends_with(LEAF_ENDING) {
                continue;
            }
            let path = folder.join(&name);
            let text = self.draft.read_text(&path)?.unwrap_or_default();
            let Some(leaf) = first_in(&text) else {
                return Err(CaError::Damaged { path });
            };
            leaves.push(leaf);
        }
        Ok(Kept { authorities, leaves })
    }

    /// Removes the certificates of all services but these, such as those of hosts that are gone.
    ///
    /// # Errors
    /// When the folder cannot be changed.
    pub fn keep_certificates_of(&self, services: &[String]) -> Result<(), StateError> {
        let folder = self.ca_folder();
        let kept: Vec<String> = services.iter().map(|name| leaf_file(name)).collect();
        for name in files::names(&folder)? {
            if name.ends_with(LEAF_ENDING) && !kept.contains(&name) {
                files::remove(&folder.join(name))?;
            }
        }
        Ok(())
    }

    /// The authorities; the first call makes one.
    pub(super) fn authorities(&self, now: Timestamp) -> Result<Authorities, CaError> {
        let cluster = self.cluster.as_str();
        let key = ca_key(&self.draft, &self.ca_key(), cluster)?;
        let cert_path = self.ca_certificate();
        let trusted = match self.draft.read_text(&cert_path)? {
            Some(pem) => pem,
            None => {
                let name = format!("platform {cluster} CA");
                let made = ca_certificate(&name, cluster, &key, now)?;
                self.draft.write(&cert_path, made.clone().into_bytes());
                made
            }
        };
        self.read(key, trusted)
    }

    fn read(&self, key: Secret, trusted: String) -> Result<Authorities, CaError> {
        let damaged = || CaError::Damaged { path: self.ca_certificate() };
        let pair = KeyPair::from_pem(key.expose()).map_err(|_| damaged())?;
        let all = Certificate::all_in(&trusted).ok_or_else(damaged)?;
        if !all.iter().all(Certificate::is_self_signed) {
            return Err(damaged());
        }
        let (own, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|certificate| certificate.is_of(&pair));
        let own = own.into_iter().next().ok_or_else(damaged)?;
        let next = self.draft.read_text(&self.next_key())?;
        let next = next.and_then(|key| KeyPair::from_pem(&key).ok());
        let rank = |other: &Certificate| match &next {
            Some(next) if other.is_of(next) => Rank::Next,
            _ => Rank::Old,
        };
        let others = others.into_iter().map(|other| (rank(&other), other)).collect();
        Ok(Authorities { own, key, trusted, others })
    }

    pub(super) fn ca_folder(&self) -> PathBuf {
        self.folder.join("ca")
    }

    /// The file of the certificates that are trusted. It is for clients outside, too.
    pub fn ca_certificate(&self) -> PathBuf {
        self.ca_folder().join("ca.crt")
    }

    /// The file of the key of the authority that signs.
    pub(super) fn ca_key(&self) -> PathBuf {
        self.ca_folder().join("ca.key")
    }

    /// The file of the key of the authority that will sign.
    pub(super) fn next_key(&self) -> PathBuf {
        self.ca_folder().join("next.key")
    }
}

/// The authorities of a cluster.
pub(super) struct Authorities {
    /// The one that signs, and its key.
    pub(super) own: Certificate,
    key: Secret,
    /// All that are trusted, as PEM.
    pub(super) trusted: String,
    /// Those that are trusted and do not sign.
    pub(super) others: Vec<(Rank, Certificate)>,
}

impl Ca {
    /// What clients trust, as PEM: the CA's own certificate and, during an exchange, that of the
    /// other CA.
    pub fn trusted_pem(&self) -> &str {
        &self.trusted_pem
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
        let path = self.leaves.join(leaf_file(name));
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
        let (chain, key) = kept.split_at(kept.find("-----BEGIN PRIVATE KEY")?);
        let seen = first_in(chain)?;
        let wanted: BTreeSet<&San> = sans.iter().collect();
        // Of a CA that ends soon, no new certificate would be valid for longer.
        let lasts = seen.until.duration_since(now) > RENEW_BEFORE
            || seen.until == self.own.until && seen.until > now;
        let is_new = |since: Timestamp| seen.from >= whole_seconds(since - CLOCK_SLACK);
        let good = lasts
            && self.renew_since.is_none_or(is_new)
            && seen.sans.iter().collect::<BTreeSet<&San>>() == wanted
            && seen.is_signed_by(&self.own);
        good.then(|| Leaf { cert_chain_pem: chain.to_owned(), key: Secret::new(key) })
    }

    fn issue(
        &self,
        name: &str,
        sans: &[San],
        now: Timestamp,
    ) -> Result<Leaf, rcgen::Error> {
        let issuer_key = KeyPair::from_pem(self.key.expose())?;
        let issuer = Issuer::from_ca_cert_pem(&self.own.pem(), issuer_key)?;
        let key = KeyPair::generate()?;
        let mut leaf = named(name, &self.cluster);
        leaf.subject_alt_names = sans.iter().map(san_type).collect::<Result<_, _>>()?;
        leaf.not_before = instant(now - CLOCK_SLACK);
        leaf.not_after = instant((now + LEAF_LIFE).min(self.own.until));
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let certificate = leaf.signed_by(&key, &issuer)?;
        Ok(Leaf {
            cert_chain_pem: format!("{}{}", certificate.pem(), self.own.pem()),
            key: Secret::new(key.serialize_pem()),
        })
    }
}

const LEAF_ENDING: &str = ".pem";

/// The file of a service's certificate.
fn leaf_file(name: &str) -> String {
    format!("{}{LEAF_ENDING}", files::name_for(name))
}

/// The first certificate of a text that this program wrote.
fn first_in(text: &str) -> Option<Certificate> {
    Certificate::all_in(text)?.into_iter().next()
}

fn ca_key(draft: &Draft, path: &Path, cluster: &str) -> Result<Secret, CaError> {
    let made = match draft.read_text(path)? {
        Some(text) => text,
        None => {
            let made = new_key(cluster)?;
            draft.write(path, made.clone().into_bytes());
            made
        }
    };
    let damaged = |_| CaError::Damaged { path: path.to_owned() };
    KeyPair::from_pem(&made).map_err(damaged)?;
    Ok(Secret::new(made))
}

pub(super) fn new_key(cluster: &str) -> Result<String, CaError> {
    let failed = |source| CaError::Make { name: cluster.to_owned(), source };
    Ok(KeyPair::generate().map_err(failed)?.serialize_pem())
}

pub(super) fn ca_certificate(
    name: &str,
    cluster: &str,
    key: &Secret,
    now: Timestamp,
) -> Result<String, CaError> {
    let mut ca = named(name, cluster);
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

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
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
        assert_eq!(first_in(ca.trusted_pem()).unwrap().until, now + CA_LIFE);
        let leaf = ca.certificate("registry", &sans(), now).unwrap();
        let whole_life = first_in(&leaf.cert_chain_pem).unwrap().until - now;
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

    #[test]
    fn certificates_of_hosts_that_are_gone_are_removed() {
        let (_dir, state) = state();
        let now = at("2026-11-23T10:15:00Z");
        let ca = state.ca(now).unwrap();
        for name in ["edge-a", "edge-b.c"] {
            ca.certificate(name, &sans(), now).unwrap();
        }
        state.keep().unwrap();
        state.keep_certificates_of(&["edge-b.c".to_owned()]).unwrap();
        let left = state.certificates().unwrap().leaves;
        let left: Vec<&str> = left.iter().map(|leaf| leaf.subject.as_str()).collect();
        assert_eq!(left, ["edge-b.c"]);
        assert_eq!(state.ca(now).unwrap().trusted_pem(), ca.trusted_pem());
    }

    #[test]
    fn a_run_that_renews_makes_each_certificate_once() {
        let (_dir, state) = state();
        let now = at("2026-11-23T10:15:00.5Z");
        let first = state.ca(now).unwrap().certificate("registry", &sans(), now).unwrap();
        let later = now + DAY;
        let renewing = state.renewing(later);
        let again = |now: Timestamp| {
            renewing.ca(now).unwrap().certificate("registry", &sans(), now).unwrap()
        };
        let renewed = again(later);
        assert!(renewed != first && again(later + DAY) == renewed);
        let other = state.ca(later).unwrap().certificate("registry", &sans(), later);
        assert!(other.unwrap() == renewed);
    }
}
