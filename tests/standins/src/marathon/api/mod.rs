//! The HTTP API of the leader: which request asks for what.

pub(crate) mod answer;
mod events;

use super::Leader;
use super::core::{AppChange, Embed, Fault, Killing, Refusal};
use crate::framework::proxy::LARGEST_BODY;
use crate::http::{bare, json as json_ok, with_header};
use answer::{deployed, json_with, no_route, not_json, refused, with_deployment};
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use marathon_rules::id;
use marathon_rules::normal;
use serde_json::{Value, json};
use std::sync::Arc;

/// A request, as far as the API looks at it.
struct Asked {
    method: Method,
    path: Vec<String>,
    parameters: Vec<(String, String)>,
    accepts_events: bool,
    body: Vec<u8>,
}

/// Boxed where it is not what was asked for: a response is large.
type Answer = Result<Response, Box<Response>>;

/// Answers a request of `/v2`, `/ping` and `/metrics`; what the node itself knows is not here.
pub(crate) async fn answer(leader: &Arc<Leader>, request: Request) -> Response {
    let asked = match Asked::read(request).await {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    let result = match path.as_slice() {
        ["metrics"] => Ok(metrics(leader)),
        ["v2", "apps", rest @ ..] => apps(leader, &asked, rest).await,
        ["v2", "groups", rest @ ..] => groups(leader, &asked, rest).await,
        ["v2", "tasks", rest @ ..] => tasks(leader, &asked, rest).await,
        ["v2", "deployments", rest @ ..] => deployments(leader, &asked, rest).await,
        ["v2", "queue", rest @ ..] => queue(leader, &asked, rest).await,
        ["v2", "events"] => Ok(events::stream(leader, &asked)),
        _ => Err(Box::new(no_route())),
    };
    result.unwrap_or_else(|response| *response)
}

impl Asked {
    async fn read(request: Request) -> Result<Self, Box<Response>> {
        let (head, body) = request.into_parts();
        // One slash at the end counts for nothing, and those before an id.
        let path = head.uri.path();
        let path = path.strip_suffix('/').unwrap_or(path).replace("/queue//", "/queue/");
        let path: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err(Box::new(no_route()));
        }
        let is = |kind: &str| crate::http::media_type(&head.headers) == kind;
        let apps = path.get(1).is_some_and(|part| part == "apps");
        if apps
            && ["text/plain", "application/x-www-form-urlencoded"].iter().any(|it| is(it))
        {
            return Err(Box::new(answer::of(StatusCode::UNSUPPORTED_MEDIA_TYPE)));
        }
        let pieces = head.uri.query().unwrap_or_default().split('&');
        let parameters =
            pieces.flat_map(|piece| crate::http::query(Some(piece))).collect();
        let accept =
            head.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let accepts_events =
            accept.is_some_and(|text| text.contains("text/event-stream"));
        if !accepts_events && !crate::http::accepts(&head.headers, "application/json") {
            return Err(Box::new(answer::of(StatusCode::NOT_ACCEPTABLE)));
        }
        let body = to_bytes(body, LARGEST_BODY).await.map_err(|error| {
            Box::new(answer::message(StatusCode::BAD_REQUEST, &error.to_string()))
        })?;
        Ok(Self {
            method: if head.method == Method::HEAD { Method::GET } else { head.method },
            path,
            parameters,
            accepts_events,
            body: body.into(),
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.parameters
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        self.text(name).map_or(default, |value| value == "true")
    }

    /// What follows a first value counts for nothing.
    fn json(&self) -> Result<Value, Box<Response>> {
        let mut values = serde_json::Deserializer::from_slice(&self.body).into_iter();
        match values.next() {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(Box::new(not_json(&error.to_string()))),
            None => Err(Box::new(not_json("No content to map due to end-of-input"))),
        }
    }
}

fn not_allowed() -> Answer {
    Err(Box::new(answer::of(StatusCode::METHOD_NOT_ALLOWED)))
}

fn refuse(refusal: Refusal) -> Box<Response> {
    Box::new(refused(&refusal))
}

fn metrics(leader: &Leader) -> Response {
    let gauges = leader.look(|core| core.gauges());
    let gauges =
        gauges.into_iter().map(|(name, n)| (name.to_owned(), json!({"value": n})));
    let gauges: serde_json::Map<String, Value> = gauges.collect();
    json_ok(&json!({
        "start": crate::framework::stamp(Timestamp::now()), "counters": {}, "gauges": gauges,
        "histograms": {}, "min-max-counters": {},
    }))
}

async fn apps(leader: &Arc<Leader>, asked: &Asked, rest: &[&str]) -> Answer {
    match (&asked.method, rest) {
        (&Method::GET, []) => list_apps(leader, asked),
        (&Method::POST, []) => create_app(leader, asked).await,
        (&Method::PUT, []) => change_apps(leader, asked, merge_or_replace(asked)).await,
        (&Method::PATCH, []) => change_apps(leader, asked, AppChange::Patch).await,
        (_, []) => not_allowed(),
        (_, [.., "restart"]) => restart_app(leader, asked, rest).await,
        (_, [group @ .., "versions"]) if !group.is_empty() => {
            app_versions(leader, asked, group)
        }
        (_, [group @ .., "versions", version]) if !group.is_empty() => {
            app_version(leader, asked, group, version)
        }
        (_, [group @ .., "tasks"]) if !group.is_empty() => {
            app_tasks(leader, asked, group, None).await
        }
        (_, [group @ .., "tasks", task]) if !group.is_empty() => {
            app_tasks(leader, asked, group, Some(task)).await
        }
        (&Method::GET, [group @ .., "*"]) => {
            let shown =
                leader.look(|core| core.apps_within_json(&path_of(group), Embed::ONE));
            Ok(json_ok(&json!({"*": shown.map_err(refuse)?})))
        }
        _ => one_app(leader, asked, rest).await,
    }
}

fn path_of(segments: &[&str]) -> String {
    format!("/{}", segments.join("/"))
}

fn embed(asked: &Asked, prefix: &str) -> Embed {
    Embed::LIST.with(asked.texts("embed"), prefix)
}

fn list_apps(leader: &Leader, asked: &Asked) -> Answer {
    let labels =
        super::label::parse(asked.text("label").unwrap_or_default()).map_err(|text| {
            Box::new(answer::message(StatusCode::UNPROCESSABLE_ENTITY, &text))
        })?;
    let shown = leader.look(|core| {
        core.apps_json(embed(asked, "apps."), |record| {
            let app = record.app();
            let has = |text: &str, part: &str| {
                text.to_lowercase().contains(&part.to_lowercase())
            };
            asked.text("id").is_none_or(|part| has(&app.id, part))
                && asked
                    .text("cmd")
                    .is_none_or(|part| has(app.cmd.as_deref().unwrap_or_default(), part))
                && labels.iter().all(|label| label.selects(&app.labels))
        })
    });
    Ok(json_ok(&json!({"apps": shown})))
}

fn merge_or_replace(asked: &Asked) -> AppChange {
    match asked.flag("partialUpdate", true) {
        true => AppChange::Merge,
        false => AppChange::Replace,
    }
}

async fn create_app(leader: &Leader, asked: &Asked) -> Answer {
    let body = asked.json()?;
    let missing = || Refusal::Shape(vec![Fault::new("/id", "error.path.missing")]);
    let wrong = || Refusal::Shape(vec![Fault::new("/id", "error.expected.jsstring")]);
    let name = match body.get("id") {
        Some(Value::String(name)) => id::absolute(name, "/"),
        Some(_) => return Err(refuse(wrong())),
        None => return Err(refuse(missing())),
    };
    let how = (AppChange::Create, asked.flag("force", false));
    let taken = leader.change(|core, now| core.change_app(&name, &body, how, now)).await;
    let (_, taken) = taken.map_err(refuse)?;
    let shown = leader.look(|core| core.app_json(&name, Embed::LIST));
    let mut shown = shown.map_err(refuse)?;
    shown["deployments"] = json!([{"id": taken.id}]);
    shown.as_object_mut().map(|app| app.remove("versionInfo"));
    // Service ports that were given are not told yet.
    let sent = body.as_object().cloned().unwrap_or_default();
    let sent = normal::complete(normal::modernise(sent, &mut Vec::new()), "", "/");
    for (key, value) in
        sent.iter().filter(|(key, _)| ["portDefinitions", "container"].contains(&&***key))
    {
        shown[key] = value.clone();
    }
    Ok(located(with_deployment(json_with(StatusCode::CREATED, &shown), &taken), &name))
}

/// Names what was made.
fn located(response: Response, id: &str) -> Response {
    with_header(response, header::LOCATION, id)
}

async fn change_apps(leader: &Leader, asked: &Asked, change: AppChange) -> Answer {
    let body = asked.json()?;
    let wrong = || Refusal::Shape(vec![Fault::new("/", "error.expected.jsarray")]);
    let bodies = body.as_array().ok_or_else(|| refuse(wrong()))?;
    let how = (change, asked.flag("force", false));
    let taken = leader.change(|core, now| core.change_apps(bodies, how, now)).await;
    Ok(deployed(StatusCode::OK, &taken.map_err(refuse)?))
}

async fn one_app(leader: &Leader, asked: &Asked, rest: &[&str]) -> Answer {
    let name = path_of(rest);
    let change = match asked.method {
        Method::GET => {
            let embed = Embed::ONE.with(asked.texts("embed"), "app.");
            let shown =
                leader.look(|core| core.app_json(&name, embed)).map_err(refuse)?;
            return Ok(json_ok(&json!({"app": shown})));
        }
        Method::DELETE => {
            let force = asked.flag("force", true);
            let taken =
                leader.change(|core, now| core.delete_app(&name, force, now)).await;
            return Ok(deployed(StatusCode::OK, &taken.map_err(refuse)?));
        }
        Method::PUT => merge_or_replace(asked),
        Method::PATCH => AppChange::Patch,
        _ => return not_allowed(),
    };
    let body = asked.json()?;
    let how = (change, asked.flag("force", false));
    let taken = leader.change(|core, now| core.change_app(&name, &body, how, now)).await;
    let (is_new, taken) = taken.map_err(refuse)?;
    Ok(match is_new {
        true => located(deployed(StatusCode::CREATED, &taken), &name),
        false => deployed(StatusCode::OK, &taken),
    })
}

async fn restart_app(leader: &Leader, asked: &Asked, rest: &[&str]) -> Answer {
    if asked.method != Method::POST {
        return Err(Box::new(no_route()));
    }
    let name = path_of(&rest[..rest.len() - 1]);
    let force = asked.flag("force", false);
    let taken = leader.change(|core, now| core.restart_app(&name, force, now)).await;
    Ok(deployed(StatusCode::OK, &taken.map_err(refuse)?))
}

fn app_versions(leader: &Leader, asked: &Asked, app: &[&str]) -> Answer {
    if asked.method != Method::GET {
        return Err(Box::new(no_route()));
    }
    let shown = leader.look(|core| {
        core.app_versions(&path_of(app)).map(|versions| json!({"versions": versions}))
    });
    shown.map(|shown| json_ok(&shown)).map_err(refuse)
}

fn app_version(leader: &Leader, asked: &Asked, app: &[&str], version: &str) -> Answer {
    if asked.method != Method::GET {
        return Err(Box::new(no_route()));
    }
    let shown = leader.look(|core| core.app_version_json(&path_of(app), version));
    shown.map(|shown| json_ok(&shown)).map_err(refuse)
}

async fn app_tasks(
    leader: &Leader,
    asked: &Asked,
    app: &[&str],
    task: Option<&str>,
) -> Answer {
    let all = leader.look(|core| core.app_tasks(&path_of(app))).map_err(refuse)?;
    let host = asked.text("host").filter(|host| *host != "*");
    let fits = |(id, shown): &(String, Value)| {
        task.is_none_or(|task| task == id || id.starts_with(&format!("{task}._app")))
            && host.is_none_or(|host| shown["host"] == host)
    };
    let (ids, shown): (Vec<String>, Vec<Value>) = all.into_iter().filter(fits).unzip();
    match (&asked.method, task) {
        (&Method::GET, None) => return Ok(json_ok(&json!({"tasks": shown}))),
        (&Method::DELETE, _) => {}
        _ => return Err(Box::new(no_route())),
    }
    if let (Some(task), true) = (task, ids.is_empty()) {
        return Err(refuse(Refusal::NotFound(format!("Task '{task}' does not exist"))));
    }
    let taken = kill(leader, asked, &ids).await?;
    Ok(match (taken, task) {
        (Some(taken), _) => deployed(StatusCode::OK, &taken),
        (None, Some(_)) => json_ok(&json!({"task": shown[0]})),
        (None, None) => json_ok(&json!({"tasks": shown})),
    })
}

async fn kill(
    leader: &Leader,
    asked: &Asked,
    ids: &[String],
) -> Result<Option<super::core::Deployed>, Box<Response>> {
    let how = Killing {
        scale: asked.flag("scale", false),
        wipe: asked.flag("wipe", false),
        force: asked.flag("force", false),
    };
    if how.scale && how.wipe {
        let text = "You cannot use scale and wipe at the same time.";
        return Err(Box::new(answer::message(StatusCode::BAD_REQUEST, text)));
    }
    leader.change(|core, now| core.kill(ids, how, now)).await.map_err(refuse)
}

async fn tasks(leader: &Leader, asked: &Asked, rest: &[&str]) -> Answer {
    match (&asked.method, rest) {
        (&Method::GET, []) => {
            let status = asked.text("status").or(asked.text("status[]"));
            Ok(json_ok(&json!({"tasks": leader.look(|core| core.tasks_json(status))})))
        }
        (_, []) => not_allowed(),
        (&Method::POST, ["delete"]) => {
            let body = asked.json()?;
            let Some(ids) = body["ids"].as_array() else {
                let fault = Fault::new("", "'ids' is undefined on object");
                return Err(refuse(Refusal::Shape(vec![fault])));
            };
            let ids: Vec<String> =
                ids.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            if let Some(id) = ids.iter().find(|id| !id.contains(".instance-")) {
                let text = format!("Invalid task id '{id}'.");
                return Err(Box::new(answer::message(StatusCode::BAD_REQUEST, &text)));
            }
            let ids = leader.look(|core| core.known_tasks(&ids));
            let all = leader.look(|core| core.tasks_json(None));
            let killed = all
                .as_array()
                .into_iter()
                .flatten()
                .filter(|task| ids.iter().any(|id| task["id"] == id.as_str()));
            let killed: Value = killed.cloned().collect();
            Ok(match kill(leader, asked, &ids).await? {
                Some(taken) => deployed(StatusCode::OK, &taken),
                None => json_ok(&json!({"tasks": killed})),
            })
        }
        _ => Err(Box::new(no_route())),
    }
}

async fn groups(leader: &Leader, asked: &Asked, rest: &[&str]) -> Answer {
    match (&asked.method, rest) {
        (&Method::GET, [group @ .., "versions"]) => {
            let group = path_of(group);
            let versions = leader.look(|core| core.group_versions(&group));
            Ok(json_ok(&versions.map_err(refuse)?))
        }
        (&Method::GET, _) => {
            let embed = Embed::default().with(asked.texts("embed"), "group.apps.");
            let named = |word: &str| {
                asked.text("embed").is_none() || asked.texts("embed").any(|it| it == word)
            };
            let with = (named("group.groups"), named("group.apps"));
            let shown = leader.look(|core| core.group_json(&path_of(rest), embed, with));
            shown.map(|shown| json_ok(&shown)).map_err(refuse)
        }
        (&Method::POST, _) => create_group(leader, asked, rest).await,
        (&Method::PUT, _) => change_group(leader, asked, rest).await,
        (&Method::DELETE, _) => {
            let force = asked.flag("force", false);
            let group = path_of(rest);
            let taken =
                leader.change(|core, now| core.delete_group(&group, force, now)).await;
            Ok(deployed(StatusCode::OK, &taken.map_err(refuse)?))
        }
        _ => Err(Box::new(no_route())),
    }
}

async fn create_group(leader: &Leader, asked: &Asked, rest: &[&str]) -> Answer {
    let body = asked.json()?;
    let parent = path_of(rest);
    let group =
        body["id"].as_str().map_or(parent.clone(), |name| id::absolute(name, &parent));
    let force = asked.flag("force", false);
    let taken =
        leader.change(|core, now| core.create_group(&group, &body, force, now)).await;
    Ok(located(deployed(StatusCode::CREATED, &taken.map_err(refuse)?), &group))
}

async fn change_group(leader: &Leader, asked: &Asked, rest: &[&str]) -> Answer {
    let body = asked.json()?;
    let base = path_of(rest);
    let named = body["id"].as_str().filter(|_| rest.is_empty());
    let group = named.map_or(base.clone(), |name| id::absolute(name, &base));
    if asked.flag("dryRun", false) {
        let steps = leader.change(|core, now| core.try_group(&group, &body, now)).await;
        return Ok(json_ok(&json!({"steps": steps.map_err(refuse)?})));
    }
    let force = asked.flag("force", false);
    let taken =
        leader.change(|core, now| core.change_group(&group, &body, force, now)).await;
    Ok(deployed(StatusCode::OK, &taken.map_err(refuse)?))
}

async fn deployments(leader: &Leader, asked: &Asked, rest: &[&str]) -> Answer {
    match (&asked.method, rest) {
        (&Method::GET, []) => Ok(json_ok(&leader.look(|core| core.deployments_json()))),
        (_, []) => not_allowed(),
        (&Method::DELETE, [id]) => {
            let force = asked.flag("force", false);
            let taken = leader.change(|core, now| core.cancel(id, force, now)).await;
            Ok(match taken.map_err(refuse)? {
                Some(taken) => deployed(StatusCode::OK, &taken),
                None => bare(StatusCode::ACCEPTED),
            })
        }
        _ => Err(Box::new(no_route())),
    }
}

async fn queue(leader: &Leader, asked: &Asked, rest: &[&str]) -> Answer {
    match (&asked.method, rest) {
        (&Method::GET, []) => {
            let with_offers = asked.texts("embed").any(|word| word == "lastUnusedOffers");
            let shown = leader.note(|core, now| core.queue_json(with_offers, now));
            Ok(json_ok(&shown))
        }
        (_, []) => not_allowed(),
        (&Method::DELETE, [app @ .., "delay"]) => {
            let app = path_of(app);
            match leader.change(|core, now| core.reset_delay(&app, now)).await {
                true => Ok(bare(StatusCode::NO_CONTENT)),
                false => {
                    let text = format!("Application {app} not found in tasks queue.");
                    Err(refuse(Refusal::NotFound(text)))
                }
            }
        }
        _ => Err(Box::new(no_route())),
    }
}
