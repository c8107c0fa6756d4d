//! The certificate that the operator brings: judged before anything is touched.
//!
//! Files are read in all forms in which programs write them. What is installed is written anew:
//! the certificate, those between it and its root, in order, and the key.

use jiff::Timestamp;
use rcgen::KeyPair;

use super::{CERTIFICATE, Certificate, RENEW_BEFORE, San, pem};
use crate::secret::Secret;

/// One of the operator's files.
#[derive(Debug, Clone)]
pub struct Given {
    /// Its name, for messages.
    pub name: String,
    /// Its text. Any of the files may hold the key.
    pub text: Secret,
}

/// A certificate of the operator with its key, and nothing wrong with either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCertificate {
    /// The certificate itself.
    pub leaf: Certificate,
    /// It and those between it and its root, as PEM.
    pub chain_pem: String,
    /// The private key as PEM.
    pub key: Secret,
}

/// All that is wrong with the operator's files; at least one fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the files of `platform.access.tls` cannot be used: {}",
    .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")
)]
pub struct Unusable(Vec<Fault>);

/// One thing that is wrong with the operator's files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Fault {
    /// A file holds something else.
    #[error("{file} has no {part} in PEM form: {found}")]
    Missing { file: String, part: Part, found: String },
    /// A block has no end.
    #[error("{file} ends within `{label}`: copy the whole file again")]
    CutOff { file: String, label: String },
    /// A certificate cannot be read.
    #[error("certificate {n} in {file} is damaged: copy the file again")]
    Damaged { file: String, n: usize },
    /// The key has a passphrase.
    #[error(
        "the private key in {file} has a passphrase: write it without one, with `openssl pkey -in \
         {file} -out FILE`, and let nobody else read that file"
    )]
    Encrypted { file: String },
    /// There is more than one key.
    #[error(
        "{file} has {n} private keys: keep only the key of the certificate in the file"
    )]
    ManyKeys { file: String, n: usize },
    /// The key cannot be read.
    #[error(
        "the private key in {file} is damaged or of another kind than RSA with at least 2048 bits, \
         ECDSA with P-256, P-384 or P-521, or Ed25519: copy the file again, or get a certificate \
         for such a key"
    )]
    BadKey { file: String },
    /// The key belongs to another certificate.
    #[error(
        "the private key in {key} does not belong to the certificate of {subject} in \
         {certificate}: name the key with which that certificate was requested"
    )]
    OtherKey { certificate: String, key: String, subject: String },
    /// A certificate is not valid any more.
    #[error(
        "the certificate of {subject} expired at {until}: get a new one from {issuer}"
    )]
    Expired { subject: String, issuer: String, until: Timestamp },
    /// A certificate is not valid yet.
    #[error(
        "the certificate of {subject} is not valid before {from}: wait until then, or set the \
         clock of this computer if it is wrong"
    )]
    Early { subject: String, from: Timestamp },
    /// The certificate of an issuer is missing.
    #[error(
        "the certificate of {subject} was signed by {issuer}, whose certificate is missing: add it \
         to {file}, or name the file that has it as `chain`; issuers often call the file with both \
         `fullchain.pem`"
    )]
    NoIssuer { subject: String, issuer: String, file: String },
    /// It has no names.
    #[error(
        "the certificate of {0} has no names (subjectAltName), so clients refuse it: get one with \
         names"
    )]
    Nameless(String),
    /// It is for other purposes.
    #[error(
        "the certificate of {0} is not for servers (extendedKeyUsage): get one with serverAuth"
    )]
    NotForServers(String),
    /// Its signature is weak.
    #[error(
        "the certificate of {subject} is signed with SHA-1 or MD5, so HAProxy and clients refuse \
         it: get a new one from {issuer}"
    )]
    WeaklySigned { subject: String, issuer: String },
}

/// What a file should hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Certificate,
    Key,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Key => "private key",
        })
    }
}

impl Part {
    fn is_in(self, label: &str) -> bool {
        match self {
            Self::Certificate => {
                [CERTIFICATE, "X509 CERTIFICATE", "TRUSTED CERTIFICATE"].contains(&label)
            }
            Self::Key => [
                "PRIVATE KEY",
                "RSA PRIVATE KEY",
                "EC PRIVATE KEY",
                "ENCRYPTED PRIVATE KEY",
            ]
            .contains(&label),
        }
    }

