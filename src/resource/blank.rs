//! The facts of a machine that does not exist yet.

use super::{
    BootState, Cgroups, Facts, FileState, FirewallState, Manager, PackageState, Questions,
};
use super::{System, UnitState, UserState};
use crate::unit::Size;

/// The placeholder for a value that only the machine itself can report.
const NOT_KNOWN: &str = "not known yet";

impl Facts {
    /// The answers of a new machine with Debian to these questions: it has none of the things
    /// that are asked about, and room for all of them.
    pub fn of_new_machine(questions: &Questions) -> Self {
        let system = System {
            os: "a new machine".to_owned(),
            memory: Size::gib(4),
            free_disk: Size::gib(8),
            disk: "/".to_owned(),
            cgroups: Cgroups::V2,
            systemd: true,
            manager: Some(Manager::Apt),
            ..System::default()
        };
        let owned = |name: &str| name.to_owned();
        let packages = questions.packages().map(|it| (owned(it), PackageState::Missing));
        let users = questions.users().map(|it| (owned(it), UserState::Missing));
        let sysctls =
            questions.sysctls().map(|it| (owned(it), Some(NOT_KNOWN.to_owned())));
        let files = questions.files().keys();
        Self {
            system,
            files: files.map(|path| (path.clone(), FileState::Missing)).collect(),
            packages: packages.collect(),
            commands: questions.commands().map(|it| (owned(it), false)).collect(),
            users: users.collect(),
            units: questions.units().map(|it| (owned(it), no_unit())).collect(),
            images: questions.images().map(|it| (owned(it), false)).collect(),
            sysctls: sysctls.collect(),
            boot: questions.boots.then(first_boot),
            firewall: questions.firewall.then(FirewallState::default),
            ..Self::default()
        }
    }
}

fn no_unit() -> UnitState {
    UnitState {
        load: "not-found".to_owned(),
        active: "inactive".to_owned(),
        ..UnitState::default()
    }
}

fn first_boot() -> BootState {
    BootState {
        id: String::new(),
        systemd: 252,
        container: false,
        grub: true,
        now: Default::default(),
        next: Default::default(),
    }
}
