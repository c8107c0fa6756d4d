//! What is read of Marathon: the apps with their tasks, and the events.
//!
//! Lenient: only the members that matter are looked at, and an app that cannot be read is set aside
//! alone. Ports are wider than TCP's, since Marathon accepts and shows any up to 2³¹ − 1.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One answer to `GET /v2/apps?embed=apps.tasks`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// The apps that can be read.
    pub apps: Vec<App>,
    /// The others.
    pub unreadable: Vec<Unreadable>,
}

/// An app that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its id, as far as that can be read.
    pub id: Option<String>,
    /// The parser's reason.
    pub reason: String,
}

/// An app.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct App {
    /// Its id, such as `/prod/web`.
    pub id: String,
    /// How many tasks it should have.
    pub instances: u32,
    /// The share of CPUs of each task.
    pub cpus: f64,
    /// The memory of each task, in MiB.
    pub mem: f64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its ports, if its tasks share the host's network.
    pub port_definitions: Vec<PortDefinition>,
    /// Its container.
    pub container: Option<Container>,
    /// Its health checks.
    pub health_checks: Vec<HealthCheck>,
    /// Tasks that do not run yet.
    pub tasks_staged: u32,
    /// Tasks that run.
    pub tasks_running: u32,
    /// Tasks that pass their health checks, as Marathon counts them.
    pub tasks_healthy: u32,
    /// Tasks that fail them.
    pub tasks_unhealthy: u32,
    /// Deployments that change it now.
    pub deployments: Vec<Deployment>,
    /// Its tasks.
    pub tasks: Vec<Task>,
}

/// A port of an app in the host's network.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PortDefinition {
    /// The service port.
    pub port: u32,
    /// `tcp`, `udp` or both.
    pub protocol: String,
}

/// The container of an app.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    /// Its ports, if it has a network of its own.
    pub port_mappings: Option<Vec<PortMapping>>,
}

/// A port of an app whose tasks have a network of their own.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PortMapping {
    /// The port inside.
    pub container_port: u32,
    /// The port on the host; without one a task is reached by its own address.
    pub host_port: Option<u32>,
    /// The service port.
    pub service_port: u32,
    /// `tcp`, `udp` or both.
    pub protocol: String,
}

/// A port of an app, however it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppPort {
    /// The service port.
    pub service: u32,
    /// The port inside a container with a network of its own.
    pub container: Option<u32>,
    /// Its place among a task's ports on the host, if it has one there.
    pub place: Option<usize>,
    /// Whether it takes TCP.
    pub is_tcp: bool,
}

/// A health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HealthCheck {
    /// For example `HTTP`, `MESOS_TCP`, `COMMAND`.
    pub protocol: String,
    /// The page that is asked.
    pub path: Option<String>,
    /// The port that is asked, by its place.
    pub port_index: Option<usize>,
    /// The port that is asked, by its number.
    pub port: Option<u32>,
    /// The time between two checks.
    pub interval_seconds: u32,
    /// How long an answer may take.
    pub timeout_seconds: u32,
    /// After so many failures in a row the task is killed.
    pub max_consecutive_failures: u32,
}

/// A deployment, of which only the number matters.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Deployment {
    /// Its id.
    pub id: String,
}

/// A task. Marathon lists one that has ended until the next one of its instance starts.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Task {
    /// Its id.
    pub id: String,
    /// The name or address of its agent.
    pub host: String,
    /// What it does, such as `TASK_RUNNING`.
    pub state: State,
    /// Its ports on the host, in the order of the app's ports.
    pub ports: Vec<u32>,
    /// Its own addresses; only those of a running task are its own.
    pub ip_addresses: Vec<IpAddress>,
    /// When it started.
    #[serde(deserialize_with = "time")]
    pub started_at: Option<Timestamp>,
    /// The last result of each health check.
    pub health_check_results: Vec<HealthCheckResult>,
}

/// What a task does, as far as it matters here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum State {
    /// It does not run yet.
    #[default]
    Starting,
    /// It runs, as far as is known: its agent may be unreachable.
    Running,
    /// It is being killed.
    Killing,
    /// It has ended.
    Ended,
}

/// An address of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IpAddress {
    /// The address.
    pub ip_address: String,
}

