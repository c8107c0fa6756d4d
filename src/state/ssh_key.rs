//! The key pair with which this program logs in to the machines that it makes itself.

use std::path::PathBuf;

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use russh::keys::ssh_key::{self, LineEnding};
use russh::keys::{Algorithm, PrivateKey};

use super::{State, StateError};

/// An SSH key pair of the state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    /// The private key, in OpenSSH's form and without a passphrase.
    pub private: PathBuf,
    /// The public key as one line for `authorized_keys`, without its newline.
    pub public: String,
}

/// Why there is no SSH key.
#[derive(Debug, thiserror::Error)]
pub enum SshKeyError {
    /// Its file cannot be used.
    #[error(transparent)]
    File(#[from] StateError),
    /// The file holds something else.
    #[error(
        "{} is not an OpenSSH private key: remove it, and a new one is made; machines that \
         trust the old one must then be replaced", path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ssh_key::Error,
    },
    /// A new key could not be made.
    #[error("cannot make an SSH key")]
    Make(#[source] ssh_key::Error),
}

impl State {
    /// The ed25519 key for machines that a provider makes. The first call makes it; once it is
    /// kept, it stays the same.
    ///
    /// # Errors
    /// When the folder cannot be written, or the file there is not a private key.
    pub fn ssh_key(&self) -> Result<SshKey, SshKeyError> {
        let private = self.ssh_key_file();
        let text = match self.draft.read(&private)? {
            Some(text) => text,
            None => {
                let made = self.make_key().map_err(SshKeyError::Make)?;
                self.draft.once(&private, || made)?
            }
        };
        let unreadable =
            |source| SshKeyError::Unreadable { path: private.clone(), source };
        let key = PrivateKey::from_openssh(&text).map_err(unreadable)?;
        let public = key.public_key().to_openssh().map_err(unreadable)?;
        Ok(SshKey { private, public })
    }

    /// Whether the key is kept.
    pub fn has_ssh_key(&self) -> bool {
        self.ssh_key_file().exists()
    }

    /// Where the private key is kept.
    pub fn ssh_key_file(&self) -> PathBuf {
        self.folder.join("id_ed25519")
    }

    fn make_key(&self) -> Result<Vec<u8>, ssh_key::Error> {
        let mut key = PrivateKey::random(&mut UnwrapErr(SysRng), Algorithm::Ed25519)?;
        key.set_comment(format!("platform {}", self.cluster.as_str()));
        Ok(key.to_openssh(LineEnding::LF)?.as_bytes().to_vec())
    }
}
