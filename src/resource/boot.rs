//! The boot setting of a machine: control groups of version 1 beside version 2, if the machine
//! would otherwise have only version 2.
//!
//! The setting is a drop-in of GRUB, which takes effect at the next boot. So the setting of the
//! next boot and that of this boot are two resources. A change of the second is a reboot.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use super::questions::Questions;
use super::{
    Action, Cgroups, Change, Facts, File, FileState, HostPath, Key, Owned, Unknown,
};

/// The file with the setting. Later files win, so it has to be the last one.
const PATH: &str = "/etc/default/grub.d/99-platform.cfg";

/// The file that GRUB generates from its settings.
const GENERATED: &str = "/boot/grub/grub.cfg";

/// Keeps systemd from mounting only version 2.
const HYBRID: &str = "systemd.unified_cgroup_hierarchy=0";

/// The last versions of systemd that support version 1 ignore [`HYBRID`] without this setting.
const FORCE: &str = "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1";

/// The first version of systemd that needs [`FORCE`].
const NEEDS_FORCE: u32 = 256;

/// The first version of systemd that no longer supports version 1.
const TOO_NEW: u32 = 258;

/// That a machine boots with control groups of version 1 beside version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Why, such as `Mesos 1.11.0 needs it for Docker tasks`.
    pub why: String,
}

/// How a machine was booted, and how it will be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootState {
    /// The id of this boot, which no other boot has.
    pub id: String,
    /// The version of systemd; 0 if there is none.
    pub systemd: u32,
    /// Whether it is a container, which uses the kernel of another machine.
    pub container: bool,
    /// Whether its boot loader is a GRUB with drop-ins.
    pub grub: bool,
    /// The words of the setting that this boot has.
    pub now: BTreeSet<String>,
    /// The words of the setting that the next boot will have.
    pub next: BTreeSet<String>,
}

/// Why a machine that has only version 2 cannot get version 1 beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootBlocker {
    /// It is a container.
    Container,
    /// This version of systemd is too new.
    Systemd(u32),
    /// It was booted with the setting, but without effect.
    InVain,
    /// Its boot loader has no drop-ins.
    Loader,
}

impl Boot {
    /// The drop-in, for a version of systemd.
    fn drop_in(systemd: u32) -> File {
        let text = format!(
            "# Written by platform: control groups of version 1 beside version 2.\n\
             GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {}\"\n",
            setting(systemd).join(" ")
        );
        File::public(path(), text)
    }

    pub(super) fn ask(questions: &mut Questions) {
        questions.boots = true;
        Self::drop_in(0).ask(questions);
    }

    /// The change that the next boot needs. There is none if the machine has version 1 without the
    /// setting, or if its operator has set it elsewhere.
    pub(super) fn diff(&self, facts: &Facts) -> Result<Option<Change>, Unknown> {
        let state = facts.boot()?;
        let file = Self::drop_in(state.systemd);
        let change = file.diff(facts)?;
        let is_ours = facts.manifest.entries().contains(&owned());
        let is_kept = state.will_have(&setting(state.systemd));
        let is_native =
            facts.system.cgroups == Cgroups::V1 && !state.now.contains(HYBRID);
        let is_wanted = match (is_ours, &change) {
            (true, Some(_)) => true,
            _ => !is_kept && !is_native && state.grub,
        };
        if !is_wanted {
            return Ok(None);
        }
        let found = match (&change, facts.file(&file.path)?) {
            (Some(_), FileState::Present { .. }) => " (the file differs)",
            (Some(_), FileState::Missing) => "",
            (None, _) => " (GRUB does not use it yet)",
        };
        Ok(Some(Change {
            key: Key::Boot(file.path.clone()),
            verb: "write",
            reason: format!("makes the kernel boot with cgroup v1: {}{found}", self.why),
            diff: change.and_then(|change| change.diff),
            action: Action::WriteBoot(file),
        }))
    }

