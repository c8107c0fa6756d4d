//! What an agent knows of one task: a record that survives the agent, and the rules of its states.
//!
//! Pure: time and ids are passed in. Invariant: an update is in the record before it is sent, and
//! stays there until it is acknowledged; nothing follows a terminal update.

use std::collections::VecDeque;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The states that end a task.
const TERMINAL: [&str; 6] = [
    "TASK_FINISHED",
    "TASK_FAILED",
    "TASK_KILLED",
    "TASK_ERROR",
    "TASK_LOST",
    "TASK_GONE",
];

/// Whether a state ends a task.
pub fn is_terminal(state: &str) -> bool {
    TERMINAL.contains(&state)
}

/// A framework and its task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The framework's id.
    pub framework_id: String,
    /// The task's id.
    pub task_id: String,
}

/// A process that can be told from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The number; it leads a process group of the same number.
    pub pid: i32,
    /// When it began, in clock ticks since the machine did.
    pub start_time: u64,
    /// Which start of the machine that was.
    pub boot_id: String,
}

/// A task that is being killed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kill {
    /// When it was asked for, in seconds since 1970.
    pub since: f64,
    /// How long the task may take to end by itself.
    pub grace_seconds: f64,
    /// The reason for the statuses that follow.
    pub reason: Option<String>,
    /// Whether a failed health check asked for it.
    pub is_unhealthy: bool,
}

/// What is kept of a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The framework's id.
    pub framework_id: String,
    /// `TaskInfo` of the v1 API.
    pub task: Value,
    /// The agent's id.
    pub agent_id: String,
    /// The container's, which names the sandbox and, for Docker tasks, the container.
    pub container_id: String,
    /// The task's folder.
    pub sandbox: PathBuf,
    /// The process that runs the task and notes how it ended.
    pub process: Option<Process>,
    /// The task's address where it has one of its own.
    pub address: Option<String>,
    /// The kill under way.
    pub kill: Option<Kill>,
    /// All statuses, the last one last.
    pub statuses: Vec<Value>,
    /// The updates that are not acknowledged, the oldest first.
    pub pending: VecDeque<Value>,
    /// When the task ended, in seconds since 1970.
    pub ended: Option<f64>,
    /// Whether its framework is gone, so that nobody acknowledges what is pending.
    #[serde(default)]
    pub is_abandoned: bool,
}

/// What a status says beyond the state.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// A sentence for people.
    pub message: Option<String>,
    /// A `REASON_…`.
    pub reason: Option<String>,
    /// Whether the task is healthy, where it is known.
    pub healthy: Option<bool>,
    /// Whether the agent says it and not the executor.
    pub is_from_agent: bool,
}

/// Who and when a status is from: what this module does not make itself.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// Seconds since 1970.
    pub now: f64,
    /// A new uuid, in base64 as the v1 API has it.
    pub uuid: String,
    /// The agent's address.
    pub ip: String,
}

impl Record {
    /// Of a task that nothing has been done for yet.
    pub fn new(
        framework_id: &str,
        task: Value,
        agent_id: &str,
        container_id: &str,
    ) -> Self {
        Self {
            framework_id: framework_id.to_owned(),
            task,
            agent_id: agent_id.to_owned(),
            container_id: container_id.to_owned(),
            sandbox: PathBuf::new(),
            process: None,
            address: None,
            kill: None,
            statuses: Vec::new(),
            pending: VecDeque::new(),
            ended: None,
            is_abandoned: false,
        }
    }

    /// Framework and task.
    pub fn key(&self) -> Key {
        Key {
            framework_id: self.framework_id.clone(),
            task_id: self.task_id().to_owned(),
        }
    }

    /// The task's id.
    pub fn task_id(&self) -> &str {
        self.task["task_id"]["value"].as_str().unwrap_or_default()
    }

    /// The last state; `TASK_STAGING` before the first.
    pub fn state(&self) -> &str {
        self.statuses
            .last()
            .and_then(|status| status["state"].as_str())
            .unwrap_or("TASK_STAGING")
    }

    /// Whether the task is at its end.
    pub fn is_over(&self) -> bool {
        is_terminal(self.state())
    }

    /// Whether the task runs in a Docker container.
    pub fn is_docker(&self) -> bool {
        self.task["container"]["type"] == "DOCKER"
    }

    /// The name of the task's Docker container.
    pub fn container_name(&self) -> String {
        format!("mesos-{}", self.container_id)
    }

