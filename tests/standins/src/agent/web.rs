//! The agent's endpoints: who may ask, and what is answered.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::core::{Agent, now};
use super::record::Record;
use super::views::{self, Snapshot};
use super::{files, metrics, usage};
use crate::http;
use crate::mesos::build;

/// What a request may say at most.
const MAX_BODY: usize = 1 << 20;

/// Listens at the agent's address.
///
/// # Errors
/// When the address cannot be had.
pub async fn listen(agent: &Agent) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::new(agent.settings.ip, agent.settings.port)).await
}

/// Answers for as long as the agent runs.
pub async fn serve(agent: Arc<Agent>, listener: TcpListener) {
    let router = Router::new().fallback(answer).with_state(Arc::clone(&agent));
    if let Err(error) = axum::serve(listener, router).await {
        agent.exit(1, format!("cannot serve: {error}"));
    }
}

async fn answer(State(agent): State<Arc<Agent>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let path = path.strip_prefix("/slave(1)").unwrap_or(path).to_owned();
    if path == "/api/v1" {
        return v1(&agent, parts.method, parts.headers, body)
            .await
            .unwrap_or_else(|r| *r);
    }
    let query = http::query(parts.uri.query());
    let headers = parts.headers;
    // Reading files and asking for usage may block.
    let answered = tokio::task::spawn_blocking(move || {
        get(&agent, &path, &query, &headers).unwrap_or_else(|refusal| *refusal)
    });
    answered
        .await
        .unwrap_or_else(|_| http::text(StatusCode::INTERNAL_SERVER_ERROR, "it failed"))
}

type Answer = Result<Response, Box<Response>>;

fn get(agent: &Agent, path: &str, query: &files::Query, headers: &HeaderMap) -> Answer {
    match path {
        "/health" => return Ok(http::empty()),
        "/version" => return Ok(http::json(&build())),
        _ => (),
    }
    authenticate(agent, headers, "readonly")?;
    let work_dir = agent.store.work_dir();
    Ok(match path {
        "/state" => http::json(&views::state(&snapshot(agent))),
        "/flags" => http::json(&json!({"flags": flags(agent)})),
        "/containers" => http::json(&containers(&snapshot(agent), views::container)),
        "/monitor/statistics" => {
            http::json(&containers(&snapshot(agent), views::statistics))
        }
        "/metrics/snapshot" => {
            let all = metrics::metrics(&snapshot(agent), &usage::of_system());
            http::json(&Value::Object(all))
        }
        "/files/read" => files::read(work_dir, query)?,
        "/files/browse" => files::browse(work_dir, query)?,
        "/files/download" => files::download(work_dir, query)?,
        _ => http::not_found(),
    })
}

fn authenticate(
    agent: &Agent,
    headers: &HeaderMap,
    kind: &str,
) -> Result<(), Box<Response>> {
    if !agent.settings.flags.is_on(&format!("authenticate_http_{kind}")) {
        return Ok(());
    }
    let realm = format!("mesos-agent-{kind}");
    agent.settings.http_credentials.authenticate(headers, &realm).map(|_| ())
}

fn flags(agent: &Agent) -> Value {
    let all = agent.settings.flags.all().iter();
    Value::Object(all.map(|(name, value)| (name.clone(), value.clone().into())).collect())
}

fn snapshot(agent: &Agent) -> Snapshot {
    let flags = flags(agent);
    let state = agent.state();
    let records = |over: bool| -> Vec<Record> {
        let tasks = state.tasks.values().map(|task| &task.record);
        tasks.filter(|record| record.is_over() == over).cloned().collect()
    };
    Snapshot {
        agent_id: state.agent_id.clone(),
        master_hostname: state.master_hostname.clone(),
        info: agent.settings.info.clone(),
        address: agent.settings.address(),
        started: agent.started,
        now: now(),
        flags,
        frameworks: state.frameworks.values().cloned().collect(),
        live: records(false),
        terminated: records(true),
        completed: state.completed.clone(),
        drain: state.drain.clone(),
    }
}

