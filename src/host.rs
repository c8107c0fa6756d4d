//! The name of a machine: unique in its cluster; safe in a shell, in a path and in a label.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A host's name within its cluster, such as `control-1`.
///
/// It has at most 63 lower-case letters, digits, `-` and `.`, and begins and ends with a letter
/// or digit, because it is used unquoted in container names, file names and DNS labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

/// Why a text cannot name a host.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` cannot name a host: use 1 to 63 lower-case letters, digits, `-` and `.`, \
     beginning and ending with a letter or digit"
)]
pub struct BadHostName(String);

impl HostName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = BadHostName;

    fn from_str(text: &str) -> Result<Self, BadHostName> {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let inner = |c: char| edge(c) || c == '-' || c == '.';
        let fits = (1..=63).contains(&text.len())
            && text.chars().all(inner)
            && text.starts_with(edge)
            && text.ends_with(edge);
        if fits { Ok(Self(text.to_owned())) } else { Err(BadHostName(text.to_owned())) }
    }
}

impl TryFrom<String> for HostName {
    type Error = BadHostName;

    fn try_from(text: String) -> Result<Self, BadHostName> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Hosts in a sentence: `a, b, c`.
pub fn joined<'a>(hosts: impl IntoIterator<Item = &'a HostName>) -> String {
    hosts.into_iter().map(HostName::as_str).collect::<Vec<&str>>().join(", ")
}

/// Characters with a special meaning to a shell: OpenSSH's own list, and in addition `$` and the
/// wildcards of file names.
const SHELL_SIGNS: &str = "'`\"$;&<>|(){}*?[]";

/// Whether a text can be the name of a user in a shell command, by OpenSSH's own rule for users:
/// `CORP\ann` can, `$(id)` and `-oProxyCommand=x` cannot.
pub fn is_safe_user(text: &str) -> bool {
    let bad = |c: char| c.is_control() || c.is_whitespace() || SHELL_SIGNS.contains(c);
    !text.starts_with('-') && !text.ends_with('\\') && !text.contains(bad)
}

/// Whether a text can be the name or address of a server in a shell command, by OpenSSH's own
/// rule for hosts.
pub fn is_safe_name(text: &str) -> bool {
    is_safe_user(text) && !text.contains('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_could_take_for_a_command_is_no_name_in_one() {
        for good in ["ops", "CORP\\ann", "ann@corp", "j\u{f6}rg", ""] {
            assert!(is_safe_user(good), "{good}");
        }
        for bad in
            ["-x", "$(id)", "a b", "a;b", "a\\", "`x`", "a'b", "a\"b", "a*", "{a,b}"]
        {
            assert!(!is_safe_user(bad), "{bad}");
            assert!(!is_safe_name(bad), "{bad}");
        }
        assert!(is_safe_name("fe80::1%eth0") && !is_safe_name("a\\b"));
    }

    #[test]
    fn names_that_are_safe_everywhere_pass_and_others_do_not() {
        for good in ["a", "control-1", "10.0.0.1", "w1.example"] {
            assert!(good.parse::<HostName>().is_ok(), "{good}");
        }
        let long = "x".repeat(64);
        for bad in ["", "-a", "a-", "A", "a_b", "a b", "a;b", "ä", long.as_str()] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
    }
}
