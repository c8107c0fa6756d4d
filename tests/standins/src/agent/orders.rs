//! What an agent does at a master's word, and at its own start.

use std::sync::Arc;

use serde_json::Value;

use super::core::{Agent, Drain, Exit, now};
use super::info::check_change;
use super::record::{self, Key, Record};
use super::run;
use super::store::Recovered;
use crate::protocol::ToAgent;

/// Takes the id that the master gives or confirms.
pub fn registered(agent: &Agent, agent_id: &str) {
    let known = agent.state().agent_id.clone();
    match known {
        Some(known) if known != agent_id => agent.exit(
            1,
            format!("Registered but got wrong id: {agent_id} (expected: {known})"),
        ),
        Some(_) => super::log(&format!("Re-registered as {agent_id}")),
        None => {
            super::log(&format!("Registered as {agent_id}"));
            agent.kept(agent.store.save_agent(agent_id, &agent.settings.info));
            agent.state().agent_id = Some(agent_id.to_owned());
        }
    }
}

/// Does what the master says.
pub fn obey(agent: &Arc<Agent>, order: ToAgent) {
    match order {
        ToAgent::Launch { framework, task } => start(agent, framework, task),
        ToAgent::Kill { framework_id, task_id, kill_policy } => {
            let key = Key { framework_id: framework_id.value, task_id: task_id.value };
            let grace = record::seconds(&kill_policy["grace_period"]);
            run::kill(agent, &key, grace, None);
        }
        ToAgent::Acknowledge { framework_id, task_id, uuid } => {
            let key = Key { framework_id: framework_id.value, task_id: task_id.value };
            agent.acknowledge(&key, &uuid);
        }
        ToAgent::ShutdownFramework { framework_id } => {
            shut_down(agent, &framework_id.value);
        }
        ToAgent::Drain { config } => drain(agent, config),
        ToAgent::Shutdown { message } => {
            let agent = Arc::clone(agent);
            tokio::spawn(async move { leave(&agent, 0, &message).await });
        }
        ToAgent::Flush { .. } | ToAgent::Registered { .. } | ToAgent::Ping => (),
    }
}

fn start(agent: &Arc<Agent>, framework: Value, task: Value) {
    let framework_id = framework["id"]["value"].as_str().unwrap_or_default().to_owned();
    let Some(agent_id) = agent.state().agent_id.clone() else { return };
    let container_id = uuid::Uuid::new_v4().to_string();
    let mut record = Record::new(&framework_id, task, &agent_id, &container_id);
    record.sandbox = agent.store.sandbox(&record);
    let key = record.key();
    if agent.record(&key).is_some() {
        super::log(&format!("Task {} is here already", key.task_id));
        return;
    }
    agent.kept(agent.store.save_framework(&agent_id, &framework));
    agent.kept(agent.store.make_run(&record));
    agent.state().frameworks.insert(framework_id, framework);
    let killed = agent.add(record);
    tokio::spawn(run::run_new(Arc::clone(agent), key, killed));
}

/// Ends all tasks, each within the time that the drain leaves it; or ends the drain.
fn drain(agent: &Agent, config: Option<Value>) {
    let Some(config) = config else {
        agent.state().drain = None;
        return;
    };
    let grace = record::seconds(&config["max_grace_period"]);
    {
        let mut state = agent.state();
        let since = state.drain.as_ref().map_or_else(now, |drain| drain.since);
        state.drain = Some(Drain { config, since });
    }
    for key in keys(agent) {
        run::kill(agent, &key, grace, Some("REASON_AGENT_DRAINING".to_owned()));
    }
}

/// Ends the tasks of a framework that is no more; nobody is left to acknowledge anything.
fn shut_down(agent: &Arc<Agent>, framework_id: &str) {
    let keys: Vec<Key> =
        keys(agent).into_iter().filter(|key| key.framework_id == framework_id).collect();
    for key in keys {
        run::kill(agent, &key, None, None);
        let agent = Arc::clone(agent);
        tokio::spawn(async move {
            until_over(&agent, &key).await;
            agent.change(&key, |record| record.is_abandoned = true);
            agent.let_go(&key);
        });
    }
}

fn keys(agent: &Agent) -> Vec<Key> {
    agent.state().tasks.keys().cloned().collect()
}

/// How often the end of a task is looked for, and for how long.
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);
const LONGEST: std::time::Duration = std::time::Duration::from_secs(120);

async fn until_over(agent: &Agent, key: &Key) {
    let over = async {
        let mut ticks = tokio::time::interval(LOOK);
        while agent.record(key).is_some_and(|record| !record.is_over()) {
            ticks.tick().await;
        }
    };
    if tokio::time::timeout(LONGEST, over).await.is_err() {
        super::log(&format!("task {} does not end", key.task_id));
    }
}

/// Ends all tasks, and then the agent.
pub async fn leave(agent: &Agent, code: u8, message: &str) {
    let keys = keys(agent);
    for key in &keys {
        run::kill(agent, key, None, None);
    }
    for key in &keys {
        until_over(agent, key).await;
    }
    agent.exit(code, message);
}

/// Goes on where an earlier agent was, if there was one.
///
/// # Errors
/// When this agent may not be the earlier one.
pub fn recover(agent: &Arc<Agent>) -> Result<(), Exit> {
    let fatal = |message: String| Exit { code: 1, message };
    let recovered = agent.store.recover();
    let Some(left) = recovered
        .map_err(|error| fatal(format!("Failed to perform recovery: {error}")))?
    else {
        return Ok(());
    };
    let Recovered { agent_id, info, frameworks, records } = left;
    check_change(agent.settings.policy, &info, &agent.settings.info).map_err(|error| {
        fatal(format!(
            "Failed to perform recovery: {error}\nTo restart this agent with a new agent id \
             instead, do as follows:\nrm -f {}\nThis ensures that the agent does not recover \
             old live executors.",
            agent.store.latest().display()
        ))
    })?;
    agent.kept(agent.store.save_agent(&agent_id, &agent.settings.info));
    {
        let mut state = agent.state();
        state.agent_id = Some(agent_id);
        for framework in frameworks {
            let id = framework["id"]["value"].as_str().unwrap_or_default().to_owned();
            state.frameworks.insert(id, framework);
        }
    }
    for record in records {
        go_on(agent, record);
    }
    Ok(())
}

fn go_on(agent: &Arc<Agent>, record: Record) {
    if !record.is_of_interest() {
        agent.state().completed.push(record);
        return;
    }
    super::log(&format!("Recovered task {} as {}", record.task_id(), record.state()));
    let (key, is_over) = (record.key(), record.is_over());
    let killed = agent.add(record);
    if !is_over {
        tokio::spawn(run::run_recovered(Arc::clone(agent), key, killed));
    }
}