    /// How a file that is not text is converted.
    fn conversion(self) -> &'static str {
        match self {
            Self::Certificate => {
                "convert it, for example with `openssl x509 -inform der -in FILE -out NEW` or, if \
                 it is a .p12 or .pfx file, `openssl pkcs12 -in FILE -nokeys -out NEW`"
            }
            Self::Key => {
                "convert it, for example with `openssl pkey -inform der -in FILE -out NEW` or, if \
                 it is a .p12 or .pfx file, `openssl pkcs12 -in FILE -nocerts -nodes -out NEW`"
            }
        }
    }
}

/// Judges the operator's files: `certificates` has the certificate, perhaps with others of its
/// chain, and perhaps the file of the chain.
///
/// # Errors
/// With everything that is wrong.
pub fn judge(
    certificates: &[Given],
    key: &Given,
    now: Timestamp,
) -> Result<OwnCertificate, Unusable> {
    let mut faults = Vec::new();
    let mut given: Vec<Certificate> = Vec::new();
    for file in certificates {
        match certificates_in(file) {
            Ok(found) => given.extend(found),
            Err(fault) => faults.push(fault),
        }
    }
    let key_pem = key_in(key).map_err(|fault| faults.push(fault)).ok();
    let leaf = key_pem.as_ref().map_or(given.first(), |(_, pair)| {
        let of_key = given.iter().filter(|certificate| certificate.is_of(pair));
        of_key.max_by_key(|certificate| certificate.until)
    });
    let file = certificates.first().map_or("", |file| file.name.as_str());
    if let (None, Some(first)) = (leaf, given.first()) {
        faults.push(Fault::OtherKey {
            certificate: file.to_owned(),
            key: key.name.clone(),
            subject: first.subject.clone(),
        });
    }
    let chain = leaf.map(|leaf| Chain::of(leaf, &given));
    if let Some(chain) = &chain {
        faults.extend(chain.faults(file, now));
    }
    match (chain, key_pem) {
        (Some(Chain { links, .. }), Some((key, _))) if faults.is_empty() => {
            let chain_pem = links.iter().map(|link| link.pem()).collect();
            Ok(OwnCertificate { leaf: links[0].clone(), chain_pem, key })
        }
        _ => Err(Unusable(faults)),
    }
}

/// The certificates in a file; at least one.
fn certificates_in(file: &Given) -> Result<Vec<Certificate>, Fault> {
    let blocks = blocks_in(file, Part::Certificate)?;
    let read = |(n, block): (usize, &pem::Block<'_>)| {
        let damaged = || Fault::Damaged { file: file.name.clone(), n: n + 1 };
        block.bytes().and_then(|der| Certificate::of_der(&der)).ok_or_else(damaged)
    };
    blocks.iter().enumerate().map(read).collect()
}

/// The key in a file: as PEM, and read.
fn key_in(file: &Given) -> Result<(Secret, KeyPair), Fault> {
    let blocks = blocks_in(file, Part::Key)?;
    let name = || file.name.clone();
    let [block] = blocks.as_slice() else {
        return Err(Fault::ManyKeys { file: name(), n: blocks.len() });
    };
    if block.is_encrypted() {
        return Err(Fault::Encrypted { file: name() });
    }
    let bad = || Fault::BadKey { file: name() };
    let bytes = block.bytes().ok_or_else(bad)?;
    let text = Secret::new(pem::write(block.label, &bytes));
    let pair = KeyPair::from_pem(text.expose()).map_err(|_| bad())?;
    Ok((text, pair))
}

/// The blocks of a file that hold this part; at least one.
fn blocks_in(file: &Given, part: Part) -> Result<Vec<pem::Block<'_>>, Fault> {
    let text = file.text.expose();
    let cut = |label| Fault::CutOff { file: file.name.clone(), label };
    let (found, others): (Vec<_>, Vec<_>) =
        pem::blocks(text).map_err(cut)?.into_iter().partition(|it| part.is_in(it.label));
    if !found.is_empty() {
        return Ok(found);
    }
    let labels: Vec<&str> = others.iter().map(|block| block.label).collect();
    let found = match labels.is_empty() {
        // What is not UTF-8 was replaced as the file was read.
        true if text.contains(['\0', char::REPLACEMENT_CHARACTER]) => {
            format!("it is not text; {}", part.conversion())
        }
        true => "it has no line that starts with `-----BEGIN`".to_owned(),
        false => format!("it has only: {}", labels.join(", ")),
    };
    Err(Fault::Missing { file: file.name.clone(), part, found })
}

