//! One server on the route to a host, and what a login there needs.

use std::path::PathBuf;

use crate::host::HostName;
use crate::inventory::HostKeyPolicy;
use crate::remote::config::HostConfig;
use crate::remote::known_hosts::{Key, LookupName};
use crate::secret::Secret;

/// One SSH server on the route, and everything needed to connect to it.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Named in errors.
    pub host: HostName,
    /// Its address and login; the inventory's settings are already applied.
    pub config: HostConfig,
    /// The name under which its key is known.
    pub lookup: LookupName,
    /// The key that the inventory names.
    pub key: Option<PathBuf>,
    pub passphrase: Option<Secret>,
    /// Whether the operator's SSH agent and keys may be tried too.
    pub operator_keys: bool,
    pub policy: HostKeyPolicy,
    /// If not empty, only these keys are accepted.
    pub vouched: Vec<Key>,
}

impl Endpoint {
    /// `user@host:port`, the name under which connections to it are shared.
    pub(super) fn name(&self) -> String {
        let HostConfig { user, hostname, port, .. } = &self.config;
        format!("{user}@{hostname}:{port}")
    }
}
