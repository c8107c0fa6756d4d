//! Checks the keys that hosts show, asks about new ones, and pins them.
//!
//! [`known_hosts`] decides whether a key is right; this module reads the files, asks, and notes
//! the new pins.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use tokio::sync::Mutex;

use crate::event::{Event, Events};
use crate::host::HostName;
use crate::inventory::HostKeyPolicy;
use crate::remote::RemoteError;
use crate::remote::known_hosts::{
    self, Key, KeyLocation, KnownFile, KnownHosts, LookupName, Verdict,
};

use super::endpoint::Endpoint;
use super::shown::Shown;
use super::{Clock, certificate, revoked};

/// Asks whether the key of an unknown host is right. Called for one host at a time, on a thread
/// that may block.
pub type TrustPrompt = Arc<dyn Fn(&FirstContact) -> bool + Send + Sync>;

/// Lines for the file of pinned host keys, of keys that were accepted since it was read. They
/// count as pinned; whoever owns the file adds them to it.
pub type NewPins = Arc<std::sync::Mutex<Vec<String>>>;

/// A host whose key is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstContact {
    /// The host.
    pub host: HostName,
    /// The name it will have in a file of known hosts.
    pub address: String,
    /// The type of its key, such as `ssh-ed25519`.
    pub key_type: String,
    /// The fingerprint as `ssh-keygen -l` shows it.
    pub fingerprint: String,
    /// The types of other keys by which the host is known; empty on a true first contact.
    pub known_types: Vec<String>,
    /// Why the authority that the known hosts name for it does not prove its key.
    pub note: Option<String>,
}

/// The host keys of a run.
pub(super) struct HostKeys {
    pins: Arc<Pins>,
    ask: Option<TrustPrompt>,
    clock: Clock,
    events: Events,
    /// The operator's files, each read once.
    operator: Mutex<HashMap<PathBuf, Arc<KnownFile>>>,
    /// Held while the operator is asked; refused keys are not asked about again.
    refused: Mutex<HashSet<(LookupName, Key)>>,
}

/// Checks the key of one server while the connection is made.
pub(super) struct Guard {
    host: HostName,
    lookup: LookupName,
    policy: HostKeyPolicy,
    vouched: Vec<Key>,
    known: KnownHosts,
    revoked: Option<PathBuf>,
    pins: Arc<Pins>,
    clock: Clock,
    events: Events,
}

/// A key that the operator must be asked about.
pub(super) struct Unseen {
    key: Key,
    note: Option<String>,
}

/// Why a key was not accepted.
pub(super) enum Rejection {
    /// The operator must be asked.
    Unseen(Unseen),
    /// It must not be accepted.
    Error(Box<RemoteError>),
}

impl HostKeys {
    pub(super) fn new(
        pins: Pins,
        ask: Option<TrustPrompt>,
        clock: Clock,
        events: Events,
    ) -> Self {
        let pins = Arc::new(pins);
        let (operator, refused) = (Mutex::default(), Mutex::default());
        Self { pins, ask, clock, events, operator, refused }
    }

    /// What checks the key of a server: first the pins, then the operator's files.
    pub(super) async fn guard(&self, end: &Endpoint) -> Result<Guard, RemoteError> {
        Ok(Guard {
            host: end.host.clone(),
            lookup: end.lookup.clone(),
            policy: end.policy,
            vouched: end.vouched.clone(),
            known: self.known(end).await?,
            revoked: end.config.revoked_keys.clone(),
            pins: self.pins.clone(),
            clock: self.clock.clone(),
            events: self.events.clone(),
        })
    }

    async fn known(&self, end: &Endpoint) -> Result<KnownHosts, RemoteError> {
        let mut files = self.pins.all()?;
        let mut operator = self.operator.lock().await;
        for file in &end.config.known_hosts {
            let known = match operator.get(file) {
                Some(known) => known.clone(),
                None => Arc::new(read(file)?),
            };
            operator.insert(file.clone(), known.clone());
            files.push(known);
        }
        Ok(KnownHosts::of(files))
    }

