//! What a machine's kernel is booted with: control groups of version 1 beside version 2, where
//! the machine would have version 2 alone.
//!
//! The setting is a drop-in of GRUB, which counts from the next boot on; so what the next boot
//! will have and what this one has are two resources. A change of the second is a reboot.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use super::questions::Questions;
use super::{
    Action, Cgroups, Change, Facts, File, FileState, HostPath, Key, Owned, Unknown,
};

/// Where the setting is. The last word is ours: later files win.
const PATH: &str = "/etc/default/grub.d/99-platform.cfg";

/// Where GRUB keeps what it makes of its settings.
const GENERATED: &str = "/boot/grub/grub.cfg";

/// Keeps systemd from mounting version 2 alone.
const HYBRID: &str = "systemd.unified_cgroup_hierarchy=0";

/// Without this as well, the last versions of systemd that know version 1 do not heed
/// [`HYBRID`].
const FORCE: &str = "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1";

/// The first version of systemd that needs [`FORCE`].
const NEEDS_FORCE: u32 = 256;

/// The first version of systemd that does not know version 1 any more.
const TOO_NEW: u32 = 258;

/// That a machine boots with control groups of version 1 beside version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Who needs that, such as `Mesos 1.11.0 runs Docker tasks on no other`.
    pub why: String,
}

/// How a machine was booted, and how it will be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootState {
    /// Names this boot: no other has the same.
    pub id: String,
    /// The version of systemd; 0 where there is none.
    pub systemd: u32,
    /// Whether it has the kernel of another machine.
    pub container: bool,
    /// Whether its loader is a GRUB that takes drop-ins.
    pub grub: bool,
    /// What of the setting this boot has.
    pub now: BTreeSet<String>,
    /// What of the setting the next boot will have.
    pub next: BTreeSet<String>,
}

/// Why a machine with version 2 alone cannot be given version 1 beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootBlocker {
    /// It is a container.
    Container,
    /// This version of systemd is too new.
    Systemd(u32),
    /// It was booted with the setting already.
    InVain,
    /// Its loader takes no drop-ins.
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

    /// What the next boot lacks. A machine that has version 1 without the setting, and one
    /// whose operator wrote it elsewhere, lack nothing.
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
            (Some(_), FileState::Present { .. }) => " (it is another)",
            (Some(_), FileState::Missing) => "",
            (None, _) => " (GRUB has not taken it over)",
        };
        Ok(Some(Change {
            key: Key::Boot(file.path.clone()),
            verb: "write",
            reason: format!("makes the kernel boot with cgroup v1: {}{found}", self.why),
            diff: change.and_then(|change| change.diff),
            action: Action::WriteBoot(file),
        }))
    }

    /// The reboot that the machine needs, where it has not booted with the setting yet.
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

/// What a version of systemd needs on the kernel's command line.
fn setting(systemd: u32) -> Vec<&'static str> {
    match systemd {
        ..NEEDS_FORCE => vec![HYBRID],
        _ => vec![HYBRID, FORCE],
    }
}

pub(super) fn path() -> HostPath {
    PATH.parse().expect("a fixed path is safe")
}

/// The line of the record that stands for the setting.
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

    /// Why the machine, which has version 2 alone, cannot be given version 1 beside it; none
    /// where it can.
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
                "boot the machine whose kernel it has with \
                 `systemd.unified_cgroup_hierarchy=0` on the kernel's command line"
            }
            Self::Systemd(_) => {
                "use a machine with an older distribution, such as Debian 12, or a version of \
                 the component that needs no version 1"
            }
            Self::InVain => {
                "look in /proc/cmdline for a word after it that says otherwise, and at what \
                 `mount -t cgroup` shows there"
            }
            Self::Loader => {
                "put `systemd.unified_cgroup_hierarchy=0` on its kernel's command line by hand, \
                 and reboot it"
            }
        }
    }
}

impl fmt::Display for BootBlocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container => f.write_str("a container boots no kernel of its own"),
            Self::Systemd(version) => {
                write!(f, "its systemd {version} does not know version 1 any more")
            }
            Self::InVain => write!(f, "it was booted with `{HYBRID}`, and has it not"),
            Self::Loader => f.write_str(
                "its loader is not a GRUB with update-grub, as Debian and Ubuntu have it",
            ),
        }
    }
}

/// The part of the probe that answers for the boot.
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

/// What a machine says of its boot while a reboot is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RebootState {
    /// It has not gone down yet.
    Before,
    /// It came back with version 1.
    Hybrid,
    /// It came back as it was.
    InVain {
        /// The kernel's command line.
        command_line: String,
    },
}

/// The script that a machine is asked with while a reboot is waited for. It needs no rights.
pub const LOOK: &str = r#"cat /proc/sys/kernel/random/boot_id || exit 1
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo v2; else echo v1; fi
cat /proc/cmdline"#;

/// Reads the answer to [`LOOK`]; `before` names the boot that is to end. None where the answer
/// is not whole.
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
