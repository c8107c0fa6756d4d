//! A job: what a client says of it, what became of it, and how it is shown. Pure.

#![expect(missing_docs, reason = "fields are those of Chronos' API")]

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A job. It is kept in the form in which it is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Job {
    pub name: String,
    pub command: String,
    pub shell: bool,
    executor: String,
    executor_flags: String,
    task_info_data: String,
    pub retries: u64,
    pub owner: String,
    owner_name: String,
    description: String,
    pub success_count: u64,
    pub error_count: u64,
    pub last_success: String,
    pub last_error: String,
    pub cpus: f64,
    pub disk: f64,
    pub mem: f64,
    pub disabled: bool,
    pub concurrent: bool,
    pub soft_error: bool,
    data_processing_job_type: bool,
    pub errors_since_last_success: u64,
    pub fetch: Vec<Fetch>,
    pub uris: Vec<String>,
    pub environment_variables: Vec<Variable>,
    pub arguments: Vec<String>,
    pub high_priority: bool,
    pub run_as_user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    pub constraints: Vec<Vec<String>>,
    #[serde(flatten)]
    pub timing: Timing,
}

/// When a job runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Timing {
    After {
        parents: Vec<String>,
    },
    At {
        schedule: String,
        #[serde(default)]
        schedule_time_zone: String,
    },
}

/// A file to fetch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fetch {
    pub uri: String,
    pub executable: bool,
    pub cache: bool,
    pub extract: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output_file: String,
}

/// A variable of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variable {
    pub name: String,
    pub value: String,
}

/// What a job runs in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    #[serde(rename = "type")]
    pub kind: String,
    pub image: String,
    pub network: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_name: Option<String>,
    pub network_infos: Vec<Value>,
    pub volumes: Vec<Volume>,
    pub force_pull_image: bool,
    pub parameters: Vec<Parameter>,
}

/// A folder of the host in a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
    pub container_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external: Option<Value>,
}

/// An option of Docker's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    pub key: String,
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
    /// The user of its runs.
    pub user: String,
}

/// A definition that the real one fails over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Once, as soon as may be: the schedule of a job that has neither one nor parents.
const NOW: &str = "R1//PT24H";

impl Default for Timing {
    fn default() -> Self {
        Self::After { parents: Vec::new() }
    }
}

impl Job {
    /// Reads what a client sends. Fields that are not known are let pass, and a value of another
    /// kind counts as what the real one makes of it.
    ///
    /// # Errors
    /// When what must be there is not.
    pub fn read(definition: &Value, defaults: &Defaults) -> Result<Self, Unreadable> {
        let Defaults { cpus, mem, disk, user } = defaults.clone();
        let like = Self {
            cpus,
            mem,
            disk,
            run_as_user: user,
            shell: true,
            retries: 2,
            ..Self::default()
        };
        let mut shown = json!(like);
        for (name, known) in shown.as_object_mut().into_iter().flatten() {
            if let Some(given) = definition.get(name) {
                *known = as_like(name, given, known)?;
            }
        }
        shown["name"] = text(definition.get("name").ok_or(Unreadable)?).into();
        if let Some(container) = definition.get("container").filter(|it| it.is_object()) {
            shown["container"] = read_container(container)?;
        }
        match definition.get("parents") {
            Some(parents) => shown["parents"] = each(parents, |name| Ok(text(name)))?,
            None => {
                let [schedule, zone] = ["schedule", "scheduleTimeZone"]
                    .map(|name| definition.get(name).map(text));
                shown["schedule"] = schedule.unwrap_or_else(|| NOW.to_owned()).into();
                shown["scheduleTimeZone"] = zone.unwrap_or_default().into();
                shown.as_object_mut().map(|job| job.remove("parents"));
            }
        }
        serde_json::from_value(shown).map_err(|_| Unreadable)
    }

