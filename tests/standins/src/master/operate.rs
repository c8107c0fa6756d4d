//! What changes agents: their silence, and the wishes of operators.
//!
//! Each change is in the registry before anything is done about it.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::maintenance;
use super::registry::{Change, Drain};
use super::shared::{Ending, Master};
use crate::http::{empty, text};
use crate::mesos::{id, list, now};

impl From<Ending> for Box<Response> {
    fn from(_: Ending) -> Self {
        let message = "Failed to update the registry";
        Box::new(text(StatusCode::SERVICE_UNAVAILABLE, message))
    }
}

/// What an operator is answered; refusals are answers too.
pub(super) type Answer = Result<Response, Box<Response>>;

fn refused(status: StatusCode, message: impl Into<String>) -> Box<Response> {
    Box::new(text(status, message))
}

/// Offers what is free, and ends frameworks that have been away for too long.
pub(super) fn allocate(master: &Master) {
    let mut cluster = master.cluster();
    for framework in cluster.overdue() {
        cluster.remove_framework(&framework, now());
    }
    cluster.allocate();
}

/// Pings all agents and gives up those that have been silent for too long.
pub(super) async fn ping(master: &Master) {
    let silent = master.cluster().ping(master.config.n_missed_pings);
    for agent in silent {
        let change = Change::MarkUnreachable(agent.clone(), now());
        if master.record(&[change]).await.is_ok() {
            master.cluster().lose_agent(&agent, now());
        }
    }
}

/// `DRAIN_AGENT`.
pub(super) async fn drain(master: &Master, call: &Value) -> Answer {
    let agent_id = id(call, "agent_id").to_owned();
    let unknown = || refused(StatusCode::BAD_REQUEST, "Unknown agent");
    let registry = master.registry();
    if registry.agent(&agent_id).is_none() {
        return Err(unknown());
    }
    let machine =
        master.cluster().agents.get(&agent_id).map(super::cluster::Agent::machine);
    if let Some(machine) = machine
        && maintenance::unavailability(&registry, &machine).is_some()
    {
        let (name, ip) = (&machine["hostname"], &machine["ip"]);
        let (name, ip) =
            (name.as_str().unwrap_or_default(), ip.as_str().unwrap_or_default());
        let message = format!(
            "Agent {agent_id} is part of a maintenance schedule under Machine {name} ({ip})"
        );
        return Err(refused(StatusCode::BAD_REQUEST, message));
    }
    let config = drain_config(call);
    let drain = Drain { config: config.clone(), drained: false, started: Some(now()) };
    master.record(&[Change::Drain(agent_id.clone(), drain)]).await?;
    if let Some(agent) = master.cluster().agents.get(&agent_id) {
        agent.send(json!({"type": "DRAIN", "config": config}));
    }
    settle_drain(master, &agent_id).await?;
    Ok(empty())
}

/// The drain as it is kept: a grace period of whole seconds counts, one of nanoseconds is none.
fn drain_config(call: &Value) -> Value {
    let mark_gone = call["mark_gone"].as_bool().unwrap_or_default();
    let mut config = json!({});
    if let Some(grace) = call.get("max_grace_period") {
        let seconds = grace["seconds"].as_f64().unwrap_or_default();
        let nanoseconds = (seconds * 1e9) as i64;
        config["max_grace_period"] = json!({"nanoseconds": nanoseconds});
    }
    config["mark_gone"] = json!(mark_gone);
    config
}

/// Records that an agent is drained, if it is, and marks it gone where that was wished.
pub(super) async fn settle_drain(master: &Master, agent_id: &str) -> Result<(), Ending> {
    let marks_gone = {
        let cluster = master.cluster();
        if !cluster.drained(agent_id) {
            return Ok(());
        }
        let drain = cluster.agents.get(agent_id).and_then(|agent| agent.drain.as_ref());
        drain.is_some_and(Drain::marks_gone)
    };
    if marks_gone {
        return make_gone(master, agent_id).await;
    }
    master.record(&[Change::Drained(agent_id.to_owned())]).await
}

