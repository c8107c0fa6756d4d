//! Mesos' own JSON for the types in [`types`]; missing fields are empty.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde::Deserialize;

use super::super::http::Endpoint;
use super::types;

#[derive(Deserialize)]
pub(super) struct Flags {
    pub(super) flags: BTreeMap<String, String>,
}

/// Mesos wraps ids and values as `{"value": …}`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Wrapped<T> {
    value: T,
}

#[derive(Default, Deserialize)]
struct Time {
    nanoseconds: i64,
}

#[derive(Deserialize)]
pub(super) struct Master {
    master_info: MasterInfo,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MasterInfo {
    id: String,
    hostname: String,
    version: String,
    pid: String,
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
    version: String,
    pid: String,
    registered_time: Option<Time>,
    total_resources: Vec<Resource>,
    allocated_resources: Vec<Resource>,
    drain_info: Option<DrainInfo>,
    estimated_drain_start_time: Option<Time>,
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
    config: DrainConfig,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DrainConfig {
    mark_gone: bool,
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
    frameworks: Vec<Framework>,
    completed_frameworks: Vec<Framework>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Framework {
    framework_info: FrameworkInfo,
    active: bool,
    connected: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FrameworkInfo {
    id: Wrapped<String>,
    name: String,
    principal: Option<String>,
    hostname: Option<String>,
    webui_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Tasks {
    pending_tasks: Vec<Task>,
    tasks: Vec<Task>,
    unreachable_tasks: Vec<Task>,
    completed_tasks: Vec<Task>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Task {
    task_id: Wrapped<String>,
    name: String,
    framework_id: Wrapped<String>,
    agent_id: Wrapped<String>,
    state: String,
    resources: Vec<Resource>,
}

impl From<Master> for types::MasterInfo {
    fn from(Master { master_info: info }: Master) -> Self {
        let address = address(&info.pid);
        Self { id: info.id, hostname: info.hostname, address, version: info.version }
    }
}

impl From<Agent> for types::AgentInfo {
    fn from(agent: Agent) -> Self {
        let started = time(agent.estimated_drain_start_time);
        let drain = |info: DrainInfo| types::Drain {
            state: info.state,
            mark_gone: info.config.mark_gone,
            started,
        };
        Self {
            id: agent.agent_info.id.value,
            hostname: agent.agent_info.hostname,
            address: address(&agent.pid),
            version: agent.version,
            active: agent.active,
            deactivated: agent.deactivated,
            registered: time(agent.registered_time),
            attributes: agent.agent_info.attributes.into_iter().map(attribute).collect(),
            total: sum(agent.total_resources),
            allocated: sum(agent.allocated_resources),
            drain: agent.drain_info.map(drain),
        }
    }
}

impl From<Frameworks> for types::Frameworks {
    fn from(all: Frameworks) -> Self {
        let read = |frameworks: Vec<Framework>| {
            frameworks.into_iter().map(types::Framework::from).collect()
        };
        Self { current: read(all.frameworks), completed: read(all.completed_frameworks) }
    }
}

impl From<Framework> for types::Framework {
    fn from(Framework { framework_info: info, active, connected }: Framework) -> Self {
        Self {
            id: info.id.value,
            name: info.name,
            active,
            connected,
            principal: info.principal,
            hostname: info.hostname,
            webui_url: info.webui_url,
        }
    }
}

impl From<Tasks> for types::Tasks {
    fn from(all: Tasks) -> Self {
        let read = |tasks: Vec<Task>| tasks.into_iter().map(types::Task::from).collect();
        let current = all.pending_tasks.into_iter().chain(all.tasks).collect();
        Self {
            current: read(current),
            unreachable: read(all.unreachable_tasks),
            completed: read(all.completed_tasks),
        }
    }
}

impl From<Task> for types::Task {
    fn from(task: Task) -> Self {
        Self {
            id: task.task_id.value,
            name: task.name,
            framework_id: task.framework_id.value,
            agent_id: task.agent_id.value,
            state: task.state,
            resources: sum(task.resources),
        }
    }
}

/// The address at which a process listens: a pid is `slave(1)@10.0.0.31:5051`.
pub(super) fn address(pid: &str) -> Option<Endpoint> {
    pid.rsplit_once('@')?.1.parse().ok()
}

fn time(time: Option<Time>) -> Option<Timestamp> {
    Timestamp::from_nanosecond(time?.nanoseconds.into()).ok()
}

fn sum(resources: Vec<Resource>) -> types::Resources {
    let mut sum = types::Resources::default();
    for resource in resources {
        let amount = resource.scalar.map_or(0.0, |scalar| scalar.value);
        match resource.name.as_str() {
            "cpus" => sum.cpus += amount,
            "mem" => sum.mem_mib += amount,
            "disk" => sum.disk_mib += amount,
            "ports" => {
                let ranges = resource.ranges.unwrap_or_default().range;
                sum.ports.extend(ranges.iter().filter_map(ports));
            }
            _ => {}
        }
    }
    sum
}

fn ports(range: &Range) -> Option<RangeInclusive<u16>> {
    Some(u16::try_from(range.begin).ok()?..=u16::try_from(range.end).ok()?)
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