    /// Adds an update; false, and nothing is added, after the end.
    pub fn update(&mut self, state: &str, details: Details, stamp: &Stamp) -> bool {
        if self.is_over() {
            return false;
        }
        let status = self.status(state, details, stamp);
        if is_terminal(state) {
            self.ended = Some(stamp.now);
        }
        self.statuses.push(status.clone());
        self.pending.push_back(status);
        true
    }

    fn status(&self, state: &str, details: Details, stamp: &Stamp) -> Value {
        let source =
            if details.is_from_agent { "SOURCE_AGENT" } else { "SOURCE_EXECUTOR" };
        let mut status = json!({"task_id": self.task["task_id"], "state": state});
        if let Some(message) = details.message {
            status["message"] = message.into();
        }
        status["source"] = source.into();
        let draining = self.kill.as_ref().and_then(|kill| kill.reason.clone());
        if let Some(reason) = details.reason.or(draining) {
            status["reason"] = reason.into();
        }
        status["agent_id"] = json!({"value": self.agent_id});
        status["executor_id"] = json!({"value": self.task_id()});
        status["timestamp"] = stamp.now.into();
        status["uuid"] = stamp.uuid.clone().into();
        if let Some(healthy) = details.healthy {
            status["healthy"] = healthy.into();
        }
        status["container_status"] = self.container_status(&stamp.ip);
        status
    }

    fn container_status(&self, agent_ip: &str) -> Value {
        let address = self.address.as_deref().unwrap_or(agent_ip);
        let mut status = json!({
            "container_id": {"value": self.container_id},
            "network_infos": [
                {"ip_addresses": [{"protocol": "IPv4", "ip_address": address}]}
            ],
        });
        if let Some(process) = &self.process {
            status["executor_pid"] = process.pid.into();
        }
        status
    }

    /// Takes the oldest update away if it has this uuid.
    pub fn acknowledge(&mut self, uuid: &str) -> bool {
        let is_head = self.pending.front().is_some_and(|status| status["uuid"] == uuid);
        if is_head {
            self.pending.pop_front();
        }
        is_head
    }

    /// Whether the master is still to hear of this task.
    pub fn is_of_interest(&self) -> bool {
        !self.is_over() || !(self.is_abandoned || self.pending.is_empty())
    }

    /// Whether the task is over, and its framework has never acknowledged that.
    pub fn is_unacknowledged(&self) -> bool {
        self.is_over() && !self.pending.is_empty()
    }

    /// Begins a kill, or changes the grace of the one under way; what is over stays as it is.
    pub fn begin_kill(&mut self, kill: Kill) {
        if self.is_over() {
            return;
        }
        match &mut self.kill {
            Some(known) => known.grace_seconds = kill.grace_seconds,
            None => self.kill = Some(kill),
        }
    }
}

/// A `DurationInfo` in seconds.
pub fn seconds(duration: &Value) -> Option<f64> {
    duration["nanoseconds"].as_f64().map(|ns| ns / 1e9)
}

/// How long a task may take to end: what the kill says, what the task says, or the default.
///
/// A drain's cap does nothing for a command task, which knows only its own policy.
pub fn grace(
    record: &Record,
    asked: Option<f64>,
    reason: Option<&str>,
    default: f64,
) -> f64 {
    let own = seconds(&record.task["kill_policy"]["grace_period"]);
    let is_deaf = reason == Some("REASON_AGENT_DRAINING") && !record.is_docker();
    let asked = if is_deaf { None } else { asked };
    asked.or(own).unwrap_or(default)
}

/// How a task ended, by the status that its process left with; none when it was killed outright.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The state.
    pub state: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// Says how a task ended.
pub fn end_of(record: &Record, exit: Option<i32>) -> End {
    let state = match exit {
        _ if record.kill.is_some() => "TASK_KILLED",
        Some(0) => "TASK_FINISHED",
        _ => "TASK_FAILED",
    };
    let subject = if record.is_docker() { "Container" } else { "Command" };
    let message = match exit {
        Some(status) if record.is_docker() || signal_name(status - 128).is_none() => {
            format!("{subject} exited with status {status}")
        }
        Some(status) => {
            let name = signal_name(status - 128).unwrap_or_default();
            format!("{subject} terminated with signal {name}")
        }
        None => format!("{subject} terminated with signal Killed"),
    };
    End { state, message }
}

