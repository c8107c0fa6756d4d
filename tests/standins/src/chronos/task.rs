//! One run of a job, and what Mesos is told to run for it. Pure.

use super::job::{Container, Fetch, Job};
use crate::framework::offer::{Needs, Offer};
use jiff::Timestamp;
use regex::Regex;
use serde_json::{Value, json};

/// A run: it waits for its time and for an offer, or it was launched.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// `ct:<due>:<attempt>:<job>:<arguments>`.
    pub id: String,
    /// Its job.
    pub job: String,
    /// When it is due.
    pub due: Timestamp,
    /// How many attempts went before it.
    pub attempt: u64,
    /// What is added to the command.
    pub arguments: String,
    /// Where it was launched; nowhere while it waits.
    pub agent: Option<String>,
}

impl Task {
    /// A run that waits.
    pub fn new(job: &Job, due: Timestamp, attempt: u64, arguments: &str) -> Self {
        // As there, no argument may begin a command of its own.
        let arguments = arguments.replace(';', "");
        let named = match arguments.as_str() {
            "" => job.arguments.join(" ").replace(';', ""),
            given => given.to_owned(),
        };
        Self {
            id: format!("ct:{}:{attempt}:{}:{named}", due.as_millisecond(), job.name),
            job: job.name.clone(),
            due,
            attempt,
            arguments,
            agent: None,
        }
    }

    /// What an id tells of a run that was launched.
    pub fn of_id(id: &str) -> Option<Self> {
        let parts: Vec<&str> = id.splitn(5, ':').collect();
        let ["ct", due, attempt, job, arguments] = parts.as_slice() else { return None };
        Some(Self {
            id: id.to_owned(),
            job: (*job).to_owned(),
            due: Timestamp::from_millisecond(due.parse().ok()?).ok()?,
            attempt: attempt.parse().ok()?,
            arguments: (*arguments).to_owned(),
            agent: None,
        })
    }

    /// Whether it waits to be launched.
    pub fn waits(&self) -> bool {
        self.agent.is_none()
    }
}

/// What a run of a job needs.
pub fn needs(job: &Job) -> Needs {
    Needs { cpus: job.cpus, mem: job.mem, disk: job.disk, gpus: 0.0 }
}

/// Whether an offer's agent may run a job.
pub fn fits(job: &Job, offer: &Offer) -> bool {
    job.constraints.iter().all(|words| {
        let [attribute, operator, value, ..] = words.as_slice() else { return false };
        let here = offer.attribute(attribute);
        match (operator.as_str(), here) {
            ("EQUALS", here) => here.as_ref() == Some(value),
            ("LIKE", Some(here)) => matches(value, &here),
            ("UNLIKE", Some(here)) => !matches(value, &here),
            (operator, _) => operator == "UNLIKE",
        }
    })
}

fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|pattern| pattern.is_match(text))
}

/// The `TaskInfo` of a run.
pub fn info(job: &Job, task: &Task, offer: &Offer, resources: &[Value]) -> Value {
    let mut info = json!({
        "name": format!("ChronosTask:{}", job.name),
        "task_id": {"value": task.id},
        "agent_id": {"value": offer.agent()},
        "resources": resources,
        "command": command(job, task, offer),
    });
    if let Some(container) = &job.container {
        info["container"] = container_info(container);
    }
    info
}

fn command(job: &Job, task: &Task, offer: &Offer) -> Value {
    let value = match task.arguments.as_str() {
        "" => job.command.clone(),
        arguments => format!("{} {arguments}", job.command),
    };
    let by_name = job.uris.iter().map(|uri| Fetch {
        uri: uri.clone(),
        extract: true,
        ..Fetch::default()
    });
    let files = job.fetch.iter().cloned().chain(by_name).map(|file| uri(&file));
    let mut command = json!({
        "value": value, "shell": job.shell, "user": job.run_as_user,
        "environment": {"variables": variables(job, task, offer)},
        "uris": files.collect::<Value>(),
    });
    if !job.shell {
        command["arguments"] = json!(job.arguments);
    }
    command
}

fn uri(file: &Fetch) -> Value {
    let mut uri = json!({
        "value": file.uri, "extract": file.extract, "executable": file.executable,
        "cache": file.cache,
    });
    if !file.output_file.is_empty() {
        uri["output_file"] = file.output_file.clone().into();
    }
    uri
}

/// Those of Chronos, which win, and the job's own.
fn variables(job: &Job, task: &Task, offer: &Offer) -> Value {
    let own = [
        ("mesos_task_id", task.id.clone()),
        ("CHRONOS_JOB_OWNER", job.owner.clone()),
        ("CHRONOS_JOB_NAME", job.name.clone()),
        ("HOST", offer.hostname.clone()),
        ("CHRONOS_RESOURCE_MEM", format!("{:?}", job.mem)),
        ("CHRONOS_RESOURCE_CPU", format!("{:?}", job.cpus)),
        ("CHRONOS_RESOURCE_DISK", format!("{:?}", job.disk)),
        ("CHRONOS_JOB_RUN_TIME", task.due.as_millisecond().to_string()),
        ("CHRONOS_JOB_RUN_ATTEMPT", task.attempt.to_string()),
    ];
    let others = job.environment_variables.iter();
    let others =
        others.filter(|variable| own.iter().all(|(name, _)| variable.name != *name));
    let others =
        others.map(|variable| json!({"name": variable.name, "value": variable.value}));
    let own = own.iter().map(|(name, value)| json!({"name": name, "value": value}));
    own.chain(others).collect()
}

