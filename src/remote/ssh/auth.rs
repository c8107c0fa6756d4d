//! Logs in with a key: the inventory's, or else the operator's agent and keys.
//!
//! Where the inventory names a key, that key alone is tried: a login that works by chance
//! today fails on a colleague's computer tomorrow. An agent may hold it, so that a key with a
//! passphrase needs none here. Certificates and passwords are not tried.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use crate::remote::RemoteError;
use crate::remote::config::{Agent, expand_tokens};
use crate::secret::Secret;

use super::endpoint::Endpoint;
use super::watcher::Watcher;

/// Why a private key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("cannot read the private key {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is encrypted and no passphrase is given.
    #[error(
        "the private key {} is encrypted: set `passphrase` beside `key` in the inventory, or \
         load the key into your agent with ssh-add",
        file.display()
    )]
    Encrypted {
        /// The file.
        file: PathBuf,
    },
    /// The passphrase is not the one.
    #[error("the passphrase does not open the private key {}", file.display())]
    WrongPassphrase {
        /// The file.
        file: PathBuf,
    },
    /// It is no private key, or one of a kind that is not known.
    #[error("{} is not a private key that can be used: {said}", file.display())]
    NotAKey {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        said: String,
    },
}

/// The private keys of a run, each read and decrypted once: opening an encrypted key is
/// made to be slow.
#[derive(Default)]
pub(super) struct Keyring(Mutex<HashMap<PathBuf, Arc<PrivateKey>>>);

impl Keyring {
    async fn load(
        &self,
        file: &Path,
        passphrase: Option<&Secret>,
    ) -> Result<Arc<PrivateKey>, KeyFileError> {
        let mut loaded = self.0.lock().await;
        if let Some(key) = loaded.get(file) {
            return Ok(key.clone());
        }
        let (path, passphrase) = (file.to_owned(), passphrase.cloned());
        let read = move || read_key(&path, passphrase.as_ref());
        let key =
            Arc::new(tokio::task::spawn_blocking(read).await.map_err(|died| {
                KeyFileError::NotAKey { file: file.to_owned(), said: died.to_string() }
            })??);
        loaded.insert(file.to_owned(), key.clone());
        Ok(key)
    }
}

/// Logs in, or says what was tried.
pub(super) async fn log_in(
    handle: &mut Handle<Watcher>,
    end: &Endpoint,
    keyring: &Keyring,
) -> Result<(), RemoteError> {
    let mut login = Login { handle, end, keyring, tried: Vec::new() };
    let accepted = login.with_given_key().await?
        || (end.operator_keys
            && (login.with_agent().await? || login.with_operator_keys().await?));
    match accepted {
        true => Ok(()),
        false => Err(RemoteError::Auth {
            host: end.host.clone(),
            user: end.config.user.clone(),
            tried: login.tried,
        }),
    }
}

struct Login<'a> {
    handle: &'a mut Handle<Watcher>,
    end: &'a Endpoint,
    keyring: &'a Keyring,
    /// What was tried, for the error.
    tried: Vec<String>,
}

