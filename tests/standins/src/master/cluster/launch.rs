//! Offers are accepted or declined.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Cluster, Task};
use crate::mesos::resources::Resources;
use crate::mesos::{id, list, now, text, wrapped};

/// For how long a declined agent is not offered again, unless the framework says otherwise.
const REFUSE_SECONDS: f64 = 5.0;

/// Whether a principal may run tasks as a user.
type MayRun<'a> = &'a dyn Fn(Option<&str>, &str) -> bool;

impl Cluster {
    /// Launches tasks on offers; what they leave is as good as declined. The tasks of a group
    /// are launched one by one, each for the default executor.
    pub(in crate::master) fn accept(
        &mut self,
        framework_id: &str,
        call: &Value,
        may_run: MayRun<'_>,
    ) {
        let (agent, mut rest) = self.take_offers(framework_id, &call["offer_ids"]);
        for operation in list(&call["operations"]) {
            let (infos, executor) = match text(operation, "type") {
                "LAUNCH" => (&operation["launch"]["task_infos"], None),
                "LAUNCH_GROUP" => {
                    let group = &operation["launch_group"];
                    (&group["task_group"]["tasks"], Some(&group["executor"]))
                }
                _ => continue,
            };
            for info in list(infos) {
                let launch = Launch { info, executor, may_run };
                self.launch(framework_id, agent.as_deref(), launch, &mut rest);
            }
        }
        if let Some(agent) = agent {
            self.filter(framework_id, &agent, rest, &call["filters"]);
        }
    }

    /// Declines offers.
    pub(in crate::master) fn decline(&mut self, framework_id: &str, call: &Value) {
        for offer_id in list(&call["offer_ids"]) {
            let one = json!([offer_id]);
            if let (Some(agent), rest) = self.take_offers(framework_id, &one) {
                self.filter(framework_id, &agent, rest, &call["filters"]);
            }
        }
    }

    /// Wants offers again, declined ones too.
    pub(in crate::master) fn revive(&mut self, framework_id: &str) {
        if let Some(framework) = self.frameworks.get_mut(framework_id) {
            framework.suppressed = false;
            framework.filters.clear();
        }
    }

    /// Wants no offers.
    pub(in crate::master) fn suppress(&mut self, framework_id: &str) {
        if let Some(framework) = self.frameworks.get_mut(framework_id) {
            framework.suppressed = true;
        }
    }

    /// The agent and the resources of offers that are all valid and of one agent.
    fn take_offers(
        &mut self,
        framework_id: &str,
        ids: &Value,
    ) -> (Option<String>, Resources) {
        let mut agents = Vec::new();
        let mut sum = Resources::default();
        for wrapped in list(ids) {
            let offer_id = wrapped["value"].as_str().unwrap_or_default();
            let is_own =
                self.offers.get(offer_id).is_some_and(|o| o.framework == framework_id);
            match is_own.then(|| self.offers.remove(offer_id)).flatten() {
                Some(offer) => {
                    sum.add(&offer.resources);
                    agents.push(offer.agent);
                }
                None => return (None, Resources::default()),
            }
        }
        agents.dedup();
        match <[String; 1]>::try_from(agents) {
            Ok([agent]) => (Some(agent), sum),
            Err(_) => (None, Resources::default()),
        }
    }

    fn filter(
        &mut self,
        framework_id: &str,
        agent: &str,
        rest: Resources,
        filters: &Value,
    ) {
        let seconds = filters["refuse_seconds"].as_f64().unwrap_or(REFUSE_SECONDS);
        let wait = Duration::try_from_secs_f64(seconds.clamp(0.0, 365.0 * 86_400.0));
        let until = Instant::now() + wait.unwrap_or_default();
        if let Some(framework) = self.frameworks.get_mut(framework_id) {
            framework.filters.insert(agent.to_owned(), (rest, until));
        }
    }

