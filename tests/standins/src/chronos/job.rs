//! A job: what a client says of it, what became of it, and how it is shown. Pure.

use super::schedule;
use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::sync::LazyLock;

/// A job. It is kept in the form in which it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Job {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub command: String,
    /// Whether a shell runs it.
    pub shell: bool,
    /// How late it may still be run, as ISO 8601 writes durations.
    pub epsilon: String,
    /// The executor; jobs with one of their own are refused.
    pub executor: String,
    executor_flags: String,
    task_info_data: String,
    /// How often a failed run is tried again.
    #[serde(deserialize_with = "whole")]
    pub retries: u64,
    /// Who looks after it.
    pub owner: String,
    owner_name: String,
    description: String,
    /// Runs that ended well.
    pub success_count: u64,
    /// Runs that failed for good.
    pub error_count: u64,
    /// When the last run ended well; empty for never.
    pub last_success: String,
    /// When the last run failed for good; empty for never.
    pub last_error: String,
    /// Processors.
    #[serde(deserialize_with = "number")]
    pub cpus: f64,
    /// Disk, in MiB.
    #[serde(deserialize_with = "number")]
    pub disk: f64,
    /// Memory, in MiB.
    #[serde(deserialize_with = "number")]
    pub mem: f64,
    /// Whether it is set aside.
    pub disabled: bool,
    /// Whether several runs of it may go on at once.
    pub concurrent: bool,
    /// Whether its children run when it fails, too.
    pub soft_error: bool,
    data_processing_job_type: bool,
    /// Runs that failed for good since one ended well.
    pub errors_since_last_success: u64,
    /// Files that are fetched first.
    pub fetch: Vec<Fetch>,
    /// Files that are fetched first, by the older name.
    pub uris: Vec<String>,
    /// Variables of its runs.
    pub environment_variables: Vec<Variable>,
    /// Arguments of a command that no shell runs.
    pub arguments: Vec<String>,
    /// Whether it goes before others.
    pub high_priority: bool,
    /// The user of its runs.
    pub run_as_user: String,
    /// What it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// Which agents may run it: attribute, operator, value.
    pub constraints: Vec<Vec<String>>,
    /// When it runs.
    #[serde(flatten)]
    pub timing: Timing,
}

/// When a job runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Timing {
    /// After others.
    After {
        /// Their names.
        parents: Vec<String>,
    },
    /// At its times.
    At {
        /// `R[n]/start/period`.
        schedule: String,
        /// The zone of the start; empty for the one that it names itself.
        #[serde(default)]
        schedule_time_zone: String,
    },
}

/// A file to fetch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fetch {
    /// Where it is.
    pub uri: String,
    /// Whether it is a program.
    pub executable: bool,
    /// Whether agents keep it for others.
    pub cache: bool,
    /// Whether an archive is unpacked.
    pub extract: bool,
    /// Its name there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output_file: String,
}

/// A variable of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What a job runs in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// `DOCKER` or `MESOS`.
    #[serde(default = "docker", rename = "type")]
    pub kind: String,
    /// Its image.
    pub image: String,
    /// `HOST`, `BRIDGE` or `USER`.
    #[serde(default = "host")]
    pub network: String,
    /// Networks that it is in, as Mesos describes them.
    #[serde(default)]
    pub network_infos: Vec<Value>,
    /// Folders of the host.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Whether the image is pulled even where it is there.
    #[serde(default)]
    pub force_pull_image: bool,
    /// Options of Docker's.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
}

/// A folder of the host in a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Where it is on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
    /// Where it is in the container.
    pub container_path: String,
    /// `RW` or `RO`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// An option of Docker's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// What a job has that says nothing of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Processors.
    pub cpus: f64,
    /// Memory, in MiB.
    pub mem: f64,
    /// Disk, in MiB.
    pub disk: f64,
    /// How late it may still be run.
    pub epsilon: String,
    /// The user of its runs.
    pub user: String,
}

