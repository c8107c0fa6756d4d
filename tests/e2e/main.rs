//! The program on real machines: containers of this computer with systemd, sshd and Docker.
//!
//! They need Docker, and the images that `platform image build images/catalog.yaml` builds.
#![cfg(test)]

mod base;
mod cluster;
mod given;
mod faults;
mod harness;
mod words;
