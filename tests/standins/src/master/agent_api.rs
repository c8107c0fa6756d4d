//! How agents speak to the leader, on paths of the stand-ins' own.
//!
//! `register` is answered with a stream of messages; what the agent has to say comes as posts.
//! The real ones speak libprocess instead, which nobody but they can hear.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::cluster::{Registration, Stream};
use super::maintenance;
use super::operate::{self, Answer};
use super::registry::Change;
use super::scheduler::stream_response;
use super::shared::Master;
use crate::http::{basic_user, empty, text};
use crate::mesos::{id, now, text as member, wrapped};

/// The path that agents speak at.
pub(super) const PATH: &str = "/standin/agent/";

fn refused(status: StatusCode, message: &str) -> Box<Response> {
    Box::new(text(status, message))
}

/// Answers an agent.
pub(super) async fn handle(
    master: &Arc<Master>,
    verb: &str,
    headers: &HeaderMap,
    body: &Value,
) -> Answer {
    authenticate(master, headers)?;
    if !master.is_recovered() {
        let message = "Master has not finished recovery";
        return Err(refused(StatusCode::SERVICE_UNAVAILABLE, message));
    }
    let agent_id = member(body, "agent_id");
    match verb {
        "register" => return register(master, body).await,
        "pong" => master.cluster().pong(agent_id),
        "update" => update(master, body),
        "unregister" => {
            master.record(&[Change::Remove(agent_id.to_owned())]).await?;
            master.cluster().end_agent(agent_id, "Agent has been unregistered", now());
        }
        _ => return Err(Box::new(crate::http::not_found())),
    }
    Ok(empty())
}

/// `401` refuses a wrong secret, `403` a missing one: the agent acts differently on the two.
fn authenticate(master: &Master, headers: &HeaderMap) -> Result<(), Box<Response>> {
    let access = &master.config.access;
    let given = basic_user(headers);
    // Without principals any credential passes, as with the real one.
    if access.credentials.is_empty() {
        return Ok(());
    }
    match given {
        Some((principal, secret)) if access.credentials.accept(&principal, &secret) => {
            Ok(())
        }
        Some(_) => Err(refused(StatusCode::UNAUTHORIZED, "refused authentication")),
        None if master.config.authenticates_agents => {
            Err(refused(StatusCode::FORBIDDEN, "Agent is not authenticated"))
        }
        None => Ok(()),
    }
}

async fn register(master: &Arc<Master>, body: &Value) -> Answer {
    let Some(mut registration) = Registration::from_json(body) else {
        return Err(refused(StatusCode::BAD_REQUEST, "not a registration"));
    };
    let hostname = member(&registration.info, "hostname");
    let machine = maintenance::machine(hostname, &registration.pid);
    if operate::is_down(master, &machine) {
        return Ok(shutdown("Machine is `DOWN`"));
    }
    let registry = master.registry();
    let known = registration.known_id().map(str::to_owned);
    if known.as_ref().is_some_and(|id| registry.gone.contains_key(id)) {
        return Ok(shutdown("Agent has been marked gone"));
    }
    let agent_id = match &known {
        Some(id) => id.clone(),
        None => master.cluster().new_agent_id(),
    };
    registration.info["id"] = wrapped(&agent_id);
    if registry.admitted.get(&agent_id).map(|agent| &agent.info)
        != Some(&registration.info)
    {
        master.record(&[Change::Admit(registration.info.clone())]).await?;
    }
    let events = admit(master, &registration, known.is_some());
    operate::settle_drain(master, &agent_id).await?;
    master.wake.notify_one();
    Ok(events)
}

/// Lets an agent in and begins its stream of messages.
fn admit(master: &Arc<Master>, registration: &Registration, is_back: bool) -> Response {
    let agent_id = id(&registration.info, "id").to_owned();
    let (queue, messages) = mpsc::unbounded_channel();
    let stream = Stream { id: uuid::Uuid::new_v4().to_string(), queue };
    let stream_id = stream.id.clone();
    let registry = master.registry();
    let mut cluster = master.cluster();
    cluster.register(registration, stream, now());
    if is_back {
        cluster.set_reregistered(&agent_id, now());
    }
    cluster.refresh(&registry);
    if let Some(agent) = cluster.agents.get(&agent_id) {
        agent.send(json!({"type": "REGISTERED", "agent_id": wrapped(&agent_id)}));
        let config = agent.drain.as_ref().map(|drain| &drain.config);
        agent.send(json!({"type": "DRAIN", "config": config}));
    }
    drop(cluster);
    let master = Arc::clone(master);
    let ended = move || master.cluster().disconnect_agent(&agent_id, &stream_id);
    stream_response(messages, Box::new(ended))
}

/// A stream of one message that sends the agent away.
fn shutdown(message: &str) -> Response {
    let (queue, messages) = mpsc::unbounded_channel();
    // The receiver is still here, so that this is heard.
    let _ = queue.send(json!({"type": "SHUTDOWN", "message": message}));
    drop(queue);
    stream_response(messages, Box::new(|| ()))
}

/// Passes an update on; one of a framework that is over is acknowledged by the master itself.
fn update(master: &Master, body: &Value) {
    let framework = id(body, "framework_id");
    let mut cluster = master.cluster();
    if !cluster.update(framework, &body["status"])
        && cluster.completed.iter().any(|f| id(&f.info, "id") == framework)
    {
        let status = &body["status"];
        let call = json!({
            "agent_id": status["agent_id"],
            "task_id": status["task_id"],
            "uuid": status["uuid"],
        });
        cluster.acknowledge(framework, &call);
    }
    drop(cluster);
    master.wake.notify_one();
}