fn containers(
    snapshot: &Snapshot,
    view: impl Fn(&Record, &views::Usage, f64) -> Value,
) -> Value {
    let running = snapshot.live.iter().filter(|record| record.process.is_some());
    running.map(|record| view(record, &usage::of_task(record), snapshot.now)).collect()
}

async fn v1(agent: &Agent, method: Method, headers: HeaderMap, body: Body) -> Answer {
    let bad = |text: String| Box::new(http::text(StatusCode::BAD_REQUEST, text));
    authenticate(agent, &headers, "readwrite")?;
    if method != Method::POST {
        return Ok(http::wrong_method("POST", method.as_str()));
    }
    if http::media_type(&headers) != "application/json" {
        return Ok(http::text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Expecting 'Content-Type' of application/json or application/x-protobuf",
        ));
    }
    let bytes = to_bytes(body, MAX_BODY).await.map_err(|e| bad(e.to_string()))?;
    let call: Value = serde_json::from_slice(&bytes).map_err(|error| {
        let text = String::from_utf8_lossy(&bytes);
        bad(format!(
            "Failed to parse body into JSON: syntax error at line {} near: {text}",
            error.line()
        ))
    })?;
    let kind = call["type"].as_str().unwrap_or_default();
    let missing = |what: &str| {
        bad(format!("Failed to validate agent::Call: Expecting '{what}' to be present"))
    };
    if kind == "GET_METRICS" && call["get_metrics"].is_null() {
        return Err(missing("get_metrics"));
    }
    let mut reply = json!({"type": kind});
    match v1_body(agent, kind) {
        Some((_, Value::Null)) => (),
        Some((field, body)) => reply[field] = body,
        None => return Err(missing("type")),
    }
    Ok(http::json(&reply))
}

/// The field and body of an answer; null where the real one leaves an empty field out.
fn v1_body(agent: &Agent, kind: &str) -> Option<(&'static str, Value)> {
    let snapshot = snapshot(agent);
    Some(match kind {
        "GET_HEALTH" => ("get_health", json!({"healthy": true})),
        "GET_VERSION" => ("get_version", json!({"version_info": build()})),
        "GET_FLAGS" => ("get_flags", json!({"flags": named(agent.settings.flags.all())})),
        "GET_METRICS" => {
            let all = metrics::metrics(&snapshot, &usage::of_system());
            ("get_metrics", json!({"metrics": named(&all)}))
        }
        "GET_AGENT" => ("get_agent", json!({"agent_info": views::agent_info(&snapshot)})),
        "GET_TASKS" => ("get_tasks", views::v1_tasks(&snapshot)),
        "GET_EXECUTORS" => ("get_executors", views::v1_executors(&snapshot)),
        "GET_FRAMEWORKS" => ("get_frameworks", views::v1_frameworks(&snapshot)),
        "GET_RESOURCE_PROVIDERS" => ("get_resource_providers", json!({})),
        "GET_STATE" => (
            "get_state",
            json!({
                "get_tasks": views::v1_tasks(&snapshot),
                "get_executors": views::v1_executors(&snapshot),
                "get_frameworks": views::v1_frameworks(&snapshot),
            }),
        ),
        "GET_CONTAINERS" => ("get_containers", v1_containers(&snapshot)),
        _ => return None,
    })
}

fn named<'a, V: serde::Serialize + 'a>(
    all: impl IntoIterator<Item = (&'a String, &'a V)>,
) -> Value {
    all.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

fn v1_containers(snapshot: &Snapshot) -> Value {
    let list = containers(snapshot, |record, usage, now| {
        let entry = views::container(record, usage, now);
        let status = &entry["status"];
        json!({
            "framework_id": {"value": record.framework_id},
            "executor_id": {"value": record.task_id()},
            "executor_name": entry["executor_name"],
            "container_id": status["container_id"],
            "container_status": status,
            "resource_statistics": entry["statistics"],
        })
    });
    match list.as_array().is_some_and(Vec::is_empty) {
        true => Value::Null,
        false => json!({"containers": list}),
    }
}
