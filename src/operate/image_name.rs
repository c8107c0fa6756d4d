//! The names of images in the registry of a cluster.

use std::fmt;
use std::str::FromStr;

/// A text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot be a name in the registry: write one such as team/app:1.0, with small letters \
     before the tag"
)]
pub struct BadImageName(String);

/// A name in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImageName {
    pub(super) repository: String,
    pub(super) tag: String,
}

impl FromStr for ImageName {
    type Err = BadImageName;

    /// Reads `team/app:1.0`. The name of a registry before it is left out: another one is meant.
    fn from_str(text: &str) -> Result<Self, BadImageName> {
        let is_host = |part: &str| {
            let begins =
                part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
            begins && (part.contains(['.', ':']) || part == "localhost")
        };
        let (_, name) =
            text.split_once('/').filter(|(host, _)| is_host(host)).unwrap_or(("", text));
        let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
        let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_part = |part: &str| {
            part.starts_with(is_inner)
                && part.ends_with(is_inner)
                && part.chars().all(|c| is_inner(c) || "._-".contains(c))
        };
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_tag = tag.len() <= 128
            && tag.starts_with(is_word)
            && tag.chars().all(|c| is_word(c) || ".-".contains(c));
        if repository.len() > 255 || !repository.split('/').all(is_part) || !is_tag {
            return Err(BadImageName(text.to_owned()));
        }
        Ok(Self { repository: repository.to_owned(), tag: tag.to_owned() })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<String> {
        let name = text.parse::<ImageName>().ok();
        name.map(|ImageName { repository, tag }| format!("{repository} {tag}"))
    }

    #[test]
    fn a_name_is_that_in_the_cluster_s_registry_whatever_registry_it_came_from() {
        for (text, expected) in [
            ("app", "app latest"),
            ("team/app:1.0", "team/app 1.0"),
            ("10.0.0.100:5000/team/app:1.0", "team/app 1.0"),
            ("docker.io/library/redis", "library/redis latest"),
            ("localhost/a__b:_x", "a__b _x"),
        ] {
            assert_eq!(name(text).as_deref(), Some(expected), "{text}");
        }
        for bad in
            ["", "App", "a b", "a//b", "../a", "a:", "a:b:c", "a:-x", "a@sha256:0", "/a"]
        {
            assert_eq!(name(bad), None, "{bad}");
        }
    }
}
