//! What a host should have, what it has, and what to do about the difference.
//!
//! Each kind of resource is one file with its question to the host, the reading of the answer, the
//! comparison, and the script that makes the change. [`probe`] puts all questions for a host into
//! one script, [`apply`] all changes of a stage into another.
//!
//! Pure: nothing in here connects to a host. What a host did not answer is [`Unknown`], and never
//! assumed.

mod absent;
pub mod apply;
mod blank;
pub mod boot;
mod directory;
pub mod engine;
mod facts;
mod file;
mod firewall;
mod image;
mod manifest;
mod package;
pub mod probe;
mod questions;
mod sysctl;
mod system;
mod tree;
mod unit;
mod user;

use std::fmt;

pub use crate::path::HostPath;
pub use absent::Absent;
pub use boot::{Boot, BootState};
pub use directory::Directory;
pub use engine::Engine;
pub use facts::{Facts, Unknown};
pub use file::{Content, File, FileKind, FileState};
pub use firewall::{Firewall, FirewallState};
pub use image::{Image, ImageOrigin};
pub use manifest::{Manifest, Owned};
pub use package::{Manager, Package, PackageState, ProvidedCommand};
pub use sysctl::Sysctl;
pub use system::{Cgroups, System};
pub use tree::Tree;
pub use unit::{Enabling, Unit, UnitState};
pub use user::{User, UserState};

use questions::Questions;

/// One thing that a host should have.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    /// A distribution package is installed.
    Package(Package),
    /// A system user exists.
    User(User),
    /// A kernel setting has a value, now and after a reboot.
    Sysctl(Sysctl),
    /// A directory exists.
    Directory(Directory),
    /// A file has this content.
    File(File),
    /// There is nothing at a path.
    Absent(Absent),
    /// A container image is in the host's Docker.
    Image(Image),
    /// An image's file system is in a folder.
    Tree(Tree),
    /// The firewall's rules are loaded, now and after a reboot.
    Firewall(Firewall),
    /// A systemd unit is enabled and runs with its current files.
    Unit(Unit),
    /// The next boot will have control groups of version 1.
    Boot(Boot),
    /// This boot has control groups of version 1.
    Booted(Boot),
}

/// A thing on a host, by its kind and its name. They are ordered as they are applied: a file needs
/// its owner, a unit needs its files and its image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A package, by its name in the host's distribution.
    Package(String),
    /// A user.
    User(String),
    /// A kernel setting.
    Sysctl(String),
    /// A directory.
    Directory(HostPath),
    /// A file.
    File(HostPath),
    /// A setting of the boot loader, by its file.
    Boot(HostPath),
    /// An image, by its name for people.
    Image(String),
    /// An image's file system, by its folder.
    Tree(HostPath),
    /// The service manager's own view of its unit files.
    Systemd,
    /// The firewall's rules.
    Firewall,
    /// A unit.
    Unit(String),
    /// The machine, which reboots.
    Reboot,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(name) => write!(f, "package {name}"),
            Self::User(name) => write!(f, "user {name}"),
            Self::Sysctl(name) => write!(f, "sysctl {name}"),
            Self::Directory(path) => write!(f, "directory {path}"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Boot(path) => write!(f, "boot setting {path}"),
            Self::Image(name) => write!(f, "image {name}"),
            Self::Tree(path) => write!(f, "tree {path}"),
            Self::Systemd => f.write_str("systemd"),
            Self::Firewall => f.write_str("firewall"),
            Self::Unit(name) => write!(f, "unit {name}"),
            Self::Reboot => f.write_str("the machine"),
        }
    }
}

/// One difference between what a host should have and what it has.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What changes.
    pub key: Key,
    /// What is done to it, such as `write`. With `key` it is the name of the step.
    pub verb: &'static str,
    /// Why: what was found instead.
    pub reason: String,
    /// For text files without secrets: a unified diff of the current and the new text.
    pub diff: Option<String>,
    /// What the host has to do.
    pub action: Action,
}

impl Change {
    /// The step's name, such as `write file /etc/hosts`.
    pub fn step(&self) -> String {
        format!("{} {}", self.verb, self.key)
    }

