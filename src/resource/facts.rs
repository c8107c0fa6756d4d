//! The facts of a host: what it answered to a probe.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    BootState, FileState, FirewallState, HostPath, Manifest, PackageState, System,
    UnitState, UserState,
};

/// Everything that a probe found out about a host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// The machine and its system.
    pub system: System,
    /// What earlier runs installed on the host.
    pub manifest: Manifest,
    /// The last change that a run made to the host, as `CLUSTER RUN/STAGE/WAVE`; empty before the
    /// first change.
    pub generation: String,
    pub(super) files: BTreeMap<HostPath, FileState>,
    pub(super) packages: BTreeMap<String, PackageState>,
    pub(super) commands: BTreeMap<String, bool>,
    pub(super) users: BTreeMap<String, UserState>,
    pub(super) units: BTreeMap<String, UnitState>,
    pub(super) images: BTreeMap<String, bool>,
    pub(super) sysctls: BTreeMap<String, Option<String>>,
    pub(super) boot: Option<BootState>,
    pub(super) firewall: Option<FirewallState>,
    /// The programs that run from each tree. A tree without programs is not in it.
    pub(super) trees: BTreeMap<HostPath, BTreeSet<String>>,
}

/// A question that a host did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the host did not report the state of {0}; run the command again, with `-v` if it fails again"
)]
pub struct Unknown(String);

impl Unknown {
    pub(super) fn about(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl Facts {
    /// The cluster whose runs installed what is on the record; `None` if the record is empty.
    pub fn cluster(&self) -> Option<&str> {
        let (cluster, _) = self.generation.split_once(' ')?;
        (!self.manifest.entries().is_empty()).then_some(cluster)
    }

    /// What is at a path.
    ///
    /// # Errors
    /// When that was not asked or not answered. The same holds for the functions below.
    pub fn file(&self, path: &HostPath) -> Result<&FileState, Unknown> {
        self.files.get(path).ok_or_else(|| Unknown::about(format!("file {path}")))
    }

    /// A package's state.
    ///
    /// # Errors
    /// As [`Facts::file`].
    pub fn package(&self, name: &str) -> Result<&PackageState, Unknown> {
        self.packages.get(name).ok_or_else(|| Unknown::about(format!("package {name}")))
    }

    /// Whether a command exists.
    ///
    /// # Errors
    /// As [`Facts::file`].
    pub fn has_command(&self, name: &str) -> Result<bool, Unknown> {
        let known = self.commands.get(name).copied();
        known.ok_or_else(|| Unknown::about(format!("command {name}")))
    }

    /// A user's state.
    ///
    /// # Errors
    /// As [`Facts::file`].
    pub fn user(&self, name: &str) -> Result<&UserState, Unknown> {
        self.users.get(name).ok_or_else(|| Unknown::about(format!("user {name}")))
    }

    /// A unit's state.
    ///
    /// # Errors
    /// As [`Facts::file`].
    pub fn unit(&self, name: &str) -> Result<&UnitState, Unknown> {
        self.units.get(name).ok_or_else(|| Unknown::about(format!("unit {name}")))
    }

    /// Whether an image is in the host's Docker.
    ///
    /// # Errors
    /// As [`Facts::file`].
    pub fn has_image(&self, id: &str) -> Result<bool, Unknown> {
        self.images.get(id).copied().ok_or_else(|| Unknown::about(format!("image {id}")))
    }

    /// How the machine was booted.
    ///
    /// # Errors
    /// As [`Facts::file`].
    pub fn boot(&self) -> Result<&BootState, Unknown> {
        self.boot.as_ref().ok_or_else(|| Unknown::about("its boot"))
    }

    /// The firewall's rules.
    ///
    /// # Errors
    /// As [`Facts::file`].
    pub fn firewall(&self) -> Result<&FirewallState, Unknown> {
        self.firewall.as_ref().ok_or_else(|| Unknown::about("its firewall"))
    }

    /// A kernel setting's value; `None` if the kernel has no such setting.
    ///
    /// # Errors
    /// As [`Facts::file`].
    pub fn sysctl(&self, name: &str) -> Result<Option<&str>, Unknown> {
        match self.sysctls.get(name) {
            Some(value) => Ok(value.as_deref()),
            None => Err(Unknown::about(format!("sysctl {name}"))),
        }
    }

    /// The wanted kernel settings that the kernel does not have.
    pub fn sysctls_lacking(&self) -> impl Iterator<Item = &str> {
        let lacking = self.sysctls.iter().filter(|(_, value)| value.is_none());
        lacking.map(|(name, _)| name.as_str())
    }
}
