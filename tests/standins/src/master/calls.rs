//! `POST /api/v1`: the operators' calls.

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::operate::{self, Answer};
use super::shared::Master;
use super::{maintenance, metrics, views};
use crate::http::{json as answer, media_type, text};
use crate::mesos::access::Action;
use crate::mesos::{build, id};

/// The calls that are known, with the member that they need and what they must be allowed.
const CALLS: [(&str, Option<&str>, Option<Action>); 19] = [
    ("GET_HEALTH", None, None),
    ("GET_VERSION", None, None),
    ("GET_FLAGS", None, Some(("view_flags", "flags"))),
    ("GET_METRICS", Some("get_metrics"), None),
    ("GET_MASTER", None, None),
    ("GET_AGENTS", None, None),
    ("GET_STATE", None, None),
    ("GET_FRAMEWORKS", None, None),
    ("GET_TASKS", None, None),
    ("GET_ROLES", None, None),
    ("GET_MAINTENANCE_SCHEDULE", None, None),
    ("GET_MAINTENANCE_STATUS", None, None),
    (
        "UPDATE_MAINTENANCE_SCHEDULE",
        Some("update_maintenance_schedule"),
        Some(("update_maintenance_schedules", "machines")),
    ),
    ("DRAIN_AGENT", Some("drain_agent"), Some(("drain_agents", "agents"))),
    ("DEACTIVATE_AGENT", Some("deactivate_agent"), Some(("deactivate_agents", "agents"))),
    ("REACTIVATE_AGENT", Some("reactivate_agent"), Some(("reactivate_agents", "agents"))),
    ("MARK_AGENT_GONE", Some("mark_agent_gone"), Some(("mark_agents_gone", "agents"))),
    ("TEARDOWN", Some("teardown"), Some(("teardown_frameworks", "framework_principals"))),
    ("GET_OPERATIONS", None, None),
];

/// Reads the body of a call.
///
/// # Errors
/// With the refusal to answer, when it is no call.
pub(super) fn read(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, Box<axum::response::Response>> {
    if media_type(headers) != "application/json" {
        let message =
            "Expecting 'Content-Type' of application/json or application/x-protobuf";
        return Err(Box::new(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)));
    }
    serde_json::from_slice(body).map_err(|error| {
        let near: String = String::from_utf8_lossy(body).chars().take(20).collect();
        let line = error.line();
        let message = format!(
            "Failed to parse body into JSON: syntax error at line {line} near: {near}"
        );
        Box::new(text(StatusCode::BAD_REQUEST, message))
    })
}

/// Answers a call.
pub(super) async fn handle(
    master: &Master,
    principal: Option<&str>,
    call: &Value,
) -> Answer {
    let kind = call["type"].as_str().unwrap_or_default();
    let missing = |member: &str| {
        let message = format!(
            "Failed to validate master::Call: Expecting '{member}' to be present"
        );
        Box::new(text(StatusCode::BAD_REQUEST, message))
    };
    let known = CALLS.iter().find(|(name, _, _)| *name == kind);
    let Some((name, member, action)) = known else { return Err(missing("type")) };
    if let Some(member) = member
        && call.get(member).is_none()
    {
        return Err(missing(member));
    }
    let body = member.map_or(&Value::Null, |member| &call[member]);
    check_grace(body)?;
    if !master.is_recovered() {
        let message = "Master has not finished recovery";
        return Err(Box::new(text(StatusCode::SERVICE_UNAVAILABLE, message)));
    }
    if let Some(action) = action {
        master.config.access.permit(principal, *action)?;
    }
    match *name {
        "DRAIN_AGENT" => operate::drain(master, body).await,
        "DEACTIVATE_AGENT" => operate::deactivate(master, body).await,
        "REACTIVATE_AGENT" => operate::reactivate(master, body).await,
        "MARK_AGENT_GONE" => operate::mark_gone(master, body).await,
        "TEARDOWN" => operate::teardown(master, id(body, "framework_id")),
        "UPDATE_MAINTENANCE_SCHEDULE" => {
            operate::schedule(master, &body["schedule"]).await
        }
        _ => Ok(answer(&shown(master, name))),
    }
}

/// A grace period in words is refused; real Mesos reads a message there.
fn check_grace(body: &Value) -> Result<(), Box<axum::response::Response>> {
    match body.get("max_grace_period") {
        Some(grace) if !grace.is_object() => {
            let message =
                "Failed to convert JSON into Call protobuf: Not expecting a JSON string";
            Err(Box::new(text(StatusCode::BAD_REQUEST, message)))
        }
        _ => Ok(()),
    }
}

/// What a call that changes nothing shows.
fn shown(master: &Master, kind: &str) -> Value {
    let member = kind.to_lowercase();
    let content = match kind {
        "GET_HEALTH" => json!({"healthy": true}),
        "GET_VERSION" => json!({"version_info": build()}),
        "GET_FLAGS" => json!({"flags": pairs(&json!(master.config.flags.all()))}),
        "GET_METRICS" => json!({"metrics": pairs(&metrics::snapshot(master))}),
        "GET_MASTER" => json!({
            "master_info": super::shared::master_info(&master.config, &master.id),
            "start_time": master.started,
            "elected_time": master.elected.get(),
        }),
        "GET_AGENTS" => views::agents(&master.cluster(), &master.registry()),
        "GET_FRAMEWORKS" => views::full_frameworks(&master.cluster()),
        "GET_TASKS" => views::full_tasks(&master.cluster()),
        "GET_ROLES" => views::full_roles(&master.cluster()),
        "GET_STATE" => state(master),
        "GET_MAINTENANCE_SCHEDULE" => {
            json!({"schedule": maintenance::schedule(&master.registry())})
        }
        "GET_MAINTENANCE_STATUS" => {
            json!({"status": maintenance::status(&master.registry())})
        }
        _ => json!({}),
    };
    json!({"type": kind, member: content})
}

fn state(master: &Master) -> Value {
    let registry = master.registry();
    let cluster = master.cluster();
    json!({
        "get_tasks": views::full_tasks(&cluster),
        "get_executors": {"executors": []},
        "get_frameworks": views::full_frameworks(&cluster),
        "get_agents": views::agents(&cluster, &registry),
    })
}

fn pairs(object: &Value) -> Vec<Value> {
    let members = object.as_object().into_iter().flatten();
    members.map(|(name, value)| json!({"name": name, "value": value})).collect()
}