/// The last result of a health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HealthCheckResult {
    /// Whether the task passed.
    pub alive: bool,
    /// When it passed last, which may be before this task's start.
    #[serde(deserialize_with = "time")]
    pub last_success: Option<Timestamp>,
}

/// An event that says more than "something has changed".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The condition or the goal of an instance has changed.
    Instance {
        /// The instance.
        instance: String,
        /// The condition, such as `Running`.
        condition: String,
    },
    /// Mesos has reported about a task.
    Task {
        /// The task.
        task: String,
        /// What the task does now.
        state: State,
    },
    /// Anything else.
    Other,
}

/// Why an answer of Marathon is not a list of apps.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not a list of apps")]
pub struct NotApps(#[from] serde_json::Error);

impl Reading {
    /// Reads a list of apps.
    ///
    /// # Errors
    ///
    /// If the text is not one whole list.
    pub fn parse(text: &[u8]) -> Result<Self, NotApps> {
        #[derive(Deserialize)]
        struct List<'text> {
            #[serde(borrow)]
            apps: Vec<&'text RawValue>,
        }
        let list: List<'_> = serde_json::from_slice(text)?;
        let mut reading = Self::default();
        for raw in list.apps {
            match serde_json::from_str::<App>(raw.get()) {
                Ok(app) if !app.id.is_empty() => reading.apps.push(app),
                Ok(_) => reading.set_aside(None, "it has no id".to_owned()),
                Err(error) => reading.set_aside(id_of(raw), error.to_string()),
            }
        }
        reading.apps.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(reading)
    }

    fn set_aside(&mut self, id: Option<String>, reason: String) {
        self.unreadable.push(Unreadable { id, reason });
    }
}

fn id_of(raw: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    serde_json::from_str::<Named>(raw.get()).ok().map(|named| named.id)
}

impl App {
    /// Its ports, in their order.
    pub fn ports(&self) -> Vec<AppPort> {
        let mappings = self.container.as_ref().and_then(|at| at.port_mappings.as_ref());
        match mappings.filter(|mappings| !mappings.is_empty()) {
            Some(mappings) => mapped_ports(mappings),
            None => self.defined_ports(),
        }
    }

    fn defined_ports(&self) -> Vec<AppPort> {
        let defined = |(place, definition): (usize, &PortDefinition)| AppPort {
            service: definition.port,
            container: None,
            place: Some(place),
            is_tcp: is_tcp(&definition.protocol),
        };
        self.port_definitions.iter().enumerate().map(defined).collect()
    }
}

/// A task lists the ports of only those mappings that have one on the host.
fn mapped_ports(mappings: &[PortMapping]) -> Vec<AppPort> {
    let mut n_on_host = 0;
    let mapped = |mapping: &PortMapping| AppPort {
        service: mapping.service_port,
        container: Some(mapping.container_port),
        place: mapping.host_port.map(|_| {
            n_on_host += 1;
            n_on_host - 1
        }),
        is_tcp: is_tcp(&mapping.protocol),
    };
    mappings.iter().map(mapped).collect()
}

fn is_tcp(protocol: &str) -> bool {
    protocol.is_empty() || protocol.contains("tcp")
}

impl Task {
    /// The instance that it belongs to. The next task of the same instance has another number at
    /// the end.
    pub fn instance(&self) -> &str {
        instance_of(&self.id)
    }

    /// Whether it has passed this many health checks itself. A task that replaces another
    /// inherits that task's results, which date from before its own start.
    pub fn passes(&self, n_checks: usize) -> bool {
        let is_own = |at: &&HealthCheckResult| {
            at.alive && (self.started_at.is_none() || at.last_success >= self.started_at)
        };
        self.health_check_results.iter().filter(is_own).count() >= n_checks
    }
}

/// The instance of a task: its id without the number at the end.
pub fn instance_of(task: &str) -> &str {
    task.rsplit_once("._app.").map_or(task, |(instance, _)| instance)
}

impl From<String> for State {
    fn from(word: String) -> Self {
        match word.as_str() {
            "TASK_RUNNING" | "TASK_UNREACHABLE" | "TASK_LOST" => Self::Running,
            "TASK_KILLING" => Self::Killing,
            "TASK_STAGING" | "TASK_STARTING" | "" => Self::Starting,
            _ => Self::Ended,
        }
    }
}

