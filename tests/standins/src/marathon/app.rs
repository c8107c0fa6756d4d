//! An app as it is acted upon, and as it is kept: with its version. Pure.

use super::normal::Spec;
use crate::framework::offer::Needs;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The fields of an app that decide something.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct App {
    /// Absolute.
    pub id: String,
    /// A shell command.
    pub cmd: Option<String>,
    /// Words, in place of a shell command.
    pub args: Vec<String>,
    /// The user that it runs as.
    pub user: Option<String>,
    /// How many are wanted.
    pub instances: u32,
    /// Processors.
    pub cpus: f64,
    /// Memory, in MiB.
    pub mem: f64,
    /// Disk, in MiB.
    pub disk: f64,
    /// Graphics processors.
    pub gpus: f64,
    /// Field, operator, value.
    pub constraints: Vec<Vec<String>>,
    /// Roles of resources that may be used; all that may be when empty.
    pub accepted_resource_roles: Vec<String>,
    /// The role that it runs in.
    pub role: String,
    /// Its container, if any.
    pub container: Option<Container>,
    /// Its networks.
    pub networks: Vec<Network>,
    /// Its ports in host mode.
    pub port_definitions: Vec<PortDefinition>,
    /// Whether the ports of the host must be those that are defined.
    pub require_ports: bool,
    /// What is to be fetched.
    pub fetch: Vec<Artifact>,
    /// Its health checks.
    pub health_checks: Vec<HealthCheck>,
    /// What must answer before a deployment goes on.
    pub readiness_checks: Vec<ReadinessCheck>,
    /// Its environment; values other than texts are references to secrets.
    pub env: BTreeMap<String, Value>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Apps and groups that must be there first.
    pub dependencies: Vec<String>,
    /// The first delay after a failure, in seconds.
    pub backoff_seconds: f64,
    /// How a delay grows.
    pub backoff_factor: f64,
    /// The longest delay, in seconds.
    pub max_launch_delay_seconds: f64,
    /// How long a task has to end, in seconds.
    pub task_kill_grace_period_seconds: Option<f64>,
    /// How an upgrade goes.
    pub upgrade_strategy: UpgradeStrategy,
    /// Which to kill first.
    pub kill_selection: String,
    /// What becomes of tasks that cannot be reached: `"disabled"`, or two times in seconds.
    pub unreachable_strategy: Value,
}

/// A container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    /// `DOCKER` or `MESOS`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its image.
    pub docker: Option<Docker>,
    /// Its ports.
    pub port_mappings: Vec<PortMapping>,
    /// Its volumes.
    pub volumes: Vec<Volume>,
}

/// An image, and how it is run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Docker {
    /// Its name.
    pub image: String,
    /// Whether to pull it always.
    pub force_pull_image: bool,
    /// Whether it may do anything to its host.
    pub privileged: bool,
    /// Words for Docker.
    pub parameters: Vec<Parameter>,
}

/// `--key=value`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Parameter {
    key: String,
    value: String,
}

/// A port of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PortMapping {
    /// Inside; 0 is that of the host.
    pub container_port: u32,
    /// Outside; 0 is any, none is none.
    pub host_port: Option<u32>,
    /// The port that the service has for the world.
    pub service_port: u32,
    /// `tcp`, `udp` or `udp,tcp`.
    pub protocol: String,
    /// Its name.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A port in host mode.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PortDefinition {
    /// The service port, and with `requirePorts` the host's.
    pub port: u32,
    /// `tcp`, `udp` or `udp,tcp`.
    pub protocol: String,
    /// Its name.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A network.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Network {
    /// `host`, `container/bridge` or `container`.
    pub mode: String,
    /// The name of one's own network.
    pub name: Option<String>,
}

/// A volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Volume {
    /// Inside.
    pub container_path: String,
    /// Outside.
    pub host_path: Option<String>,
    /// `RO` or `RW`.
    pub mode: Option<String>,
}

/// Something to fetch.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Artifact {
    /// From where.
    pub uri: String,
    /// Whether to unpack it.
    pub extract: bool,
    /// Whether it is a program.
    pub executable: bool,
    /// Whether the agent may keep it.
    pub cache: bool,
    /// Under which name.
    pub dest_path: Option<String>,
}

