//! An app as it is acted upon, and as it is kept: with its version. Pure.
//!
//! Times are in seconds.

#![expect(missing_docs, reason = "fields are those of Marathon's API")]

use crate::Spec;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The fields of an app that decide something.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct App {
    pub id: String,
    pub cmd: Option<String>,
    pub args: Vec<String>,
    pub user: Option<String>,
    pub instances: u32,
    pub cpus: f64,
    pub mem: f64,
    pub disk: f64,
    pub gpus: f64,
    pub constraints: Vec<Vec<String>>,
    pub accepted_resource_roles: Vec<String>,
    pub role: String,
    pub container: Option<Container>,
    pub networks: Vec<Network>,
    pub port_definitions: Vec<PortDefinition>,
    pub require_ports: bool,
    pub fetch: Vec<Artifact>,
    pub health_checks: Vec<HealthCheck>,
    pub readiness_checks: Vec<ReadinessCheck>,
    pub env: BTreeMap<String, Value>,
    pub labels: BTreeMap<String, String>,
    pub dependencies: Vec<String>,
    pub backoff_seconds: f64,
    pub backoff_factor: f64,
    pub max_launch_delay_seconds: f64,
    pub task_kill_grace_period_seconds: Option<f64>,
    pub upgrade_strategy: UpgradeStrategy,
    pub kill_selection: String,
    pub unreachable_strategy: Value,
}

/// A container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    #[serde(rename = "type")]
    pub kind: String,
    pub docker: Option<Docker>,
    pub port_mappings: Vec<PortMapping>,
    pub volumes: Vec<Volume>,
}

/// An image, and how it is run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Docker {
    pub image: String,
    pub force_pull_image: bool,
    pub privileged: bool,
    pub parameters: Vec<Parameter>,
}

/// `--key=value`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Parameter {
    pub key: String,
    pub value: String,
}

/// A port of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PortMapping {
    pub container_port: u32,
    pub host_port: Option<u32>,
    pub service_port: u32,
    pub protocol: String,
    pub name: Option<String>,
    pub labels: BTreeMap<String, String>,
}

/// A port in host mode.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PortDefinition {
    pub port: u32,
    pub protocol: String,
    pub name: Option<String>,
    pub labels: BTreeMap<String, String>,
}

/// A network.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Network {
    pub mode: String,
    pub name: Option<String>,
}

/// A volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Volume {
    pub container_path: String,
    pub host_path: Option<String>,
    pub mode: Option<String>,
}

/// Something to fetch.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Artifact {
    pub uri: String,
    pub extract: bool,
    pub executable: bool,
    pub cache: bool,
    pub dest_path: Option<String>,
}

/// A health check.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HealthCheck {
    pub protocol: String,
    pub path: Option<String>,
    pub port: Option<u32>,
    pub port_index: Option<usize>,
    pub command: Option<CheckCommand>,
    pub grace_period_seconds: f64,
    pub interval_seconds: f64,
    pub timeout_seconds: f64,
    pub max_consecutive_failures: u32,
    pub delay_seconds: f64,
}

/// What must answer before a deployment goes on.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReadinessCheck {
    pub name: String,
    pub path: String,
    pub port_name: Option<String>,
    pub interval_seconds: f64,
    pub timeout_seconds: f64,
    pub http_status_codes_for_ready: Vec<u16>,
    pub preserve_last_response: bool,
}

/// The command of a check.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CheckCommand {
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
    use crate::normal;

    fn record(value: Value) -> Record {
        let spec = value.as_object().unwrap().clone();
        Record::new(normal::complete(spec, "*", "/"), "v1")
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
}
