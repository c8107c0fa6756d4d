//! The questions for a host: each kind of resource adds what it needs to know.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::{HostPath, Resource};

/// All questions for a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Questions {
    files: BTreeMap<HostPath, Option<String>>,
    packages: BTreeSet<String>,
    commands: BTreeSet<String>,
    users: BTreeSet<String>,
    units: BTreeSet<String>,
    images: BTreeSet<String>,
    sysctls: BTreeSet<String>,
    /// Whether to ask on which TCP ports programs listen.
    pub(super) ports: bool,
    /// The address at which something may answer.
    pub(super) answering: Option<Ipv4Addr>,
    /// Whether to ask about Docker.
    pub(super) docker: bool,
    /// Whether to ask how the machine was booted.
    pub(super) boots: bool,
    /// Whether to ask about the firewall's rules.
    pub(super) firewall: bool,
}

impl Questions {
    /// The questions that these resources ask.
    pub fn about<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Self {
        let mut questions = Self::default();
        for resource in resources {
            resource.ask(&mut questions);
        }
        questions
    }

    /// Also asks on which TCP ports programs listen.
    pub fn with_ports(mut self) -> Self {
        self.ports = true;
        self
    }

    /// Also asks whether something answers at this address. An answer comes at once; the silence of
    /// an address that nobody has takes a second.
    pub fn with_answering(mut self, address: Ipv4Addr) -> Self {
        self.answering = Some(address);
        self
    }

    /// Also asks about Docker; questions about images include that.
    pub fn with_docker(mut self) -> Self {
        self.docker();
        self
    }

    /// The same as [`Self::with_docker`], for questions that are being gathered.
    pub fn docker(&mut self) {
        self.docker = true;
    }

    /// Also asks how the machine was booted, and how it will be.
    pub fn boot(&mut self) {
        super::Boot::ask(self);
    }

    /// Also asks what is at a path.
    pub fn path(&mut self, path: &HostPath) {
        self.file(path, None);
    }

    /// Asks what is at a path. With the hash that a text file should have, also asks for its text
    /// if the hash differs.
    pub(super) fn file(&mut self, path: &HostPath, expected: Option<String>) {
        let slot = self.files.entry(path.clone()).or_default();
        *slot = slot.take().or(expected);
    }

    pub(super) fn package(&mut self, name: &str) {
        self.packages.insert(name.to_owned());
    }

    pub(super) fn command(&mut self, name: &str) {
        self.commands.insert(name.to_owned());
    }

    pub(super) fn user(&mut self, name: &str) {
        self.users.insert(name.to_owned());
    }

    pub(super) fn unit(&mut self, name: &str) {
        self.units.insert(name.to_owned());
    }

    pub(super) fn image(&mut self, id: &str) {
        self.images.insert(id.to_owned());
    }

    pub(super) fn sysctl(&mut self, name: &str) {
        self.sysctls.insert(name.to_owned());
    }

    pub(super) fn files(&self) -> &BTreeMap<HostPath, Option<String>> {
        &self.files
    }

    pub(super) fn packages(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().map(String::as_str)
    }

    pub(super) fn commands(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().map(String::as_str)
    }

    pub(super) fn users(&self) -> impl Iterator<Item = &str> {
        self.users.iter().map(String::as_str)
    }

    pub(super) fn units(&self) -> impl Iterator<Item = &str> {
        self.units.iter().map(String::as_str)
    }

    pub(super) fn images(&self) -> impl Iterator<Item = &str> {
        self.images.iter().map(String::as_str)
    }

    pub(super) fn sysctls(&self) -> impl Iterator<Item = &str> {
        self.sysctls.iter().map(String::as_str)
    }
}
