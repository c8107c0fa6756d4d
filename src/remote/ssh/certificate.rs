//! Certificates, as OpenSSH reads them: what is wrong with one, and for whom and until when it
//! holds.
//!
//! Pure. A host's certificate must pass [`fault_of_host`] before its authority's word counts; a
//! user's is judged by the server, and [`tell`] names what the server may have held against it.

use jiff::Timestamp;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyBase64};

use crate::remote::known_hosts::{self, Key};

/// The end of the name of every certificate's type.
const TYPE_ENDS: &str = "-cert-v01@openssh.com";

/// Why a host's certificate does not prove that it is this host; none where it does. Whether its
/// authority is to be trusted is another question.
///
/// As with OpenSSH, a name in the certificate may be a pattern. One without names proves nothing.
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
            Some("it is a user's, not a host's".to_owned())
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

/// For whom a user's certificate is and until when, and what of that rules this user out.
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
        None => "without an end".to_owned(),
    };
    match names.iter().any(|name| name == user) {
        true => format!("it is for {}, {until}", list(names)),
        false => format!("it is for {}, not for {user}, {until}", list(names)),
    }
}

/// Why a certificate does not hold at this time; none where it does.
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

/// Whether a type of key is that of a certificate.
pub(super) fn is_type(kind: &str) -> bool {
    kind.ends_with(TYPE_ENDS)
}

/// The end of its validity; none where it has none, or one beyond all calendars.
fn end(certificate: &Certificate) -> Option<Timestamp> {
    time(certificate.valid_before())
}

fn time(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

fn is_sha1(certificate: &Certificate) -> bool {
    certificate.signature().algorithm() == Algorithm::Rsa { hash: None }
}

/// Whether the authority that a certificate names has signed it: asked at a time at which it is
/// valid, since that is not the question here.
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