/// A health check.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HealthCheck {
    /// `HTTP`, `TCP`, `MESOS_HTTP`, `COMMAND` and so on.
    pub protocol: String,
    /// The path of a request.
    pub path: Option<String>,
    /// A port that is not among the app's.
    pub port: Option<u32>,
    /// Which of the app's ports.
    pub port_index: Option<usize>,
    /// A command.
    pub command: Option<CheckCommand>,
    /// Failures in this time after the start do not count, in seconds.
    pub grace_period_seconds: f64,
    /// From one check to the next, in seconds.
    pub interval_seconds: f64,
    /// How long one may take, in seconds.
    pub timeout_seconds: f64,
    /// How many failures in a row kill the task.
    pub max_consecutive_failures: u32,
    /// How long the agent waits before the first, in seconds.
    pub delay_seconds: f64,
}

/// What must answer before a deployment goes on.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReadinessCheck {
    /// Its name.
    pub name: String,
    /// The path of the request.
    pub path: String,
    /// The name of the port.
    pub port_name: Option<String>,
    /// From one to the next, in seconds.
    pub interval_seconds: f64,
    /// How long one may take, in seconds.
    pub timeout_seconds: f64,
    /// Which answers are good.
    pub http_status_codes_for_ready: Vec<u16>,
    /// Whether the last answer is shown.
    pub preserve_last_response: bool,
}

/// The command of a check.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CheckCommand {
    /// For a shell.
    pub value: String,
}

impl HealthCheck {
    /// Whether the agent runs it, not Marathon.
    pub fn by_agent(&self) -> bool {
        self.protocol.starts_with("MESOS_") || self.protocol == "COMMAND"
    }
}

/// How an upgrade goes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct UpgradeStrategy {
    /// The part of the instances that stays healthy.
    pub minimum_health_capacity: f64,
    /// The part of the instances that may be there beyond.
    pub maximum_over_capacity: f64,
}

impl Default for UpgradeStrategy {
    fn default() -> Self {
        Self { minimum_health_capacity: 1.0, maximum_over_capacity: 1.0 }
    }
}

/// One port of an app, whichever way it is written.
#[derive(Clone, Debug, Default)]
pub struct Port {
    /// Inside the container, when there is an inside.
    pub container: Option<u32>,
    /// Of the host: 0 is any, none is none.
    pub host: Option<u32>,
    /// Of the service.
    pub service: u32,
    /// `tcp`, `udp` or `udp,tcp`.
    pub protocol: String,
    /// Its name.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl App {
    /// Reads an app in its one form.
    pub fn read(spec: &Spec) -> Result<Self, serde_json::Error> {
        serde_json::from_value(Value::Object(spec.clone()))
    }

    /// What one instance needs.
    pub fn needs(&self) -> Needs {
        Needs { cpus: self.cpus, mem: self.mem, disk: self.disk, gpus: self.gpus }
    }

    /// The mode of its network.
    pub fn mode(&self) -> &str {
        self.networks.first().map_or("host", |network| network.mode.as_str())
    }

    /// Its ports, in order.
    pub fn ports(&self) -> Vec<Port> {
        if self.mode() == "host" {
            let port = |definition: &PortDefinition| Port {
                container: None,
                host: Some(if self.require_ports { definition.port } else { 0 }),
                service: definition.port,
                protocol: definition.protocol.clone(),
                name: definition.name.clone(),
                labels: definition.labels.clone(),
            };
            return self.port_definitions.iter().map(port).collect();
        }
        let port = |mapping: &PortMapping| Port {
            container: Some(mapping.container_port),
            host: mapping.host_port,
            service: mapping.service_port,
            protocol: mapping.protocol.clone(),
            name: mapping.name.clone(),
            labels: mapping.labels.clone(),
        };
        let container = self.container.as_ref();
        container.into_iter().flat_map(|c| &c.port_mappings).map(port).collect()
    }

    /// How long an unreachable task counts as there and how long it is kept, in seconds; `None`
    /// when it is kept for ever.
    pub fn unreachable_seconds(&self) -> Option<(f64, f64)> {
        let seconds = |key: &str| self.unreachable_strategy[key].as_f64().unwrap_or(0.0);
        match self.unreachable_strategy.as_str() {
            Some(_) => None,
            None => {
                Some((seconds("inactiveAfterSeconds"), seconds("expungeAfterSeconds")))
            }
        }
    }
}

/// An app as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// In its one form.
    pub spec: Spec,
    /// The version of this.
    pub version: String,
    /// The version that last changed the number of instances.
    pub last_scaling: String,
    /// The version that last changed anything else.
    pub last_config: String,
}

