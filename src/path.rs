//! A path on a host.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An absolute path on a host. It has only characters without a special meaning to a shell, to
/// JSON and to systemd: letters, digits and `/._-+@:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPath(String);

/// Why a text is not a [`HostPath`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` cannot be a path on a host: write an absolute path of letters, digits and \
     `/._-+@:`, without `..`"
)]
pub struct BadHostPath(String);

impl HostPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this path is `directory` or below it.
    pub fn is_below(&self, directory: &str) -> bool {
        self.0
            .strip_prefix(directory)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Its parent directory.
    pub fn parent(&self) -> &str {
        match self.0.rsplit_once('/') {
            Some(("", _)) | None => "/",
            Some((parent, _)) => parent,
        }
    }
}

impl FromStr for HostPath {
    type Err = BadHostPath;

    fn from_str(text: &str) -> Result<Self, BadHostPath> {
        let safe = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
        let fits = text.len() > 1
            && text.starts_with('/')
            && !text.ends_with('/')
            && text.chars().all(safe)
            && text.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
        if fits { Ok(Self(text.to_owned())) } else { Err(BadHostPath(text.to_owned())) }
    }
}

impl TryFrom<String> for HostPath {
    type Error = BadHostPath;

    fn try_from(text: String) -> Result<Self, BadHostPath> {
        text.parse()
    }
}

impl From<HostPath> for String {
    fn from(path: HostPath) -> Self {
        path.0
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_absolute_paths_pass() {
        for good in ["/etc/platform/zoo.cfg", "/a", "/etc/systemd/system/x@1.service"] {
            assert!(good.parse::<HostPath>().is_ok(), "{good}");
        }
        for bad in
            ["", "/", "etc", "/a/", "/a//b", "/a/../b", "/a b", "/a'b", "/a$b", "/a\n"]
        {
            assert!(bad.parse::<HostPath>().is_err(), "{bad}");
        }
    }
}
