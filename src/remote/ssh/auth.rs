//! Logs in with a key: the inventory's, or else the keys of the operator's SSH agent and files.
//!
//! If the inventory names a key, only that key is tried: otherwise a login might work here by
//! chance and fail on a colleague's computer. An SSH agent may hold it, so that a key with a
//! passphrase needs none here, and the file may be its public half alone. The certificates of a
//! key are tried before the key: hosts that trust an authority reject the bare key. Passwords are
//! not tried.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{
    Algorithm, Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey,
};
use russh::{MethodKind, MethodSet};
use tokio::net::UnixStream;

use crate::remote::RemoteError;
use crate::remote::config::Agent;

use super::endpoint::Endpoint;
use super::keys::{self, KeyFileError, Keyring, Loaded};
use super::signer::{ByAgent, ByKey, SignError};
use super::watcher::Watcher;
use super::{Clock, certificate};

/// What all logins of a run share.
pub(super) struct AuthContext<'a> {
    pub keyring: &'a Keyring,
    pub clock: &'a Clock,
}

/// Logs in, or reports what was tried.
pub(super) async fn log_in(
    handle: &mut Handle<Watcher>,
    end: &Endpoint,
    means: &AuthContext<'_>,
) -> Result<(), RemoteError> {
    let mut login = Login { handle, end, means, tried: Vec::new(), asks: None };
    let accepted = login.with_given_key().await?
        || (end.operator_keys
            && (login.with_agent().await? || login.with_operator_keys().await?));
    match accepted {
        true => Ok(()),
        false => {
            let passwords_only = login.asks_for_passwords_alone();
            Err(RemoteError::Auth {
                host: end.host.clone(),
                user: end.config.user.clone(),
                tried: login.tried,
                passwords_only,
            })
        }
    }
}

struct Login<'a> {
    handle: &'a mut Handle<Watcher>,
    end: &'a Endpoint,
    means: &'a AuthContext<'a>,
    /// What was tried, for the error.
    tried: Vec<String>,
    /// The login methods that the server named last.
    asks: Option<MethodSet>,
}

/// A key that the agent has, and the certificates that can be shown for it, each with its name.
struct Held {
    key: PublicKey,
    name: String,
    /// Whether the agent has the bare key, in addition to certificates of it.
    bare: bool,
    certificates: Vec<(String, Certificate, Signs)>,
}

/// What the agent signs with for a certificate: the agent finds its keys by what it was loaded
/// with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signs {
    ByCertificate,
    ByKey,
}

impl Held {
    /// Adds the certificate of a file; the agent can sign for it if it has the bare key.
    fn add(&mut self, file: &Path, certificate: Certificate) {
        let is_known = self.certificates.iter().any(|(_, it, _)| *it == certificate);
        if self.bare && !is_known {
            let name = file.display().to_string();
            self.certificates.push((name, certificate, Signs::ByKey));
        }
    }
}