/// Why a definition is refused, as the real one words it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// Once, as soon as may be: the schedule of a job that has neither one nor parents.
const NOW: &str = "R1//PT24H";

fn docker() -> String {
    "DOCKER".to_owned()
}

fn host() -> String {
    "HOST".to_owned()
}

impl Default for Job {
    fn default() -> Self {
        Self {
            name: String::new(),
            command: String::new(),
            shell: true,
            epsilon: String::new(),
            executor: String::new(),
            executor_flags: String::new(),
            task_info_data: String::new(),
            retries: 2,
            owner: String::new(),
            owner_name: String::new(),
            description: String::new(),
            success_count: 0,
            error_count: 0,
            last_success: String::new(),
            last_error: String::new(),
            cpus: 0.0,
            disk: 0.0,
            mem: 0.0,
            disabled: false,
            concurrent: false,
            soft_error: false,
            data_processing_job_type: false,
            errors_since_last_success: 0,
            fetch: Vec::new(),
            uris: Vec::new(),
            environment_variables: Vec::new(),
            arguments: Vec::new(),
            high_priority: false,
            run_as_user: String::new(),
            container: None,
            constraints: Vec::new(),
            timing: Timing::After { parents: Vec::new() },
        }
    }
}

impl Job {
    /// Reads what a client sends. Fields that are not known are let pass.
    ///
    /// # Errors
    /// The first fault that is found.
    pub fn read(definition: &Value, defaults: &Defaults) -> Result<Self, Invalid> {
        let invalid = |error: serde_json::Error| Invalid(error.to_string());
        for field in ["name", "command"] {
            if !definition[field].is_string() {
                return Err(Invalid(format!("{field} is missing")));
            }
        }
        let mut definition = definition.clone();
        if definition.get("parents").is_none() && definition.get("schedule").is_none() {
            definition["schedule"] = NOW.into();
        }
        let mut job: Self = serde_json::from_value(definition).map_err(invalid)?;
        job.fill(defaults);
        job.check()?;
        // Operators that are not known are dropped, as there.
        job.constraints.retain(|words| {
            matches!(words.get(1).map(String::as_str), Some("EQUALS" | "LIKE" | "UNLIKE"))
        });
        Ok(job)
    }

    fn fill(&mut self, defaults: &Defaults) {
        let or = |value: &mut f64, default: f64| {
            if *value == 0.0 {
                *value = default;
            }
        };
        or(&mut self.cpus, defaults.cpus);
        or(&mut self.mem, defaults.mem);
        or(&mut self.disk, defaults.disk);
        if self.epsilon.is_empty() {
            self.epsilon.clone_from(&defaults.epsilon);
        }
        if self.run_as_user.is_empty() {
            self.run_as_user.clone_from(&defaults.user);
        }
        if let Some(container) = &mut self.container {
            container.kind.make_ascii_uppercase();
            container.network.make_ascii_uppercase();
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        let fault = if !is_name(&self.name) {
            "requirement failed: the job's name is invalid. Allowed names: '([\\w\\.-]+)'"
        } else if schedule::parse_duration(&self.epsilon).is_none() {
            "Invalid format of epsilon"
        } else if !self.fetch.is_empty() && !self.uris.is_empty() {
            "requirement failed: you can't specify both uris (deprecated) and fetch"
        } else if !self.executor.is_empty() {
            "this stand-in knows no executor but Mesos' own"
        } else if let Some(container) = &self.container
            && !(matches!(&*container.kind, "DOCKER" | "MESOS")
                && matches!(&*container.network, "HOST" | "BRIDGE" | "USER"))
        {
            "No value found for the container's type or network"
        } else {
            return Ok(());
        };
        Err(Invalid(fault.to_owned()))
    }

    /// How late it may still be run.
    pub fn lateness(&self) -> jiff::SignedDuration {
        schedule::parse_duration(&self.epsilon).unwrap_or_default()
    }

    /// The jobs that it runs after.
    pub fn parents(&self) -> &[String] {
        match &self.timing {
            Timing::After { parents } => parents,
            Timing::At { .. } => &[],
        }
    }

    /// How the last of its runs ended.
    pub fn last_state(&self) -> &'static str {
        match (self.last_success.as_str(), self.last_error.as_str()) {
            ("", "") => "fresh",
            ("", _) => "failure",
            // Both are of one form, so they sort as their times do.
            (success, error) if success > error => "success",
            _ => "failure",
        }
    }
}

