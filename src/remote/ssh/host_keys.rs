//! Checks the keys that hosts show, asks about new ones, and pins them.
//!
//! Whether a key is right is decided by [`known_hosts`]; this
//! reads the files, asks, and writes the pins.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::host::HostName;
use crate::inventory::HostKeyPolicy;
use crate::remote::known_hosts::{
    self, Key, KnownFile, KnownHosts, LookupName, Place, Verdict,
};
use crate::remote::{Argv, RemoteError, local};

use super::endpoint::Endpoint;

/// Looking a key up in a list takes milliseconds.
const LIST_DEADLINE: Duration = Duration::from_secs(10);

/// Asks whether the key of an unknown host is right. Called for one host at a time, on a
/// thread where it may block.
pub type Ask = Arc<dyn Fn(&FirstContact) -> bool + Send + Sync>;

/// A host whose key is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstContact {
    /// The host.
    pub host: HostName,
    /// What it will be known by, as in a file of known hosts.
    pub address: String,
    /// The type of its key, such as `ssh-ed25519`.
    pub key_type: String,
    /// The fingerprint as `ssh-keygen -l` shows it.
    pub fingerprint: String,
    /// The types of other keys that the host is known by: none on a true first contact.
    pub known_types: Vec<String>,
}

/// The host keys of a run.
pub(super) struct HostKeys {
    pins: Arc<Pins>,
    ask: Option<Ask>,
    /// The operator's files, each read once.
    operator: Mutex<HashMap<PathBuf, Arc<KnownFile>>>,
    /// Held while the operator is asked; keys that were refused are not asked for again.
    refused: Mutex<HashSet<(LookupName, Key)>>,
}

/// Judges the key of one server while the connection is made.
#[derive(Debug)]
pub(super) struct Guard {
    host: HostName,
    lookup: LookupName,
    policy: HostKeyPolicy,
    vouched: Vec<Key>,
    known: KnownHosts,
    revoked: Option<PathBuf>,
    pins: Arc<Pins>,
}

/// Why a key did not pass.
pub(super) enum Rejection {
    /// The operator must be asked.
    Unseen(Key),
    /// It must not pass.
    Error(Box<RemoteError>),
}

impl HostKeys {
    pub(super) fn new(pins: PathBuf, ask: Option<Ask>) -> Self {
        let pins = Arc::new(Pins { file: pins, writing: std::sync::Mutex::default() });
        Self { pins, ask, operator: Mutex::default(), refused: Mutex::default() }
    }

    /// What judges the key of a server: the pins first, then the operator's files.
    pub(super) async fn guard(&self, end: &Endpoint) -> Result<Guard, RemoteError> {
        Ok(Guard {
            host: end.host.clone(),
            lookup: end.lookup.clone(),
            policy: end.policy,
            vouched: end.vouched.clone(),
            known: self.known(end).await?,
            revoked: end.config.revoked_keys.clone(),
            pins: self.pins.clone(),
        })
    }

