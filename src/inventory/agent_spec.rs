//! What an agent reports about itself: its attributes, its resources, its fault domain.
//!
//! A group sets it for all of its machines; a host's entry sets single keys for that host only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::tree::{Node, Value};
use crate::unit::Size;

/// What an agent reports about itself. The agent detects what is not set here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentSpec {
    /// The attributes by which frameworks choose agents, such as `rack: r1`.
    pub attributes: BTreeMap<String, String>,
    /// What it offers to tasks.
    pub resources: Resources,
    /// The fault domain: hosts in the same one may fail together.
    pub domain: Option<FaultDomain>,
}

/// What an agent offers to tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources {
    /// Processors.
    pub cpus: Option<Cpus>,
    /// Memory.
    pub mem: Option<Size>,
    /// Disk.
    pub disk: Option<Size>,
    /// Ports; 31000 to 32000 if it is empty.
    pub ports: Vec<PortRange>,
}

/// A number of processors, in thousandths, the smallest unit of Mesos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cpus(u32);

/// Ports from a first to a last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last; not before the first.
    pub last: u16,
}

/// Hosts that fail together: a zone of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultDomain {
    /// The region: all masters are in one.
    pub region: String,
    /// The zone within it.
    pub zone: String,
}

/// Why a text is not a number of processors.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a number of processors: write one such as 4 or 0.5, above 0")]
pub struct BadCpus(String);

/// Why a text is not a range of ports.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a range of ports: write one such as 31000-32000, from 1024 to 65535"
)]
pub struct BadPortRange(String);

/// An attribute as written on a command line: `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    key: String,
    value: String,
}

/// Why a text is not an attribute.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an attribute: write one such as rack=a; {WORD}")]
pub struct BadAttribute(String);

impl Attribute {
    /// Its key and its value.
    pub fn into_pair(self) -> (String, String) {
        (self.key, self.value)
    }
}

impl FromStr for Attribute {
    type Err = BadAttribute;

    fn from_str(text: &str) -> Result<Self, BadAttribute> {
        match text.split_once('=') {
            Some((key, value)) if is_word(key) && is_word(value) => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err(BadAttribute(text.to_owned())),
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

impl AgentSpec {
    /// These settings, replaced by those that `own` sets.
    #[must_use]
    pub fn with(&self, own: &Self) -> Self {
        let mut attributes = self.attributes.clone();
        attributes.extend(own.attributes.clone());
        let (all, one) = (&self.resources, &own.resources);
        Self {
            attributes,
            resources: Resources {
                cpus: one.cpus.or(all.cpus),
                mem: one.mem.or(all.mem),
                disk: one.disk.or(all.disk),
                ports: match one.ports.is_empty() {
                    true => all.ports.clone(),
                    false => one.ports.clone(),
                },
            },
            domain: own.domain.as_ref().or(self.domain.as_ref()).cloned(),
        }
    }

    /// These settings on a machine that its provider limits to this memory. An agent reads its
    /// memory from the kernel, which reports all memory of the computer. So if `mem` is not set,
    /// it becomes what the agent would offer on a machine of that size.
    #[must_use]
    pub(super) fn within(mut self, memory: Option<Size>) -> Self {
        self.resources.mem = self.resources.mem.or(memory.map(for_tasks));
        self
    }
}

/// How much of a machine's memory an agent offers: it leaves 1 GiB, or half, to the system.
fn for_tasks(memory: Size) -> Size {
    let half = memory.as_mib() / 2;
    Size::mib(memory.as_mib().saturating_sub(1024).max(half.min(1024)))
}

impl Cpus {
    /// The number in thousandths.
    pub fn as_thousandths(self) -> u64 {
        self.0.into()
    }
}

impl FromStr for Cpus {
    type Err = BadCpus;

    fn from_str(text: &str) -> Result<Self, BadCpus> {
        let bad = || BadCpus(text.to_owned());
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        if part.is_empty() || part.len() > 3 || !digits(whole) || !digits(part) {
            return Err(bad());
        }
        let whole: u32 = whole.parse().map_err(|_| bad())?;
        let part: u32 = format!("{part:0<3}").parse().map_err(|_| bad())?;
        let thousandths =
            whole.checked_mul(1000).and_then(|whole| whole.checked_add(part));
        thousandths.filter(|n| *n > 0).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 1000, self.0 % 1000) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, part) => {
                let part = format!("{part:03}");
                write!(f, "{whole}.{}", part.trim_end_matches('0'))
            }
        }
    }
}