    /// The reboot that the machine needs if it has not booted with the setting yet.
    pub(super) fn diff_now(&self, facts: &Facts) -> Result<Option<Change>, Unknown> {
        let boot = facts.boot()?.id.clone();
        Ok((facts.system.cgroups == Cgroups::V2).then(|| Change {
            key: Key::Reboot,
            verb: "reboot",
            reason: format!("boots with cgroup v1: {}", self.why),
            diff: None,
            action: Action::Reboot { boot },
        }))
    }
}

/// The words that a version of systemd needs on the kernel's command line.
fn setting(systemd: u32) -> Vec<&'static str> {
    match systemd {
        ..NEEDS_FORCE => vec![HYBRID],
        _ => vec![HYBRID, FORCE],
    }
}

pub(super) fn path() -> HostPath {
    PATH.parse().expect("a fixed path is safe")
}

/// The setting as it is recorded on the host.
pub(super) fn owned() -> Owned {
    Owned::Boot { path: path() }
}

impl BootState {
    fn has(&self, setting: &[&str]) -> bool {
        setting.iter().all(|word| self.now.contains(*word))
    }

    fn will_have(&self, setting: &[&str]) -> bool {
        setting.iter().all(|word| self.next.contains(*word))
    }

    /// Why the machine, which has only version 2, cannot get version 1 beside it; `None` if it can.
    pub fn hindrance(&self) -> Option<BootBlocker> {
        let setting = setting(self.systemd);
        if self.container {
            Some(BootBlocker::Container)
        } else if self.systemd >= TOO_NEW {
            Some(BootBlocker::Systemd(self.systemd))
        } else if self.has(&setting) {
            Some(BootBlocker::InVain)
        } else if !self.grub && !self.will_have(&setting) {
            Some(BootBlocker::Loader)
        } else {
            None
        }
    }
}

impl BootBlocker {
    /// What to do about it.
    pub fn help(self) -> &'static str {
        match self {
            Self::Container => {
                "boot the machine that runs this container with \
                 `systemd.unified_cgroup_hierarchy=0` on the kernel's command line"
            }
            Self::Systemd(_) => {
                "use a machine with an older distribution, such as Debian 12, or a version of \
                 the component that does not need version 1"
            }
            Self::InVain => {
                "check on that machine whether a later word in /proc/cmdline overrides it, and \
                 what `mount -t cgroup` shows"
            }
            Self::Loader => {
                "add `systemd.unified_cgroup_hierarchy=0` to its kernel's command line by hand, \
                 and reboot it"
            }
        }
    }
}

impl fmt::Display for BootBlocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container => f.write_str("a container does not boot its own kernel"),
            Self::Systemd(version) => {
                write!(f, "its systemd {version} no longer supports version 1")
            }
            Self::InVain => {
                write!(f, "it was booted with `{HYBRID}`, but still does not have it")
            }
            Self::Loader => f.write_str(
                "its boot loader is not GRUB with update-grub, as in Debian and Ubuntu",
            ),
        }
    }
}

/// The part of the probe about the boot.
pub(super) fn script(questions: &Questions) -> Option<String> {
    questions.boots.then(|| {
        format!(
            r#"now='' next='' systemd=0 container=false grub=false
read -r line </proc/cmdline
for word in {HYBRID} {FORCE}; do
  case " $line " in *" $word "*) now="$now $word" ;; esac
  grep -qsE "^[[:space:]]*linux.* $word( |\$)" {GENERATED} && next="$next $word"
done
if command -v systemctl >/dev/null; then
  set -- $(systemctl --version)
  systemd=${{2%%[!0-9]*}}
fi
[ -e /run/systemd/container ] && container=true
command -v update-grub >/dev/null && [ -e {GENERATED} ] && grub=true
read -r boot </proc/sys/kernel/random/boot_id
printf '{{"q":"boot","id":"%s","systemd":%s,"container":%s,"grub":%s,"now":"%s","next":"%s"}}\n' \
  "$boot" "${{systemd:-0}}" "$container" "$grub" "$now" "$next"
"#
        )
    })
}

