//! The agent's state as its endpoints show it. Pure: values in, JSON out.

use serde_json::{Map, Value, json};

use super::core::Drain;
use super::record::{Record, seconds};
use crate::mesos::resources::Resources;
use crate::mesos::{AGENT_CAPABILITIES, build, plain_attributes};

/// What the views are made of.
#[derive(Debug)]
pub struct Snapshot {
    /// The agent's id, once it has one.
    pub agent_id: Option<String>,
    /// The leading master's host name.
    pub master_hostname: Option<String>,
    /// `AgentInfo`.
    pub info: Value,
    /// `ip:port`.
    pub address: String,
    /// When the agent began.
    pub started: f64,
    /// The time.
    pub now: f64,
    /// All flags.
    pub flags: Value,
    /// `FrameworkInfo` of each framework that was ever here.
    pub frameworks: Vec<Value>,
    /// The tasks that are not over.
    pub live: Vec<Record>,
    /// The tasks that are over but not acknowledged.
    pub terminated: Vec<Record>,
    /// The tasks that are over.
    pub completed: Vec<Record>,
    /// The drain, where there is one.
    pub drain: Option<Drain>,
}

/// What an executor needs beside its task.
const EXECUTOR_CPUS: f64 = 0.1;
const EXECUTOR_MEM: f64 = 32.0;

fn task_resources(record: &Record) -> Resources {
    Resources::from_json(&record.task["resources"])
}

fn executor_resources() -> Resources {
    let mut resources = Resources::default();
    resources.set("cpus", EXECUTOR_CPUS);
    resources.set("mem", EXECUTOR_MEM);
    resources
}

/// What a task and its executor take together; in Docker the executor takes nothing.
fn taken(record: &Record) -> Resources {
    let mut resources = task_resources(record);
    if !record.is_docker() {
        resources.add(&executor_resources());
    }
    resources
}

/// The sum of what the live tasks of an agent take.
pub fn allocated(snapshot: &Snapshot) -> Resources {
    snapshot.live.iter().map(taken).fold(Resources::default(), |mut sum, taken| {
        sum.add(&taken);
        sum
    })
}

/// The body of `/state`.
pub fn state(snapshot: &Snapshot) -> Value {
    let resources = Resources::from_json(&snapshot.info["resources"]);
    let totals = resources.plain();
    let mut state = build_in_order();
    let rest = json!({
        "start_time": snapshot.started,
        "id": snapshot.agent_id.as_deref().unwrap_or_default(),
        "pid": format!("slave(1)@{}", snapshot.address),
        "hostname": snapshot.info["hostname"],
        "capabilities": AGENT_CAPABILITIES,
    });
    extend(&mut state, rest);
    if let Some(drain) = &snapshot.drain {
        state.insert("drain_config".into(), drain.config.clone());
        let since = json!(drain.since as u64);
        state.insert("estimated_drain_start_time_seconds".into(), since);
    }
    let rest = json!({
        "resources": totals,
        "reserved_resources": {},
        "unreserved_resources": totals,
        "reserved_resources_full": {},
        "unreserved_resources_full": resources.full(&json!({"role": "*"})),
        "reserved_resources_allocated": {},
        "unreserved_resources_allocated": allocated(snapshot).plain(),
        "resource_providers": [],
        "attributes": plain_attributes(&snapshot.info["attributes"]),
    });
    extend(&mut state, rest);
    if let Some(domain) = snapshot.info.get("domain") {
        state.insert("domain".into(), domain.clone());
    }
    if let Some(hostname) = &snapshot.master_hostname {
        state.insert("master_hostname".into(), hostname.clone().into());
    }
    state.insert("flags".into(), snapshot.flags.clone());
    state.insert("frameworks".into(), frameworks(snapshot, true));
    state.insert("completed_frameworks".into(), frameworks(snapshot, false));
    Value::Object(state)
}

fn build_in_order() -> Map<String, Value> {
    let known = build();
    ["version", "git_sha", "git_tag", "build_date", "build_time", "build_user"]
        .iter()
        .map(|name| ((*name).to_owned(), known[*name].clone()))
        .collect()
}

fn extend(map: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        map.extend(more);
    }
}

/// The records of a framework among these.
fn of<'a>(records: &'a [Record], framework: &Value) -> Vec<&'a Record> {
    let id = &framework["id"]["value"];
    records.iter().filter(|record| *id == record.framework_id.as_str()).collect()
}