impl Login<'_> {
    async fn with_given_key(&mut self) -> Result<bool, RemoteError> {
        let Some(file) = &self.end.key else { return Ok(false) };
        let loaded = self.means.keyring.load(file, self.end.passphrase.as_ref()).await;
        let error = match loaded {
            Ok(Loaded::Private(key)) => return self.with_file(file, key).await,
            Ok(Loaded::Public) => {
                KeyFileError::NotInAgent { file: file.clone(), agent: self.agent_name() }
            }
            Err(error @ KeyFileError::Encrypted { .. }) => error,
            Err(source) => return Err(self.unusable(source)),
        };
        let Some((mut agent, held)) = self.agent_has(file).await else {
            return Err(self.unusable(error));
        };
        self.by_agent(&mut agent, &held).await
    }

    fn unusable(&self, source: KeyFileError) -> RemoteError {
        RemoteError::Key { host: self.end.host.clone(), source }
    }

    async fn with_operator_keys(&mut self) -> Result<bool, RemoteError> {
        for file in self.operator_files() {
            let name = file.display().to_string();
            match self.means.keyring.load(&file, None).await {
                Ok(Loaded::Private(key)) => {
                    if self.with_file(&file, key).await? {
                        return Ok(true);
                    }
                }
                // The agent's key was already tried.
                Ok(Loaded::Public) if self.agent_has(&file).await.is_some() => {}
                Ok(Loaded::Public) => {
                    let agent = self.agent_name();
                    self.tried.push(KeyFileError::NotInAgent { file, agent }.to_string());
                }
                // OpenSSH's default list names files that may not exist.
                Err(KeyFileError::Unreadable { source, .. })
                    if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.tried.push(format!("{name} ({error})")),
            }
        }
        Ok(false)
    }

    async fn with_agent(&mut self) -> Result<bool, RemoteError> {
        let Some(mut agent) = self.agent().await else { return Ok(false) };
        let own: Vec<PublicKey> = self
            .operator_files()
            .iter()
            .filter_map(|file| keys::public_half(file))
            .collect();
        let mut held = self.held(&mut agent).await;
        let is_own = |held: &Held| own.iter().any(|own| same(own, &held.key));
        if self.end.config.identities_only {
            held.retain(is_own);
        }
        // A server accepts only a few attempts: keys meant for it come first.
        held.sort_by_key(|held| (!is_own(held), held.certificates.is_empty()));
        for held in held {
            if self.by_agent(&mut agent, &held).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The agent, if it has the key of a file, and that key.
    async fn agent_has(&self, file: &Path) -> Option<(AgentClient<UnixStream>, Held)> {
        let own = keys::public_half(file)?;
        let mut agent = self.agent().await?;
        let held = self.held(&mut agent).await;
        let mut held = held.into_iter().find(|held| same(&own, &held.key))?;
        held.name = file.display().to_string();
        if let Some((file, certificate)) = keys::beside(file, &own) {
            held.add(&file, certificate);
        }
        Some((agent, held))
    }

    /// The keys of the agent, each once, with their certificates from the agent or from the
    /// operator's files.
    async fn held(&self, agent: &mut AgentClient<UnixStream>) -> Vec<Held> {
        let mut held: Vec<Held> = Vec::new();
        for identity in agent.request_identities().await.unwrap_or_default() {
            let key = identity.public_key().into_owned();
            let name = format!("the SSH agent's {}", identity.comment());
            let at =
                held.iter().position(|held| same(&held.key, &key)).unwrap_or_else(|| {
                    let name = name.clone();
                    held.push(Held { key, name, bare: false, certificates: Vec::new() });
                    held.len() - 1
                });
            match identity {
                AgentIdentity::PublicKey { .. } => held[at].bare = true,
                AgentIdentity::Certificate { certificate, .. } => {
                    held[at].certificates.push((
                        format!("{name}, a certificate"),
                        certificate,
                        Signs::ByCertificate,
                    ))
                }
            }
        }
        let beside = self.operator_files().into_iter().filter_map(|file| {
            let key = keys::public_half(&file)?;
            keys::beside(&file, &key)
        });
        let named = self.certificate_files().into_iter().filter_map(|file| {
            let certificate = keys::read_certificate(&file).ok()?;
            Some((file, certificate))
        });
        for (file, certificate) in beside.chain(named) {
            if let Some(of) =
                held.iter_mut().find(|it| keys::is_of(&certificate, &it.key))
            {
                of.add(&file, certificate);
            }
        }
        held
    }

    async fn by_agent(
        &mut self,
        agent: &mut AgentClient<UnixStream>,
        held: &Held,
    ) -> Result<bool, RemoteError> {
        for (name, certificate, signs) in &held.certificates {
            let key = match signs {
                Signs::ByKey => Some(&held.key),
                Signs::ByCertificate => None,
            };
            let mut signer = ByAgent { agent: &mut *agent, key };
            if self.with_certificate(name, certificate, &mut signer).await? {
                return Ok(true);
            }
        }
        if !held.bare {
            return Ok(false);
        }
        let (key, name) = (&held.key, &held.name);
        let Some(hash) = self.hash_for(key, name).await? else { return Ok(false) };
        let user = self.end.config.user.as_str();
        let answer =
            self.handle.authenticate_publickey_with(user, key.clone(), hash, agent).await;
        match answer {
            Ok(result) => self.note(name, None, &result),
            Err(error) => {
                self.tried.push(format!("{name} (the SSH agent did not sign: {error})"));
                Ok(false)
            }
        }
    }

    /// Tries a private key from a file: its certificates first.
    async fn with_file(
        &mut self,
        file: &Path,
        key: Arc<PrivateKey>,
    ) -> Result<bool, RemoteError> {
        let name = file.display().to_string();
        if let Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 = key.algorithm() {
            self.tried
                .push(format!("{name} (a security key: load it into your SSH agent)"));
            return Ok(false);
        }
        let mut certificates: Vec<(PathBuf, Certificate)> =
            keys::beside(file, key.public_key()).into_iter().collect();
        for file in self.certificate_files() {
            match keys::read_certificate(&file) {
                Ok(it) if keys::is_of(&it, key.public_key()) => {
                    certificates.push((file, it))
                }
                Ok(_) => {}
                Err(error) => self.tried.push(format!("{} ({error})", file.display())),
            }
        }
        for (file, certificate) in certificates {
            let mut signer = ByKey { key: key.clone() };
            let name = file.display().to_string();
            if self.with_certificate(&name, &certificate, &mut signer).await? {
                return Ok(true);
            }
        }
        self.with_key(&name, key).await
    }

    async fn with_certificate(
        &mut self,
        name: &str,
        certificate: &Certificate,
        signer: &mut impl russh::Signer<Error = SignError>,
    ) -> Result<bool, RemoteError> {
        let key = PublicKey::new(certificate.public_key().clone(), "");
        let Some(hash) = self.hash_for(&key, name).await? else { return Ok(false) };
        let user = self.end.config.user.as_str();
        let shown = certificate.clone();
        let answer =
            self.handle.authenticate_certificate_with(user, shown, hash, signer).await;
        match answer {
            Ok(result) => {
                let told = certificate::tell(certificate, user, (self.means.clock)());
                self.note(name, Some(&told), &result)
            }
            Err(SignError::HungUp) => Err(self.hung_up()),
            Err(error) => {
                self.tried.push(format!("{name} ({error})"));
                Ok(false)
            }
        }
    }

    async fn with_key(
        &mut self,
        name: &str,
        key: Arc<PrivateKey>,
    ) -> Result<bool, RemoteError> {
        let Some(hash) = self.hash_for(key.public_key(), name).await? else {
            return Ok(false);
        };
        let key = PrivateKeyWithHashAlg::new(key, hash);
        let user = self.end.config.user.as_str();
        match self.handle.authenticate_publickey(user, key).await {
            Ok(result) => self.note(name, None, &result),
            Err(_) => Err(self.hung_up()),
        }
    }

    /// The hash that the server wants for signatures of a key: no choice except for RSA; `None`
    /// if it supports only SHA-1, which is not safe.
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
                self.tried
                    .push(format!("{name} (the server supports RSA only with SHA-1)"));
                Ok(None)
            }
            Err(_) => Err(self.hung_up()),
        }
    }

    /// Handles the server's answer to a key; `about` says why the server may have refused it.
    fn note(
        &mut self,
        name: &str,
        about: Option<&str>,
        result: &AuthResult,
    ) -> Result<bool, RemoteError> {
        match result {
            AuthResult::Success => return Ok(true),
            AuthResult::Failure { partial_success: true, .. } => {
                let more = "accepted, but the server wants a second login method";
                self.tried.push(format!("{name} ({more})"));
            }
            AuthResult::Failure { remaining_methods, .. } => {
                let about = about.map(|about| format!("; {about}")).unwrap_or_default();
                self.tried.push(format!("{name} (refused{about})"));
                self.asks = Some(remaining_methods.clone());
            }
        }
        match self.handle.is_closed() {
            true => Err(self.hung_up()),
            false => Ok(false),
        }
    }

    /// Whether the server accepts only passwords.
    fn asks_for_passwords_alone(&self) -> bool {
        let is_password = |method: &MethodKind| {
            matches!(method, MethodKind::Password | MethodKind::KeyboardInteractive)
        };
        self.asks
            .as_ref()
            .is_some_and(|asks| !asks.is_empty() && asks.iter().all(is_password))
    }

    /// sshd closes the connection after `MaxAuthTries` keys.
    fn hung_up(&mut self) -> RemoteError {
        let mut tried = std::mem::take(&mut self.tried);
        tried.push("then the server closed the connection".to_owned());
        RemoteError::Auth {
            host: self.end.host.clone(),
            user: self.end.config.user.clone(),
            tried,
            passwords_only: false,
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

    /// Where the agent is looked for, as text.
    fn agent_name(&self) -> String {
        match &self.end.config.identity_agent {
            Agent::Environment => "SSH_AUTH_SOCK".to_owned(),
            Agent::Variable(name) => name.clone(),
            Agent::Socket(path) => path.display().to_string(),
            Agent::None => "IdentityAgent none".to_owned(),
        }
    }

    fn operator_files(&self) -> Vec<PathBuf> {
        self.end.config.identity_files.clone()
    }

    fn certificate_files(&self) -> Vec<PathBuf> {
        self.end.config.certificate_files.clone()
    }
}

fn same(one: &PublicKey, other: &PublicKey) -> bool {
    one.key_data() == other.key_data()
}
