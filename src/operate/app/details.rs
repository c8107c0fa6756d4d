//! One app: what it runs, its tasks, its last failure, its versions. Pure.

use std::fmt::Write;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::Deserialize;
use serde_json::Value;

use super::super::columns::{Align, amount, columns};
use crate::api::marathon::{
    App, Deployment, HealthCheckResult, Task, TaskFailure, version_name,
};

/// The number of versions that are listed.
const VERSIONS: usize = 10;

/// One app.
#[derive(Debug, Clone, Serialize)]
pub struct AppDetails {
    /// The app as Marathon writes it, with its tasks and its last failure.
    app: Value,
    /// Its versions, from the oldest to the newest; some may be of an earlier app of the same id.
    versions: Vec<String>,
    #[serde(skip)]
    parsed: App,
    #[serde(skip)]
    deployments: Vec<Deployment>,
}

impl AppDetails {
    /// An app from Marathon's answers.
    ///
    /// # Errors
    /// When the answer is not an app.
    pub(super) fn of(
        app: Value,
        versions: &[Timestamp],
        deployments: Vec<Deployment>,
    ) -> Result<Self, serde_json::Error> {
        let parsed = App::deserialize(&app)?;
        let versions = versions.iter().map(|version| version_name(*version)).collect();
        Ok(Self { app, versions, parsed, deployments })
    }

    /// The app as text.
    pub fn show(&self) -> String {
        let app = &self.parsed;
        let mut text = format!("{}\n", app.id);
        // Writing to a string does not fail.
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:12}  {value}");
        };
        line("runs", &runs(&self.app));
        line("each task", &resources(&self.app, app));
        line("tasks", &tasks(app));
        for deployment in &self.deployments {
            if deployment.affected_apps.contains(&app.id) {
                line("deployment", &under_way(deployment));
            }
        }
        if let Some(failure) = &app.last_task_failure {
            line("last failure", &failed(failure));
        }
        let newest = self.versions.iter().rev().take(VERSIONS);
        let newest: Vec<&str> = newest.map(String::as_str).collect();
        line("versions", &newest.join(", "));
        if !app.tasks.is_empty() {
            let head = ["TASK", "HOST", "PORTS", "STATE", "SINCE", "HEALTH"];
            let rows = app.tasks.iter().map(|task| cells(task, app.health_checks.len()));
            text.push('\n');
            text.push_str(&columns(head.map(|name| (name, Align::Left)), rows));
        }
        text
    }
}

/// What an app runs: its image, and its command or arguments.
fn runs(app: &Value) -> String {
    let image = app["container"]["docker"]["image"].as_str();
    let args = app["args"].as_array().into_iter().flatten();
    let args: Vec<&str> = args.filter_map(Value::as_str).collect();
    let command = match app["cmd"].as_str() {
        Some(command) => command.to_owned(),
        None => args.join(" "),
    };
    let image = image.map(|image| format!("image {image}"));
    let command = (!command.is_empty()).then_some(command);
    image.into_iter().chain(command).collect::<Vec<String>>().join(": ")
}

fn resources(document: &Value, app: &App) -> String {
    let mut text = format!("{} CPUs, {} MB", amount(app.cpus), amount(app.mem));
    for (name, unit) in [("disk", " MB of disk"), ("gpus", " GPUs")] {
        let much = document[name].as_f64().unwrap_or_default();
        if much > 0.0 {
            let _ = write!(text, ", {}{unit}", amount(much));
        }
    }
    text
}

fn tasks(app: &App) -> String {
    let App { tasks_running, instances, tasks_staged, .. } = app;
    let mut text = format!("{tasks_running} of {instances} run");
    if *tasks_staged > 0 {
        let _ = write!(text, ", {tasks_staged} do not run yet");
    }
    match app.health_checks.len() {
        0 => text.push_str("; it has no health check"),
        n => {
            let own = app.tasks.iter().filter(|task| !task.has_ended() && task.passes(n));
            let _ = write!(text, ", {} healthy", own.count());
        }
    }
    text
}

fn under_way(deployment: &Deployment) -> String {
    let Deployment { id, current_step, total_steps, version, .. } = deployment;
    let since = version.map(|begun| format!(", since {begun:.0}")).unwrap_or_default();
    format!("{id}, at step {current_step} of {total_steps}{since}")
}

