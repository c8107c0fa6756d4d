//! The master's HTTP server: who may ask what, who is sent to the leader, and who is answered.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::Value;
use tokio::net::TcpListener;

use super::operate::{self, Answer};
use super::run::replica_verb;
use super::shared::Master;
use super::{agent_api, calls, maintenance, metrics, scheduler, views};
use crate::http::{self, empty, json, text};
use crate::mesos::access::Gate;
use crate::mesos::build;

/// Serves until the listener fails.
pub(super) async fn serve(
    listener: TcpListener,
    master: Arc<Master>,
) -> std::io::Result<()> {
    let limit = axum::extract::DefaultBodyLimit::max(64 << 20);
    let router = Router::new().fallback(answer).layer(limit).with_state(master);
    axum::serve(listener, router).await
}

/// A request with all that answering it needs.
struct Request {
    method: Method,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    body: Bytes,
}

async fn answer(
    State(master): State<Arc<Master>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(verb) = replica_verb(uri.path()) {
        return match &master.ensemble {
            Some(ensemble) => ensemble.answer(verb, &body),
            None => http::not_found(),
        };
    }
    let path = uri.path().strip_prefix("/master").unwrap_or(uri.path()).to_owned();
    let query = uri.query().map(str::to_owned);
    let request = Request { method, path, query, headers, body };
    respond(&master, &request).await.unwrap_or_else(|refusal| *refusal)
}

async fn respond(master: &Arc<Master>, request: &Request) -> Answer {
    let config = &master.config;
    match request.path.as_str() {
        "/health" => return Ok(empty()),
        "/version" => return Ok(json(&build())),
        "/redirect" => return Ok(redirect(master, "")),
        "/metrics/snapshot" => {
            config.access.admit(&config.readonly, &request.headers)?;
            return Ok(json(&metrics::snapshot(master)));
        }
        "/flags" => {
            let principal = config.access.admit(&config.readonly, &request.headers)?;
            config.access.permit(principal.as_deref(), ("view_flags", "flags"))?;
            return Ok(json(&serde_json::json!({"flags": config.flags.all()})));
        }
        _ => (),
    }
    if let Some(verb) = request.path.strip_prefix(agent_api::PATH) {
        if !master.leads() {
            return Ok(redirect(master, &request.path));
        }
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        return agent_api::handle(master, verb, &request.headers, &body).await;
    }
    let Some(gate) = gate_of(master, request) else { return Ok(http::not_found()) };
    let principal = config.access.admit(gate, &request.headers)?;
    if request.path.starts_with("/api/v1") && request.method != Method::POST {
        return Ok(http::wrong_method("POST", request.method.as_str()));
    }
    if !master.leads() {
        return Ok(redirect(master, &format!("/master{}", request.path)));
    }
    lead(master, principal.as_deref(), request).await
}

/// Sends the request to the leader.
fn redirect(master: &Master, path: &str) -> Response {
    match master.leader_address() {
        Some(address) => http::redirect(&format!("//{address}{path}")),
        None => text(StatusCode::SERVICE_UNAVAILABLE, "No leader elected"),
    }
}

/// Who may ask for a path; `None` where there is nothing.
fn gate_of<'a>(master: &'a Master, request: &Request) -> Option<&'a Gate> {
    let config = &master.config;
    match request.path.as_str() {
        "/state"
        | "/state.json"
        | "/state-summary"
        | "/slaves"
        | "/frameworks"
        | "/tasks"
        | "/roles"
        | "/maintenance/status" => Some(&config.readonly),
        "/api/v1"
        | "/maintenance/schedule"
        | "/machine/up"
        | "/machine/down"
        | "/teardown" => Some(&config.readwrite),
        "/api/v1/scheduler" => Some(&config.frameworks),
        _ => None,
    }
}

/// Answers as the leader.
async fn lead(
    master: &Arc<Master>,
    principal: Option<&str>,
    request: &Request,
) -> Answer {
    let query = http::query(request.query.as_deref());
    Ok(json(&match request.path.as_str() {
        "/api/v1" => {
            let call = calls::read(&request.headers, &request.body)?;
            return calls::handle(master, principal, &call).await;
        }
        "/api/v1/scheduler" => {
            let call = calls::read(&request.headers, &request.body)?;
            return scheduler::handle(master, principal, &request.headers, &call).await;
        }
        "/state" | "/state.json" => views::state(master),
        "/state-summary" => views::summary(master),
        "/slaves" => {
            let wanted = query.get("slave_id").map(String::as_str);
            let registry = master.registry();
            views::slaves(&master.cluster(), &registry, wanted)
        }
        "/frameworks" => views::frameworks(&master.cluster()),
        "/tasks" => views::tasks(&master.cluster()),
        "/roles" => views::roles(&master.cluster()),
        "/maintenance/status" => maintenance::status(&master.registry()),
        "/maintenance/schedule" if request.method == Method::GET => {
            maintenance::schedule(&master.registry())
        }
        _ => return change(master, principal, request).await,
    }))
}

/// The older endpoints that change something.
async fn change(master: &Master, principal: Option<&str>, request: &Request) -> Answer {
    if request.method != Method::POST {
        return Ok(http::wrong_method("POST", request.method.as_str()));
    }
    let access = &master.config.access;
    if request.path == "/teardown" {
        access.permit(principal, ("teardown_frameworks", "framework_principals"))?;
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let form = http::query(Some(form.trim()));
        let framework = form.get("frameworkId").map(String::as_str).unwrap_or_default();
        return operate::teardown(master, framework);
    }
    let body: Value = serde_json::from_slice(&request.body).map_err(|error| {
        let message =
            format!("Failed to parse JSON: syntax error at line {}", error.line());
        Box::new(text(StatusCode::BAD_REQUEST, message))
    })?;
    if !master.is_recovered() {
        let message = "Master has not finished recovery";
        return Ok(text(StatusCode::SERVICE_UNAVAILABLE, message));
    }
    match request.path.as_str() {
        "/maintenance/schedule" => {
            access.permit(principal, ("update_maintenance_schedules", "machines"))?;
            operate::schedule(master, &body).await
        }
        "/machine/down" => {
            access.permit(principal, ("start_maintenances", "machines"))?;
            operate::machines_down(master, &body).await
        }
        _ => {
            access.permit(principal, ("stop_maintenances", "machines"))?;
            operate::machines_up(master, &body).await
        }
    }
}