    /// Whether it may interrupt services on the host. It may, unless it is known to be harmless: a
    /// changed file, for example, is read only when its unit starts, and that is another change.
    pub fn disturbs(&self) -> bool {
        match &self.action {
            Action::InstallPackage { .. }
            | Action::StartUnit { .. }
            | Action::SetSysctl { .. }
            | Action::Reboot { .. }
            | Action::Retire(
                Owned::Package { .. } | Owned::Unit { .. } | Owned::Sysctl { .. },
            ) => true,
            Action::AddUser { .. }
            | Action::MakeDirectory { .. }
            | Action::WriteFile { .. }
            | Action::SetFileMode { .. }
            | Action::Remove(_)
            | Action::WriteBoot { .. }
            | Action::PullImage { .. }
            | Action::LoadImage { .. }
            | Action::UnpackTree { .. }
            | Action::LoadFirewall(_)
            | Action::Retire(
                Owned::User { .. }
                | Owned::Directory { .. }
                | Owned::File { .. }
                | Owned::Boot { .. }
                | Owned::Image { .. }
                | Owned::Tree { .. }
                | Owned::Firewall,
            )
            | Action::ReloadSystemd
            | Action::ReloadUnit { .. } => false,
        }
    }
}

/// What a host has to do. It contains everything that is needed: nothing is decided later.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Install a package with the host's package manager.
    InstallPackage {
        /// The package manager.
        manager: Manager,
        /// The package's name for that manager.
        name: String,
        /// The command that it has to provide, by itself or by another package.
        brings: Option<ProvidedCommand>,
    },
    /// Add a system user, or give it its shell.
    AddUser(User),
    /// Set a kernel setting, for now and for after a reboot.
    SetSysctl {
        /// The setting.
        sysctl: Sysctl,
        /// The value that it has now.
        before: String,
    },
    /// Make a directory, or give it its owner and mode.
    MakeDirectory(Directory),
    /// Write a whole file in place of what is there.
    WriteFile(File),
    /// Give a file that has the right content its owner and mode.
    SetFileMode(File),
    /// Remove a file or a link.
    Remove(HostPath),
    /// Pull an image by digest.
    PullImage(Image),
    /// Load an image from this computer. It is not part of the script: a separate command has the
    /// image's bytes as its input.
    LoadImage(Image),
    /// Unpack an image's file system.
    UnpackTree(Tree),
    /// Let systemd read its unit files again.
    ReloadSystemd,
    /// Load the firewall's rules. The host takes them back by itself unless a new connection
    /// confirms them, which is not part of the script: the step is done after that.
    LoadFirewall(Firewall),
    /// Enable a unit and start it, or restart it if it runs.
    StartUnit {
        /// The unit.
        name: String,
        /// Whether it runs, or is about to, and has to restart.
        restart: bool,
        /// How it is enabled at boot.
        enable: Enabling,
        /// Whether its last run failed, because of which systemd may refuse to start it.
        failed: bool,
        /// Whether this program has to stop it when it is removed: it did not run before.
        ours: bool,
    },
    /// Let a unit that runs read its files again, without an interruption.
    ReloadUnit {
        /// The unit.
        name: String,
    },
    /// Write a setting of the boot loader, and update the loader.
    WriteBoot(File),
    /// Reboot. The run then has to wait until the machine is back.
    Reboot {
        /// The id of the boot that has to end.
        boot: String,
    },
    /// Remove what an earlier run installed, and restore what it replaced.
    Retire(Owned),
}

impl Resource {
    /// The key of this resource. A package's name depends on the host's package manager.
    pub fn key(&self, manager: Manager) -> Key {
        match self {
            Self::Package(package) => Key::Package(package.name(manager).to_owned()),
            Self::User(user) => Key::User(user.name.clone()),
            Self::Sysctl(sysctl) => Key::Sysctl(sysctl.name.clone()),
            Self::Directory(directory) => Key::Directory(directory.path.clone()),
            Self::File(file) => Key::File(file.path.clone()),
            Self::Absent(absent) => Key::File(absent.path.clone()),
            Self::Image(image) => Key::Image(image.name.clone()),
            Self::Tree(tree) => Key::Tree(tree.path()),
            Self::Firewall(_) => Key::Firewall,
            Self::Unit(unit) => Key::Unit(unit.name.clone()),
            Self::Boot(_) => Key::Boot(boot::path()),
            Self::Booted(_) => Key::Reboot,
        }
    }