impl Event {
    /// Reads the data of an event. What cannot be read is [`Event::Other`].
    pub fn parse(data: &str) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Raw {
            event_type: String,
            instance_id: String,
            condition: String,
            task_id: String,
            task_status: String,
        }
        let raw: Raw = serde_json::from_str(data).unwrap_or_default();
        match raw.event_type.as_str() {
            "instance_changed_event" => {
                Self::Instance { instance: raw.instance_id, condition: raw.condition }
            }
            // Of a lost task nothing is known in the list yet; as news it means the end.
            "status_update_event" if raw.task_status == "TASK_LOST" => {
                Self::Task { task: raw.task_id, state: State::Ended }
            }
            "status_update_event" => {
                Self::Task { task: raw.task_id, state: State::from(raw.task_status) }
            }
            "unhealthy_instance_kill_event" => {
                Self::Task { task: raw.task_id, state: State::Killing }
            }
            _ => Self::Other,
        }
    }
}

/// A time that cannot be read is unknown, not an error.
fn time<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(input)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(apps: &str) -> Reading {
        Reading::parse(format!("{{\"apps\":[{apps}]}}").as_bytes()).unwrap()
    }

    fn task(members: &str) -> Task {
        serde_json::from_str(&format!("{{{members}}}")).unwrap()
    }

    #[test]
    fn an_app_that_cannot_be_read_leaves_the_others() {
        let reading =
            read(r#"{"id":"/b"},{"id":"/a","instances":"many"},{"id":"/c"},{}"#);
        let ids: Vec<&str> = reading.apps.iter().map(|app| app.id.as_str()).collect();
        assert_eq!(ids, ["/b", "/c"]);
        let named: Vec<Option<&str>> =
            reading.unreadable.iter().map(|app| app.id.as_deref()).collect();
        assert_eq!(named, [Some("/a"), None]);
    }

    #[test]
    fn half_a_list_is_no_list() {
        for text in [r#"{"apps":[{"id":"/a"}"#, r#"{"apps":["#, r#"{"message":"no"}"#, ""]
        {
            assert!(Reading::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_above_those_of_tcp_are_read() {
        let reading =
            read(r#"{"id":"/a","portDefinitions":[{"port":70000,"protocol":"tcp"}]}"#);
        assert_eq!(reading.apps[0].ports()[0].service, 70000);
    }

    #[test]
    fn only_mappings_with_a_host_port_have_a_place_among_a_tasks_ports() {
        let reading = read(
            r#"{"id":"/a","container":{"portMappings":[{"containerPort":80},
                {"containerPort":81,"hostPort":0},{"containerPort":82,"hostPort":0}]}}"#,
        );
        let places: Vec<Option<usize>> =
            reading.apps[0].ports().iter().map(|port| port.place).collect();
        assert_eq!(places, [None, Some(0), Some(1)]);
    }

    #[test]
    fn results_of_the_task_before_do_not_count() {
        let result = |at: &str| {
            format!(
                r#""startedAt":"2026-11-29T15:12:49.501Z",
                   "healthCheckResults":[{{"alive":true,"lastSuccess":"{at}"}}]"#
            )
        };
        assert!(!task(&result("2026-11-29T15:12:40Z")).passes(1));
        assert!(task(&result("2026-11-29T15:12:50Z")).passes(1));
        assert!(!task(r#""healthCheckResults":[]"#).passes(1));
    }

    #[test]
    fn one_failing_check_of_two_is_not_healthy() {
        let two = r#""healthCheckResults":[{"alive":true},{"alive":false}]"#;
        assert!(!task(two).passes(2));
    }

    #[test]
    fn events_are_told_apart() {
        let instance = r#"{"instanceId":"web.instance-1","condition":"Running",
            "runSpecId":"/web","eventType":"instance_changed_event"}"#;
        assert_eq!(
            Event::parse(instance),
            Event::Instance {
                instance: "web.instance-1".to_owned(),
                condition: "Running".to_owned()
            }
        );
        let killing = r#"{"taskId":"web.instance-1._app.2","taskStatus":"TASK_KILLING",
            "eventType":"status_update_event"}"#;
        let task = "web.instance-1._app.2".to_owned();
        assert_eq!(instance_of(&task), "web.instance-1");
        assert_eq!(Event::parse(killing), Event::Task { task, state: State::Killing });
        assert_eq!(Event::parse("{half"), Event::Other);
    }
}
