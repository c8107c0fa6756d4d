//! A package of the host's distribution.

use serde::{Deserialize, Serialize};

use super::questions::Questions;
use super::{Action, Change, Facts, Key, Unknown};

/// A package that a host should have, in whatever version its distribution has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    apt: String,
    dnf: String,
    brings: Option<ProvidedCommand>,
}

/// A command that a package has to provide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvidedCommand {
    /// The command.
    pub command: &'static str,
    /// The package that provides it if the distribution has split it off.
    pub package: &'static str,
}

/// The package managers that this program can use.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// That of Debian, Ubuntu and similar distributions.
    #[default]
    Apt,
    /// That of Fedora, RHEL and similar distributions.
    Dnf,
}

/// A package's state on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageState {
    /// It is installed, in this version.
    Installed(String),
    /// It is not installed.
    Missing,
    /// Its installation was cut off, or something else is wrong with it.
    Broken(String),
}

impl Package {
    /// A package that has the same name for all package managers.
    pub fn named(name: &str) -> Self {
        Self::by_manager(name, name)
    }

    /// A package by its names for apt and for dnf.
    pub fn by_manager(apt: &str, dnf: &str) -> Self {
        Self { apt: apt.to_owned(), dnf: dnf.to_owned(), brings: None }
    }

    /// The same package, which counts as installed only if this command exists.
    pub fn that_brings(mut self, brings: ProvidedCommand) -> Self {
        self.brings = Some(brings);
        self
    }

    /// The command that it has to provide.
    pub fn command(&self) -> Option<&'static str> {
        self.brings.map(|brings| brings.command)
    }

    /// Its name for a package manager.
    pub fn name(&self, manager: Manager) -> &str {
        match manager {
            Manager::Apt => &self.apt,
            Manager::Dnf => &self.dnf,
        }
    }

    pub(super) fn ask(&self, questions: &mut Questions) {
        questions.package(&self.apt);
        questions.package(&self.dnf);
        if let Some(command) = self.command() {
            questions.command(command);
        }
    }

    pub(super) fn diff(&self, facts: &Facts) -> Result<Option<Change>, Unknown> {
        let manager = facts.system.manager()?;
        let name = self.name(manager);
        let reason = match facts.package(name)? {
            PackageState::Installed(_) => match self.command() {
                Some(command) if !facts.has_command(command)? => {
                    format!("provides no `{command}` command")
                }
                _ => return Ok(None),
            },
            PackageState::Missing => "is not installed".to_owned(),
            PackageState::Broken(state) => format!("is {state}"),
        };
        Ok(Some(Change {
            key: Key::Package(name.to_owned()),
            verb: "install",
            reason,
            diff: None,
            action: Action::InstallPackage {
                manager,
                name: name.to_owned(),
                brings: self.brings,
            },
        }))
    }
}

/// What differs between package managers: the commands for a question, an installation, a removal.
/// The functions of these names are in `apply.sh`.
trait Words {
    /// A command that prints a [`PackageLine`] for each of the shell's arguments it knows.
    const QUERY: &'static str;
    /// The function of the apply script that installs a package and records its dependencies.
    const INSTALL: &'static str;
    /// The function of the apply script that removes a package.
    const REMOVE: &'static str;
}

struct Apt;
struct Dnf;

impl Words for Apt {
    const QUERY: &'static str = r#"dpkg-query -W -f '{"q":"package","name":"${Package}","status":"${db:Status-Status}","version":"${Version}"}\n' "$@" 2>/dev/null"#;
    const INSTALL: &'static str = "apt_install";
    const REMOVE: &'static str = "apt_remove";
}

impl Words for Dnf {
    const QUERY: &'static str = r#"rpm -q --qf '{"q":"package","name":"%{NAME}","status":"installed","version":"%{VERSION}-%{RELEASE}"}\n' "$@" 2>/dev/null | grep '^{'"#;
    const INSTALL: &'static str = "dnf_install";
    const REMOVE: &'static str = "dnf_remove";
}

impl Manager {
    /// The apply script's function that installs a package.
    pub(super) fn install(self) -> &'static str {
        match self {
            Self::Apt => Apt::INSTALL,
            Self::Dnf => Dnf::INSTALL,
        }
    }

    /// The apply script's function that removes a package.
    pub(super) fn remove(self) -> &'static str {
        match self {
            Self::Apt => Apt::REMOVE,
            Self::Dnf => Dnf::REMOVE,
        }
    }
}

/// The part of the probe about packages and their manager. A package that the manager does not know
/// is not installed, and is listed after the manager has answered.
pub(super) fn script(questions: &Questions) -> Option<String> {
    let names: Vec<String> =
        questions.packages().map(|name| format!("'{name}'")).collect();
    let ask = |query: &str| match names.is_empty() {
        true => String::new(),
        false => format!("\n  {query}"),
    };
    Some(format!(
        r#"set -- {names}
if command -v dpkg-query >/dev/null; then
  printf '{{"q":"manager","manager":"apt"}}\n'{apt}
elif command -v rpm >/dev/null; then
  printf '{{"q":"manager","manager":"dnf"}}\n'{dnf}
fi
for name do printf '{{"q":"package_asked","name":"%s"}}\n' "$name"; done
for name in {commands}; do
  present=false
  command -v "$name" >/dev/null && present=true
  printf '{{"q":"command","name":"%s","present":%s}}\n' "$name" $present
done
"#,
        commands = questions.commands().collect::<Vec<&str>>().join(" "),
        names = names.join(" "),
        apt = ask(Apt::QUERY),
        dnf = ask(Dnf::QUERY),
    ))
}

/// A package that the manager knows.
#[derive(Debug, Deserialize)]
pub(super) struct PackageLine {
    name: String,
    status: String,
    version: String,
}

/// A package that was asked for: if the manager did not know it, it is missing.
#[derive(Debug, Deserialize)]
pub(super) struct PackageAskedLine {
    name: String,
}

/// A command that a package has to provide.
#[derive(Debug, Deserialize)]
pub(super) struct CommandLine {
    name: String,
    present: bool,
}

impl CommandLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        facts.commands.insert(self.name, self.present);
        Some(())
    }
}

impl PackageLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        let state = match self.status.as_str() {
            "installed" => PackageState::Installed(self.version),
            "not-installed" | "config-files" => PackageState::Missing,
            _ => PackageState::Broken(self.status),
        };
        facts.packages.insert(self.name, state);
        Some(())
    }
}

impl PackageAskedLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        // Without a manager, it is not known whether it is missing.
        if facts.system.manager().is_ok() {
            facts.packages.entry(self.name).or_insert(PackageState::Missing);
        }
        Some(())
    }
}