    async fn known(&self, end: &Endpoint) -> Result<KnownHosts, RemoteError> {
        let mut files = vec![Arc::new(self.pins.read()?)];
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

    /// Asks about the key of an unknown server, and pins it when the answer is yes.
    pub(super) async fn ask(&self, end: &Endpoint, key: Key) -> Result<(), RemoteError> {
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
    /// The types of the keys that the server is known by.
    pub(super) fn kinds(&self) -> Vec<String> {
        match self.vouched.as_slice() {
            [] => self.known.kinds(&self.lookup),
            vouched => vouched.iter().map(|key| key.kind.clone()).collect(),
        }
    }

    /// Lets a key pass or not; pins it where the inventory accepts new hosts.
    pub(super) async fn judge(&self, key: Key) -> Result<(), Rejection> {
        let listed = self.is_listed_as_revoked(&key).await;
        let revoked = listed.map_err(|error| Rejection::Error(Box::new(error)))?;
        let verdict = match (revoked, &self.revoked) {
            (true, Some(file)) => Verdict::Revoked(Place { file: file.clone(), line: 0 }),
            _ => self.known.check(&self.lookup, &key),
        };
        self.follow(verdict, key)
    }

    fn follow(&self, verdict: Verdict, key: Key) -> Result<(), Rejection> {
        let (host, shown) = (self.host.clone(), show(&key));
        let no = |error| Err(Rejection::Error(Box::new(error)));
        if let Verdict::Revoked(place) = verdict {
            return no(RemoteError::HostKeyRevoked { host, key: shown, place });
        }
        if !self.vouched.is_empty() {
            return match self.vouched.contains(&key) {
                true => Ok(()),
                false => no(RemoteError::HostKeyNotVouched { host, key: shown }),
            };
        }
        match (verdict, self.policy) {
            (Verdict::Known, _) => Ok(()),
            (Verdict::Unknown, HostKeyPolicy::AcceptNew) => {
                self.pins.add(&self.lookup, &key).or_else(no)
            }
            (Verdict::Unknown | Verdict::OtherType(_), HostKeyPolicy::Ask) => {
                Err(Rejection::Unseen(key))
            }
            (Verdict::OtherType(place), HostKeyPolicy::AcceptNew) => {
                no(RemoteError::HostKeyOtherType { host, key: shown, place })
            }
            (Verdict::Changed(place) | Verdict::Revoked(place), _) => {
                no(RemoteError::HostKeyChanged { host, key: shown, place })
            }
        }
    }
}

impl Guard {
    /// Whether the operator's list of revoked keys has a key. The list may be binary: only
    /// OpenSSH's own program reads it. As with OpenSSH, no key passes where it cannot be read.
    async fn is_listed_as_revoked(&self, key: &Key) -> Result<bool, RemoteError> {
        let Some(list) = &self.revoked else { return Ok(false) };
        let failed = |source| RemoteError::KnownHosts { file: list.clone(), source };
        let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
        writeln!(file, "{key}").map_err(failed)?;
        let names = [list.as_path(), file.path()].map(|path| path.display().to_string());
        let words =
            ["ssh-keygen", "-Q", "-f"].map(str::to_owned).into_iter().chain(names);
        let answer = local::run(&Argv::new(words), &[], LIST_DEADLINE).await;
        let answer = answer.map_err(|error| failed(io::Error::other(error)))?;
        let said = String::from_utf8_lossy(&answer.stdout).into_owned();
        match (answer.status, said.contains("REVOKED")) {
            (0, _) => Ok(false),
            (_, true) => Ok(true),
            (_, false) => {
                let said = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
                Err(failed(io::Error::other(said)))
            }
        }
    }
}

/// The file of pinned keys.
#[derive(Debug)]
struct Pins {
    file: PathBuf,
    writing: std::sync::Mutex<()>,
}

impl Pins {
    fn read(&self) -> Result<KnownFile, RemoteError> {
        read(&self.file)
    }

    /// Adds a line, synced to disk: whole, beside what other processes add.
    fn add(&self, host: &LookupName, key: &Key) -> Result<(), RemoteError> {
        let _writing = self.writing.lock();
        append(&self.file, &known_hosts::render(host, key))
            .map_err(|source| RemoteError::KnownHosts { file: self.file.clone(), source })
    }
}

/// Reads a file of known hosts. A file that does not exist knows nobody; one that cannot be
/// read might revoke a key, so that is an error.
fn read(file: &Path) -> Result<KnownFile, RemoteError> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(KnownFile::parse(file, &String::from_utf8_lossy(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(KnownFile::default()),
        Err(source) => Err(RemoteError::KnownHosts { file: file.to_owned(), source }),
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.read(true).append(true).create(true).mode(0o600).open(path)?;
    // What a killed run left without its newline must not swallow this line.
    let text = match ends_with_newline(&mut file)? {
        true => line.to_owned(),
        false => format!("\n{line}"),
    };
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn ends_with_newline(file: &mut std::fs::File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn show(key: &Key) -> String {
    format!("{} {}", key.kind, key.fingerprint())
}
