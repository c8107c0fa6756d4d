//! The SSH client against OpenSSH's own server, agent, client, and sudo.

mod certificates;
mod config;
mod exec;
mod host_keys;
mod login;
mod route;
mod shells;
mod sshd;
mod sudo;
