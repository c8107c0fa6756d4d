//! The firewall's rules, as the kernel has them.
//!
//! New rules are on trial until a new SSH connection confirms them; otherwise the host takes them
//! back by itself. A boot loads only confirmed rules. So nobody is locked out by a mistake, also if
//! the run is killed. The host notes which rules it loaded and how the kernel listed them: if
//! someone changes the table or removes it, its list is no longer the same.

use std::time::Duration;

use serde::Deserialize;

use super::questions::Questions;
use super::{Action, Change, Facts, Key, Unknown};

/// The firewall that a host should have. Its files are resources of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firewall {
    /// The SHA-256 of the file with the rules, in hexadecimal.
    pub rules: String,
}

/// The firewall of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirewallState {
    /// What the rules are that were loaded last; `None` if none were, or not since the boot.
    pub loaded: Option<Loaded>,
}

/// Rules that were loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The hash of their file.
    pub rules: String,
    /// Whether a new connection has confirmed them.
    pub confirmed: bool,
    /// Whether the kernel still has them as they were loaded.
    pub intact: bool,
}

impl Firewall {
    /// The unit that loads the rules at boot.
    pub const UNIT: &'static str = "platform-firewall.service";

    /// How long new rules stay on trial: as long as a slow login may take.
    pub const TRIAL: Duration = Duration::from_secs(60);

    /// The status of the confirmation if the rules are not on trial any more.
    pub const TAKEN_BACK: u32 = 3;

    /// The words of the command that confirms these rules.
    pub fn confirmation(rules: &str) -> [&str; 4] {
        ["sh", SCRIPT, "confirm", rules]
    }

    pub(super) fn ask(questions: &mut Questions) {
        questions.firewall = true;
        questions.unit(Self::UNIT);
    }

    pub(super) fn diff(&self, facts: &Facts) -> Result<Option<Change>, Unknown> {
        let reason = match &facts.firewall()?.loaded {
            None => "is not loaded",
            Some(loaded) if loaded.rules != self.rules => "has other rules",
            Some(Loaded { confirmed: false, .. }) => {
                "is not confirmed by a new connection"
            }
            Some(Loaded { intact: false, .. }) => {
                "was changed or removed by someone else since it was loaded"
            }
            Some(_) if facts.unit(Self::UNIT)?.enabled != "enabled" => {
                "does not start at boot"
            }
            Some(_) => return Ok(None),
        };
        Ok(Some(Change {
            key: Key::Firewall,
            verb: "load",
            reason: reason.to_owned(),
            diff: None,
            action: Action::LoadFirewall(self.clone()),
        }))
    }
}

/// The script on the host that loads, confirms and removes rules.
const SCRIPT: &str = "/etc/platform/firewall/firewall";

/// The part of the probe about the firewall.
pub(super) const PROBE: &str = r#"table=$(PATH=$PATH:/usr/sbin:/sbin nft -s list table inet platform 2>/dev/null | sha256sum)
state= rules= noted=
[ -r /run/platform/firewall ] && read -r state rules noted </run/platform/firewall
intact=false
[ "$noted" = "${table%% *}" ] && intact=true
printf '{"q":"firewall","state":"%s","rules":"%s","intact":%s}\n' "$state" "$rules" $intact
"#;

/// The rules that were loaded last: `tried` or `confirmed`, or nothing.
#[derive(Debug, Deserialize)]
pub(super) struct FirewallLine {
    state: String,
    rules: String,
    intact: bool,
}

impl FirewallLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        let confirmed = match self.state.as_str() {
            "" => None,
            "tried" => Some(false),
            "confirmed" => Some(true),
            _ => return None,
        };
        let Self { rules, intact, .. } = self;
        let loaded = confirmed.map(|confirmed| Loaded { rules, confirmed, intact });
        facts.firewall = Some(FirewallState { loaded });
        Some(())
    }
}
