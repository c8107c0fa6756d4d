//! The record on a host of what earlier runs installed there.
//!
//! A line is written before the thing itself is made, so nothing that this program makes is ever
//! unrecorded. With the record, things that are no longer wanted are found, and `down` leaves the
//! host as it was before: what existed before the first run is not in the record.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Action, Change, Facts, HostPath, Key, Manager, Resource, boot};

/// The file with the record, one line of JSON for each thing.
pub(super) const PATH: &str = "/var/lib/platform/manifest";

/// The part of the probe about the record. A last line without a newline was cut off while it was
/// written; what it would have named was not made yet.
pub(super) fn script() -> String {
    format!(
        "[ -r {PATH} ] && while read -r line; do printf '%s\\n' \"$line\"; done <{PATH}\n"
    )
}

/// All things that earlier runs installed on a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest(Vec<Owned>);

/// One thing that an earlier run installed on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Owned {
    /// A package.
    Package {
        /// The package manager that installed it.
        manager: Manager,
        /// Its name.
        name: String,
        /// The wanted package because of which it was installed: itself, or one that depends on it.
        asked: String,
    },
    /// A user.
    User {
        /// Its name.
        name: String,
    },
    /// A kernel setting.
    Sysctl {
        /// Its name.
        name: String,
        /// The value that it had.
        before: String,
    },
    /// A directory.
    Directory {
        /// Its path.
        path: HostPath,
        /// Whether it contains a component's data.
        data: bool,
    },
    /// A file; what it replaced is kept beside the record.
    File {
        /// Its path.
        path: HostPath,
    },
    /// A setting of the boot loader; what it replaced is kept beside the record.
    Boot {
        /// Its file.
        path: HostPath,
    },
    /// A container image.
    Image {
        /// Its id.
        id: String,
        /// Its name for people.
        name: String,
    },
    /// An image's file system, unpacked in a folder.
    Tree {
        /// Its path.
        path: HostPath,
        /// Its name for people.
        name: String,
        /// The program that runs from it.
        program: String,
        /// Whether all that runs from it ends with that program. It is recorded only if it is so:
        /// an older record, which must stay the same line, does not say it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ends_together: bool,
    },
    /// The firewall's table, and the unit that loads it at boot.
    Firewall,
    /// A unit that was enabled and started.
    Unit {
        /// Its name.
        name: String,
    },
}

impl Manifest {
    /// All entries.
    pub fn entries(&self) -> &[Owned] {
        &self.0
    }

    pub(super) fn add(&mut self, owned: Owned) {
        if !self.0.contains(&owned) {
            self.0.push(owned);
        }
    }
}

impl fmt::Display for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package { name, .. } => write!(f, "package {name}"),
            Self::User { name } => write!(f, "user {name}"),
            Self::Sysctl { name, .. } => write!(f, "sysctl {name}"),
            Self::Directory { path, data: true } => write!(f, "data in {path}"),
            Self::Directory { path, .. } => write!(f, "directory {path}"),
            Self::File { path } => write!(f, "file {path}"),
            Self::Boot { path } => write!(f, "boot setting {path}"),
            Self::Image { name, .. } => write!(f, "image {name}"),
            Self::Tree { path, name, .. } => write!(f, "tree of {name} in {path}"),
            Self::Firewall => f.write_str("firewall"),
            Self::Unit { name } => write!(f, "unit {name}"),
        }
    }
}

impl Owned {
    /// Whether this wanted thing is the same as `other`, or needs it.
    pub(super) fn same_thing(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Package { name, .. }, Self::Package { name: other, asked, .. }) => {
                name == other || name == asked
            }
            (Self::User { name }, Self::User { name: other })
            | (Self::Unit { name }, Self::Unit { name: other })
            | (Self::Sysctl { name, .. }, Self::Sysctl { name: other, .. }) => {
                name == other
            }
            (Self::File { path }, Self::File { path: other })
            | (Self::Boot { path }, Self::Boot { path: other })
            | (Self::Tree { path, .. }, Self::Tree { path: other, .. }) => path == other,
            (
                Self::File { path }
                | Self::Boot { path }
                | Self::Directory { path, .. }
                | Self::Tree { path, .. },
                Self::Directory { path: other, .. },
            ) => path.is_below(other.as_str()),
            (Self::Image { id, .. }, Self::Image { id: other, .. }) => id == other,
            (Self::Firewall, Self::Firewall) => true,
            _ => false,
        }
    }

    /// Its line in the record.
    pub(super) fn line(&self) -> String {
        serde_json::to_string(&Recorded { q: "ours", owned: self })
            .expect("names and paths are plain text")
    }
}