impl Login<'_> {
    async fn with_given_key(&mut self) -> Result<bool, RemoteError> {
        let Some(file) = &self.end.key else { return Ok(false) };
        match self.keyring.load(file, self.end.passphrase.as_ref()).await {
            Ok(key) => self.with_key(&file.display().to_string(), key).await,
            Err(KeyFileError::Encrypted { .. }) if self.agent_has(file).await => {
                self.with_agent_key(file).await
            }
            Err(source) => Err(RemoteError::Key { host: self.end.host.clone(), source }),
        }
    }

    async fn with_operator_keys(&mut self) -> Result<bool, RemoteError> {
        for file in self.operator_files() {
            let name = file.display().to_string();
            match self.keyring.load(&file, None).await {
                Ok(key) => {
                    if self.with_key(&name, key).await? {
                        return Ok(true);
                    }
                }
                // OpenSSH's own list names files that nobody has.
                Err(KeyFileError::Unreadable { source, .. })
                    if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.tried.push(format!("{name} ({error})")),
            }
        }
        Ok(false)
    }

    async fn with_agent(&mut self) -> Result<bool, RemoteError> {
        let Some(mut agent) = self.agent().await else { return Ok(false) };
        let own: Vec<PublicKey> =
            self.operator_files().iter().filter_map(|file| public_half(file)).collect();
        let mut keys = agent_keys(&mut agent).await;
        if self.end.config.identities_only {
            keys.retain(|(key, _)| own.iter().any(|own| same(own, key)));
        }
        // A server hears only some keys out: those meant for it come first.
        keys.sort_by_key(|(key, _)| !own.iter().any(|own| same(own, key)));
        for (key, comment) in keys {
            if self.by_agent(&mut agent, &key, &comment).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn agent_has(&self, file: &Path) -> bool {
        let (Some(own), Some(mut agent)) = (public_half(file), self.agent().await) else {
            return false;
        };
        agent_keys(&mut agent).await.iter().any(|(key, _)| same(&own, key))
    }

    async fn with_agent_key(&mut self, file: &Path) -> Result<bool, RemoteError> {
        let (Some(key), Some(mut agent)) = (public_half(file), self.agent().await) else {
            return Ok(false);
        };
        self.by_agent(&mut agent, &key, &file.display().to_string()).await
    }

    async fn by_agent(
        &mut self,
        agent: &mut AgentClient<UnixStream>,
        key: &PublicKey,
        comment: &str,
    ) -> Result<bool, RemoteError> {
        let name = format!("the agent's {comment}");
        let Some(hash) = self.hash_for(key, &name).await? else { return Ok(false) };
        let user = self.end.config.user.as_str();
        let answer =
            self.handle.authenticate_publickey_with(user, key.clone(), hash, agent).await;
        match answer {
            Ok(result) => self.note(&name, &result),
            Err(error) => {
                self.tried.push(format!("{name} (the agent did not sign: {error})"));
                Ok(false)
            }
        }
    }

    async fn with_key(
        &mut self,
        name: &str,
        key: Arc<PrivateKey>,
    ) -> Result<bool, RemoteError> {
        if let Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 = key.algorithm() {
            self.tried.push(format!("{name} (a security key: load it into your agent)"));
            return Ok(false);
        }
        let Some(hash) = self.hash_for(key.public_key(), name).await? else {
            return Ok(false);
        };
        let key = PrivateKeyWithHashAlg::new(key, hash);
        let user = self.end.config.user.as_str();
        match self.handle.authenticate_publickey(user, key).await {
            Ok(result) => self.note(name, &result),
            Err(_) => Err(self.hung_up()),
        }
    }

    /// The hash that the server wants signatures of a key to use: none but for RSA, and
    /// nothing at all where it knows only SHA-1, which is not safe.
    ///
    /// RSA signatures come from the `rsa` crate, which is not constant in time
    /// (RUSTSEC-2023-0071). That is accepted here: it signs once per login, a message that the
    /// peer cannot choose alone, and never decrypts. Keys in an agent do not pass through it.
    async fn hash_for(
        &mut self,
        key: &PublicKey,
        name: &str,
    ) -> Result<Option<Option<HashAlg>>, RemoteError> {
        if !key.algorithm().is_rsa() {
            return Ok(Some(None));
        }
        match self.handle.best_supported_rsa_hash().await {
            Ok(None) => Ok(Some(Some(HashAlg::Sha512))),
            Ok(Some(Some(hash))) => Ok(Some(Some(hash))),
            Ok(Some(None)) => {
                self.tried.push(format!("{name} (the server knows RSA only with SHA-1)"));
                Ok(None)
            }
            Err(_) => Err(self.hung_up()),
        }
    }

    /// Takes the server's answer to a key.
    fn note(&mut self, name: &str, result: &AuthResult) -> Result<bool, RemoteError> {
        match result {
            AuthResult::Success => return Ok(true),
            AuthResult::Failure { partial_success: true, .. } => {
                let more = "accepted, but the server wants a further proof";
                self.tried.push(format!("{name} ({more})"));
            }
            AuthResult::Failure { .. } => self.tried.push(format!("{name} (refused)")),
        }
        match self.handle.is_closed() {
            true => Err(self.hung_up()),
            false => Ok(false),
        }
    }

    /// sshd hangs up after `MaxAuthTries` keys.
    fn hung_up(&mut self) -> RemoteError {
        let mut tried = std::mem::take(&mut self.tried);
        tried.push("then the server hung up".to_owned());
        RemoteError::Auth {
            host: self.end.host.clone(),
            user: self.end.config.user.clone(),
            tried,
        }
    }

    async fn agent(&self) -> Option<AgentClient<UnixStream>> {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let socket = match &self.end.config.identity_agent {
            Agent::Environment => variable("SSH_AUTH_SOCK"),
            Agent::Variable(name) => variable(name),
            Agent::Socket(path) => Some(path.clone()),
            Agent::None => None,
        }?;
        AgentClient::connect_uds(socket).await.ok()
    }

    fn operator_files(&self) -> Vec<PathBuf> {
        let config = &self.end.config;
        let expand = |file: &PathBuf| {
            PathBuf::from(expand_tokens(&file.to_string_lossy(), config))
        };
        config.identity_files.iter().map(expand).collect()
    }
}

async fn agent_keys(agent: &mut AgentClient<UnixStream>) -> Vec<(PublicKey, String)> {
    let identities = agent.request_identities().await.unwrap_or_default();
    let plain = identities.into_iter().filter_map(|identity| match identity {
        AgentIdentity::PublicKey { key, comment } => Some((key, comment)),
        AgentIdentity::Certificate { .. } => None,
    });
    plain.collect()
}

fn same(one: &PublicKey, other: &PublicKey) -> bool {
    one.key_data() == other.key_data()
}

/// The public half of a private key, which needs no passphrase.
fn public_half(file: &Path) -> Option<PublicKey> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".pub");
    russh::keys::load_public_key(beside).ok().or_else(|| {
        let key = PrivateKey::from_openssh(std::fs::read(file).ok()?).ok()?;
        Some(key.public_key().clone())
    })
}

fn read_key(
    path: &Path,
    passphrase: Option<&Secret>,
) -> Result<PrivateKey, KeyFileError> {
    let file = || path.to_owned();
    let text = Secret::new(
        std::fs::read_to_string(path)
            .map_err(|source| KeyFileError::Unreadable { file: file(), source })?,
    );
    let decode = |passphrase| russh::keys::decode_secret_key(text.expose(), passphrase);
    let error = match decode(None) {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    let encrypted = matches!(error, russh::keys::Error::KeyIsEncrypted)
        || text.expose().contains("BEGIN ENCRYPTED PRIVATE KEY")
        || text.expose().contains("Proc-Type: 4,ENCRYPTED");
    match (encrypted, passphrase) {
        (true, None) => Err(KeyFileError::Encrypted { file: file() }),
        (true, Some(passphrase)) => decode(Some(passphrase.expose()))
            .map_err(|_| KeyFileError::WrongPassphrase { file: file() }),
        (false, _) => {
            Err(KeyFileError::NotAKey { file: file(), said: error.to_string() })
        }
    }
}
