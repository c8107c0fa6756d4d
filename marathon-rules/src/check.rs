//! What is wrong with an app in its one form: what Marathon's validation refuses. Pure.

use crate::app::{App, HealthCheck, Network, Port};
use crate::finding::{Finding, Kind};
use crate::path::Path;
use crate::{Spec, id, normal};
use regex_syntax::ast;
use serde_json::Value;
use std::collections::BTreeSet;

/// Every fault of an app in its one form.
pub fn faults(app: &App, spec: &Spec) -> Vec<Finding> {
    let mut found = Vec::new();
    named(app, &mut found);
    program(app, spec, &mut found);
    networks(app, &mut found);
    ports(app, &mut found);
    volumes(app, spec, &mut found);
    health_checks(app, &mut found);
    readiness(app, &mut found);
    for (index, words) in app.constraints.iter().enumerate() {
        found.extend(constraint(words, &Path::of(&["constraints"]).index(index)));
    }
    strategies(app, spec, &mut found);
    switched_off(spec, &mut found);
    found
}

fn named(app: &App, found: &mut Vec<Finding>) {
    let path = Path::of(&["id"]);
    if app.id == "/" {
        found.push(Finding::invalid(path, "an app needs an id such as `/web`"));
    } else if let Some(word) = id::reserved(&app.id) {
        let text =
            format!("an id cannot end in `{word}`: the API keeps this word for itself");
        found.push(Finding::invalid(path, text));
    }
    if app.dependencies.contains(&app.id) {
        let path = Path::of(&["dependencies"]);
        found.push(Finding::invalid(path, "the app depends on itself"));
    }
}

fn program(app: &App, spec: &Spec, found: &mut Vec<Finding>) {
    let container = app.container.as_ref();
    let docker = container.and_then(|container| container.docker.as_ref());
    let has_image = docker.is_some()
        || spec.get("container").is_some_and(|c| c.get("appc").is_some());
    // A command of one letter counts as none, there.
    let has_command = app.cmd.as_ref().is_some_and(|cmd| cmd.chars().count() > 1);
    let text = match (has_command, !app.args.is_empty()) {
        (true, true) => "`cmd` and `args` together: an app has one of them",
        (false, false) if !has_image => {
            "there is nothing to run: no `cmd`, `args` or image"
        }
        _ => "",
    };
    if !text.is_empty() {
        found.push(Finding::invalid(Path::ROOT, text));
    }
    let is_docker = container.is_some_and(|container| container.kind == "DOCKER");
    if is_docker && docker.is_none() {
        let path = Path::of(&["container", "docker"]);
        let text = "a container of type DOCKER, which is the default, needs `docker`";
        let help = "name an image in `docker`, or write `\"type\": \"MESOS\"`";
        found.push(Finding::invalid(path, text).help(help));
    }
    let docker = spec.get("container").and_then(|container| container.get("docker"));
    if docker.is_some_and(|docker| docker.get("credential").is_some()) {
        let path = Path::of(&["container", "docker", "credential"]);
        found.push(Finding::invalid(path, "Marathon no longer has `credential`"));
    }
}

fn networks(app: &App, found: &mut Vec<Finding>) {
    let path = Path::of(&["networks"]);
    let is = |mode: &'static str| move |network: &&Network| network.mode == mode;
    let n_host = app.networks.iter().filter(is("host")).count();
    let n_bridge = app.networks.iter().filter(is("container/bridge")).count();
    if n_host + n_bridge > 0 && app.networks.len() > 1 {
        let text =
            "one host network, or one bridge, or container networks: they do not mix";
        found.push(Finding::invalid(path.clone(), text));
    }
    for network in &app.networks {
        let name = network.name.as_deref().unwrap_or_default();
        if network.mode == "container" && name.is_empty() {
            let text = "a container network needs a name";
            let help = "for Docker's own bridge write `{\"mode\": \"container/bridge\"}`";
            found.push(Finding::invalid(path.clone(), text).help(help));
        } else if network.mode != "container" && !name.is_empty() {
            let text = format!("a network of mode {} has no name", network.mode);
            found.push(Finding::invalid(path.clone(), text));
        }
    }
}