    /// Asks about the key of an unknown server, and pins it if the answer is yes.
    pub(super) async fn ask(
        &self,
        end: &Endpoint,
        unseen: Unseen,
    ) -> Result<(), RemoteError> {
        let Unseen { key, note } = unseen;
        let mut refused = self.refused.lock().await;
        let known = self.known(end).await?;
        if known.check(&end.lookup, &key) == Verdict::Known {
            return Ok(());
        }
        let contact = FirstContact {
            host: end.host.clone(),
            address: end.lookup.to_string(),
            key_type: key.kind.clone(),
            fingerprint: key.fingerprint(),
            known_types: known.kinds(&end.lookup),
            note,
        };
        let asked_before = refused.contains(&(end.lookup.clone(), key.clone()));
        if !asked_before && self.answer(contact).await {
            return self.pins.add(&end.lookup, &key);
        }
        let shown = show(&key);
        refused.insert((end.lookup.clone(), key));
        Err(RemoteError::HostKeyRefused { host: end.host.clone(), key: shown })
    }

    async fn answer(&self, contact: FirstContact) -> bool {
        let Some(ask) = self.ask.clone() else { return false };
        tokio::task::spawn_blocking(move || ask(&contact)).await.unwrap_or(false)
    }
}

impl Guard {
    /// The types of the keys by which the server is known.
    pub(super) fn kinds(&self) -> Vec<String> {
        match self.vouched.as_slice() {
            [] => self.known.kinds(&self.lookup),
            vouched => vouched.iter().map(|key| key.kind.clone()).collect(),
        }
    }

    /// The key types that the server may show in a certificate. OpenSSH allows any type; here
    /// only useful types are allowed, so that the server shows the same key as without
    /// certificates.
    pub(super) fn certificate_kinds(&self) -> CertificateKinds {
        let revokes = self.revoked.is_some() || self.known.revokes_any(&self.lookup);
        let kinds = self.kinds();
        match self.vouched.is_empty() && self.known.authority(&self.lookup).is_some() {
            true => CertificateKinds::All,
            false if !revokes => CertificateKinds::Only(Vec::new()),
            false if kinds.is_empty() => CertificateKinds::All,
            false => CertificateKinds::Only(kinds),
        }
    }

    /// Accepts or rejects what is shown; pins a key if the inventory accepts new hosts.
    pub(super) async fn judge(&self, shown: Shown) -> Result<(), Rejection> {
        let no = |error| Err(Rejection::Error(Box::new(error)));
        let host = || self.host.clone();
        match self.revokes(&shown).await {
            Ok(None) => {}
            Ok(Some((key, place))) => {
                return no(RemoteError::HostKeyRevoked {
                    host: host(),
                    key: show(key),
                    place,
                });
            }
            Err(error) => return no(error),
        }
        if !self.vouched.is_empty() {
            return match self.vouched.contains(&shown.key) {
                true => Ok(()),
                false => {
                    let key = show(&shown.key);
                    no(RemoteError::HostKeyNotVouched { host: host(), key })
                }
            };
        }
        match self.vouches(&shown) {
            Authority::Vouches => Ok(()),
            Authority::Silent(note) => {
                self.follow(self.known.check(&self.lookup, &shown.key), shown.key, note)
            }
        }
    }

