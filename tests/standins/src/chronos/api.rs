//! The HTTP API of the leader: which request asks for what.

use super::Leader;
use super::answer::{bare, json_ok, page, plain, refused};
use super::core::{Core, Refusal};
use crate::http::{media_type, percent_decoded, query};
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The largest body that is read, in bytes.
const LARGEST_BODY: usize = 32 << 20;

/// Answers a request; `id` is the leader's.
pub(super) async fn answer(leader: &Leader, id: &str, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match segments.as_slice() {
        ["ping"] => plain("pong\n"),
        ["metrics"] => metrics(leader),
        ["v1", "scheduler", rest @ ..] => scheduler(leader, id, rest, request).await,
        _ => page(StatusCode::NOT_FOUND, "Not Found"),
    }
}

fn metrics(leader: &Leader) -> Response {
    json_ok(&json!({
        "version": "3.0.0", "gauges": leader.look(Core::gauges), "counters": {},
        "histograms": {}, "meters": {}, "timers": {},
    }))
}

async fn scheduler(
    leader: &Leader,
    id: &str,
    path: &[&str],
    request: Request,
) -> Response {
    let given = query(request.uri().query());
    match (request.method(), path) {
        (&Method::GET, ["leader"]) => json_ok(&json!({"leader": id})),
        (&Method::GET, ["jobs"]) => json_ok(&leader.look(Core::jobs_json)),
        (&Method::GET, ["jobs", "summary"]) => json_ok(&leader.look(Core::summary_json)),
        (&Method::GET, ["jobs", "search"]) => search(leader, &given),
        (&Method::POST | &Method::PUT, ["iso8601"]) => put(leader, true, request).await,
        (&Method::POST | &Method::PUT, ["dependency"]) => {
            put(leader, false, request).await
        }
        (&Method::GET, ["graph", "dot"]) => plain(leader.look(Core::dot)),
        (&Method::GET, ["graph", "csv"]) => plain(leader.look(Core::csv)),
        (method, ["job", "stat", name]) if method == Method::GET => {
            let name = percent_decoded(name);
            shown(leader.look(|core| core.stat_json(&name)))
        }
        (method, ["job", "success", name]) if method == Method::PUT => {
            let name = percent_decoded(name);
            let done = leader.change(|core, now| core.mark_success(&name, now)).await;
            plain(format!("marked job {name} as successful: {done}"))
        }
        (method, ["job", name]) => {
            let (method, name) = (method.clone(), percent_decoded(name));
            job(leader, &method, &name, &given).await
        }
        (&Method::DELETE, ["task", "kill", name]) => {
            let name = percent_decoded(name);
            done(leader.change(|core, _| core.kill_tasks(&name)).await)
        }
        _ => page(StatusCode::NOT_FOUND, "Not Found"),
    }
}

async fn job(
    leader: &Leader,
    method: &Method,
    name: &str,
    given: &BTreeMap<String, String>,
) -> Response {
    match *method {
        Method::GET => shown(leader.look(|core| core.job(name).map(|job| json!(job)))),
        Method::DELETE => done(leader.change(|core, _| core.delete(name)).await),
        Method::PUT => {
            let arguments = text(given, "arguments").trim();
            let run = |core: &mut Core, now| core.run_now(name, arguments, now);
            done(leader.change(run).await)
        }
        _ => page(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
    }
}

fn search(leader: &Leader, given: &BTreeMap<String, String>) -> Response {
    let number = |name, default| match text(given, name) {
        "" => Some(default),
        number => number.parse().ok(),
    };
    let (Some(offset), Some(limit)) = (number("offset", 0), number("limit", 10)) else {
        return page(StatusCode::NOT_FOUND, "Not Found");
    };
    let (name, command) = (text(given, "name"), text(given, "command"));
    let any = text(given, "any");
    json_ok(&leader.look(|core| core.search_json(name, command, any, (offset, limit))))
}

fn text<'a>(given: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    given.get(name).map_or("", String::as_str)
}

async fn put(leader: &Leader, scheduled: bool, request: Request) -> Response {
    if media_type(request.headers()) != "application/json" {
        return page(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type");
    }
    let Ok(body) = to_bytes(request.into_body(), LARGEST_BODY).await else {
        return bare(StatusCode::BAD_REQUEST);
    };
    let definition: Value = match serde_json::from_slice(&body) {
        Ok(definition) => definition,
        Err(error) => return refused(&Refusal::Wrong(error.to_string())),
    };
    let put = |core: &mut Core, now| match (scheduled, definition.get("parents")) {
        (true, None) => core.put_scheduled(&definition, now),
        (false, Some(_)) => core.put_dependent(&definition),
        (true, Some(_)) => Err(other_kind("iso8601", "schedule")),
        (false, None) => Err(other_kind("dependency", "parents")),
    };
    done(leader.change(put).await)
}

fn other_kind(path: &str, field: &str) -> Refusal {
    Refusal::Wrong(format!("a job of {path} has {field}"))
}

fn done(result: Result<(), Refusal>) -> Response {
    match result {
        Ok(()) => bare(StatusCode::NO_CONTENT),
        Err(refusal) => refused(&refusal),
    }
}

fn shown(result: Result<Value, Refusal>) -> Response {
    match result {
        Ok(value) => json_ok(&value),
        Err(refusal) => refused(&refusal),
    }
}
