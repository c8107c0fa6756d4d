//! `POST /api/v1/scheduler`: how frameworks subscribe, and what they call.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::cluster::Stream;
use super::operate::{Answer, settle_drain};
use super::shared::Master;
use crate::http::{of_kind, record, text, with_header};
use crate::mesos::{id, list, now};

/// The header that names a subscription.
const STREAM_ID: &str = "Mesos-Stream-Id";

fn refused(status: StatusCode, message: impl Into<String>) -> Box<Response> {
    Box::new(text(status, message))
}

/// Answers a framework's call.
pub(super) async fn handle(
    master: &Arc<Master>,
    principal: Option<&str>,
    headers: &HeaderMap,
    call: &Value,
) -> Answer {
    let kind = call["type"].as_str().unwrap_or_default();
    if !master.is_recovered() {
        let message = "Master has not finished recovery";
        return Err(refused(StatusCode::SERVICE_UNAVAILABLE, message));
    }
    if kind == "SUBSCRIBE" {
        return subscribe(master, principal, call);
    }
    let framework_id = id(call, "framework_id");
    check_stream(master, framework_id, headers)?;
    take(master, framework_id, kind, call).await?;
    let mut accepted = Response::new(Body::empty());
    *accepted.status_mut() = StatusCode::ACCEPTED;
    Ok(accepted)
}

fn check_stream(
    master: &Master,
    framework_id: &str,
    headers: &HeaderMap,
) -> Result<(), Box<Response>> {
    let cluster = master.cluster();
    let is_connected =
        cluster.frameworks.get(framework_id).is_some_and(|f| f.stream.is_some());
    if !is_connected {
        let message = "Framework is not subscribed";
        return Err(refused(StatusCode::FORBIDDEN, message));
    }
    let Some(stream_id) = headers.get(STREAM_ID).and_then(|value| value.to_str().ok())
    else {
        let message =
            "All non-subscribe calls should include the 'Mesos-Stream-Id' header";
        return Err(refused(StatusCode::BAD_REQUEST, message));
    };
    if cluster.is_subscribed(framework_id, stream_id) {
        return Ok(());
    }
    let message = format!(
        "The stream ID '{stream_id}' included in this request didn't match the stream ID \
         currently associated with framework ID {framework_id}"
    );
    Err(refused(StatusCode::BAD_REQUEST, message))
}

async fn take(
    master: &Master,
    framework_id: &str,
    kind: &str,
    call: &Value,
) -> Result<(), Box<Response>> {
    match kind {
        "ACCEPT" => {
            let access = &master.config.access;
            let may_run = |principal: Option<&str>, user: &str| {
                access.permit_on(principal, ("run_tasks", "users"), Some(user)).is_ok()
            };
            master.cluster().accept(framework_id, &call["accept"], &may_run);
        }
        "DECLINE" => master.cluster().decline(framework_id, &call["decline"]),
        "REVIVE" => {
            master.cluster().revive(framework_id);
            master.wake.notify_one();
        }
        "SUPPRESS" => master.cluster().suppress(framework_id),
        "KILL" => master.cluster().kill(framework_id, &call["kill"]),
        "ACKNOWLEDGE" => {
            let call = &call["acknowledge"];
            master.cluster().acknowledge(framework_id, call);
            settle_drain(master, id(call, "agent_id")).await?;
        }
        "RECONCILE" => {
            let registry = master.registry();
            let cluster = master.cluster();
            let is_recovered = |agent: &str| {
                registry.admitted.contains_key(agent)
                    && !cluster.agents.contains_key(agent)
            };
            cluster.reconcile(framework_id, &call["reconcile"], &is_recovered);
        }
        "TEARDOWN" => master.cluster().remove_framework(framework_id, now()),
        _ => {
            let message =
                "Failed to validate scheduler::Call: Expecting 'type' to be present";
            return Err(refused(StatusCode::BAD_REQUEST, message));
        }
    }
    Ok(())
}

/// The roles of a framework: its list, or the one role of older frameworks.
fn roles_of(info: &Value) -> Vec<&str> {
    let roles: Vec<&str> =
        list(&info["roles"]).iter().filter_map(Value::as_str).collect();
    match roles.is_empty() {
        true => vec![info["role"].as_str().unwrap_or("*")],
        false => roles,
    }
}

fn subscribe(master: &Arc<Master>, principal: Option<&str>, call: &Value) -> Answer {
    let mut info = call["subscribe"]["framework_info"].clone();
    if info["name"].as_str().is_none() || info["user"].as_str().is_none() {
        let message = "Failed to validate scheduler::Call: Expecting 'subscribe' with a \
                       'framework_info' of a name and a user";
        return Err(refused(StatusCode::BAD_REQUEST, message));
    }
    if let Some(principal) = principal {
        let claimed = info["principal"].as_str().unwrap_or(principal);
        if claimed != principal {
            let message = format!(
                "Authenticated principal '{principal}' does not match principal '{claimed}' \
                 set in `FrameworkInfo`"
            );
            return Err(refused(StatusCode::FORBIDDEN, message));
        }
        info["principal"] = json!(principal);
    }
    let access = &master.config.access;
    for role in roles_of(&info) {
        access.permit_on(principal, ("register_frameworks", "roles"), Some(role))?;
    }
    let (queue, events) = mpsc::unbounded_channel();
    let stream_id = uuid::Uuid::new_v4().to_string();
    let stream = Stream { id: stream_id.clone(), queue: queue.clone() };
    let subscribed = master.cluster().subscribe(info, stream, now());
    let ended: Box<dyn FnOnce() + Send> = match subscribed {
        Ok(framework_id) => {
            let (master, stream_id) = (Arc::clone(master), stream_id.clone());
            Box::new(move || {
                master.cluster().disconnect_framework(&framework_id, &stream_id);
            })
        }
        Err(message) => {
            // The receiver is still here, so that this is heard.
            let _ = queue.send(json!({"type": "ERROR", "error": {"message": message}}));
            Box::new(|| ())
        }
    };
    drop(queue);
    master.wake.notify_one();
    Ok(with_header(stream_response(events, ended), STREAM_ID, &stream_id))
}

/// An answer that goes on: each message as a record, until the queue or the listener is gone.
pub(super) fn stream_response(
    events: mpsc::UnboundedReceiver<Value>,
    ended: Box<dyn FnOnce() + Send>,
) -> Response {
    let listener = Listener { events, ended: Some(ended) };
    let records = futures::stream::unfold(listener, |mut listener| async move {
        let event = listener.events.recv().await?;
        Some((Ok::<_, Infallible>(Bytes::from(record(&event))), listener))
    });
    let body = Body::from_stream(records.boxed());
    of_kind(StatusCode::OK, "application/json", body)
}

/// One who listens; its end is told when the connection drops it.
struct Listener {
    events: mpsc::UnboundedReceiver<Value>,
    ended: Option<Box<dyn FnOnce() + Send>>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            ended();
        }
    }
}
