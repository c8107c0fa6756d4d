//! What is wrong with an app, as Marathon's validation says it. Pure.

use super::app::{App, HealthCheck, Network, Port};
use super::id;
use super::normal::Spec;
use super::shape::Fault;
use serde_json::Value;
use std::collections::BTreeSet;

/// Every fault of an app in its one form.
pub fn faults(app: &App, spec: &Spec) -> Vec<Fault> {
    let mut found = Vec::new();
    found.extend(not_done_here(spec));
    found.extend(contradictions(app));
    found.extend(id::fault(&app.id).map(|error| Fault::new("/id", error)));
    found.extend(no_command(app));
    found.extend(amounts(app));
    found.extend(app.constraints.iter().enumerate().filter_map(constraint));
    found.extend(ports(app));
    let checks = app.health_checks.iter().enumerate();
    found.extend(checks.filter_map(|(index, check)| health_check(app, index, check)));
    found.extend(upgrade_strategy(app));
    let networks = app.networks.iter().enumerate();
    found.extend(networks.filter_map(|(index, network)| {
        let known = ["host", "container", "container/bridge"].contains(&&*network.mode);
        let path = format!("/networks({index})/mode");
        (!known).then(|| Fault::new(path, "error.unknown.enum.literal"))
    }));
    found
}

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

/// What the flags do not allow, or this stand-in does not do.
fn not_done_here(spec: &Spec) -> Vec<Fault> {
    let has = |pointer: &str| {
        let found =
            spec.get("container").and_then(|container| container.pointer(pointer));
        found.and_then(Value::as_array).into_iter().flatten()
    };
    let secret = spec.get("secrets").is_some()
        || spec["env"].as_object().is_some_and(|env| env.values().any(Value::is_object));
    let volume = has("/volumes").any(|volume| volume.get("mode").is_none());
    let persistent = has("/volumes").any(|volume| {
        volume.get("persistent").or_else(|| volume.get("external")).is_some()
    });
    [
        (secret, "/secrets", "Feature secrets is not enabled."),
        (spec["gpus"] != 0, "/gpus", "Feature gpu_resources is not enabled."),
        (volume, "/container/volumes(0)/mode", "undefined"),
        (persistent, "/container/volumes(0)", "must not be persistent or external here"),
        (spec.get("residency").is_some(), "/residency", "needs a persistent volume"),
    ]
    .into_iter()
    .filter(|(wrong, ..)| *wrong)
    .map(|(_, path, text)| Fault::new(path, text))
    .collect()
}

fn contradictions(app: &App) -> Vec<Fault> {
    let times = app.unreachable_seconds();
    let empty = app.container.as_ref().is_some_and(|c| c.kind.is_empty());
    let mode = |network: &Network| network.mode == "host";
    let mixed = app.networks.iter().any(mode) && !app.networks.iter().all(mode);
    let roles = &app.accepted_resource_roles;
    let unnamed = app.readiness_checks.iter().any(|check| {
        !app.ports()
            .iter()
            .any(|port| port.name.is_some() && port.name == check.port_name)
    });
    [
        (
            times.is_some_and(|(inactive, expunge)| expunge < inactive),
            "/unreachableStrategy",
        ),
        (empty, "/container"),
        (mixed, "/networks"),
        (
            roles.iter().any(|role| *role != "*" && *role != app.role),
            "/acceptedResourceRoles",
        ),
        (app.dependencies.contains(&app.id), "/dependencies"),
        (
            !["YOUNGEST_FIRST", "OLDEST_FIRST"].contains(&&*app.kill_selection),
            "/killSelection",
        ),
        (unnamed, "/readinessChecks(0)/portName"),
    ]
    .into_iter()
    .filter(|(wrong, _)| *wrong)
    .map(|(_, path)| Fault::new(path, "is not valid"))
    .collect()
}

fn no_command(app: &App) -> Option<Fault> {
    let image = app.container.as_ref().and_then(|c| c.docker.as_ref());
    if app.cmd.is_some() && !app.args.is_empty() {
        return Some(Fault::new(
            "/",
            "AppDefinition must not contain both 'cmd' and 'args'.",
        ));
    }
    if let Some(docker) = image
        && docker.image.is_empty()
    {
        return Some(Fault::new("/container/docker/image", "must not be empty"));
    }
    let none = app.cmd.is_none() && app.args.is_empty() && image.is_none();
    let text =
        "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.";
    none.then(|| Fault::new("/", text))
}

