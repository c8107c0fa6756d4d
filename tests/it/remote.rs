//! The SSH door against OpenSSH's own server, agent, client, and sudo.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod exec;
mod host_keys;
mod login;
mod sshd;
mod sudo;
mod way;
