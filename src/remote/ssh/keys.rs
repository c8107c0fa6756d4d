//! The operator's keys on this computer: private keys, their public halves, and certificates.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::{Certificate, PrivateKey, PublicKey};
use tokio::sync::Mutex;

use crate::secret::Secret;

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
    /// It is encrypted and no passphrase is set.
    #[error(
        "the private key {} is encrypted: set `passphrase` next to `key` in the inventory, or \
         load the key into your SSH agent with ssh-add",
        file.display()
    )]
    Encrypted {
        /// The file.
        file: PathBuf,
    },
    /// The passphrase is wrong.
    #[error("the passphrase is wrong for the private key {}", file.display())]
    WrongPassphrase {
        /// The file.
        file: PathBuf,
    },
    /// It is only the public half, and no SSH agent has the private half.
    #[error(
        "{} is a public key, and the SSH agent ({agent}) does not have its private half: load it \
         with ssh-add, or name the private key",
        file.display()
    )]
    NotInAgent {
        /// The file.
        file: PathBuf,
        /// Where the SSH agent is looked for.
        agent: String,
    },
    /// It is a certificate.
    #[error(
        "{} is a certificate: name the private key that it belongs to; a certificate next to \
         that key, named KEY-cert.pub, is found automatically",
        file.display()
    )]
    Certificate {
        /// The file.
        file: PathBuf,
    },
    /// It is not a private key, or its type is not supported.
    #[error("{} is not a usable private key: {said}", file.display())]
    NotAKey {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        said: String,
    },
}

/// The content of a key file.
#[derive(Debug, Clone)]
pub(super) enum Loaded {
    Private(Arc<PrivateKey>),
    /// Only the public half: an SSH agent may have the private one.
    Public,
}

/// The private keys of a run, each read and decrypted once: decrypting a key is slow by design.
#[derive(Default)]
pub(super) struct Keyring(Mutex<HashMap<PathBuf, Loaded>>);

impl Keyring {
    pub(super) async fn load(
        &self,
        file: &Path,
        passphrase: Option<&Secret>,
    ) -> Result<Loaded, KeyFileError> {
        let mut loaded = self.0.lock().await;
        if let Some(key) = loaded.get(file) {
            return Ok(key.clone());
        }
        let (path, passphrase) = (file.to_owned(), passphrase.cloned());
        let read = move || read_key(&path, passphrase.as_ref());
        let key = tokio::task::spawn_blocking(read).await.map_err(|died| {
            KeyFileError::NotAKey { file: file.to_owned(), said: died.to_string() }
        })??;
        loaded.insert(file.to_owned(), key.clone());
        Ok(key)
    }
}

/// The public half of a key file, which needs no passphrase; the file may itself be a public key.
pub(super) fn public_half(file: &Path) -> Option<PublicKey> {
    let read = |file: &Path| public(&std::fs::read_to_string(file).ok()?);
    read(&with_ending(file, ".pub")).or_else(|| read(file)).or_else(|| {
        let key = PrivateKey::from_openssh(std::fs::read(file).ok()?).ok()?;
        Some(key.public_key().clone())
    })
}

/// The certificate next to a key file, if it belongs to this key.
pub(super) fn beside(file: &Path, key: &PublicKey) -> Option<(PathBuf, Certificate)> {
    let bare = match file.extension() {
        Some(ending) if ending == "pub" => file.with_extension(""),
        _ => file.to_owned(),
    };
    let file = with_ending(&bare, "-cert.pub");
    let certificate = read_certificate(&file).ok()?;
    is_of(&certificate, key).then_some((file, certificate))
}

/// Reads a file with a certificate.
pub(super) fn read_certificate(file: &Path) -> Result<Certificate, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    Certificate::from_openssh(text.trim()).map_err(|error| error.to_string())
}

/// Whether a certificate belongs to a key.
pub(super) fn is_of(certificate: &Certificate, key: &PublicKey) -> bool {
    certificate.public_key() == key.key_data()
}

fn public(text: &str) -> Option<PublicKey> {
    PublicKey::from_openssh(text.lines().next()?.trim()).ok()
}

fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn read_key(path: &Path, passphrase: Option<&Secret>) -> Result<Loaded, KeyFileError> {
    let file = || path.to_owned();
    let text = Secret::new(
        std::fs::read_to_string(path)
            .map_err(|source| KeyFileError::Unreadable { file: file(), source })?,
    );
    let decode = |passphrase| russh::keys::decode_secret_key(text.expose(), passphrase);
    let private = |key| Loaded::Private(Arc::new(key));
    let error = match decode(None) {
        Ok(key) => return Ok(private(key)),
        Err(error) => error,
    };
    if public(text.expose()).is_some() {
        return Ok(Loaded::Public);
    }
    if Certificate::from_openssh(text.expose().trim()).is_ok() {
        return Err(KeyFileError::Certificate { file: file() });
    }
    let encrypted = matches!(error, russh::keys::Error::KeyIsEncrypted)
        || text.expose().contains("BEGIN ENCRYPTED PRIVATE KEY")
        || text.expose().contains("Proc-Type: 4,ENCRYPTED");
    match (encrypted, passphrase) {
        (true, None) => Err(KeyFileError::Encrypted { file: file() }),
        (true, Some(passphrase)) => decode(Some(passphrase.expose()))
            .map(private)
            .map_err(|_| KeyFileError::WrongPassphrase { file: file() }),
        (false, _) => {
            Err(KeyFileError::NotAKey { file: file(), said: error.to_string() })
        }
    }
}