/// Whether a framework has tasks here, or had them.
fn is_active(snapshot: &Snapshot, framework: &Value) -> bool {
    !of(&snapshot.live, framework).is_empty()
        || !of(&snapshot.terminated, framework).is_empty()
}

fn some_frameworks(snapshot: &Snapshot, active: bool) -> impl Iterator<Item = &Value> {
    snapshot.frameworks.iter().filter(move |info| is_active(snapshot, info) == active)
}

fn frameworks(snapshot: &Snapshot, active: bool) -> Value {
    some_frameworks(snapshot, active)
        .map(|info| {
            let executors: Vec<Value> = of(&snapshot.live, info)
                .into_iter()
                .chain(of(&snapshot.terminated, info))
                .map(executor)
                .collect();
            let completed: Vec<Value> =
                of(&snapshot.completed, info).into_iter().map(executor).collect();
            let mut framework = json!({
                "id": info["id"]["value"],
                "name": info["name"],
                "user": info["user"],
                "failover_timeout": info["failover_timeout"].as_f64().unwrap_or(0.0),
                "checkpoint": info["checkpoint"] == true,
                "hostname": info["hostname"].as_str().unwrap_or_default(),
            });
            match info.get("roles") {
                Some(roles) => framework["roles"] = roles.clone(),
                None => {
                    framework["role"] = info["role"].as_str().unwrap_or("*").into();
                }
            }
            framework["executors"] = executors.into();
            framework["completed_executors"] = completed.into();
            framework
        })
        .collect()
}

fn executor_name(record: &Record) -> String {
    let command = &record.task["command"];
    let value = command["value"].as_str().unwrap_or_default();
    let short: String = value.chars().take(15).collect();
    let short = if short == value { short } else { format!("{short}...") };
    let said = if command["shell"] == false { short } else { format!("sh -c '{short}'") };
    format!("Command Executor (Task: {}) (Command: {said})", record.task_id())
}

fn executor(record: &Record) -> Value {
    let task = task(record);
    let (tasks, completed) =
        if record.is_over() { (vec![], vec![task]) } else { (vec![task], vec![]) };
    let resources = if record.is_over() { executor_resources() } else { taken(record) };
    json!({
        "id": record.task_id(),
        "name": executor_name(record),
        "source": record.task_id(),
        "container": record.container_id,
        "directory": record.sandbox,
        "resources": resources.plain(),
        "role": "*",
        "tasks": tasks,
        "queued_tasks": [],
        "completed_tasks": completed,
    })
}

fn task(record: &Record) -> Value {
    let statuses: Vec<Value> = record.statuses.iter().map(short_status).collect();
    let mut task = json!({
        "id": record.task_id(),
        "name": record.task["name"],
        "framework_id": record.framework_id,
        "executor_id": "",
        "slave_id": record.agent_id,
        "state": record.state(),
        "resources": task_resources(record).plain(),
        "role": "*",
        "statuses": statuses,
    });
    for field in ["labels", "discovery", "container", "health_check"] {
        if let Some(value) = record.task.get(field) {
            task[field] = match field {
                "labels" => value["labels"].clone(),
                _ => value.clone(),
            };
        }
    }
    task
}

fn short_status(status: &Value) -> Value {
    let fields = ["state", "timestamp", "labels", "container_status", "healthy"];
    let some = fields.iter().filter_map(|name| Some((*name, status.get(*name)?)));
    let mut short: Map<String, Value> =
        some.map(|(name, value)| (name.to_owned(), value.clone())).collect();
    if let Some(container) =
        short.get_mut("container_status").and_then(Value::as_object_mut)
    {
        container.remove("executor_pid");
    }
    Value::Object(short)
}

/// A task as the v1 API shows it.
pub fn v1_task(record: &Record) -> Value {
    let mut task = json!({
        "name": record.task["name"],
        "task_id": record.task["task_id"],
        "framework_id": {"value": record.framework_id},
        "agent_id": {"value": record.agent_id},
        "state": record.state(),
        "resources": record.task["resources"],
        "statuses": record.statuses,
    });
    if let Some(last) = record.statuses.last() {
        task["status_update_state"] = last["state"].clone();
        task["status_update_uuid"] = last["uuid"].clone();
    }
    for field in ["labels", "discovery", "container", "health_check", "kill_policy"] {
        if let Some(value) = record.task.get(field) {
            task[field] = value.clone();
        }
    }
    task
}