fn container_info(container: &Container) -> Value {
    let volumes = container.volumes.iter().map(|volume| {
        let mut shown = json!({
            "container_path": volume.container_path,
            "mode": volume.mode.as_deref().unwrap_or("RW").to_uppercase(),
        });
        if let Some(path) = &volume.host_path {
            shown["host_path"] = path.clone().into();
        }
        shown
    });
    let mut info = json!({"type": container.kind, "volumes": volumes.collect::<Value>()});
    if container.kind == "DOCKER" {
        info["docker"] = json!({
            "image": container.image, "network": container.network,
            "force_pull_image": container.force_pull_image,
            "parameters": container.parameters,
        });
    } else {
        info["mesos"] = json!({"image": {
            "type": "DOCKER", "docker": {"name": container.image},
            "cached": !container.force_pull_image,
        }});
    }
    if !container.network_infos.is_empty() {
        info["network_infos"] = json!(container.network_infos);
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chronos::job::Defaults;

    fn job(more: Value) -> Job {
        let mut definition = json!({"name": "a", "command": "echo", "parents": []});
        for (name, value) in more.as_object().unwrap() {
            definition[name] = value.clone();
        }
        let defaults =
            Defaults { cpus: 0.1, mem: 128.0, disk: 256.0, user: "root".into() };
        Job::read(&definition, &defaults).unwrap()
    }

    fn offer() -> Offer {
        let rack = json!({"name": "rack", "type": "TEXT", "text": {"value": "a1"}});
        let offer =
            json!({"agent_id": {"value": "S1"}, "hostname": "w1", "attributes": [rack]});
        serde_json::from_value(offer).unwrap()
    }

    #[test]
    fn an_id_says_what_it_is_of() {
        let due = Timestamp::from_millisecond(1_600_000_000_123).unwrap();
        let job = job(json!({"arguments": ["x", "y;z"]}));
        assert_eq!(Task::new(&job, due, 1, "").id, "ct:1600000000123:1:a:x yz");
        let task = Task::new(&job, due, 0, "b/c;");
        assert_eq!(task.id, "ct:1600000000123:0:a:b/c");
        assert_eq!(Task::of_id(&task.id), Some(task));
    }

    #[test]
    fn a_command_gets_its_arguments_files_and_variables() {
        let job = job(json!({
            "uris": ["file:///etc/docker.tar.gz"], "runAsUser": "nobody",
            "environmentVariables": [{"name": "HOST", "value": "x"}, {"name": "B", "value": "2"}],
        }));
        let task = Task::new(&job, Timestamp::UNIX_EPOCH, 2, "-v");
        let info = info(&job, &task, &offer(), &[]);
        assert_eq!(info["name"], "ChronosTask:a");
        assert_eq!(info["agent_id"]["value"], "S1");
        let command = &info["command"];
        assert_eq!(
            (&command["value"], &command["user"]),
            (&json!("echo -v"), &json!("nobody"))
        );
        assert_eq!(command["uris"][0]["value"], "file:///etc/docker.tar.gz");
        let variables = command["environment"]["variables"].as_array().unwrap();
        let value = |name: &str| {
            let named: Vec<_> = variables.iter().filter(|v| v["name"] == name).collect();
            assert_eq!(named.len(), 1, "{name}");
            named[0]["value"].clone()
        };
        assert_eq!((value("HOST"), value("B")), (json!("w1"), json!("2")));
        assert_eq!(value("mesos_task_id"), task.id);
        assert_eq!(value("CHRONOS_JOB_RUN_ATTEMPT"), "2");
        assert_eq!(info.get("container"), None);
    }

    #[test]
    fn a_container_is_dockers_or_mesos() {
        let volumes = json!([{"hostPath": "/a", "containerPath": "/b", "mode": "ro"}]);
        let docker = job(json!({"container": {
            "type": "DOCKER", "image": "i", "network": "BRIDGE", "volumes": volumes,
            "parameters": [{"key": "hostname", "value": "h"}]}}));
        let task = Task::new(&docker, Timestamp::UNIX_EPOCH, 0, "");
        let shown = &info(&docker, &task, &offer(), &[])["container"];
        assert_eq!(shown["docker"]["network"], "BRIDGE");
        assert_eq!(shown["docker"]["parameters"][0]["key"], "hostname");
        assert_eq!(
            shown["volumes"][0],
            json!({
            "container_path": "/b", "mode": "RO", "host_path": "/a"})
        );
        let mesos = job(json!({"container": {"type": "MESOS", "image": "i"}}));
        let shown = &info(&mesos, &task, &offer(), &[])["container"];
        assert_eq!(shown["mesos"]["image"]["docker"]["name"], "i");
    }

    #[test]
    fn constraints_are_about_attributes() {
        for (words, fit) in [
            (["rack", "EQUALS", "a1"], true),
            (["rack", "EQUALS", "a"], false),
            (["rack", "LIKE", "a."], true),
            (["rack", "LIKE", "a"], false),
            (["rack", "UNLIKE", "b."], true),
            (["rack", "UNLIKE", "a."], false),
            (["zone", "EQUALS", "a1"], false),
            (["zone", "UNLIKE", "a1"], true),
        ] {
            let job = job(json!({"constraints": [words]}));
            assert_eq!(fits(&job, &offer()), fit, "{words:?}");
        }
    }
}