fn is_name(text: &str) -> bool {
    static NAME: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\A[A-Za-z0-9_.-]+\z").ok());
    NAME.as_ref().is_some_and(|name| name.is_match(text))
}

/// A number, or text that is one.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
    number
        .filter(|number| *number >= 0.0)
        .ok_or_else(|| serde::de::Error::custom(format!("{value} is no amount")))
}

/// A whole number, or text that is one.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    number(deserializer).map(|number| number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(definition: Value) -> Result<Job, Invalid> {
        let defaults = Defaults {
            cpus: 0.1,
            mem: 128.0,
            disk: 256.0,
            epsilon: "PT60S".into(),
            user: "root".into(),
        };
        Job::read(&definition, &defaults)
    }

    #[test]
    fn what_is_not_said_is_as_the_flags_say() {
        let job = read(json!({"name": "a", "command": "true", "cpus": "0.5"})).unwrap();
        assert_eq!((job.cpus, job.mem, job.retries, job.shell), (0.5, 128.0, 2, true));
        assert_eq!((job.epsilon.as_str(), job.run_as_user.as_str()), ("PT60S", "root"));
        let once = Timing::At { schedule: NOW.into(), schedule_time_zone: String::new() };
        assert_eq!(job.timing, once);
    }

    #[test]
    fn a_job_is_kept_as_it_is_shown() {
        let job = read(json!({
            "name": "a", "command": "true", "schedule": "R//P1D", "unknown": 1,
            "scheduleTimeZone": "UTC", "container": {"image": "i", "network": "bridge"},
            "constraints": [["rack", "EQUALS", "a"], ["rack", "NEAR", "a"]],
        }))
        .unwrap();
        let shown = serde_json::to_value(&job).unwrap();
        assert_eq!(shown["schedule"], "R//P1D");
        assert_eq!(shown["scheduleTimeZone"], "UTC");
        assert_eq!(shown["container"]["type"], "DOCKER");
        assert_eq!(shown["container"]["network"], "BRIDGE");
        assert_eq!(shown["constraints"], json!([["rack", "EQUALS", "a"]]));
        assert_eq!(shown.get("parents"), None);
        assert_eq!(serde_json::from_value::<Job>(shown).unwrap(), job);
        let child = read(json!({"name": "b", "command": "", "parents": ["a"]})).unwrap();
        let shown = serde_json::to_value(&child).unwrap();
        assert_eq!((&shown["parents"], shown.get("schedule")), (&json!(["a"]), None));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (field, value) in [
            ("name", json!("a/b")),
            ("name", json!("")),
            ("name", json!(null)),
            ("command", json!(null)),
            ("epsilon", json!("60")),
            ("retries", json!("some")),
            ("cpus", json!(-1)),
            ("executor", json!("x")),
            ("container", json!({"image": "i", "type": "RKT"})),
            ("container", json!({"type": "DOCKER"})),
            ("environmentVariables", json!([{"name": "a"}])),
            ("uris", json!(["http://a"])),
        ] {
            let mut definition = json!({
                "name": "a", "command": "true", "fetch": [{"uri": "http://b"}]});
            definition[field] = value;
            assert!(read(definition.clone()).is_err(), "{definition}");
        }
    }

    #[test]
    fn the_last_run_tells_the_state() {
        let mut job = Job::default();
        assert_eq!(job.last_state(), "fresh");
        job.last_error = "2020-10-29T10:00:00.000Z".into();
        assert_eq!(job.last_state(), "failure");
        job.last_success = "2020-10-29T10:00:00.001Z".into();
        assert_eq!(job.last_state(), "success");
    }
}