impl PortRange {
    /// Whether the range contains a port.
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl FromStr for PortRange {
    type Err = BadPortRange;

    fn from_str(text: &str) -> Result<Self, BadPortRange> {
        let bad = || BadPortRange(text.to_owned());
        let (first, last) = text.split_once('-').ok_or_else(bad)?;
        let port = |text: &str| text.trim().parse::<u16>().map_err(|_| bad());
        let (first, last) = (port(first)?, port(last)?);
        if first < 1024 || last < first { Err(bad()) } else { Ok(Self { first, last }) }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Reads `attributes`.
pub(super) fn attributes(node: &Node, r: &mut Reader) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    for entry in r.map(node, "attributes").unwrap_or_default() {
        if !is_word(&entry.key) {
            let message = format!("`{}` cannot name an attribute", entry.key);
            r.fault(Diagnostic::new(&entry.key_span, message).help(WORD));
        }
        let value = r.text_that(&entry.node, is_word, "an attribute's value", WORD);
        attributes.extend(value.map(|value| (entry.key.clone(), value)));
    }
    attributes
}

const WORD: &str = "use letters, digits and `_/.-`: Mesos accepts nothing else";

fn is_word(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_/.-".contains(c);
    !text.is_empty() && text.len() <= 128 && text.chars().all(inner)
}

/// Reads `resources`.
pub(super) fn resources(node: &Node, r: &mut Reader) -> Resources {
    let known = ["cpus", "mem", "disk", "ports"];
    let Some(fields) = r.fields(node, "resources", &known) else {
        return Resources::default();
    };
    Resources {
        cpus: fields.get("cpus").and_then(|node| cpus(node, r)),
        mem: fields.get("mem").and_then(|node| at_least_one_mib(node, r)),
        disk: fields.get("disk").and_then(|node| at_least_one_mib(node, r)),
        ports: fields.get("ports").map(|node| ports(node, r)).unwrap_or_default(),
    }
}

fn cpus(node: &Node, r: &mut Reader) -> Option<Cpus> {
    let Value::Scalar { text, plain: true } = &node.value else {
        let message = "this must be a number of processors, without quotes";
        return r.refuse(Diagnostic::new(node.place(), message).help("write `cpus: 4`"));
    };
    match text.parse() {
        Ok(cpus) => Some(cpus),
        Err(error) => {
            let error: BadCpus = error;
            r.refuse(Diagnostic::new(node.place(), error.to_string()))
        }
    }
}

/// Mesos counts memory and disk in whole mebibytes.
fn at_least_one_mib(node: &Node, r: &mut Reader) -> Option<Size> {
    let value = r.size(node)?;
    if value < Size::mib(1) {
        let message = format!("{value} is too small for Mesos");
        return r
            .refuse(Diagnostic::new(&node.span, message).help("write at least 1MiB"));
    }
    Some(value)
}

fn ports(node: &Node, r: &mut Reader) -> Vec<PortRange> {
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        let help = "write `[31000-32000]`, or leave it out";
        r.fault(Diagnostic::new(&node.span, "there is no range of ports").help(help));
    }
    let ranges = r.distinct(node, "ports", |r, node| {
        let range: PortRange = r.parsed(node)?;
        let taken = super::component::SERVICE_PORTS
            .into_iter()
            .find(|port| range.contains(*port));
        let Some(taken) = taken else { return Some(range) };
        let message = format!("{range} contains {taken}, a port of the platform itself");
        let help = "leave the platform's ports out, such as with 31000-32000";
        r.refuse(Diagnostic::new(&node.span, message).help(help))
    });
    let mut seen: Vec<PortRange> = Vec::new();
    for range in ranges {
        if let Some(other) = seen.iter().find(|other| other.overlaps(&range.value)) {
            let message = format!("{} overlaps {other}", range.value);
            let help = "write both as one range";
            r.fault(Diagnostic::new(&range.span, message).help(help));
        }
        seen.push(range.value);
    }
    seen
}

/// Reads `domain`.
pub(super) fn domain(node: &Node, r: &mut Reader) -> Option<FaultDomain> {
    let fields = r.fields(node, "domain", &["region", "zone"])?;
    let word = |key, say, r: &mut Reader| {
        let node = fields.required(key, say, r)?;
        r.text_that(node, is_word, "a region or zone", WORD)
    };
    let region = word("region", "region: east", r);
    let zone = word("zone", "zone: a", r);
    Some(FaultDomain { region: region?, zone: zone? })
}

/// The regions of these domains.
pub(super) fn regions<'a>(
    domains: impl IntoIterator<Item = &'a FaultDomain>,
) -> BTreeSet<&'a str> {
    domains.into_iter().map(|domain| domain.region.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_read_and_shown_in_thousandths() {
        for text in ["4", "0.5", "1.25", "16.001"] {
            assert_eq!(
                text.parse::<Cpus>().map(|cpus| cpus.to_string()),
                Ok(text.into())
            );
        }
        for bad in ["", "0", "0.0", "-1", "1.", ".5", "1.2345", "1e3", "5000000"] {
            assert!(bad.parse::<Cpus>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_s_own_traits_come_before_those_of_its_group() {
        let attributes = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        let group = AgentSpec {
            attributes: attributes(&[("rack", "a"), ("kind", "x")]),
            resources: Resources {
                cpus: "4".parse().ok(),
                ports: vec!["31000-32000".parse().unwrap()],
                ..Resources::default()
            },
            domain: None,
        };
        let own = AgentSpec {
            attributes: attributes(&[("rack", "b")]),
            resources: Resources { mem: Some(Size::gib(1)), ..Resources::default() },
            ..AgentSpec::default()
        };
        let both = group.with(&own);
        assert_eq!(both.attributes, attributes(&[("rack", "b"), ("kind", "x")]));
        assert_eq!(both.resources.mem, Some(Size::gib(1)));
        assert_eq!(both.resources.cpus, group.resources.cpus);
        assert_eq!(both.resources.ports, group.resources.ports);
    }

    #[test]
    fn no_more_is_offered_than_the_machine_may_use() {
        let offered = |mem, memory| {
            let resources = Resources { mem, ..Resources::default() };
            AgentSpec { resources, ..AgentSpec::default() }.within(memory).resources.mem
        };
        assert_eq!(offered(None, None), None);
        assert_eq!(offered(None, Some(Size::gib(1))), Some(Size::mib(512)));
        assert_eq!(offered(None, Some(Size::gib(2))), Some(Size::gib(1)));
        assert_eq!(offered(None, Some(Size::gib(8))), Some(Size::gib(7)));
        let said = Some(Size::mib(900));
        assert_eq!(offered(said, Some(Size::gib(1))), said);
    }

    #[test]
    fn ranges_of_ports_go_from_a_first_to_a_last() {
        for text in ["31000-32000", "1024-1024", "1024-65535"] {
            let range = text.parse::<PortRange>();
            assert_eq!(range.map(|range| range.to_string()), Ok(text.into()));
        }
        for bad in ["31000", "32000-31000", "80-90", "1024-65536", "-", "a-b"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad}");
        }
    }
}