impl Record {
    /// A record of its first version.
    pub fn new(spec: Spec, version: &str) -> Self {
        let version = version.to_owned();
        Self {
            spec,
            last_scaling: version.clone(),
            last_config: version.clone(),
            version,
        }
    }

    /// Its next version: itself when nothing changed.
    pub fn next(&self, spec: Spec, version: &str) -> Self {
        let mut next = Self { spec, ..self.clone() };
        if without_instances(&next.spec) != without_instances(&self.spec) {
            version.clone_into(&mut next.last_config);
            version.clone_into(&mut next.last_scaling);
            version.clone_into(&mut next.version);
        } else if next.spec.get("instances") != self.spec.get("instances") {
            version.clone_into(&mut next.last_scaling);
            version.clone_into(&mut next.version);
        }
        next
    }

    /// The same, to be started anew.
    pub fn restarted(&self, version: &str) -> Self {
        Self {
            version: version.to_owned(),
            last_config: version.to_owned(),
            ..self.clone()
        }
    }

    /// What is acted upon.
    pub fn app(&self) -> App {
        App::read(&self.spec).unwrap_or_default()
    }

    /// How many are wanted.
    pub fn instances(&self) -> u32 {
        let number = self.spec.get("instances").and_then(Value::as_u64);
        number.and_then(|n| u32::try_from(n).ok()).unwrap_or_default()
    }

    /// The same with another number of instances.
    pub fn scaled(&self, instances: u32, version: &str) -> Self {
        let mut spec = self.spec.clone();
        spec.insert("instances".into(), instances.into());
        self.next(spec, version)
    }

    /// What is shown of it: without what is empty.
    pub fn json(&self) -> Spec {
        let mut shown = self.spec.clone();
        let is_empty = |value: &Value| {
            value.as_array().is_some_and(Vec::is_empty)
                || value.as_object().is_some_and(Spec::is_empty)
        };
        let kept = ["labels", "portDefinitions"];
        shown.retain(|key, value| kept.contains(&key.as_str()) || !is_empty(value));
        let ports = shown.get_mut("portDefinitions").and_then(Value::as_array_mut);
        for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
            port.retain(|_, value| !is_empty(value));
        }
        shown.insert("version".into(), self.version.clone().into());
        let info = json!({
            "lastScalingAt": self.last_scaling, "lastConfigChangeAt": self.last_config,
        });
        shown.insert("versionInfo".into(), info);
        shown
    }
}

fn without_instances(spec: &Spec) -> Spec {
    let kept = spec.iter().filter(|(key, _)| *key != "instances");
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marathon::normal;

    fn record(value: Value) -> Record {
        let spec = value.as_object().unwrap().clone();
        Record::new(normal::complete(normal::modernise(spec).unwrap(), "*"), "v1")
    }

    #[test]
    fn versions_say_what_changed() {
        let first = record(json!({"id": "/a", "cmd": "x"}));
        let scaled = first.scaled(3, "v2");
        assert_eq!(
            (&*scaled.version, &*scaled.last_scaling, &*scaled.last_config),
            ("v2", "v2", "v1")
        );
        let mut spec = scaled.spec.clone();
        spec.insert("cmd".into(), "y".into());
        let changed = scaled.next(spec.clone(), "v3");
        assert_eq!(changed.last_config, "v3");
        assert_eq!(changed.next(spec, "v4").version, "v3");
        assert_eq!(first.restarted("v5").last_config, "v5");
    }

    #[test]
    fn ports_of_either_kind() {
        let host = record(json!({"id": "/a", "ports": [80], "requirePorts": true})).app();
        assert_eq!((host.ports()[0].host, host.ports()[0].container), (Some(80), None));
        let bridge =
            record(json!({"id": "/a", "networks": [{"mode": "container/bridge"}],
            "container": {"portMappings": [{"containerPort": 80}]}}));
        let ports = bridge.app().ports();
        assert_eq!((ports[0].host, ports[0].container), (Some(0), Some(80)));
    }

    #[test]
    fn what_becomes_of_the_unreachable() {
        assert_eq!(
            record(json!({"id": "/a"})).app().unreachable_seconds(),
            Some((0.0, 0.0))
        );
        let kept = record(json!({"id": "/a", "unreachableStrategy": "disabled"}));
        assert_eq!(kept.app().unreachable_seconds(), None);
    }
}
