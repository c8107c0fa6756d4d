//! The identity of an agent to its master, and which changes of it a running agent accepts.
//!
//! An agent with tasks refuses to start with a different identity, and starting it as a new agent
//! would kill its tasks. It accepts only additions; all other changes need an agent without tasks.
//! The host keeps the identity that its agent was last given beside its data, as long as the data
//! exists.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::path;
use crate::inventory::component::AGENT_PORT;
use crate::inventory::{AgentSpec, FaultDomain, PortRange};
use crate::path::HostPath;
use crate::resource::File;
use crate::topology::Node;

/// The ports that tasks get if the inventory does not set any.
const PORTS: PortRange = PortRange { first: 31000, last: 32000 };

/// The identity of an agent to its master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// The name under which it registers.
    pub hostname: String,
    /// Its own port.
    pub port: u16,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// Its countable resources, in thousandths; the agent detects those that are not set.
    pub counted: BTreeMap<String, u64>,
    /// The ports of its tasks, from the first to the last of each range.
    pub ports: Vec<PortRange>,
    /// Its fault domain.
    pub domain: Option<FaultDomain>,
}

/// The identity as the host keeps it.
#[derive(Serialize, Deserialize)]
struct Kept {
    hostname: String,
    port: u16,
    attributes: BTreeMap<String, String>,
    thousandths: BTreeMap<String, u64>,
    ports: Vec<(u16, u16)>,
    domain: Option<(String, String)>,
}

impl Identity {
    /// The identity that the inventory gives to a host's agent.
    pub(super) fn of(node: &Node) -> Self {
        let AgentSpec { attributes, resources, domain } = &node.agent_spec;
        let counted = [
            ("cpus", resources.cpus.map(|cpus| cpus.as_thousandths())),
            ("mem", resources.mem.map(|size| size.as_mib() * 1000)),
            ("disk", resources.disk.map(|size| size.as_mib() * 1000)),
        ];
        let given =
            |(name, amount): (&str, Option<u64>)| Some((name.to_owned(), amount?));
        Self {
            hostname: node.address.to_string(),
            port: AGENT_PORT,
            attributes: attributes.clone(),
            counted: counted.into_iter().filter_map(given).collect(),
            ports: match resources.ports.is_empty() {
                true => vec![PORTS],
                false => resources.ports.clone(),
            },
            domain: domain.clone(),
        }
    }

    /// The attributes in the format of the agent's flag.
    pub(super) fn attributes(&self) -> String {
        let pairs = self.attributes.iter().map(|(key, value)| format!("{key}:{value}"));
        pairs.collect::<Vec<String>>().join(";")
    }

    /// The resources in the format of the agent's flag.
    pub(super) fn resources(&self) -> String {
        let ranges: Vec<String> = self.ports.iter().map(PortRange::to_string).collect();
        let counted =
            self.counted.iter().map(|(name, n)| format!("{name}:{}", decimal(*n)));
        counted
            .chain([format!("ports:[{}]", ranges.join(","))])
            .collect::<Vec<_>>()
            .join(";")
    }

    /// The file that keeps the identity on the host.
    pub(super) fn file(&self) -> File {
        let domain = self.domain.clone().map(|domain| (domain.region, domain.zone));
        let kept = Kept {
            hostname: self.hostname.clone(),
            port: self.port,
            attributes: self.attributes.clone(),
            thousandths: self.counted.clone(),
            ports: self.ports.iter().map(|range| (range.first, range.last)).collect(),
            domain,
        };
        let text = serde_json::to_string_pretty(&kept).expect("plain text and numbers");
        File { data: true, ..File::public(kept_at(), format!("{text}\n")) }
    }

    /// Reads such a file; `None` if its content is not valid.
    pub(super) fn read(text: &str) -> Option<Self> {
        let kept: Kept = serde_json::from_str(text).ok()?;
        let range = |(first, last)| PortRange { first, last };
        let domain = kept.domain.map(|(region, zone)| FaultDomain { region, zone });
        Some(Self {
            hostname: kept.hostname,
            port: kept.port,
            attributes: kept.attributes,
            counted: kept.thousandths,
            ports: kept.ports.into_iter().map(range).collect(),
            domain,
        })
    }

    /// What changes or is missing in `after`: everything that an agent with tasks does not accept.
    pub(super) fn lost_in(&self, after: &Self) -> Vec<String> {
        let mut lost = Vec::new();
        if (&self.hostname, self.port) != (&after.hostname, after.port) {
            let (before, now) = (&self.hostname, &after.hostname);
            let (from, to) = (self.port, after.port);
            lost.push(format!("would move from {before}:{from} to {now}:{to}"));
        }
        for (key, value) in &self.attributes {
            match after.attributes.get(key) {
                None => lost.push(format!("would lose its attribute {key}:{value}")),
                Some(other) if other != value => {
                    lost.push(format!(
                        "would have {key}:{other} in place of {key}:{value}"
                    ));
                }
                Some(_) => {}
            }
        }
        lost.extend(self.resources_lost_in(after));
        if let (Some(before), true) = (&self.domain, self.domain != after.domain) {
            lost.push(format!(
                "would leave its domain {}/{}",
                before.region, before.zone
            ));
        }
        lost
    }

