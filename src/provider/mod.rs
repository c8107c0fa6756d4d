//! Where machines come from: asks a provider what exists, makes what is missing, destroys.
//!
//! A provider knows machines and nothing of what runs on them. Machines are found again by
//! what the provider itself keeps (names, labels, addresses), never by a local file.

use std::net::IpAddr;

use crate::host::HostName;

/// A machine that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its name in the cluster.
    pub host: HostName,
    /// The group it belongs to.
    pub group: String,
    /// Where the cluster's other hosts reach it.
    pub address: IpAddr,
    /// Host keys that the provider itself vouches for, as OpenSSH public key lines
    /// (`ssh-ed25519 AAAA…`); empty where it has no way to know them.
    pub host_keys: Vec<String>,
}