async fn make_gone(master: &Master, agent_id: &str) -> Result<(), Ending> {
    master.record(&[Change::MarkGone(agent_id.to_owned(), now())]).await?;
    master.cluster().end_agent(agent_id, "Agent has been marked gone", now());
    Ok(())
}

/// `MARK_AGENT_GONE`.
pub(super) async fn mark_gone(master: &Master, call: &Value) -> Answer {
    let agent_id = id(call, "agent_id");
    let registry = master.registry();
    if registry.gone.contains_key(agent_id) {
        return Ok(empty());
    }
    if registry.agent(agent_id).is_none() {
        let message = format!("Agent '{agent_id}' not found");
        return Err(refused(StatusCode::NOT_FOUND, message));
    }
    make_gone(master, agent_id).await?;
    Ok(empty())
}

/// `DEACTIVATE_AGENT`.
pub(super) async fn deactivate(master: &Master, call: &Value) -> Answer {
    let agent_id = id(call, "agent_id");
    if master.registry().agent(agent_id).is_none() {
        return Err(refused(StatusCode::BAD_REQUEST, "Unknown agent"));
    }
    master.record(&[Change::Deactivate(agent_id.to_owned())]).await?;
    Ok(empty())
}

/// `REACTIVATE_AGENT`.
pub(super) async fn reactivate(master: &Master, call: &Value) -> Answer {
    let agent_id = id(call, "agent_id");
    let registry = master.registry();
    let message = match registry.agent(agent_id) {
        None => "Unknown agent",
        Some(agent) if !agent.deactivated => "Agent is not deactivated",
        Some(agent) if agent.drain.as_ref().is_some_and(|drain| !drain.drained) => {
            "Agent is still in the DRAINING state"
        }
        Some(_) => {
            master.record(&[Change::Reactivate(agent_id.to_owned())]).await?;
            return Ok(empty());
        }
    };
    Err(refused(StatusCode::BAD_REQUEST, message))
}

/// Another schedule of maintenance.
pub(super) async fn schedule(master: &Master, wish: &Value) -> Answer {
    let schedule = maintenance::checked(wish, &master.registry())
        .map_err(|message| refused(StatusCode::BAD_REQUEST, message))?;
    master.record(&[Change::Schedule(schedule)]).await?;
    Ok(empty())
}

/// Machines go down: their agents are sent away.
pub(super) async fn machines_down(master: &Master, machines: &Value) -> Answer {
    let down = maintenance::taken_down(machines, &master.registry())
        .map_err(|message| refused(StatusCode::BAD_REQUEST, message))?;
    let leaving: Vec<String> = {
        let cluster = master.cluster();
        let concerned =
            cluster.agents.iter().filter(|(_, a)| down.contains(&a.machine()));
        concerned.map(|(id, _)| id.clone()).collect()
    };
    let mut changes = vec![Change::Down(down)];
    changes.extend(leaving.iter().cloned().map(Change::Remove));
    master.record(&changes).await?;
    for agent in leaving {
        master.cluster().end_agent(&agent, "Operator initiated 'Machine DOWN'", now());
    }
    Ok(empty())
}

/// Machines are up again, and out of the schedule.
pub(super) async fn machines_up(master: &Master, machines: &Value) -> Answer {
    let (schedule, down) = maintenance::brought_up(machines, &master.registry())
        .map_err(|message| refused(StatusCode::BAD_REQUEST, message))?;
    master.record(&[Change::Schedule(schedule), Change::Down(down)]).await?;
    Ok(empty())
}

/// Ends a framework on an operator's wish.
pub(super) fn teardown(master: &Master, framework_id: &str) -> Answer {
    let mut cluster = master.cluster();
    if !cluster.frameworks.contains_key(framework_id) {
        let message = "No framework found with specified ID";
        return Err(refused(StatusCode::BAD_REQUEST, message));
    }
    cluster.remove_framework(framework_id, now());
    Ok(empty())
}

/// Whether an agent's machine is down, so that it may not take part.
pub(super) fn is_down(master: &Master, machine: &Value) -> bool {
    list(&json!(master.registry().down)).contains(machine)
}
