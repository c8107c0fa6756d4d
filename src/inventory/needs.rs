//! What a version of a component needs from its host and from other components. It is data of
//! the catalogue, because it changes with the version and not with this program.

use std::ops::Range;

use super::diagnostic::Diagnostic;
use super::reader::{Reader, Spanned};
use super::tree::Node;

/// What an entry of the catalogue needs. What is not set is not needed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// The first major version of Docker that is too new for it.
    pub docker_below: Option<u32>,
    /// Which control groups the host has to have.
    pub cgroups: Option<CgroupNeed>,
    /// The first version of the Mesos masters that is new enough for it.
    pub mesos_from: Option<Version>,
}

/// Which control groups a component needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupNeed {
    /// Version 1, alone or beside version 2.
    V1,
    /// Only version 2.
    V2,
}

/// The part of a version that can be compared: its numbers from the left, without zeros at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Vec<u32>);

impl Version {
    /// The numbers at the beginning of a version: `1.11.2` of `1.11.2-rc1`. `None` if it does not
    /// begin with a number.
    pub fn of(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
        let numbers = text[..end.unwrap_or(text.len())].trim_end_matches('.').split('.');
        let mut numbers: Vec<u32> =
            numbers.map(str::parse).collect::<Result<_, _>>().ok()?;
        while numbers.len() > 1 && numbers.last() == Some(&0) {
            numbers.pop();
        }
        Some(Self(numbers))
    }

    /// The version as text.
    pub fn text(&self) -> String {
        self.0.iter().map(u32::to_string).collect::<Vec<String>>().join(".")
    }
}

/// The needs, and the position of `mesos` among them.
pub(super) type DraftNeeds = (Needs, Option<Range<usize>>);

/// Reads `needs`.
pub(super) fn needs(node: &Node, r: &mut Reader) -> DraftNeeds {
    let Some(fields) = r.fields(node, "needs", &["docker", "cgroups", "mesos"]) else {
        return DraftNeeds::default();
    };
    let docker = fields.get("docker").and_then(|node| below(node, r));
    let cgroups = fields.get("cgroups").and_then(|node| {
        let rule = "write `v1` or `v2`, or leave it out if both will do";
        let text = r.text_that(node, is_cgroups, "a version of control groups", rule)?;
        Some(if text == "v1" { CgroupNeed::V1 } else { CgroupNeed::V2 })
    });
    let mesos = fields.get("mesos").and_then(|node| from(node, r));
    let at = mesos.as_ref().map(|mesos| mesos.span.clone());
    let needs = Needs {
        docker_below: docker,
        cgroups,
        mesos_from: mesos.map(|mesos| mesos.value),
    };
    (needs, at)
}

fn is_cgroups(text: &str) -> bool {
    matches!(text, "v1" | "v2")
}

fn below(node: &Node, r: &mut Reader) -> Option<u32> {
    let number = r.text(node)?.strip_prefix('<').map(|rest| rest.trim().parse());
    match number {
        Some(Ok(number)) => Some(number),
        _ => {
            let message = "this does not say which versions are too new";
            let help = "write the first major version that is too new, such as `\"<26\"`";
            r.refuse(Diagnostic::new(node.place(), message).help(help))
        }
    }
}

fn from(node: &Node, r: &mut Reader) -> Option<Spanned<Version>> {
    let text = r.text(node)?.strip_prefix(">=").map(str::trim);
    match text.filter(|text| !text.is_empty()).and_then(Version::of) {
        Some(value) => Some(Spanned { value, span: node.span.clone() }),
        None => {
            let message = "this does not say which versions are new enough";
            let help = "write the first version that is new enough, such as `\">=1.5\"`";
            r.refuse(Diagnostic::new(node.place(), message).help(help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let version = |text| Version::of(text).unwrap();
        assert!(version("1.11.0") > version("1.5"));
        assert!(version("1.11.0-rc2") == version("1.11.0"));
        assert!(version("1.4.9") < version("1.5"));
        assert!(version("1.5") == version("1.5.0"));
        assert_eq!(version("1.11.").text(), "1.11");
        for bad in ["", "dev", ".1", "v1"] {
            assert_eq!(Version::of(bad), None, "{bad}");
        }
    }
}
