//! The HTTP API of the leader: which request asks for what.

use super::Leader;
use super::answer::{json_ok, page, refused};
use super::core::{Core, Refusal};
use crate::framework::proxy::LARGEST_BODY;
use crate::http::{
    accepts, bare, media_type, of_kind, percent_decoded, query, with_header,
};
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Answers a request; `id` is the leader's.
pub(super) async fn answer(leader: &Leader, id: &str, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let path = path.strip_suffix('/').unwrap_or(&path);
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match segments.as_slice() {
        ["ping" | "metrics"] if !is_read => {
            let text =
                format!("HTTP method {} is not supported by this URL", request.method());
            page(StatusCode::METHOD_NOT_ALLOWED, &text)
        }
        ["ping"] => of_kind(StatusCode::OK, "text/plain;charset=iso-8859-1", "pong\n"),
        ["metrics"] => metrics(leader),
        ["v1", "scheduler", rest @ ..] if !rest.is_empty() => {
            let response = scheduler(leader, id, rest, request).await;
            match methods(rest) {
                Some(allow) if response.status() == StatusCode::METHOD_NOT_ALLOWED => {
                    with_header(response, header::ALLOW, allow)
                }
                _ => response,
            }
        }
        _ => page(StatusCode::NOT_FOUND, "Not Found"),
    }
}

fn metrics(leader: &Leader) -> Response {
    let body = json!({
        "version": "3.0.0", "gauges": leader.look(Core::gauges), "counters": {},
        "histograms": {}, "meters": {}, "timers": {},
    });
    json_ok(body.to_string())
}

/// What may be done at a path, where there is one.
fn methods(path: &[&str]) -> Option<&'static str> {
    Some(match path {
        ["iso8601" | "dependency"] => "POST,OPTIONS",
        ["task", "kill", _] => "DELETE,OPTIONS",
        ["job", "success", _] => "OPTIONS,PUT",
        ["job", _] => "HEAD,DELETE,GET,OPTIONS,PUT",
        ["leader" | "jobs"]
        | ["jobs", "summary" | "search"]
        | ["stats", _]
        | ["graph", "dot" | "csv"]
        | ["job", "stat", _] => "HEAD,GET,OPTIONS",
        _ => return None,
    })
}

async fn scheduler(
    leader: &Leader,
    id: &str,
    path: &[&str],
    request: Request,
) -> Response {
    let Some(methods) = methods(path) else { return bare(StatusCode::NOT_FOUND) };
    let method = request.method().clone();
    if !methods.split(',').any(|known| known == method.as_str()) {
        return bare(StatusCode::METHOD_NOT_ALLOWED);
    }
    let kind = media_type(request.headers());
    let needs_kind = method == Method::POST;
    if kind != "application/json" && (needs_kind || !kind.is_empty()) {
        return bare(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let given = if path[0] == "graph" { "text/plain" } else { "application/json" };
    if !accepts(request.headers(), given) {
        return bare(StatusCode::NOT_ACCEPTABLE);
    }
    let given = query(request.uri().query());
    let name = percent_decoded(path.last().unwrap_or(&""));
    let json = |body: Value| json_ok(body.to_string());
    match (method, path) {
        (Method::OPTIONS, _) => bare(StatusCode::NO_CONTENT),
        (_, ["leader"]) => json(json!({"leader": id})),
        (_, ["jobs"]) => json(leader.look(Core::jobs_json)),
        (_, ["jobs", "summary"]) => json(leader.look(Core::summary_json)),
        (_, ["jobs", "search"]) => search(leader, &given),
        (_, ["iso8601"]) => put(leader, true, request).await,
        (_, ["dependency"]) => put(leader, false, request).await,
        (_, ["graph", form]) => {
            let shown = leader.look(if *form == "dot" { Core::dot } else { Core::csv });
            of_kind(StatusCode::OK, "text/plain", shown)
        }
        (_, ["stats", _]) => json(leader.look(|core| core.stats_json(&name))),
        (_, ["job", "stat", _]) => shown(leader.look(|core| core.stat_json(&name))),
        (_, ["job", "success", _]) => {
            let done = leader.change(|core, now| core.mark_success(&name, now)).await;
            json_ok(format!("marked job {name} as successful: {done}"))
        }
        (Method::PUT, _) => {
            let arguments = text(&given, "arguments").trim();
            let run = |core: &mut Core, now| core.run_now(&name, arguments, now);
            done_or_not(leader.change(run).await)
        }
        (Method::DELETE, ["job", _]) => {
            done_or_not(leader.change(|core, _| core.delete(&name)).await)
        }
        (Method::DELETE, _) => {
            done_or_not(leader.change(|core, _| core.kill_tasks(&name)).await)
        }
        _ => shown(leader.look(|core| core.job(&name).map(|job| json!(job)))),
    }
}

fn search(leader: &Leader, given: &BTreeMap<String, String>) -> Response {
    let number = |name, default| match text(given, name) {
        "" => Some(default),
        number => {
            number.parse().ok().map(|n: i64| usize::try_from(n).unwrap_or_default())
        }
    };
    let (Some(offset), Some(limit)) = (number("offset", 0), number("limit", 10)) else {
        return bare(StatusCode::NOT_FOUND);
    };
    let (name, command) = (text(given, "name"), text(given, "command"));
    let any = text(given, "any");
    let found = leader.look(|core| core.search_json(name, command, any, (offset, limit)));
    json_ok(found.to_string())
}

fn text<'a>(given: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    given.get(name).map_or("", String::as_str)
}

async fn put(leader: &Leader, scheduled: bool, request: Request) -> Response {
    let Ok(body) = to_bytes(request.into_body(), LARGEST_BODY).await else {
        return bare(StatusCode::BAD_REQUEST);
    };
    let definition: Value = match serde_json::from_slice(&body) {
        Ok(definition) => definition,
        Err(_) if body.is_empty() => Value::Null,
        Err(_) => return refused(&Refusal::Unreadable),
    };
    if definition.is_null() {
        return refused(&Refusal::Failed("java.lang.NullPointerException".to_owned()));
    }
    let put = |core: &mut Core, now| match scheduled {
        true => core.put_scheduled(&definition, now),
        false => core.put_dependent(&definition),
    };
    done_or_not(leader.change(put).await)
}

fn done_or_not(result: Result<(), Refusal>) -> Response {
    let done = |()| of_kind(StatusCode::NO_CONTENT, "application/json", "");
    result.map_or_else(|refusal| refused(&refusal), done)
}

fn shown(result: Result<Value, Refusal>) -> Response {
    result.map_or_else(|refusal| refused(&refusal), |value| json_ok(value.to_string()))
}
