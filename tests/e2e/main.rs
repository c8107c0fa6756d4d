//! The program on real machines: containers of this computer with systemd, sshd and Docker.
//!
//! They need Docker, and the images that `platform image build images/catalog.yaml` builds.
#![cfg(test)]

mod base;
mod cluster;
mod faults;
mod given;
mod harness;
mod words;