/// A certificate and those that lead to its root.
struct Chain<'a> {
    /// The certificate first; each is signed by the next. The root is left out: clients have it.
    links: Vec<&'a Certificate>,
    /// The link whose issuer is missing.
    open: Option<&'a Certificate>,
}

impl<'a> Chain<'a> {
    fn of(leaf: &'a Certificate, given: &'a [Certificate]) -> Self {
        let mut left: Vec<&Certificate> =
            given.iter().filter(|certificate| *certificate != leaf).collect();
        let (mut links, mut last) = (vec![leaf], leaf);
        while !last.is_self_signed() {
            let signers = left.iter().filter(|other| last.is_signed_by(other));
            // A root may be given twice: signed by itself, and by an older root.
            let Some(signer) = signers.max_by_key(|signer| signer.is_self_signed())
            else {
                break;
            };
            last = signer;
            left.retain(|certificate| *certificate != last);
            links.extend((!last.is_self_signed()).then_some(last));
        }
        // Roots need not be given, so the end of a chain may have no issuer here. But the
        // certificate itself is rarely signed by a root, and an authority that is left over
        // belongs behind one that is missing.
        let is_left = left.iter().any(|certificate| certificate.is_authority());
        let is_open = !last.is_self_signed() && (links.len() == 1 || is_left);
        Self { links, open: is_open.then_some(last) }
    }

    fn faults(&self, file: &str, now: Timestamp) -> Vec<Fault> {
        let leaf = self.links[0];
        let mut faults: Vec<Fault> =
            self.links.iter().filter_map(|link| out_of_time(link, now)).collect();
        let weak = self.links.iter().filter(|link| link.is_weakly_signed());
        faults.extend(weak.map(|link| Fault::WeaklySigned {
            subject: link.subject.clone(),
            issuer: link.issuer.clone(),
        }));
        faults.extend(self.open.map(|link| Fault::NoIssuer {
            subject: link.subject.clone(),
            issuer: link.issuer.clone(),
            file: file.to_owned(),
        }));
        if leaf.sans.is_empty() {
            faults.push(Fault::Nameless(leaf.subject.clone()));
        }
        if !leaf.is_for_servers() {
            faults.push(Fault::NotForServers(leaf.subject.clone()));
        }
        faults
    }
}

fn out_of_time(certificate: &Certificate, now: Timestamp) -> Option<Fault> {
    let Certificate { subject, issuer, from, until, .. } = certificate;
    let (subject, issuer) = (subject.clone(), issuer.clone());
    if *until <= now {
        return Some(Fault::Expired { subject, issuer, until: *until });
    }
    (*from > now).then_some(Fault::Early { subject, from: *from })
}

impl OwnCertificate {
    /// What the operator should know about it and is no fault; `names` are the cluster's domain
    /// and its virtual IP.
    pub fn warnings(&self, names: &[San], now: Timestamp) -> Vec<String> {
        let Certificate { subject, until, issuer, sans, .. } = &self.leaf;
        let days = until.duration_since(now).as_hours() / 24;
        let ends = (until.duration_since(now) <= RENEW_BEFORE).then(|| {
            format!(
                "the certificate of {subject} ends in {days} days, at {until}: get a new one from \
                 {issuer}, put it in place of the old file, and run `platform up`"
            )
        });
        let fits = |wanted: &San| sans.iter().any(|san| is_in(san, wanted));
        let strange = (!names.iter().any(fits)).then(|| {
            format!(
                "the certificate of {subject} is only for {}, but `platform.domain` and the \
                 virtual IP are {}: clients refuse it at other names than its own",
                spoken(sans),
                spoken(names)
            )
        });
        let authority = self.leaf.is_authority().then(|| {
            format!(
                "the certificate of {subject} is that of an authority (CA:TRUE), which some \
                 clients refuse from a server: get one with CA:FALSE"
            )
        });
        ends.into_iter().chain(strange).chain(authority).collect()
    }
}

/// Whether a name is another one, or is below it.
fn is_in(san: &San, wanted: &San) -> bool {
    match (san, wanted) {
        (San::Dns(name), San::Dns(domain)) => name
            .to_ascii_lowercase()
            .strip_suffix(domain.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        _ => san == wanted,
    }
}

fn spoken(names: &[San]) -> String {
    names.iter().map(San::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