/// A signal as the C library describes it.
fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "Hangup",
        2 => "Interrupt",
        3 => "Quit",
        6 => "Aborted",
        9 => "Killed",
        11 => "Segmentation fault",
        13 => "Broken pipe",
        15 => "Terminated",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(task: Value) -> Record {
        Record::new("f", task, "a", "c")
    }

    fn stamp(n: u32) -> Stamp {
        Stamp { now: f64::from(n), uuid: format!("u{n}"), ip: "127.0.0.1".into() }
    }

    fn kill(grace_seconds: f64) -> Kill {
        Kill { since: 0.0, grace_seconds, reason: None, is_unhealthy: false }
    }

    #[test]
    fn nothing_follows_the_end_and_updates_wait_in_order() {
        let mut record = record(json!({"task_id": {"value": "t"}}));
        assert_eq!(record.state(), "TASK_STAGING");
        assert!(record.update("TASK_RUNNING", Details::default(), &stamp(1)));
        assert!(record.update("TASK_FINISHED", Details::default(), &stamp(2)));
        assert!(!record.update("TASK_FAILED", Details::default(), &stamp(3)));
        assert_eq!((record.state(), record.ended), ("TASK_FINISHED", Some(2.0)));
        assert!(!record.acknowledge("u2"), "the older one is first");
        assert!(record.acknowledge("u1"));
        assert!(record.is_of_interest());
        assert!(record.acknowledge("u2"));
        assert!(!record.is_of_interest());
    }

    #[test]
    fn a_status_has_the_recorded_form() {
        let mut record = record(json!({"task_id": {"value": "t"}}));
        record.process = Some(Process { pid: 7, start_time: 1, boot_id: String::new() });
        record.update("TASK_RUNNING", Details::default(), &stamp(1));
        let want = json!({"task_id": {"value": "t"}, "state": "TASK_RUNNING",
            "source": "SOURCE_EXECUTOR", "agent_id": {"value": "a"},
            "executor_id": {"value": "t"}, "timestamp": 1.0, "uuid": "u1",
            "container_status": {"container_id": {"value": "c"}, "network_infos": [
                {"ip_addresses": [{"protocol": "IPv4", "ip_address": "127.0.0.1"}]}],
                "executor_pid": 7}});
        assert_eq!(record.statuses, [want]);
    }

    #[test]
    fn an_end_is_told_as_the_real_executors_tell_it() {
        let mut command = record(json!({}));
        let docker = record(json!({"container": {"type": "DOCKER"}}));
        for (record, exit, state, message) in [
            (&command, Some(0), "TASK_FINISHED", "Command exited with status 0"),
            (&command, Some(3), "TASK_FAILED", "Command exited with status 3"),
            (
                &command,
                Some(143),
                "TASK_FAILED",
                "Command terminated with signal Terminated",
            ),
            (&command, None, "TASK_FAILED", "Command terminated with signal Killed"),
            (&docker, Some(137), "TASK_FAILED", "Container exited with status 137"),
        ] {
            let want = End { state, message: message.to_owned() };
            assert_eq!(end_of(record, exit), want);
        }
        command.begin_kill(kill(1.0));
        assert_eq!(end_of(&command, Some(0)).state, "TASK_KILLED");
    }

    #[test]
    fn the_grace_is_the_kills_the_tasks_or_the_default() {
        let policy = json!({"grace_period": {"nanoseconds": 60_000_000_000_u64}});
        let own = record(json!({"kill_policy": policy}));
        let none = record(json!({}));
        let docker =
            record(json!({"kill_policy": policy, "container": {"type": "DOCKER"}}));
        let drain = Some("REASON_AGENT_DRAINING");
        assert_eq!(grace(&own, Some(6.0), None, 3.0), 6.0);
        assert_eq!(grace(&own, None, None, 3.0), 60.0);
        assert_eq!(grace(&none, None, None, 3.0), 3.0);
        assert_eq!(grace(&own, Some(6.0), drain, 3.0), 60.0);
        assert_eq!(grace(&docker, Some(6.0), drain, 3.0), 6.0);
    }

    #[test]
    fn a_second_kill_changes_the_grace_alone() {
        let mut record = record(json!({}));
        record.begin_kill(kill(60.0));
        record.begin_kill(Kill { since: 9.0, ..kill(1.0) });
        assert_eq!(record.kill, Some(kill(1.0)));
    }
}
