//! The SSH host keys of new instances: known before the first connection.
//!
//! An instance gets its host key with its user data, and a tag on the instance has the public
//! half. So every computer that may read the cluster's tags knows the key, and no computer has to
//! trust an unknown key. The private half can be read by everyone that can read the instance's
//! user data: root, other programs on the instance through its metadata service, and AWS users
//! with the permission `ec2:DescribeInstanceAttribute`. Instances of one launch share a key.
//!
//! The key is derived from a secret of the cluster and the launch's token: if a launch is repeated
//! after a lost connection, the call is exactly the same.

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use sha2::Sha256;

use crate::secret::Secret;

/// A host key.
pub struct HostKey {
    private: Secret,
    /// The public half, as one OpenSSH line.
    pub public: String,
}

impl HostKey {
    /// The key of a launch: the same seed and token always give the same key.
    ///
    /// # Errors
    /// When the key cannot be written in OpenSSH's format.
    pub fn of(seed: &Secret, token: &str) -> Result<Self, russh::keys::ssh_key::Error> {
        let mut mac = Hmac::<Sha256>::new_from_slice(seed.expose().as_bytes())
            .expect("a key of any length will do");
        mac.update(b"ssh host key\0");
        mac.update(token.as_bytes());
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&bytes));
        Ok(Self {
            private: Secret::new(key.to_openssh(LineEnding::LF)?.as_str()),
            public: key.public_key().to_openssh()?,
        })
    }

    /// The user data for cloud-init that gives the key to an instance.
    pub fn user_data(&self) -> Secret {
        let indented: String =
            self.private.expose().lines().map(|line| format!("    {line}\n")).collect();
        Secret::new(format!(
            "#cloud-config\nssh_deletekeys: true\nssh_keys:\n  ed25519_private: |\n{indented}  \
             ed25519_public: {}\n",
            self.public
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_has_one_key_and_its_user_data_brings_it() {
        let (seed, other) = (Secret::new("seed"), Secret::new("other"));
        let key = HostKey::of(&seed, "token").unwrap();
        let again = HostKey::of(&seed, "token").unwrap();
        assert_eq!(key.user_data(), again.user_data(), "a repeated call is the same");
        for another in
            [HostKey::of(&seed, "b").unwrap(), HostKey::of(&other, "token").unwrap()]
        {
            assert_ne!(another.public, key.public);
        }
        let data = key.user_data();
        let lines = data.expose().lines().skip_while(|line| !line.contains("BEGIN"));
        let lines = lines.take_while(|line| !line.contains("ed25519_public"));
        let private: String = lines.map(|line| format!("{}\n", line.trim())).collect();
        let private = PrivateKey::from_openssh(&private).unwrap();
        assert_eq!(private.public_key().to_openssh().unwrap(), key.public);
        assert!(data.expose().starts_with("#cloud-config\n"));
    }
}
