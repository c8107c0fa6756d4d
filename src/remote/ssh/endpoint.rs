//! One server on the way to a host, and what it takes to log in there.

use std::path::PathBuf;

use crate::host::HostName;
use crate::inventory::HostKeyPolicy;
use crate::remote::config::HostConfig;
use crate::remote::known_hosts::{Key, LookupName};
use crate::secret::Secret;

/// One SSH server on the way, and all that is needed to connect to it.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Named in errors.
    pub host: HostName,
    /// Where it is and who logs in; the inventory's word already in it.
    pub config: HostConfig,
    /// What its key is known by.
    pub lookup: LookupName,
    /// The key that the inventory names.
    pub key: Option<PathBuf>,
    pub passphrase: Option<Secret>,
    /// Whether the operator's agent and keys may be tried as well.
    pub operator_keys: bool,
    pub policy: HostKeyPolicy,
    /// Where there are any, exactly these keys pass.
    pub vouched: Vec<Key>,
}

impl Endpoint {
    /// `user@host:port`, the name that connections to it are shared under.
    pub(super) fn name(&self) -> String {
        let HostConfig { user, hostname, port, .. } = &self.config;
        format!("{user}@{hostname}:{port}")
    }
}
