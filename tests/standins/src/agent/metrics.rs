//! `/metrics/snapshot`: counted from the state, and not kept beside it. Pure.

use serde_json::{Map, Value};

use super::record::Record;
use super::views::{Snapshot, allocated};
use crate::mesos::resources::Resources;

/// What the machine says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct System {
    /// Processors.
    pub n_cpus: f64,
    /// Load of the last 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// All memory.
    pub memory_total: f64,
    /// Free memory.
    pub memory_free: f64,
}

/// All metrics by name.
pub fn metrics(snapshot: &Snapshot, system: &System) -> Map<String, Value> {
    let total = Resources::from_json(&snapshot.info["resources"]);
    let used = allocated(snapshot);
    let mut all = Vec::new();
    for name in ["cpus", "disk", "gpus", "mem"] {
        let (total, used) = (total.amount(name), used.amount(name));
        let share = if total > 0.0 { used / total } else { 0.0 };
        all.push((format!("slave/{name}_percent"), share));
        all.push((format!("slave/{name}_total"), total));
        all.push((format!("slave/{name}_used"), used));
        for kind in ["percent", "total", "used"] {
            all.push((format!("slave/{name}_revocable_{kind}"), 0.0));
        }
    }
    all.extend(tasks(snapshot));
    all.extend(executors(snapshot));
    all.extend(self_and_system(snapshot, system));
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().map(|(name, value)| (name, value.into())).collect()
}

fn count(records: &[Record], state: &str) -> usize {
    records.iter().filter(|record| record.state() == state).count()
}

fn tasks(snapshot: &Snapshot) -> impl Iterator<Item = (String, f64)> {
    let over = |state: &'static str| {
        count(&snapshot.terminated, state) + count(&snapshot.completed, state)
    };
    let live = |state: &'static str| count(&snapshot.live, state);
    [
        ("failed", over("TASK_FAILED")),
        ("finished", over("TASK_FINISHED")),
        ("gone", over("TASK_GONE")),
        ("killed", over("TASK_KILLED")),
        ("lost", over("TASK_LOST")),
        ("killing", live("TASK_KILLING")),
        ("running", live("TASK_RUNNING")),
        ("staging", live("TASK_STAGING")),
        ("starting", live("TASK_STARTING")),
    ]
    .into_iter()
    .map(|(name, n_tasks)| (format!("slave/tasks_{name}"), n_tasks as f64))
}

fn executors(snapshot: &Snapshot) -> impl Iterator<Item = (String, f64)> {
    let running = snapshot.live.len() - count(&snapshot.live, "TASK_STAGING");
    let over = snapshot.terminated.len() + snapshot.completed.len();
    let n_updates: usize = [&snapshot.live, &snapshot.terminated, &snapshot.completed]
        .into_iter()
        .flatten()
        .map(|record| record.statuses.len())
        .sum();
    [
        ("executors_registering", count(&snapshot.live, "TASK_STAGING")),
        ("executors_running", running),
        ("executors_terminated", over),
        ("valid_status_updates", n_updates),
        ("executors_terminating", 0),
        ("executors_preempted", 0),
        ("invalid_status_updates", 0),
        ("container_launch_errors", 0),
        ("recovery_errors", 0),
    ]
    .into_iter()
    .map(|(name, value)| (format!("slave/{name}"), value as f64))
}

fn self_and_system(
    snapshot: &Snapshot,
    system: &System,
) -> impl Iterator<Item = (String, f64)> {
    let is_registered = snapshot.master_hostname.is_some();
    let has_tasks = |info: &&Value| {
        let id = &info["id"]["value"];
        snapshot.live.iter().any(|record| *id == record.framework_id.as_str())
    };
    let n_frameworks = snapshot.frameworks.iter().filter(has_tasks).count();
    [
        ("slave/registered", f64::from(u8::from(is_registered))),
        ("slave/frameworks_active", n_frameworks as f64),
        ("slave/uptime_secs", snapshot.now - snapshot.started),
        ("system/cpus_total", system.n_cpus),
        ("system/load_1min", system.load[0]),
        ("system/load_5min", system.load[1]),
        ("system/load_15min", system.load[2]),
        ("system/mem_free_bytes", system.memory_free),
        ("system/mem_total_bytes", system.memory_total),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
}