    fn resources_lost_in(&self, after: &Self) -> Vec<String> {
        let mut lost = Vec::new();
        let names: BTreeSet<&String> =
            self.counted.keys().chain(after.counted.keys()).collect();
        for name in names {
            // What an agent detected by itself is not known here: it may be more.
            match (self.counted.get(name), after.counted.get(name)) {
                (Some(before), Some(now)) if now >= before => {}
                (Some(before), Some(now)) => {
                    let (before, now) = (decimal(*before), decimal(*now));
                    lost.push(format!(
                        "would have {name}:{now} in place of {name}:{before}"
                    ));
                }
                (Some(before), None) => {
                    let before = decimal(*before);
                    lost.push(format!("would detect its {name} in place of {before}"));
                }
                (None, Some(now)) => {
                    let now = decimal(*now);
                    lost.push(format!(
                        "would have {name}:{now} in place of what it detected"
                    ));
                }
                (None, None) => {}
            }
        }
        let is_kept = |range: &PortRange| {
            after
                .ports
                .iter()
                .any(|now| now.first <= range.first && range.last <= now.last)
        };
        let gone = self.ports.iter().filter(|range| !is_kept(range));
        lost.extend(gone.map(|range| format!("would lose its ports {range}")));
        lost
    }
}

/// Thousandths as a decimal number.
fn decimal(thousandths: u64) -> String {
    match (thousandths / 1000, thousandths % 1000) {
        (whole, 0) => whole.to_string(),
        (whole, part) => {
            format!("{whole}.{}", format!("{part:03}").trim_end_matches('0'))
        }
    }
}

pub(super) fn kept_at() -> HostPath {
    path("/var/lib/platform/mesos-agent/identity.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            hostname: "10.0.0.31".to_owned(),
            port: 5051,
            attributes: [("rack".to_owned(), "a".to_owned())].into(),
            counted: [("cpus".to_owned(), 3500), ("mem".to_owned(), 1_024_000)].into(),
            ports: vec![PORTS],
            domain: None,
        }
    }

    fn check(change: impl Fn(&mut Identity), expected: &[&str]) {
        let mut after = identity();
        change(&mut after);
        assert_eq!(identity().lost_in(&after), expected);
    }

    #[test]
    fn what_is_added_is_taken() {
        check(|_| {}, &[]);
        check(
            |after| {
                after.attributes.insert("ssd".to_owned(), "true".to_owned());
                after.counted.insert("cpus".to_owned(), 4000);
                after.ports = vec![PortRange { first: 30000, last: 32000 }];
                let (region, zone) = ("east".to_owned(), "a".to_owned());
                after.domain = Some(FaultDomain { region, zone });
            },
            &[],
        );
    }

    #[test]
    fn what_is_changed_or_taken_away_is_not() {
        check(
            |after| {
                after.attributes.clear();
                after.counted =
                    [("cpus".to_owned(), 3499), ("disk".to_owned(), 1000)].into();
                after.ports = vec![PortRange { first: 31001, last: 32000 }];
            },
            &[
                "would lose its attribute rack:a",
                "would have cpus:3.499 in place of cpus:3.5",
                "would have disk:1 in place of what it detected",
                "would detect its mem in place of 1024",
                "would lose its ports 31000-32000",
            ],
        );
        check(
            |after| {
                after.attributes.insert("rack".to_owned(), "b".to_owned());
                after.hostname = "10.0.0.32".to_owned();
            },
            &[
                "would move from 10.0.0.31:5051 to 10.0.0.32:5051",
                "would have rack:b in place of rack:a",
            ],
        );
    }

    #[test]
    fn a_domain_is_never_left() {
        let (region, zone) = ("east".to_owned(), "a".to_owned());
        let before =
            Identity { domain: Some(FaultDomain { region, zone }), ..identity() };
        assert_eq!(before.lost_in(&identity()), ["would leave its domain east/a"]);
        assert_eq!(before.lost_in(&before.clone()), [""; 0]);
    }

    #[test]
    fn what_the_host_keeps_is_read_as_it_was_written() {
        let file = identity().file();
        let text = String::from_utf8(file.content.bytes().to_vec()).unwrap();
        assert_eq!(Identity::read(&text), Some(identity()));
        assert_eq!(Identity::read("{}"), None);
    }

    #[test]
    fn flags_have_the_form_that_mesos_reads() {
        assert_eq!(identity().attributes(), "rack:a");
        assert_eq!(identity().resources(), "cpus:3.5;mem:1024;ports:[31000-32000]");
    }
}