    /// Adds the questions about the state of this resource.
    pub fn ask(&self, questions: &mut Questions) {
        match self {
            Self::Package(package) => package.ask(questions),
            Self::User(user) => user.ask(questions),
            Self::Sysctl(sysctl) => sysctl.ask(questions),
            Self::Directory(directory) => directory.ask(questions),
            Self::File(file) => file.ask(questions),
            Self::Absent(absent) => absent.ask(questions),
            Self::Image(image) => image.ask(questions),
            Self::Tree(tree) => tree.ask(questions),
            Self::Firewall(_) => Firewall::ask(questions),
            Self::Unit(unit) => unit.ask(questions),
            Self::Boot(_) | Self::Booted(_) => Boot::ask(questions),
        }
    }

    fn diff(&self, facts: &Facts) -> Result<Option<Change>, Unknown> {
        match self {
            Self::Package(package) => package.diff(facts),
            Self::User(user) => user.diff(facts),
            Self::Sysctl(sysctl) => sysctl.diff(facts),
            Self::Directory(directory) => directory.diff(facts),
            Self::File(file) => file.diff(facts),
            Self::Absent(absent) => absent.diff(facts),
            Self::Image(image) => image.diff(facts),
            Self::Tree(tree) => tree.diff(facts),
            Self::Firewall(firewall) => firewall.diff(facts),
            Self::Unit(unit) => unit.diff(facts),
            Self::Boot(boot) => boot.diff(facts),
            Self::Booted(boot) => boot.diff_now(facts),
        }
    }
}

/// Compares what a host should have with what it has: the changes, in the order of work.
///
/// # Errors
/// When the host did not answer a question that the comparison needs.
pub fn diff(want: &[Resource], facts: &Facts) -> Result<Vec<Change>, Unknown> {
    let mut changes = Vec::new();
    for resource in want {
        changes.extend(resource.diff(facts)?);
    }
    if let Some(reload) = unit::reload(want, &changes, facts) {
        changes.push(reload);
    }
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(changes)
}

/// Things that are no longer wanted but have to stay, with the programs that run from them. The
/// program for which a tree was installed does not count, and neither does what ends with it: it is
/// restarted elsewhere, or stopped.
pub fn staying<'a>(
    want: &[Resource],
    facts: &'a Facts,
) -> Vec<(&'a Owned, Vec<&'a str>)> {
    let unwanted = unwanted(want, facts);
    let stays = unwanted.into_iter().filter_map(|owned| {
        let Owned::Tree { path, program, ends_together: false, .. } = owned else {
            return None;
        };
        let running = facts.trees.get(path)?.iter().map(String::as_str);
        let others: Vec<&str> = running.filter(|other| other != program).collect();
        (!others.is_empty()).then_some((owned, others))
    });
    stays.collect()
}

fn unwanted<'a>(want: &[Resource], facts: &'a Facts) -> Vec<&'a Owned> {
    let wanted: Vec<Owned> =
        want.iter().filter_map(|resource| manifest::owned(resource, facts)).collect();
    let is_wanted = |owned: &&Owned| wanted.iter().any(|wanted| wanted.same_thing(owned));
    facts.manifest.entries().iter().filter(|owned| !is_wanted(owned)).collect()
}

/// The changes that remove what earlier runs installed on a host and is no longer wanted, in the
/// reverse order of work. With `purge` they also remove the components' data.
pub fn retire(want: &[Resource], facts: &Facts, purge: bool) -> Vec<Change> {
    let mut changes: Vec<Change> = unwanted(want, facts)
        .into_iter()
        .filter_map(|owned| manifest::removal(owned, purge))
        .collect();
    changes.sort_by(|a, b| b.key.cmp(&a.key));
    changes.extend(unit::reload(&[], &changes, facts));
    changes
}
