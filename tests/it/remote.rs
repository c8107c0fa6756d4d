//! The SSH door against OpenSSH's own server, agent, client, and sudo.

mod exec;
mod host_keys;
mod login;
mod sshd;
mod sudo;
mod way;
