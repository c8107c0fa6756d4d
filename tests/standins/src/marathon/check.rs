//! What is wrong with an app: which of its parts Marathon's validation refuses. Pure.

use super::app::{App, HealthCheck, Network, Port, ReadinessCheck};
use super::constraint;
use super::id;
use super::normal::Spec;
use super::shape::Fault;
use serde_json::Value;
use std::collections::BTreeSet;

/// What the real one fails over.
pub fn broken(app: &App) -> Option<String> {
    let lower = |word: &&String| word.chars().any(|c| c.is_ascii_lowercase());
    if app.constraints.iter().any(|words| words.get(1).filter(lower).is_some()) {
        return Some("illegal constraint specification".to_owned());
    }
    let mute =
        |check: &HealthCheck| check.protocol == "COMMAND" && check.command.is_none();
    app.health_checks.iter().any(mute).then(|| "no command".to_owned())
}

/// Every fault of an app in its one form.
pub fn faults(app: &App, spec: &Spec) -> Vec<Fault> {
    let found = amounts(app).into_iter().chain(names(app)).chain(switched_off(spec));
    let found = found.filter(|(wrong, _)| *wrong);
    let found = found.map(|(_, path)| Fault::new(path, "is not valid"));
    id::fault(&app.id)
        .map(|error| Fault::new("/id", error))
        .into_iter()
        .chain(found)
        .collect()
}

/// Whether a part is wrong, and where it is.
type Part = (bool, &'static str);

fn amounts(app: &App) -> Vec<Part> {
    let bad = |values: &[f64]| values.iter().any(|value| *value < 0.0);
    let strategy = app.upgrade_strategy;
    let parts = [strategy.minimum_health_capacity, strategy.maximum_over_capacity];
    let times = app.unreachable_seconds();
    vec![
        (bad(&app.needs().named().map(|(_, amount)| amount)), "/cpus"),
        (bad(&[app.backoff_seconds, app.max_launch_delay_seconds]), "/backoffSeconds"),
        (app.backoff_factor < 1.0, "/backoffFactor"),
        (!parts.iter().all(|part| (0.0..=1.0).contains(part)), "/upgradeStrategy"),
        (times.is_some_and(|(inactive, gone)| gone < inactive), "/unreachableStrategy"),
    ]
}

fn names(app: &App) -> Vec<Part> {
    let image = app.container.as_ref().and_then(|c| c.docker.as_ref());
    let commands = u8::from(app.cmd.is_some()) + u8::from(!app.args.is_empty());
    let is_host = |network: &Network| network.mode == "host";
    let is_mode =
        |it: &Network| ["host", "container", "container/bridge"].contains(&&*it.mode);
    let mixed = app.networks.iter().any(is_host) && !app.networks.iter().all(is_host);
    let (ports, roles) = (app.ports(), &app.accepted_resource_roles);
    let has_port = |check: &ReadinessCheck| {
        ports.iter().any(|port| port.name.is_some() && port.name == check.port_name)
    };
    let protocols = ["tcp", "udp", "udp,tcp", "tcp,udp"];
    let selections = ["YOUNGEST_FIRST", "OLDEST_FIRST"];
    vec![
        ((commands == 0 && image.is_none()) || commands == 2, "/"),
        (image.is_some_and(|docker| docker.image.is_empty()), "/container/docker/image"),
        (!app.constraints.iter().all(|words| is_constraint(words)), "/constraints"),
        (!app.networks.iter().all(is_mode) || mixed, "/networks"),
        (roles.iter().any(|it| *it != "*" && *it != app.role), "/acceptedResourceRoles"),
        (app.dependencies.contains(&app.id), "/dependencies"),
        (!selections.contains(&&*app.kill_selection), "/killSelection"),
        (!app.readiness_checks.iter().all(has_port), "/readinessChecks"),
        (!ports.iter().all(|it| protocols.contains(&&*it.protocol)), "/portDefinitions"),
        (!are_unique(app), "/portDefinitions"),
        (!app.health_checks.iter().all(|it| is_check(it, &ports)), "/healthChecks"),
    ]
}

/// What no flag of this stand-in switches on.
fn switched_off(spec: &Spec) -> Vec<Part> {
    let volumes =
        spec.get("container").and_then(|container| container["volumes"].as_array());
    let kept = |it: &Value| {
        it["mode"].is_null() || !it["persistent"].is_null() || !it["external"].is_null()
    };
    let is_secret = |env: &Spec| env.values().any(Value::is_object);
    let secret =
        spec.contains_key("secrets") || spec["env"].as_object().is_some_and(is_secret);
    vec![
        (volumes.into_iter().flatten().any(kept), "/container/volumes"),
        (secret, "/secrets"),
        (spec["gpus"] != 0, "/gpus"),
        (spec.contains_key("residency"), "/residency"),
    ]
}

fn is_constraint(words: &[String]) -> bool {
    let (operator, value) = match words {
        [_, operator] => (operator.as_str(), None),
        [_, operator, value] => (operator.as_str(), Some(value.as_str())),
        _ => return false,
    };
    let is_number = value.is_some_and(|text| text.parse::<u32>().is_ok());
    match operator {
        "UNIQUE" => value.is_none(),
        "CLUSTER" => true,
        "GROUP_BY" => value.is_none() || is_number,
        "MAX_PER" => is_number,
        "LIKE" | "UNLIKE" => value.is_some_and(constraint::is_pattern),
        _ => operator == "IS" && value.is_some(),
    }
}

fn are_unique(app: &App) -> bool {
    let ports = app.ports();
    let is_host = app.mode() == "host";
    let number = |port: &Port| if is_host { Some(port.service) } else { port.host };
    let mut seen = BTreeSet::new();
    let fixed = ports.iter().filter_map(number).filter(|port| *port != 0);
    let names = ports.iter().filter_map(|port| port.name.clone());
    names.chain(fixed.map(|port| port.to_string())).all(|it| seen.insert(it))
}

fn is_check(check: &HealthCheck, ports: &[Port]) -> bool {
    match check.protocol.trim_start_matches("MESOS_") {
        "COMMAND" => true,
        "HTTP" | "HTTPS" | "TCP" => {
            check.port.is_some()
                || check.port_index.is_none_or(|index| index < ports.len())
        }
        _ => false,
    }
}