/// How the machine was booted.
#[derive(Debug, Deserialize)]
pub(super) struct BootLine {
    id: String,
    systemd: u32,
    container: bool,
    grub: bool,
    now: String,
    next: String,
}

impl BootLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        facts.boot = Some(BootState {
            now: words(&self.now),
            next: words(&self.next),
            id: self.id,
            systemd: self.systemd,
            container: self.container,
            grub: self.grub,
        });
        Some(())
    }
}

/// What a machine reports about its boot while a run waits for its reboot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RebootState {
    /// It has not gone down yet.
    Before,
    /// It came back with version 1.
    Hybrid,
    /// It came back without version 1.
    InVain {
        /// The kernel's command line.
        command_line: String,
    },
}

/// The script that asks a machine while a run waits for its reboot. It needs no privileges.
pub const LOOK: &str = r#"cat /proc/sys/kernel/random/boot_id || exit 1
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo v2; else echo v1; fi
cat /proc/cmdline"#;

/// Reads the answer to [`LOOK`]; `before` is the id of the boot that has to end. `None` if the
/// answer is not complete.
pub fn reboot_state(answer: &str, before: &str) -> Option<RebootState> {
    let mut lines = answer.lines();
    let (id, cgroups, command_line) = (lines.next()?, lines.next()?, lines.next()?);
    Some(match (id == before, cgroups) {
        (true, _) => RebootState::Before,
        (false, "v1") => RebootState::Hybrid,
        (false, "v2") => RebootState::InVain { command_line: command_line.to_owned() },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(systemd: u32, next: &[&str]) -> BootState {
        BootState {
            systemd,
            grub: true,
            next: next.iter().map(|word| (*word).to_owned()).collect(),
            ..BootState::default()
        }
    }

    #[test]
    fn newer_versions_of_systemd_are_told_twice_and_the_newest_not_at_all() {
        let text = |systemd| {
            let file = Boot::drop_in(systemd);
            String::from_utf8_lossy(file.content.bytes()).into_owned()
        };
        assert!(text(255).ends_with("hierarchy=0\"\n"), "{}", text(255));
        assert!(text(256).ends_with(&format!("{HYBRID} {FORCE}\"\n")), "{}", text(256));
        assert_eq!(state(257, &[]).hindrance(), None);
        assert_eq!(state(258, &[]).hindrance(), Some(BootBlocker::Systemd(258)));
    }

    #[test]
    fn only_a_loader_that_can_be_told_or_was_told_gives_version_1() {
        let other = |next| BootState { grub: false, ..state(252, next) };
        assert_eq!(other(&[]).hindrance(), Some(BootBlocker::Loader));
        assert_eq!(other(&[HYBRID]).hindrance(), None);
        let container = BootState { container: true, ..state(252, &[]) };
        assert_eq!(container.hindrance(), Some(BootBlocker::Container));
        let in_vain = BootState { now: [HYBRID.to_owned()].into(), ..state(252, &[]) };
        assert_eq!(in_vain.hindrance(), Some(BootBlocker::InVain));
    }

    #[test]
    fn a_machine_is_back_when_it_has_another_boot_and_version_1() {
        assert_eq!(reboot_state("a\nv2\nquiet\n", "a"), Some(RebootState::Before));
        assert_eq!(reboot_state("b\nv1\nquiet\n", "a"), Some(RebootState::Hybrid));
        let command_line = "quiet".to_owned();
        assert_eq!(
            reboot_state("b\nv2\nquiet\n", "a"),
            Some(RebootState::InVain { command_line })
        );
        for cut in ["", "b\n", "b\nv1\n", "b\nv3\nquiet\n"] {
            assert_eq!(reboot_state(cut, "a"), None, "{cut:?}");
        }
    }
}
