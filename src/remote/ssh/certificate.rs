//! Certificates, as OpenSSH reads them: what is wrong with one, for which names it is valid, and
//! until when.
//!
//! Pure. A host's certificate must pass [`fault_of_host`] before its authority counts; the server
//! checks a user's certificate, and [`tell`] names what the server may have rejected.

use jiff::Timestamp;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyBase64};

use crate::remote::known_hosts::{self, Key};

/// The end of the name of every certificate's type.
const TYPE_ENDS: &str = "-cert-v01@openssh.com";

/// Why a host's certificate does not prove that it is this host; `None` if it does. This does not
/// check whether its authority is trusted.
///
/// As with OpenSSH, a name in the certificate may be a pattern. A certificate without names
/// proves nothing.
pub(super) fn fault_of_host(
    certificate: &Certificate,
    host: &str,
    now: Timestamp,
) -> Option<String> {
    let names = certificate.valid_principals();
    let is_named =
        names.iter().any(|name| known_hosts::matches(&name.to_ascii_lowercase(), host));
    match () {
        () if certificate.cert_type() != CertType::Host => {
            Some("it is a user's certificate, not a host's".to_owned())
        }
        () if is_sha1(certificate) => Some("it is signed with SHA-1".to_owned()),
        () if !certificate.critical_options().is_empty() => {
            let option = certificate.critical_options().keys().next();
            Some(format!("its option {} is not known", option.map_or("", String::as_str)))
        }
        () if !is_named => Some(format!("it is for {}, not for {host}", list(names))),
        () => out_of_time(certificate, now).or_else(|| {
            (!is_signed(certificate)).then(|| "its signature is wrong".to_owned())
        }),
    }
}

/// A certificate's authority.
pub(super) fn authority(certificate: &Certificate) -> Option<Key> {
    let key = PublicKey::new(certificate.signature_key().clone(), "");
    Key::from_blob(key.public_key_bytes())
}

/// For which users a certificate is valid and until when, and whether this excludes the user.
pub(super) fn tell(certificate: &Certificate, user: &str, now: Timestamp) -> String {
    if certificate.cert_type() != CertType::User {
        return "it is a host's certificate, not a user's".to_owned();
    }
    if let Some(fault) = out_of_time(certificate, now) {
        return fault;
    }
    let names = certificate.valid_principals();
    let until = match end(certificate) {
        Some(end) => format!("valid until {end}"),
        None => "without an end date".to_owned(),
    };
    match names.iter().any(|name| name == user) {
        true => format!("it is for {}, {until}", list(names)),
        false => format!("it is for {}, not for {user}, {until}", list(names)),
    }
}

/// Why a certificate is not valid at this time; `None` if it is.
pub(super) fn out_of_time(certificate: &Certificate, now: Timestamp) -> Option<String> {
    let begin = time(certificate.valid_after());
    match (begin, end(certificate)) {
        (Some(begin), _) if now < begin => {
            Some(format!("it is not valid before {begin}"))
        }
        (_, Some(end)) if now >= end => Some(format!("it was valid until {end}")),
        _ => None,
    }
}

/// Whether a key type is that of a certificate.
pub(super) fn is_type(kind: &str) -> bool {
    kind.ends_with(TYPE_ENDS)
}

/// The end of its validity; `None` if there is none, or if it is too large for a date.
fn end(certificate: &Certificate) -> Option<Timestamp> {
    time(certificate.valid_before())
}

fn time(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

fn is_sha1(certificate: &Certificate) -> bool {
    certificate.signature().algorithm() == Algorithm::Rsa { hash: None }
}

/// Whether the authority that a certificate names has signed it. The check uses a time at which
/// the certificate is valid, because its validity is checked elsewhere.
fn is_signed(certificate: &Certificate) -> bool {
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    certificate.validate_at(certificate.valid_after(), [&authority]).is_ok()
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nobody".to_owned(),
        names => names.join(", "),
    }
}
