//! Mesos' own JSON for the types in [`types`]; missing fields are empty.

use serde::Deserialize;

use super::super::http::Endpoint;
use super::types;

/// Mesos wraps ids and values as `{"value": …}`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Wrapped<T> {
    value: T,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Agents {
    pub(super) agents: Vec<Agent>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Agent {
    agent_info: AgentInfo,
    active: bool,
    deactivated: bool,
    pid: String,
    total_resources: Vec<Resource>,
    allocated_resources: Vec<Resource>,
    drain_info: Option<DrainInfo>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AgentInfo {
    id: Wrapped<String>,
    hostname: String,
    attributes: Vec<Resource>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DrainInfo {
    state: types::DrainState,
}

/// A resource or an attribute.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    name: String,
    scalar: Option<Wrapped<f64>>,
    ranges: Option<Ranges>,
    text: Option<Wrapped<String>>,
    set: Option<Set>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ranges {
    range: Vec<Range>,
}

#[derive(Deserialize)]
struct Range {
    begin: u64,
    end: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Set {
    item: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Frameworks {
    pub(super) frameworks: Vec<Framework>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Framework {
    framework_info: FrameworkInfo,
    active: bool,
    connected: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FrameworkInfo {
    name: String,
    hostname: Option<String>,
    webui_url: Option<String>,
}

impl From<Agent> for types::AgentInfo {
    fn from(agent: Agent) -> Self {
        Self {
            id: agent.agent_info.id.value,
            hostname: agent.agent_info.hostname,
            address: address(&agent.pid),
            active: agent.active,
            deactivated: agent.deactivated,
            attributes: agent.agent_info.attributes.into_iter().map(attribute).collect(),
            total: sum(agent.total_resources),
            allocated: sum(agent.allocated_resources),
            drain: agent.drain_info.map(|info| info.state),
        }
    }
}

impl From<Framework> for types::Framework {
    fn from(Framework { framework_info: info, active, connected }: Framework) -> Self {
        Self {
            name: info.name,
            active,
            connected,
            hostname: info.hostname,
            webui_url: info.webui_url,
        }
    }
}

/// The address at which a process listens: a pid is `slave(1)@10.0.0.31:5051`.
fn address(pid: &str) -> Option<Endpoint> {
    pid.rsplit_once('@')?.1.parse().ok()
}

fn sum(resources: Vec<Resource>) -> types::Resources {
    let mut sum = types::Resources::default();
    for resource in resources {
        let amount = resource.scalar.map_or(0.0, |scalar| scalar.value);
        match resource.name.as_str() {
            "cpus" => sum.cpus += amount,
            "mem" => sum.mem_mib += amount,
            "disk" => sum.disk_mib += amount,
            "gpus" => sum.gpus += amount,
            "ports" => {
                let ranges = resource.ranges.into_iter().flat_map(|ranges| ranges.range);
                sum.ports.extend(ranges.map(|range| (range.begin, range.end)));
            }
            _ => {}
        }
    }
    sum
}

fn attribute(attribute: Resource) -> (String, String) {
    let range = |range: &Range| format!("{}-{}", range.begin, range.end);
    let value = match attribute {
        Resource { text: Some(text), .. } => text.value,
        Resource { scalar: Some(scalar), .. } => scalar.value.to_string(),
        Resource { set: Some(set), .. } => format!("{{{}}}", set.item.join(",")),
        Resource { ranges: Some(ranges), .. } => {
            let ranges: Vec<String> = ranges.range.iter().map(range).collect();
            format!("[{}]", ranges.join(","))
        }
        _ => String::new(),
    };
    (attribute.name, value)
}