fn ports(app: &App, found: &mut Vec<Finding>) {
    let is_host = app.mode() == "host";
    let path = match is_host {
        true => Path::of(&["portDefinitions"]),
        false => Path::of(&["container", "portMappings"]),
    };
    let number = |port: &Port| if is_host { Some(port.service) } else { port.host };
    let (mut seen, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in app.ports().into_iter().enumerate() {
        if let Some(number) = number(&port).filter(|number| *number != 0)
            && !seen.insert(number)
        {
            let text = format!("port {number} is there twice");
            found.push(Finding::invalid(path.index(index), text));
        }
        if let Some(name) = port.name
            && !names.insert(name.clone())
        {
            let text = format!("two ports have the name `{name}`");
            found.push(Finding::invalid(path.index(index), text));
        }
    }
}

fn volumes(app: &App, spec: &Spec, found: &mut Vec<Finding>) {
    let volumes = spec.get("container").and_then(|container| container.get("volumes"));
    let all = volumes.and_then(Value::as_array).into_iter().flatten();
    for (index, volume) in all.enumerate() {
        let path = Path::of(&["container", "volumes"]).index(index);
        let mode = volume.get("mode").and_then(Value::as_str);
        if volume.get("secret").is_none()
            && !mode.is_some_and(|it| ["RO", "RW"].contains(&it))
        {
            let text = "a volume needs a mode: `RO` or `RW`";
            found.push(Finding::invalid(path.key("mode"), text));
        }
        if volume.get("external").is_some() {
            let text = "this Marathon has no external volumes (`--enable_features`)";
            found.push(Finding::invalid(path.key("external"), text));
        }
        if volume.get("persistent").is_none() {
            continue;
        }
        if volume["containerPath"].as_str().is_some_and(|path| path.contains('/')) {
            let text = "the path of a persistent volume has no `/`: it is in the sandbox";
            found.push(Finding::invalid(path.key("containerPath"), text));
        }
        let text = "where Marathon was started without a principal, its launch queue dies of a \
                    persistent volume, and starts no task of any app";
        found.push(Finding::new(path.key("persistent"), Kind::Stops, text));
    }
    if normal::keeps_data(spec) && app.role == "*" {
        let text = "an app with a persistent volume needs a role of its own, not `*`";
        found.push(Finding::invalid(Path::of(&["role"]), text));
    }
}

fn health_checks(app: &App, found: &mut Vec<Finding>) {
    let n_ports = app.ports().len();
    for (index, check) in app.health_checks.iter().enumerate() {
        let path = Path::of(&["healthChecks"]).index(index);
        let is_command = check.protocol == "COMMAND";
        if is_command != check.command.is_some() {
            let text = match is_command {
                true => "protocol COMMAND needs a `command`",
                false => "a `command` needs the protocol COMMAND; the default is HTTP",
            };
            found.push(Finding::new(path.clone(), Kind::Fails, text));
        }
        let index = check.port_index.unwrap_or(0);
        if !is_command && check.port.is_none() && index >= n_ports {
            let text = format!("there is no port {index} to check, counted from 0");
            found.push(Finding::invalid(path, text));
        }
    }
    let is_of_mesos = |check: &&HealthCheck| check.protocol.starts_with("MESOS_");
    if app.health_checks.iter().filter(is_of_mesos).count() > 1 {
        let text = "an app has at most one check of a protocol MESOS_…";
        found.push(Finding::invalid(Path::ROOT, text));
    }
}

fn readiness(app: &App, found: &mut Vec<Finding>) {
    let ports = app.ports();
    for (index, check) in app.readiness_checks.iter().enumerate() {
        let is_named = |port: &Port| port.name.is_some() && port.name == check.port_name;
        if !ports.iter().any(is_named) {
            let path = Path::of(&["readinessChecks"]).index(index).key("portName");
            let name = check.port_name.as_deref().unwrap_or_default();
            found.push(Finding::invalid(path, format!("no port has the name `{name}`")));
        }
    }
}

fn constraint(words: &[String], path: &Path) -> Option<Finding> {
    let refused = |text: &str| Some(Finding::invalid(path.clone(), text));
    let (operator, value) = match words {
        [_, operator] => (operator.as_str(), None),
        [_, operator, value] => (operator.as_str(), Some(value.as_str())),
        _ => {
            return refused(
                "a constraint is a field, an operator, and at most one value",
            );
        }
    };
    let is_number = value.is_some_and(|text| text.parse::<u32>().is_ok());
    match operator {
        "UNIQUE" if value.is_some() => refused("UNIQUE takes no value"),
        "GROUP_BY" if divides_by_zero(words) => {
            let text = "GROUP_BY without a number, or with 0, stops Marathon: its launch queue \
                        divides by zero, and starts no task of any app";
            let help = "give the number of groups: `[\"rack\", \"GROUP_BY\", \"3\"]`";
            Some(Finding::new(path.clone(), Kind::Stops, text).help(help))
        }
        "GROUP_BY" | "MAX_PER" if !is_number => {
            refused("this operator needs a number, as a text")
        }
        "LIKE" | "UNLIKE" if value.is_none() => refused("this operator needs a pattern"),
        "LIKE" | "UNLIKE" if !value.is_some_and(is_pattern) => {
            refused("this is not a regular expression")
        }
        "IS" if value.is_none() => refused("IS needs a value"),
        "UNIQUE" | "CLUSTER" | "GROUP_BY" | "MAX_PER" | "LIKE" | "UNLIKE" | "IS" => None,
        other if OPERATORS.contains(&&*other.to_uppercase()) => {
            let text =
                format!("Marathon fails over `{other}`: operators are in capitals");
            let help = format!("write `{}`", other.to_uppercase());
            Some(Finding::new(path.clone(), Kind::Fails, text).help(help))
        }
        _ => refused(&format!("the operator is one of {}", OPERATORS.join(", "))),
    }
}

const OPERATORS: [&str; 7] =
    ["UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "UNLIKE", "MAX_PER", "IS"];

/// Whether Marathon's launch queue dies of a constraint.
pub fn divides_by_zero(constraint: &[String]) -> bool {
    constraint.get(1).is_some_and(|operator| operator == "GROUP_BY")
        && constraint.get(2).is_none_or(|number| number == "0")
}

/// Whether a text is a pattern to Java. What only Java knows, such as a look-ahead, counts as one.
fn is_pattern(text: &str) -> bool {
    use ast::ErrorKind::{
        ClassUnclosed, GroupUnclosed, GroupUnopened, RepetitionCountUnclosed,
        RepetitionMissing,
    };
    let error = ast::parse::Parser::new().parse(text).err();
    !error.is_some_and(|error| {
        matches!(
            error.kind(),
            ClassUnclosed
                | GroupUnclosed
                | GroupUnopened
                | RepetitionCountUnclosed
                | RepetitionMissing
        )
    })
}

fn strategies(app: &App, spec: &Spec, found: &mut Vec<Finding>) {
    if app.unreachable_seconds().is_some_and(|(inactive, gone)| gone < inactive) {
        let path = Path::of(&["unreachableStrategy", "inactiveAfterSeconds"]);
        let text =
            "this is more than `expungeAfterSeconds`, which is 0 where it is not given";
        found.push(Finding::invalid(path, text));
    }
    let word = spec.get("unreachableStrategy").and_then(Value::as_str);
    if word.is_some_and(|word| word != "disabled") {
        let path = Path::of(&["unreachableStrategy"]);
        found.push(Finding::invalid(path, "the only word here is `disabled`"));
    }
    if spec.contains_key("residency") && app.upgrade_strategy.maximum_over_capacity > 0.0
    {
        let path = Path::of(&["upgradeStrategy", "maximumOverCapacity"]);
        found.push(Finding::invalid(path, "an app with `residency` needs 0 here"));
    }
    let is_single =
        app.labels.get("MARATHON_SINGLE_INSTANCE_APP").is_some_and(|it| it == "true");
    if is_single && app.instances > 1 {
        let text =
            "an app with the label MARATHON_SINGLE_INSTANCE_APP has one instance at most";
        found.push(Finding::invalid(Path::ROOT, text));
    }
    if let Some(role) =
        app.accepted_resource_roles.iter().find(|it| *it != "*" && **it != app.role)
    {
        let text = format!("`{role}` is neither `*` nor the app's own role");
        found.push(Finding::invalid(Path::of(&["acceptedResourceRoles"]), text));
    }
}

/// What needs a flag of Marathon that this platform does not set.
fn switched_off(spec: &Spec, found: &mut Vec<Finding>) {
    let env = spec.get("env").and_then(Value::as_object);
    let help = "give it in `env`, or in a file that `fetch` gets";
    if spec.get("secrets").and_then(Value::as_object).is_some_and(|all| !all.is_empty()) {
        let text = "this Marathon has no secrets (`--enable_features`)";
        found.push(Finding::invalid(Path::of(&["secrets"]), text).help(help));
    }
    for (name, _) in env.into_iter().flatten().filter(|(_, value)| value.is_object()) {
        let text = "this Marathon has no secrets (`--enable_features`)";
        found.push(Finding::invalid(Path::of(&["env", name]), text).help(help));
    }
    if spec.get("gpus").and_then(Value::as_u64).is_some_and(|gpus| gpus > 0) {
        let text = "this Marathon gives no GPUs (`--enable_features`)";
        found.push(Finding::invalid(Path::of(&["gpus"]), text));
    }
}

#[test]
fn patterns_that_only_java_knows_are_patterns() {
    for good in ["r-[13]", "(?=a)b", r"\Qa\E", "a++", "(a)\\1"] {
        assert!(is_pattern(good), "{good}");
    }
    for bad in ["*", "(a", "a)", "[a"] {
        assert!(!is_pattern(bad), "{bad}");
    }
}