#[derive(Serialize)]
struct Recorded<'a> {
    q: &'static str,
    #[serde(flatten)]
    owned: &'a Owned,
}

/// The entry of the record for a resource once it has been applied. `None` if the resource is not
/// recorded, or if the host cannot have it, such as a kernel setting that its kernel lacks.
pub(super) fn owned(resource: &Resource, facts: &Facts) -> Option<Owned> {
    Some(match resource {
        Resource::Package(package) => {
            let manager = facts.system.manager().ok()?;
            let name = package.name(manager).to_owned();
            Owned::Package { manager, asked: name.clone(), name }
        }
        Resource::User(user) => Owned::User { name: user.name.clone() },
        Resource::Sysctl(sysctl) => Owned::Sysctl {
            name: sysctl.name.clone(),
            before: facts.sysctl(&sysctl.name).ok()??.to_owned(),
        },
        Resource::Directory(directory) => {
            Owned::Directory { path: directory.path.clone(), data: directory.data }
        }
        Resource::File(file) if file.data => return None,
        Resource::Absent(_) => return None,
        Resource::File(file) => Owned::File { path: file.path.clone() },
        Resource::Image(image) => {
            Owned::Image { id: image.id.clone(), name: image.name.clone() }
        }
        Resource::Tree(tree) => tree.owned(),
        Resource::Firewall(_) => Owned::Firewall,
        Resource::Unit(unit) => Owned::Unit { name: unit.name.clone() },
        Resource::Boot(_) => boot::owned(),
        Resource::Booted(_) => return None,
    })
}

/// The change that removes a thing; `None` for data that has to be kept.
pub(super) fn removal(owned: &Owned, purge: bool) -> Option<Change> {
    let (key, verb) = match owned.clone() {
        Owned::Directory { data: true, .. } if !purge => return None,
        Owned::Package { name, .. } => (Key::Package(name), "remove"),
        Owned::User { name } => (Key::User(name), "remove"),
        Owned::Sysctl { name, .. } => (Key::Sysctl(name), "restore"),
        Owned::Directory { path, .. } => (Key::Directory(path), "remove"),
        Owned::File { path } => (Key::File(path), "remove"),
        Owned::Boot { path } => (Key::Boot(path), "remove"),
        Owned::Image { name, .. } => (Key::Image(name), "remove"),
        Owned::Tree { path, .. } => (Key::Tree(path), "remove"),
        Owned::Firewall => (Key::Firewall, "remove"),
        Owned::Unit { name } => (Key::Unit(name), "stop"),
    };
    let action = Action::Retire(owned.clone());
    let reason = match owned {
        Owned::Boot { .. } => {
            "is not wanted any more; a reboot restores what was there before"
        }
        _ => "is not wanted any more",
    };
    let reason = reason.to_owned();
    Some(Change { key, verb, reason, diff: None, action })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, asked: &str) -> Owned {
        let manager = Manager::Apt;
        Owned::Package { manager, name: name.to_owned(), asked: asked.to_owned() }
    }

    #[test]
    fn a_package_stays_for_its_own_sake_or_for_another_that_needs_it() {
        let wanted = package("jq", "jq");
        assert!(wanted.same_thing(&package("jq", "jq")));
        assert!(wanted.same_thing(&package("libjq1", "jq")));
        assert!(wanted.same_thing(&package("jq", "tools")));
        assert!(!wanted.same_thing(&package("libjq1", "tools")));
    }
}