    /// What becomes of a job when one that it ran after is gone. It gets that one's parents; in
    /// place of a schedule's it gets the schedule, and most of what it was is lost.
    #[must_use]
    pub fn without_parent(self, gone: &Self) -> Self {
        let Timing::After { parents: above } = &gone.timing else {
            return Self {
                description: String::new(),
                environment_variables: Vec::new(),
                arguments: Vec::new(),
                container: None,
                constraints: Vec::new(),
                run_as_user: String::new(),
                concurrent: false,
                timing: gone.timing.clone(),
                ..self
            };
        };
        let others = self.parents().iter().filter(|parent| **parent != gone.name);
        let parents: BTreeSet<_> = others.chain(above).cloned().collect();
        let timing = Timing::After { parents: parents.into_iter().collect() };
        Self { timing, ..self }
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

/// A value as one of the kind of what is known by this name.
fn as_like(name: &str, given: &Value, known: &Value) -> Result<Value, Unreadable> {
    Ok(match known {
        Value::String(_) => text(given).into(),
        Value::Bool(_) => flag(given).into(),
        Value::Number(default) if default.is_f64() => {
            Some(number(given)).filter(|n| *n != 0.0).map_or(known.clone(), Value::from)
        }
        Value::Number(_) => (number(given) as u64).into(),
        _ => match name {
            "fetch" => each(given, |file| {
                let part = |name: &str| file.get(name).is_some_and(flag);
                Ok(Fetch {
                    uri: file.get("uri").map(text).unwrap_or_default(),
                    executable: part("executable"),
                    cache: part("cache"),
                    extract: file.get("extract").is_none_or(flag),
                    output_file: file.get("output_file").map(text).unwrap_or_default(),
                })
            })?,
            "environmentVariables" => each(given, |variable| {
                Ok(Variable {
                    name: needed(variable, "name")?,
                    value: needed(variable, "value")?,
                })
            })?,
            "constraints" => read_constraints(given)?,
            "parents" => known.clone(),
            _ => each(given, |item| Ok(text(item)))?,
        },
    })
}

/// Operators that are not known are dropped, as there.
fn read_constraints(given: &Value) -> Result<Value, Unreadable> {
    let mut read = Vec::new();
    for words in given.as_array().into_iter().flatten() {
        let word = |index: usize| words.get(index).map(text).ok_or(Unreadable);
        let operator = word(1)?;
        if !["EQUALS", "LIKE", "UNLIKE"].contains(&&*operator) {
            continue;
        }
        let (attribute, value) = (word(0)?, word(2)?);
        if operator != "EQUALS" {
            Regex::new(&value).map_err(|_| Unreadable)?;
        }
        read.push([attribute, operator, value]);
    }
    Ok(json!(read))
}

/// A container without an image is none, as there.
fn read_container(given: &Value) -> Result<Value, Unreadable> {
    let word =
        |name: &str, default: &str| given.get(name).map_or(default.to_owned(), text);
    let kind = word("type", "DOCKER").to_uppercase();
    // Of these alone the spelling counts.
    let network = word("network", "HOST");
    let known = ["DOCKER", "MESOS"].contains(&&*kind)
        && ["HOST", "BRIDGE", "USER"].contains(&&*network);
    let Some(image) = given.get("image").filter(|_| known).map(text) else {
        return if known { Ok(Value::Null) } else { Err(Unreadable) };
    };
    let volume = |volume: &Value| {
        Ok(Volume {
            host_path: volume.get("hostPath").map(text),
            container_path: needed(volume, "containerPath")?,
            mode: volume.get("mode").map(|mode| text(mode).to_uppercase()),
            external: volume.get("external").cloned(),
        })
    };
    let parameter = |parameter: &Value| {
        Ok(Parameter {
            key: needed(parameter, "key")?,
            value: needed(parameter, "value")?,
        })
    };
    let list = |name: &str| given.get(name).unwrap_or(&Value::Null);
    Ok(json!({
        "type": kind, "image": image, "network": network,
        "networkName": given.get("networkName").map(text),
        "networkInfos": each(list("networkInfos"), |info| Ok(with_texts(info)))?,
        "volumes": each(list("volumes"), volume)?,
        "forcePullImage": given.get("forcePullImage").is_some_and(flag),
        "parameters": each(list("parameters"), parameter)?,
    }))
}

/// With every number as text.
fn with_texts(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(with_texts).collect(),
        Value::Object(map) => {
            map.iter().map(|(name, value)| (name.clone(), with_texts(value))).collect()
        }
        other => text(other).into(),
    }
}

fn each<T: Serialize>(
    list: &Value,
    read: impl Fn(&Value) -> Result<T, Unreadable>,
) -> Result<Value, Unreadable> {
    let items = list.as_array().into_iter().flatten();
    items.map(|item| read(item).map(|item| json!(item))).collect()
}

fn needed(value: &Value, name: &str) -> Result<String, Unreadable> {
    value.get(name).map(text).ok_or(Unreadable)
}

/// Any value as text; nothing is the word `null`.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => String::new(),
        other => other.to_string(),
    }
}

/// Any value as a number: 0 when it is none.
fn number(value: &Value) -> f64 {
    text(value).parse().unwrap_or_default()
}

/// Any value as a yes or no.
fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| text(value) == "true" || number(value) != 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_kept_as_it_is_shown() {
        let defaults =
            Defaults { cpus: 0.1, mem: 128.0, disk: 256.0, user: "root".into() };
        let definition = json!({
            "name": "a", "schedule": "R//P1D", "unknown": 1, "cpus": "0.5",
            "scheduleTimeZone": "UTC", "container": {"image": "i", "network": "BRIDGE"},
            "constraints": [["rack", "EQUALS", "a"], ["rack", "NEAR", "a"]],
        });
        let job = Job::read(&definition, &defaults).unwrap();
        assert_eq!((job.cpus, job.mem, job.run_as_user.as_str()), (0.5, 128.0, "root"));
        let shown = json!(job);
        assert_eq!(shown["constraints"], json!([["rack", "EQUALS", "a"]]));
        assert_eq!((&shown["schedule"], shown.get("parents")), (&json!("R//P1D"), None));
        assert_eq!(serde_json::from_value::<Job>(shown).unwrap(), job);
    }
}