fn amounts(app: &App) -> Vec<Fault> {
    let amounts = app.needs().named().into_iter().chain([
        ("backoffSeconds", app.backoff_seconds),
        ("maxLaunchDelaySeconds", app.max_launch_delay_seconds),
    ]);
    let negative = amounts.filter(|(_, amount)| *amount < 0.0).map(|(name, amount)| {
        Fault::new(format!("/{name}"), format!("got {amount}, expected 0.0 or more"))
    });
    let factor = (app.backoff_factor < 1.0).then(|| {
        Fault::new(
            "/backoffFactor",
            format!("got {}, expected 1.0 or more", app.backoff_factor),
        )
    });
    negative.chain(factor).collect()
}

fn constraint((index, words): (usize, &Vec<String>)) -> Option<Fault> {
    let fault = |error: &str| Some(Fault::new(format!("/constraints({index})"), error));
    let (operator, value) = match words.as_slice() {
        [_, operator] => (operator.as_str(), None),
        [_, operator, value] => (operator.as_str(), Some(value.as_str())),
        _ => return fault("Each constraint must have either 2 or 3 fields"),
    };
    let number = || value.is_some_and(|text| text.parse::<u32>().is_ok());
    match operator {
        "UNIQUE" if value.is_some() => fault("Value specified but not used"),
        "UNIQUE" | "CLUSTER" => None,
        "GROUP_BY" if value.is_none() || number() => None,
        "GROUP_BY" => fault("Value was specified but is not a number"),
        "MAX_PER" if number() => None,
        "MAX_PER" => fault("Value was not specified or is not a number"),
        "LIKE" | "UNLIKE" | "IS" if value.is_none() => {
            fault("A value is required for this operator")
        }
        "LIKE" | "UNLIKE"
            if !super::constraint::is_pattern(value.unwrap_or_default()) =>
        {
            fault("is not a pattern that can be matched")
        }
        "LIKE" | "UNLIKE" | "IS" => None,
        _ => fault(
            "Operator must be one of the following UNIQUE, CLUSTER, GROUP_BY, LIKE, MAX_PER, \
             UNLIKE or IS",
        ),
    }
}

fn ports(app: &App) -> Vec<Fault> {
    let mut found = Vec::new();
    let list =
        if app.mode() == "host" { "/portDefinitions" } else { "/container/portMappings" };
    let ports = app.ports();
    let names: Vec<_> = ports.iter().filter_map(|port| port.name.as_ref()).collect();
    if names.iter().collect::<BTreeSet<_>>().len() != names.len() {
        found.push(Fault::new(list, "Port names must be unique."));
    }
    let number = |port: &Port| {
        if list == "/portDefinitions" { Some(port.service) } else { port.host }
    };
    let fixed: Vec<_> = ports.iter().filter_map(number).filter(|p| *p != 0).collect();
    if fixed.iter().collect::<BTreeSet<_>>().len() != fixed.len() {
        found.push(Fault::new(list, "Ports must be unique."));
    }
    for (index, port) in ports.iter().enumerate() {
        if !["tcp", "udp", "udp,tcp", "tcp,udp"].contains(&&*port.protocol) {
            found.push(Fault::new(
                format!("{list}({index})/protocol"),
                "error.unknown.enum.literal",
            ));
        }
    }
    found
}

fn health_check(app: &App, index: usize, check: &HealthCheck) -> Option<Fault> {
    const PROTOCOLS: [&str; 7] =
        ["HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP"];
    let path = format!("/healthChecks({index})");
    if !PROTOCOLS.contains(&&*check.protocol) {
        return Some(Fault::new(
            format!("{path}/protocol"),
            "error.unknown.enum.literal",
        ));
    }
    if check.protocol == "COMMAND" {
        return None;
    }
    let outside = check.port_index.is_some_and(|index| index >= app.ports().len());
    let text = "Health check port indices must address an element of the ports array or \
                container port mappings.";
    (outside && check.port.is_none()).then(|| Fault::new(path, text))
}

fn upgrade_strategy(app: &App) -> Vec<Fault> {
    let strategy = app.upgrade_strategy;
    let parts = [
        ("minimumHealthCapacity", strategy.minimum_health_capacity),
        ("maximumOverCapacity", strategy.maximum_over_capacity),
    ];
    let outside = parts.into_iter().filter(|(_, part)| !(0.0..=1.0).contains(part));
    let fault = |(name, part)| {
        let path = format!("/upgradeStrategy/{name}");
        Fault::new(path, format!("got {part}, expected between 0.0 and 1.0"))
    };
    outside.map(fault).collect()
}