/// `get_tasks` of the v1 API.
pub fn v1_tasks(snapshot: &Snapshot) -> Value {
    let (staging, launched): (Vec<&Record>, Vec<&Record>) =
        snapshot.live.iter().partition(|record| record.state() == "TASK_STAGING");
    let over = snapshot.terminated.iter().chain(&snapshot.completed);
    let (terminated, completed): (Vec<&Record>, Vec<&Record>) =
        over.partition(|record| record.is_unacknowledged());
    let all =
        |records: Vec<&Record>| -> Value { records.into_iter().map(v1_task).collect() };
    json!({
        "pending_tasks": [],
        "queued_tasks": all(staging),
        "launched_tasks": all(launched),
        "terminated_tasks": all(terminated),
        "completed_tasks": all(completed),
    })
}

/// `get_executors` of the v1 API.
pub fn v1_executors(snapshot: &Snapshot) -> Value {
    let all = |records: &[Record]| -> Vec<Value> {
        records.iter().map(|r| json!({"executor_info": executor_info(r)})).collect()
    };
    let mut over = all(&snapshot.terminated);
    over.extend(all(&snapshot.completed));
    json!({"executors": all(&snapshot.live), "completed_executors": over})
}

fn executor_info(record: &Record) -> Value {
    let mut info = json!({
        "executor_id": {"value": record.task_id()},
        "framework_id": {"value": record.framework_id},
        "command": {"shell": false, "value": "/usr/libexec/mesos/mesos-executor",
            "arguments": ["mesos-executor", "--launcher_dir=/usr/libexec/mesos"]},
        "resources": executor_resources().full(&json!({"allocation_info": {"role": "*"}})),
        "name": executor_name(record),
        "source": record.task_id(),
    });
    if let Some(grace) = seconds(&record.task["kill_policy"]["grace_period"]) {
        // An executor has two seconds more than its task.
        let nanoseconds = ((grace + 2.0) * 1e9) as u64;
        info["shutdown_grace_period"] = json!({"nanoseconds": nanoseconds});
    }
    info
}

/// `get_frameworks` of the v1 API.
pub fn v1_frameworks(snapshot: &Snapshot) -> Value {
    let some = |active: bool| -> Vec<Value> {
        some_frameworks(snapshot, active)
            .map(|info| json!({"framework_info": info}))
            .collect()
    };
    json!({"frameworks": some(true), "completed_frameworks": some(false)})
}

/// `AgentInfo` with its id.
pub fn agent_info(snapshot: &Snapshot) -> Value {
    let mut info = snapshot.info.clone();
    if let Some(map) = info.as_object_mut() {
        // The agent itself shows it without what the master adds.
        map.shift_remove("checkpoint");
    }
    if let Some(id) = &snapshot.agent_id {
        info["id"] = json!({"value": id});
    }
    info
}

/// One entry of `/containers`, with what is measured.
pub fn container(record: &Record, usage: &Usage, now: f64) -> Value {
    let mut entry = json!({"container_id": record.container_id});
    let statistics = statistics(record, usage, now);
    if let (Some(map), Value::Object(more)) = (entry.as_object_mut(), statistics) {
        map.extend(more);
    }
    let mut status = json!({"container_id": {"value": record.container_id}});
    if let (Some(process), false) = (&record.process, record.is_docker()) {
        status["executor_pid"] = process.pid.into();
    }
    entry["status"] = status;
    entry
}

/// What a task has used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Seconds of processor time in the program.
    pub user_seconds: f64,
    /// Seconds of processor time in the kernel.
    pub system_seconds: f64,
    /// Resident memory.
    pub memory_bytes: u64,
}

/// One entry of `/monitor/statistics`.
pub fn statistics(record: &Record, usage: &Usage, now: f64) -> Value {
    let taken = taken(record);
    let limit = (taken.amount("mem") * 1_048_576.0) as u64;
    let mut entry = json!({
        "executor_id": record.task_id(),
        "executor_name": executor_name(record),
        "framework_id": record.framework_id,
        "source": record.task_id(),
        "statistics": {
            "cpus_soft_limit": taken.amount("cpus"),
            "cpus_system_time_secs": usage.system_seconds,
            "cpus_user_time_secs": usage.user_seconds,
            "mem_limit_bytes": limit,
            "mem_rss_bytes": usage.memory_bytes,
            "timestamp": now,
        },
    });
    if !record.is_docker() {
        entry["statistics"]["mem_soft_limit_bytes"] = limit.into();
    }
    entry
}