    /// Which of the keys is revoked, and where.
    async fn revokes<'a>(
        &self,
        shown: &'a Shown,
    ) -> Result<Option<(&'a Key, KeyLocation)>, RemoteError> {
        for key in shown.keys() {
            if let Some(place) = self.known.revokes(&self.lookup, key) {
                return Ok(Some((key, place)));
            }
        }
        match &self.revoked {
            Some(list) if revoked::lists(list, shown).await? => {
                Ok(Some((&shown.key, KeyLocation { file: list.clone(), line: 0 })))
            }
            _ => Ok(None),
        }
    }

    /// Whether an authority that the operator trusts for this host has signed what it shows. If
    /// not, the key counts as a bare key, as with OpenSSH.
    fn vouches(&self, shown: &Shown) -> Authority {
        let Some(place) = self.known.authority(&self.lookup) else {
            return Authority::Silent(None);
        };
        let silent = |place: &KeyLocation, why: &str| {
            Authority::Silent(Some(format!(
                "the authority at {place} was not used: {why}"
            )))
        };
        let Some((certificate, authority)) = &shown.certificate else {
            return silent(&place, "the host shows no certificate");
        };
        let Some(place) = self.known.trusts(&self.lookup, authority) else {
            let why =
                format!("another authority signed its certificate: {}", show(authority));
            return silent(&place, &why);
        };
        match certificate::fault_of_host(certificate, self.lookup.name(), (self.clock)())
        {
            None => Authority::Vouches,
            Some(fault) => {
                silent(&place, &format!("the host's certificate is not valid: {fault}"))
            }
        }
    }

    fn follow(
        &self,
        verdict: Verdict,
        key: Key,
        note: Option<String>,
    ) -> Result<(), Rejection> {
        let (host, shown) = (self.host.clone(), show(&key));
        let no = |error| Err(Rejection::Error(Box::new(error)));
        match (verdict, self.policy) {
            (Verdict::Known, _) => Ok(()),
            (Verdict::Unknown, HostKeyPolicy::AcceptNew) => {
                if let Some(note) = note {
                    let message = format!("the key of {host} is accepted as new: {note}");
                    self.events.emit(&Event::Warned { message });
                }
                self.pins.add(&self.lookup, &key).or_else(no)
            }
            (Verdict::Unknown | Verdict::OtherType(_), HostKeyPolicy::Ask) => {
                Err(Rejection::Unseen(Unseen { key, note }))
            }
            (Verdict::OtherType(place), HostKeyPolicy::AcceptNew) => {
                no(RemoteError::HostKeyOtherType { host, key: shown, place })
            }
            (Verdict::Changed(place), _) => {
                no(RemoteError::HostKeyChanged { host, key: shown, place })
            }
            (Verdict::Revoked(place), _) => {
                no(RemoteError::HostKeyRevoked { host, key: shown, place })
            }
        }
    }
}

/// What the operator's trusted authorities say about a host.
enum Authority {
    /// One of them has signed what the host shows.
    Vouches,
    /// None of them has; with the reason, if one could have signed it.
    Silent(Option<String>),
}

/// The key types that a server may show in a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CertificateKinds {
    /// All known types.
    All,
    /// Only these types.
    Only(Vec<String>),
}

/// The file of pinned keys.
pub(super) struct Pins {
    file: PathBuf,
    new: NewPins,
    /// The text of the file when it was read, and each line added since. It is read once: with a
    /// thousand hosts, reading it for each host takes most of a run.
    known: std::sync::Mutex<Vec<Arc<KnownFile>>>,
}

impl Pins {
    pub(super) fn new(file: PathBuf, new: NewPins) -> Self {
        Self { file, new, known: std::sync::Mutex::default() }
    }

    /// All pinned keys.
    fn all(&self) -> Result<Vec<Arc<KnownFile>>, RemoteError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.read_once(&mut known)?;
        Ok(known.clone())
    }

    fn read_once(&self, known: &mut Vec<Arc<KnownFile>>) -> Result<(), RemoteError> {
        if known.is_empty() {
            known.push(Arc::new(read(&self.file)?));
            let new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
            new.iter().for_each(|line| self.learn(known, line));
        }
        Ok(())
    }

    /// Adds a key; it counts as known from now on.
    fn add(&self, host: &LookupName, key: &Key) -> Result<(), RemoteError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.read_once(&mut known)?;
        let line = known_hosts::render(host, key);
        self.learn(&mut known, &line);
        self.new.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        Ok(())
    }

    /// Counts a line as one of the file.
    fn learn(&self, known: &mut Vec<Arc<KnownFile>>, line: &str) {
        let n_lines = known.iter().map(|part| part.n_lines()).sum();
        known.push(Arc::new(KnownFile::parse_after(n_lines, &self.file, line)));
    }
}

/// Reads a file of known hosts. A file that does not exist contains no hosts; a file that cannot
/// be read is an error, because it might revoke a key.
fn read(file: &Path) -> Result<KnownFile, RemoteError> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(KnownFile::parse(file, &String::from_utf8_lossy(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(KnownFile::default()),
        Err(source) => Err(RemoteError::KnownHosts { file: file.to_owned(), source }),
    }
}

fn show(key: &Key) -> String {
    format!("{} {}", key.kind, key.fingerprint())
}