    fn launch(
        &mut self,
        framework_id: &str,
        agent_id: Option<&str>,
        Launch { info, executor, may_run }: Launch<'_>,
        rest: &mut Resources,
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let task = Task {
            info: info.clone(),
            framework: framework_id.to_owned(),
            agent: id(info, "agent_id").to_owned(),
            state: "TASK_STAGING".to_owned(),
            statuses: Vec::new(),
            resources: Resources::from_json(&info["resources"]),
            role: framework.role().to_owned(),
        };
        let is_duplicate = framework.tasks.contains_key(id(info, "task_id"));
        let fault = match agent_id {
            None => Some(dropped(framework.can("PARTITION_AWARE"))),
            Some(agent_id) => invalid(&task, agent_id, is_duplicate, rest)
                .or_else(|| unauthorized(&framework.info, info, may_run)),
        };
        if let Some(status) = fault {
            framework.tell(&task, &status, now());
            return;
        }
        rest.subtract(&task.resources);
        if let Some(agent) = self.agents.get(&task.agent) {
            let mut info = info.clone();
            let allocated = json!({"allocation_info": {"role": task.role}});
            info["resources"] = task.resources.full(&allocated);
            if let Some(executor) = executor {
                info["executor"] = executor.clone();
            }
            agent.send(
                json!({"type": "LAUNCH", "framework": framework.info, "task": info}),
            );
        }
        framework.tasks.insert(id(info, "task_id").to_owned(), task);
    }
}

/// A task to launch: for the default executor, where it is one of a group.
struct Launch<'a> {
    info: &'a Value,
    executor: Option<&'a Value>,
    may_run: MayRun<'a>,
}

/// The refusal of a task whose user its framework may not name.
fn unauthorized(framework: &Value, info: &Value, may_run: MayRun<'_>) -> Option<Value> {
    let user = info["command"]["user"].as_str().or(framework["user"].as_str());
    let user = user.unwrap_or_default();
    let message = format!(
        "Task '{}' is not authorized to launch as user '{user}'",
        id(info, "task_id")
    );
    let reason = "REASON_TASK_UNAUTHORIZED";
    (!may_run(framework["principal"].as_str(), user))
        .then(|| json!({"state": "TASK_ERROR", "reason": reason, "message": message}))
}

fn dropped(partition_aware: bool) -> Value {
    json!({
        "state": if partition_aware { "TASK_DROPPED" } else { "TASK_LOST" },
        "reason": "REASON_INVALID_OFFERS",
        "message": "Task launched with invalid offers: Offer is no longer valid",
    })
}

fn invalid(
    task: &Task,
    agent_id: &str,
    is_duplicate: bool,
    rest: &Resources,
) -> Option<Value> {
    let task_id = id(&task.info, "task_id");
    let message = if task_id.is_empty() {
        "Task has no id".to_owned()
    } else if is_duplicate {
        format!("Task has duplicate ID: {task_id}")
    } else if task.agent != agent_id {
        format!(
            "Task uses invalid agent {} while agent {agent_id} is expected",
            wrapped(&task.agent)
        )
    } else if task.resources.is_empty() {
        "Task uses no resources".to_owned()
    } else if !rest.contains(&task.resources) {
        let (used, left) = (task.resources.plain(), rest.plain());
        format!(
            "Total resources {used} required by task and its executor is more than available {left}"
        )
    } else if task.info.get("executor").is_some() {
        "Executors of frameworks are not supported".to_owned()
    } else if task.info.get("command").is_none() && task.info.get("container").is_none() {
        "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
            .to_owned()
    } else {
        return None;
    };
    let reason = "REASON_TASK_INVALID";
    Some(json!({"state": "TASK_ERROR", "reason": reason, "message": message}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_runs_as_a_user_that_its_framework_may_name() {
        let framework = json!({"principal": "marathon", "user": "tasks"});
        let may_run = |principal: Option<&str>, user: &str| {
            (principal, user) == (Some("marathon"), "tasks")
        };
        let fault = |command: Value| {
            let info = json!({"task_id": {"value": "t"}, "command": command});
            unauthorized(&framework, &info, &may_run)
        };
        assert_eq!(fault(json!({})), None);
        assert_eq!(fault(json!({"user": "tasks"})), None);
        let fault = fault(json!({"user": "root"})).unwrap();
        assert_eq!(
            fault["message"],
            "Task 't' is not authorized to launch as user 'root'"
        );
    }
}
