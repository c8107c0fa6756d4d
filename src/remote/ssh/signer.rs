//! Signs with the key of a certificate: from a file on this computer, or in the SSH agent.

use std::sync::Arc;

use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::ssh_key::{self, Signature};
use russh::keys::{HashAlg, PrivateKey, PublicKey};
use russh::{SendError, Signer};
use tokio::net::UnixStream;

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    #[error("the connection ended")]
    HungUp,
    #[error("the key cannot sign: {0}")]
    Key(#[from] ssh_key::Error),
    #[error("the SSH agent did not sign: {0}")]
    Agent(#[from] russh::keys::Error),
}

impl From<SendError> for SignError {
    fn from(_: SendError) -> Self {
        Self::HungUp
    }
}

/// A private key from a file.
pub(super) struct ByKey {
    pub key: Arc<PrivateKey>,
}

impl Signer for ByKey {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        let signature: Vec<u8> = sign(&self.key, hash, &data)?.try_into()?;
        signature.encode(&mut data).map_err(ssh_key::Error::from)?;
        Ok(data)
    }
}

fn sign(
    key: &PrivateKey,
    hash: Option<HashAlg>,
    data: &[u8],
) -> Result<Signature, ssh_key::Error> {
    let signed = match key.key_data() {
        KeypairData::Rsa(pair) => (pair, hash).try_sign(data),
        _ => key.try_sign(data),
    };
    signed.map_err(|_| ssh_key::Error::Crypto)
}

/// The SSH agent: it finds the key by the certificate, or by the bare key if it has only that.
pub(super) struct ByAgent<'a> {
    pub agent: &'a mut AgentClient<UnixStream>,
    pub key: Option<&'a PublicKey>,
}

impl Signer for ByAgent<'_> {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        shown: &AgentIdentity,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        let by = self.key.map(|key| AgentIdentity::from(key.clone()));
        Ok(self.agent.sign_request(by.as_ref().unwrap_or(shown), hash, data).await?)
    }
}
