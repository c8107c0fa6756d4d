//! The program on real machines: containers of this computer with systemd, sshd and Docker.
//!
//! They need Docker, and the images that `platform image build` builds from images/base.yaml and
//! from tests/standins/catalog.yaml.
#![cfg(test)]

mod aws;
mod base;
mod cluster;
mod consent;
mod ec2;
mod edge;
mod faults;
mod firewall;
mod given;
mod grow;
mod harness;
#[cfg(target_arch = "x86_64")]
mod hybrid;
mod mesos;
mod outages;
mod page;
mod reach;
mod words;
