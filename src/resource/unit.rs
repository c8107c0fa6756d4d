//! A systemd unit that is enabled and runs with its current files.
//!
//! The files alone do not show whether a running unit has read them: a run may have died between
//! the writing and the restart. So each unit with inputs gets a drop-in that writes a note with the
//! hashes of its inputs at each start, whatever caused it. The wanted inputs are compared with that
//! note, so a restart that is due is never forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::questions::Questions;
use super::{Action, Change, Facts, File, Firewall, HostPath, Key, Resource, Unknown};

/// Where a start notes its inputs. Like the running units, the notes are gone after a reboot.
const NOTES: &str = "/run/platform";

/// The folder of unit files that are not from a package.
const UNITS: &str = "/etc/systemd/system";

/// A unit that a host should have enabled and running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its name with its type, such as `docker.service`.
    pub name: String,
    /// The hashes of the files that it reads when it starts.
    inputs: BTreeMap<HostPath, String>,
    /// The hashes of the files that it reads when it starts and when it reloads.
    reloaded: BTreeMap<HostPath, String>,
}

/// A unit's state on a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitState {
    /// Whether systemd knows it: `loaded`, `not-found`, ….
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`, ….
    pub active: String,
    /// Whether it starts at boot: `enabled`, `disabled`, `static`, ….
    pub enabled: String,
    /// Whether systemd has not yet read its newest file.
    pub needs_reload: bool,
    /// The hashes of its inputs when it was last started.
    pub started_with: BTreeMap<HostPath, String>,
    /// How long it has been active; `None` if it is not, or the host did not say.
    pub active_for: Option<Duration>,
    /// How often systemd has started it again by itself since somebody last started it.
    pub n_restarts: u64,
}

/// The longest that a service may take from the start of its unit until it serves. A Java program
/// on a slow machine takes longest.
const START: Duration = Duration::from_secs(60);

/// A unit that was started again more often is not about to serve: it ends after each start.
const MOST_RESTARTS: u64 = 2;

/// How a unit is enabled at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enabling {
    /// Not at all: it is enabled already, or it is of a kind that cannot be enabled.
    Not,
    /// Only by its links: systemd does not know it yet.
    New,
    /// By systemd itself, which remembers the state of a unit until it reads all units again.
    Known,
}

impl Unit {
    /// A unit that runs; this program does not restart it.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), inputs: BTreeMap::new(), reloaded: BTreeMap::new() }
    }

    /// The same unit, restarted whenever it runs with other contents of these files. The host also
    /// needs the drop-in that notes them: [`Unit::drop_in`].
    pub fn started_with<'a>(mut self, files: impl IntoIterator<Item = &'a File>) -> Self {
        self.inputs = hashes(files);
        self
    }

    /// The same unit, reloaded whenever it runs with other contents of these files. Its own file
    /// has to say how it is reloaded.
    pub fn reloaded_with<'a>(
        mut self,
        files: impl IntoIterator<Item = &'a File>,
    ) -> Self {
        self.reloaded = hashes(files);
        self
    }

    /// The drop-in that notes the inputs at each start and reload; `None` if there are no inputs.
    pub fn drop_in(&self) -> Option<File> {
        let inputs = self.inputs.keys().chain(self.reloaded.keys());
        let paths: Vec<&str> = inputs.map(HostPath::as_str).collect();
        let (paths_as_words, name) = (paths.join(" "), &self.name);
        let note = format!(
            "+/bin/sh -c '[ -d {NOTES} ] || mkdir -p {NOTES}; sha256sum {paths_as_words} >{NOTES}/{name}'"
        );
        let at_reload = match self.reloaded.is_empty() {
            true => String::new(),
            false => format!("ExecReload={note}\n"),
        };
        let text = format!(
            "# Written by platform: notes what this unit was started with.\n\
             [Service]\n\
             ExecStartPre={note}\n{at_reload}"
        );
        let path = format!("{UNITS}/{}.d/50-platform.conf", self.name);
        let path = path.parse().expect("a unit's name is safe in a path");
        (!paths.is_empty()).then(|| File::public(path, text))
    }

    pub(super) fn ask(&self, questions: &mut Questions) {
        questions.unit(&self.name);
    }

    pub(super) fn diff(&self, facts: &Facts) -> Result<Option<Change>, Unknown> {
        let state = facts.unit(&self.name)?;
        let start = |restart, ours| Action::StartUnit {
            name: self.name.clone(),
            restart,
            enable: state.enabling(),
            failed: state.active == "failed",
            ours,
        };
        let (verb, reason, action) = match state.active.as_str() {
            "active" | "reloading" => match (self.stale(state), state.enabled.as_str()) {
                (Some(stale), _) => ("restart", stale, start(true, false)),
                (None, "disabled") => {
                    ("enable", "does not start at boot".to_owned(), start(false, false))
                }
                (None, _) => match self.to_reload(state) {
                    Some(files) => {
                        let name = self.name.clone();
                        let reason = format!("runs with a different {files}");
                        ("reload", reason, Action::ReloadUnit { name })
                    }
                    None => return Ok(None),
                },
            },
            // The run waits for a unit that is about to run: otherwise a machine that boots would
            // stop its Docker, and everything in it, a second time. Only a unit that began with
            // other inputs has to restart.
            "activating" if state.load == "loaded" => {
                let restart =
                    !state.started_with.is_empty() && self.stale(state).is_some();
                ("start", "is activating".to_owned(), start(restart, true))
            }
            "deactivating" | "inactive" | "failed" if state.load == "loaded" => {
                ("start", format!("is {}", state.active), start(false, true))
            }
            "inactive" | "failed" => ("start", "is new".to_owned(), start(false, true)),
            other => {
                return Err(Unknown::about(format!("unit {} (`{other}`)", self.name)));
            }
        };
        let key = Key::Unit(self.name.clone());
        Ok(Some(Change { key, verb, reason, diff: None, action }))
    }

    /// Why it has to restart: inputs differ from those with which it was started.
    fn stale(&self, state: &UnitState) -> Option<String> {
        let stale = state.differing_from(&self.inputs);
        stale.map(|files| format!("was started with a different {files}"))
    }

    /// The files that it has to read again.
    fn to_reload(&self, state: &UnitState) -> Option<String> {
        state.differing_from(&self.reloaded)
    }
}

fn hashes<'a>(files: impl IntoIterator<Item = &'a File>) -> BTreeMap<HostPath, String> {
    let files = files.into_iter();
    files.map(|file| (file.path.clone(), file.content.sha256())).collect()
}

impl UnitState {
    /// Whether it was started so recently that its service may not serve yet.
    pub fn is_starting(&self) -> bool {
        self.active_for.is_some_and(|time| time < START)
            && self.n_restarts <= MOST_RESTARTS
    }

    /// The inputs that differ from those with which it runs; `None` if none does.
    fn differing_from(&self, inputs: &BTreeMap<HostPath, String>) -> Option<String> {
        let differs = |(path, sha256): &(&HostPath, &String)| {
            self.started_with.get(*path) != Some(*sha256)
        };
        let paths = inputs.iter().filter(differs).map(|(path, _)| path.as_str());
        let paths: Vec<&str> = paths.collect();
        (!paths.is_empty()).then(|| paths.join(", "))
    }

    fn enabling(&self) -> Enabling {
        match (self.enabled.as_str(), self.load.as_str()) {
            ("enabled" | "static" | "generated" | "indirect" | "alias", _) => {
                Enabling::Not
            }
            (_, "not-found") => Enabling::New,
            _ => Enabling::Known,
        }
    }
}

/// The reload that systemd needs before the units of `want` start: if a file of a unit that it
/// knows changes, or if an earlier run died before its reload. Systemd reads a unit that it does
/// not know yet when the unit first starts; a reload would take several times as long as everything
/// else that a new unit needs.
pub(super) fn reload(
    want: &[Resource],
    changes: &[Change],
    facts: &Facts,
) -> Option<Change> {
    let rewritten = changes.iter().any(|change| match &change.key {
        Key::File(path) => {
            unit_of(path).is_some_and(|name| !is_brought(name, changes, facts))
        }
        _ => false,
    });
    let owed = want.iter().any(|resource| {
        let name = match resource {
            Resource::Unit(unit) => unit.name.as_str(),
            Resource::Firewall(_) => Firewall::UNIT,
            _ => return false,
        };
        facts.unit(name).is_ok_and(|state| state.needs_reload)
    });
    let reason = match (rewritten, owed) {
        (true, _) => "unit files change",
        (false, true) => "unit files changed since it last read them",
        (false, false) => return None,
    };
    Some(Change {
        key: Key::Systemd,
        verb: "reload",
        reason: reason.to_owned(),
        diff: None,
        action: Action::ReloadSystemd,
    })
}

/// The unit to which a file belongs: as its own file, or as a drop-in.
fn unit_of(path: &HostPath) -> Option<&str> {
    let inner = path.as_str().strip_prefix(UNITS)?.strip_prefix('/')?;
    let name = inner.split('/').next()?;
    Some(name.strip_suffix(".d").unwrap_or(name))
}

/// Whether systemd does not know a unit and these changes write all of its files. Its own file must
/// be among them: otherwise a package might install it, and make the unit known before its drop-ins
/// exist.
fn is_brought(name: &str, changes: &[Change], facts: &Facts) -> bool {
    let file = format!("{UNITS}/{name}");
    let writes = |change: &Change| matches!(&change.action, Action::WriteFile(new) if new.path.as_str() == file);
    facts.unit(name).is_ok_and(|state| state.load == "not-found")
        && changes.iter().any(writes)
}

/// What is asked of systemd about each unit.
const SHOWN: &str = "Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload,\
                     ActiveEnterTimestampMonotonic,NRestarts";

/// The part of the probe about units.
pub(super) fn script(questions: &Questions) -> Option<String> {
    let names: Vec<String> = questions.units().map(|name| format!("'{name}'")).collect();
    (!names.is_empty()).then(|| {
        format!(
            r#"set -- {names}
read -r uptime _ </proc/uptime && printf '{{"q":"uptime","seconds":"%s"}}\n' "$uptime"
systemctl show -p {SHOWN} -- "$@" |
  while read -r line; do printf '{{"q":"unit","show":"%s"}}\n' "$line"; done
printf '{{"q":"unit","show":""}}\n'
for name do
  [ -r "{NOTES}/$name" ] && while read -r sum path; do
    printf '{{"q":"started","unit":"%s","path":"%s","sha256":"%s"}}\n' "$name" "$path" "$sum"
  done <"{NOTES}/$name"
done
"#,
            names = names.join(" ")
        )
    })
}

/// The time since the host's boot.
#[derive(Debug, Deserialize)]
pub(super) struct UptimeLine {
    seconds: String,
}

/// A line of `systemctl show`; an empty one ends a unit.
#[derive(Debug, Deserialize)]
pub(super) struct UnitLine {
    show: String,
}

/// An input with which a unit was started.
#[derive(Debug, Deserialize)]
pub(super) struct StartedLine {
    unit: String,
    path: String,
    sha256: String,
}

/// A unit whose lines are being read.
#[derive(Debug, Default)]
pub(super) struct UnitReader {
    uptime: Option<Duration>,
    name: Option<String>,
    state: UnitState,
    /// When it last became active, counted from the boot; zero if it never did.
    active_since: Duration,
}

impl UnitReader {
    pub(super) fn note_uptime(&mut self, line: &UptimeLine) -> Option<()> {
        let uptime = Duration::try_from_secs_f64(line.seconds.parse().ok()?).ok()?;
        self.uptime = Some(uptime);
        Some(())
    }

    pub(super) fn take(&mut self, line: UnitLine, facts: &mut Facts) -> Option<()> {
        if line.show.is_empty() {
            let read = std::mem::take(self);
            self.uptime = read.uptime;
            let active_for = read.active_for();
            if let Some(name) = read.name {
                facts.units.insert(name, UnitState { active_for, ..read.state });
            }
            return Some(());
        }
        let (key, value) = line.show.split_once('=')?;
        let value = value.to_owned();
        match key {
            "Id" => self.name = Some(value),
            "LoadState" => self.state.load = value,
            "ActiveState" => self.state.active = value,
            "UnitFileState" => self.state.enabled = value,
            "NeedDaemonReload" => self.state.needs_reload = value == "yes",
            "ActiveEnterTimestampMonotonic" => {
                self.active_since = Duration::from_micros(value.parse().ok()?);
            }
            "NRestarts" => self.state.n_restarts = value.parse().ok()?,
            _ => return None,
        }
        Some(())
    }

    fn active_for(&self) -> Option<Duration> {
        if self.state.active != "active" || self.active_since == Duration::ZERO {
            return None;
        }
        Some(self.uptime?.saturating_sub(self.active_since))
    }
}

impl StartedLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        // Without an answer of systemd about the unit, the note alone is of no use.
        if let Some(state) = facts.units.get_mut(&self.unit) {
            state.started_with.insert(self.path.parse().ok()?, self.sha256);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(load: &str, paths: &[&str], expected: bool) {
        let state = UnitState { load: load.to_owned(), ..UnitState::default() };
        let mut facts = Facts::default();
        facts.units.insert("x.service".to_owned(), state);
        let change = |path: &&str| {
            let path: HostPath = path.parse().unwrap();
            let file = File::public(path.clone(), String::new());
            Change {
                key: Key::File(path),
                verb: "write",
                reason: String::new(),
                diff: None,
                action: Action::WriteFile(file),
            }
        };
        let changes: Vec<Change> = paths.iter().map(change).collect();
        assert_eq!(reload(&[], &changes, &facts).is_some(), expected, "{load} {paths:?}");
    }

    #[test]
    fn systemd_reads_again_only_what_it_knows_or_may_know_by_then() {
        let own = "/etc/systemd/system/x.service";
        let drop_in = "/etc/systemd/system/x.service.d/50-platform.conf";
        check("not-found", &[own, drop_in], false);
        check("loaded", &[own, drop_in], true);
        check("loaded", &[drop_in], true);
        // A package may install the unit before its drop-in exists.
        check("not-found", &[drop_in], true);
        check("not-found", &[own, "/etc/systemd/system/y.service"], true);
        check("not-found", &["/etc/x"], false);
    }
}