/// How a task failed, in one line.
pub(super) fn failed(failure: &TaskFailure) -> String {
    let TaskFailure { host, state, message, timestamp, .. } = failure;
    let when = timestamp.map(|when| format!("{when:.0}: ")).unwrap_or_default();
    format!("{when}{state} on {host}: {}", message.trim())
}

fn cells(task: &Task, n_checks: usize) -> [String; 6] {
    let ports: Vec<String> = task.ports.iter().map(u32::to_string).collect();
    [
        task.id.clone(),
        task.host.clone(),
        ports.join(" "),
        task.state.trim_start_matches("TASK_").to_lowercase(),
        task.started_at.map(|since| format!("{since:.0}")).unwrap_or_default(),
        health(task, n_checks),
    ]
}

/// The health of a task by results from after its own start: it begins with those of the task
/// that it replaces.
fn health(task: &Task, n_checks: usize) -> String {
    let fails = |result: &&HealthCheckResult| {
        !result.alive && result.last_failure > task.started_at
    };
    let failing = task.health_check_results.iter().find(fails);
    match failing {
        _ if task.has_ended() || task.started_at.is_none() || n_checks == 0 => {
            String::new()
        }
        Some(result) => match &result.last_failure_cause {
            Some(cause) => format!("unhealthy: {}", cause.trim()),
            None => "unhealthy".to_owned(),
        },
        None if task.passes(n_checks) => "healthy".to_owned(),
        None => "no result yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_app_is_shown_with_its_tasks_and_why_the_last_one_failed() {
        let started = "2020-10-29T11:00:01.000Z";
        let task = |n: u32, results: Value| {
            json!({"id": format!("web.instance-{n}._app.1"), "host": "w1", "ports": [31000 + n],
                "state": "TASK_RUNNING", "startedAt": started, "healthCheckResults": results})
        };
        let inherited =
            json!([{"alive": true, "lastSuccess": "2020-10-29T10:00:00.000Z"}]);
        let own = json!([{"alive": true, "lastSuccess": "2020-10-29T11:00:02.000Z"}]);
        let sick = json!([{"alive": false, "lastFailure": "2020-10-29T11:00:02.000Z",
            "lastFailureCause": "503 Service Unavailable"}]);
        let ended =
            json!({"id": "old", "host": "w2", "state": "TASK_FAILED", "ports": []});
        let app = json!({
            "id": "/web", "cmd": "serve", "cpus": 0.5, "mem": 64, "disk": 0, "instances": 3,
            "container": {"docker": {"image": "web:1"}}, "tasksRunning": 3,
            "healthChecks": [{"protocol": "HTTP"}],
            "tasks": [task(1, own), task(2, inherited), task(3, sick), ended],
            "lastTaskFailure": {"host": "w2", "state": "TASK_FAILED",
                "message": "exit status 1", "timestamp": "2020-10-29T10:59:00.123Z"},
        });
        let versions = ["2020-10-29T10:00:00.000Z", "2020-10-29T11:00:00.500Z"];
        let deployment = json!([{"id": "d1", "affectedApps": ["/web"], "currentStep": 1,
            "totalSteps": 2}, {"id": "d2", "affectedApps": ["/db"]}]);
        let details = AppDetails::of(
            app,
            &versions.map(|version| version.parse().unwrap()),
            serde_json::from_value(deployment).unwrap(),
        );
        let details = details.unwrap();
        assert_eq!(
            details.show(),
            "\
/web
  runs          image web:1: serve
  each task     0.5 CPUs, 64 MB
  tasks         3 of 3 run, 1 healthy
  deployment    d1, at step 1 of 2
  last failure  2020-10-29T10:59:00Z: TASK_FAILED on w2: exit status 1
  versions      2020-10-29T11:00:00.500Z, 2020-10-29T10:00:00.000Z

TASK                   HOST  PORTS  STATE    SINCE                 HEALTH
web.instance-1._app.1  w1    31001  running  2020-10-29T11:00:01Z  healthy
web.instance-2._app.1  w1    31002  running  2020-10-29T11:00:01Z  no result yet
web.instance-3._app.1  w1    31003  running  2020-10-29T11:00:01Z  unhealthy: 503 Service Unavailable
old                    w2           failed
"
        );
        let document = serde_json::to_value(&details).unwrap();
        assert_eq!(document["app"]["cmd"], "serve");
        assert_eq!(document["versions"][0], versions[0]);
    }
}
