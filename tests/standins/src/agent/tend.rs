//! Old and unknown containers of Docker, which somebody has to put away.

use std::sync::Arc;
use std::time::Duration;

use super::core::{Agent, now};
use super::record::Record;

/// How often containers are looked at that may have been kept long enough.
const LOOK: Duration = Duration::from_secs(30);

/// Stops the containers with a name of Mesos that no task here has, where the flags say so.
pub async fn stop_orphans(agent: &Agent) {
    let Some(docker) = agent.docker.as_ref().filter(|d| d.settings().kills_orphans)
    else {
        return;
    };
    let known: Vec<String> =
        agent.state().tasks.values().map(|task| task.record.container_name()).collect();
    let running = match docker.mesos_containers().await {
        Ok(running) => running,
        Err(error) => return super::log(&error.to_string()),
    };
    for name in running.iter().filter(|name| !known.contains(name)) {
        super::log(&format!("Stopping the orphaned container {name}"));
        if let Err(error) = docker.stop(name, docker.settings().stop_timeout).await {
            super::log(&error.to_string());
        }
    }
}

/// Removes the containers of tasks that ended long enough ago, for as long as the agent runs.
pub async fn remove_old(agent: Arc<Agent>) {
    let Some(docker) = &agent.docker else { return };
    let mut removed = std::collections::BTreeSet::new();
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let delay = docker.settings().remove_delay.as_secs_f64();
        let old = |record: &Record| {
            record.is_docker() && record.ended.is_some_and(|ended| ended + delay <= now())
        };
        let names: Vec<String> = agent
            .state()
            .completed
            .iter()
            .filter(|record| old(record))
            .map(Record::container_name)
            .collect();
        for name in names {
            if removed.insert(name.clone()) {
                // It is gone already where an earlier agent removed it.
                let _ = docker.remove(&name).await;
            }
        }
    }
}
