//! Frameworks come, go and come back.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Cluster, Framework, N_COMPLETED, Stream};
use crate::mesos::{id, wrapped};

impl Framework {
    fn new(info: Value, now: f64) -> Self {
        Self {
            info,
            stream: None,
            recovered: false,
            registered: now,
            reregistered: now,
            unregistered: None,
            away_since: None,
            tasks: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            completed: VecDeque::new(),
            suppressed: false,
            filters: BTreeMap::new(),
        }
    }

    /// One that only an agent has told of.
    pub(super) fn recovered(info: &Value, now: f64) -> Self {
        let away_since = Some(Instant::now());
        Self { recovered: true, away_since, ..Self::new(info.clone(), now) }
    }
}

impl Cluster {
    /// Takes a framework in, new or known, and returns its id; or why it is refused.
    ///
    /// # Errors
    /// When the framework was removed before.
    pub(in crate::master) fn subscribe(
        &mut self,
        mut info: Value,
        stream: Stream,
        now: f64,
    ) -> Result<String, &'static str> {
        let known_id = id(&info, "id").to_owned();
        if self.completed.iter().any(|f| id(&f.info, "id") == known_id) {
            return Err("Framework has been removed");
        }
        let framework_id =
            if known_id.is_empty() { self.new_framework_id() } else { known_id };
        info["id"] = wrapped(&framework_id);
        for (member, default) in
            [("failover_timeout", json!(0.0)), ("checkpoint", json!(false))]
        {
            if info.get(member).is_none() {
                info[member] = default;
            }
        }
        self.rescind_framework(&framework_id);
        let framework = self
            .frameworks
            .entry(framework_id.clone())
            .or_insert_with(|| Framework::new(info.clone(), now));
        let event =
            json!({"type": "ERROR", "error": {"message": "Framework failed over"}});
        framework.send(event);
        framework.info = info;
        framework.stream = Some(stream);
        framework.recovered = false;
        framework.reregistered = now;
        framework.away_since = None;
        framework.suppressed = false;
        framework.filters.clear();
        framework.send(json!({
            "type": "SUBSCRIBED",
            "subscribed": {
                "framework_id": wrapped(&framework_id),
                "heartbeat_interval_seconds": 15.0,
                "master_info": self.master_info,
            },
        }));
        let flush = json!({"type": "FLUSH", "framework_id": wrapped(&framework_id)});
        self.agents.values().for_each(|agent| agent.send(flush.clone()));
        Ok(framework_id)
    }

    fn new_framework_id(&mut self) -> String {
        let number = self.next_framework;
        self.next_framework += 1;
        format!("{}-{number:04}", self.master_id)
    }

    /// Whether a framework listens on this stream.
    pub(in crate::master) fn is_subscribed(
        &self,
        framework: &str,
        stream_id: &str,
    ) -> bool {
        let stream = self.frameworks.get(framework).and_then(|f| f.stream.as_ref());
        stream.is_some_and(|stream| stream.id == stream_id)
    }

    /// The stream to a framework has ended, unless a later one has begun.
    pub(in crate::master) fn disconnect_framework(
        &mut self,
        framework_id: &str,
        stream_id: &str,
    ) {
        if !self.is_subscribed(framework_id, stream_id) {
            return;
        }
        self.rescind_framework(framework_id);
        if let Some(framework) = self.frameworks.get_mut(framework_id) {
            framework.stream = None;
            framework.away_since = Some(Instant::now());
        }
    }

    /// Frameworks that have been away for longer than they asked to be waited for.
    pub(in crate::master) fn overdue(&self) -> Vec<String> {
        let is_overdue = |framework: &Framework| {
            let away = framework.away_since.map(|since| since.elapsed().as_secs_f64());
            away.is_some_and(|away| away >= framework.failover_timeout())
        };
        let overdue =
            self.frameworks.iter().filter(|(_, framework)| is_overdue(framework));
        overdue.map(|(id, _)| id.clone()).collect()
    }

    /// Ends a framework: its tasks are killed.
    pub(in crate::master) fn remove_framework(&mut self, framework_id: &str, now: f64) {
        self.rescind_framework(framework_id);
        let Some(mut framework) = self.frameworks.remove(framework_id) else { return };
        for agent in self.agents.keys() {
            self.shut_framework_down(agent, framework_id);
        }
        let status = json!({
            "state": "TASK_KILLED",
            "message": format!("Framework {framework_id} removed"),
            "reason": "REASON_FRAMEWORK_REMOVED",
        });
        for (_, mut task) in std::mem::take(&mut framework.tasks) {
            let status = task.by_master(&status, now);
            task.take(&status);
            framework.complete(task);
        }
        framework.unregistered = Some(now);
        framework.stream = None;
        if self.completed.len() == N_COMPLETED {
            self.completed.pop_front();
        }
        self.completed.push_back(framework);
    }
}
