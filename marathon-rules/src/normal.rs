//! Brings an app to the one form that Marathon keeps and returns.
//!
//! Pure. First the form before 1.5 is translated, touching only what is there, so that it also
//! serves updates; then what is missing gets its default.

use crate::finding::{Finding, Kind};
use crate::path::Path;
use crate::{Spec, id};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Translates the form before 1.5. What cannot be translated, such as both forms of the same thing,
/// is added to `found`.
pub fn modernise(mut spec: Spec, found: &mut Vec<Finding>) -> Spec {
    fetch_for_uris(&mut spec, found);
    definitions_for_ports(&mut spec, found);
    mappings_for_docker(&mut spec, found);
    networks_for_docker(&mut spec, found);
    spec
}

/// Gives what is missing its default.
///
/// `role` is that of apps that name none; relative dependencies count from `base`.
pub fn complete(mut spec: Spec, role: &str, base: &str) -> Spec {
    let defaults = json!({
        "instances": 1, "cpus": 1.0, "mem": 128.0, "disk": 0.0, "gpus": 0,
        "executor": "", "backoffSeconds": 1, "backoffFactor": 1.15,
        "maxLaunchDelaySeconds": 300, "env": {}, "labels": {}, "constraints": [],
        "dependencies": [], "fetch": [], "healthChecks": [], "readinessChecks": [],
        "requirePorts": false, "killSelection": "YOUNGEST_FIRST", "role": role,
        "networks": [{"mode": "host"}],
    });
    fill(&mut spec, defaults);
    let unreachable = json!({"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0});
    let strategies = match keeps_data(&spec) {
        true => json!({
            "upgradeStrategy": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0},
            "unreachableStrategy": "disabled",
            "residency": {
                "relaunchEscalationTimeoutSeconds": 3600, "taskLostBehavior": "WAIT_FOREVER",
            },
        }),
        false => json!({
            "upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 1},
            "unreachableStrategy": unreachable,
        }),
    };
    fill(&mut spec, strategies);
    fill_in(&mut spec, "unreachableStrategy", &unreachable);
    if spec["networks"].as_array().is_some_and(Vec::is_empty) {
        spec.insert("networks".into(), json!([{"mode": "host"}]));
    }
    for name in
        spec.get_mut("dependencies").and_then(Value::as_array_mut).into_iter().flatten()
    {
        *name = id::absolute(name.as_str().unwrap_or_default(), base).into();
    }
    fill_in(
        &mut spec,
        "check",
        &json!({"intervalSeconds": 60, "timeoutSeconds": 20, "delaySeconds": 15}),
    );
    let readiness = json!({
        "name": "readinessCheck", "protocol": "HTTP", "path": "/", "portName": "http-api",
        "intervalSeconds": 30,
        "timeoutSeconds": 10, "httpStatusCodesForReady": [200], "preserveLastResponse": false,
    });
    fill_each(spec.get_mut("readinessChecks"), &readiness);
    let artifact = json!({"extract": true, "executable": false, "cache": false});
    fill_each(spec.get_mut("fetch"), &artifact);
    fill_each(spec.get_mut("networks"), &json!({"mode": "container"}));
    let chose = spec.remove("ports").is_none()
        && (spec.contains_key("portDefinitions") || network_mode(&spec) != "host");
    complete_ports(&mut spec);
    complete_container(&mut spec);
    complete_health_checks(&mut spec, chose);
    spec
}

/// The mode of the first network.
pub fn network_mode(spec: &Spec) -> &str {
    let first = spec.get("networks").and_then(|all| all.get(0));
    first.and_then(|network| network["mode"].as_str()).unwrap_or("host")
}

/// Whether an app has a volume that outlives its tasks.
pub fn keeps_data(spec: &Spec) -> bool {
    let volumes = spec.get("container").and_then(|container| container.get("volumes"));
    let volumes = volumes.and_then(Value::as_array).into_iter().flatten();
    volumes.into_iter().any(|volume| volume.get("persistent").is_some())
}

fn present(spec: &Spec, key: &str) -> bool {
    spec.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

fn fetch_for_uris(spec: &mut Spec, found: &mut Vec<Finding>) {
    if present(spec, "uris") && present(spec, "fetch") {
        let text = "`uris` and `fetch` are two forms of one thing";
        found.push(Finding::invalid(Path::of(&["uris"]), text).help("keep `fetch`"));
    }
    let Some(Value::Array(uris)) = spec.remove("uris") else { return };
    if !spec.contains_key("fetch") || (!uris.is_empty() && !present(spec, "fetch")) {
        let fetch = uris.iter().map(|uri| {
            let extract = uri.as_str().is_some_and(is_archive);
            json!({"uri": uri, "extract": extract})
        });
        spec.insert("fetch".into(), fetch.collect());
    }
}

fn is_archive(uri: &str) -> bool {
    const ENDINGS: [&str; 8] =
        [".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip", ".tar"];
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    ENDINGS.iter().any(|ending| path.ends_with(ending))
}

fn definitions_for_ports(spec: &mut Spec, found: &mut Vec<Finding>) {
    if present(spec, "ports") && present(spec, "portDefinitions") {
        let text = "`ports` and `portDefinitions` are two forms of one thing";
        found.push(Finding::invalid(Path::ROOT, text).help("keep `portDefinitions`"));
    }
    let Some(Value::Array(ports)) = spec.remove("ports") else { return };
    let mut seen = BTreeSet::new();
    let fixed = ports.iter().filter_map(Value::as_u64).filter(|port| *port != 0);
    if let Some(port) = fixed.into_iter().find(|port| !seen.insert(*port)) {
        let text = format!("port {port} is there twice in `ports`");
        found.push(Finding::invalid(Path::ROOT, text));
    }
    // That they came so is remembered, until the app is whole.
    spec.insert("ports".into(), Value::Null);
    if !spec.contains_key("portDefinitions") {
        let definitions =
            ports.iter().map(|port| json!({"port": port, "protocol": "tcp"}));
        spec.insert("portDefinitions".into(), definitions.collect());
    }
}

fn networks_for_docker(spec: &mut Spec, found: &mut Vec<Finding>) {
    let docker = spec.get_mut("container").and_then(|c| c.get_mut("docker"));
    let network = docker.and_then(Value::as_object_mut).and_then(|d| d.remove("network"));
    let address = spec.remove("ipAddress");
    if network.is_none() && address.is_none() {
        return;
    }
    if present(spec, "networks") {
        let old = if network.is_some() { "docker.network" } else { "ipAddress" };
        let text = format!("`{old}` and `networks` are two forms of one thing");
        found.push(Finding::invalid(Path::ROOT, text).help("keep `networks`"));
        return;
    }
    let name = address.as_ref().and_then(|a| a["networkName"].as_str());
    let labels = address.as_ref().and_then(|a| a.get("labels").cloned());
    let mut networks = match (network.as_ref().and_then(Value::as_str), name) {
        (Some("HOST"), _) => json!([{"mode": "host"}]),
        (Some("BRIDGE"), _) => json!([{"mode": "container/bridge"}]),
        (Some("USER") | None, Some(name)) => json!([{"mode": "container", "name": name}]),
        (Some("USER") | None, None) => json!([{"mode": "container"}]),
        (Some(other), _) => {
            let text = format!("Marathon has no network `{other}`, and fails over it");
            found.push(Finding::new(Path::ROOT, Kind::Fails, text));
            return;
        }
    };
    if let Some(labels) = labels {
        networks[0]["labels"] = labels;
    }
    spec.insert("networks".into(), networks);
}

fn mappings_for_docker(spec: &mut Spec, found: &mut Vec<Finding>) {
    let Some(container) = spec.get_mut("container").and_then(Value::as_object_mut) else {
        return;
    };
    let is_mesos = container.get("type").is_some_and(|kind| kind == "MESOS");
    let docker = container.get_mut("docker").and_then(Value::as_object_mut);
    let Some(mappings) = docker.and_then(|docker| docker.remove("portMappings")) else {
        return;
    };
    let path = Path::of(&["container", "docker", "portMappings"]);
    if is_mesos {
        let text = "with type MESOS, mappings belong into `container`";
        found
            .push(Finding::invalid(path, text).help("write `portMappings` one level up"));
        return;
    }
    let filled = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty());
    if container.get("portMappings").is_some_and(filled) && filled(&mappings) {
        let text = "`portMappings` stand both in `container` and in `container.docker`";
        found.push(Finding::invalid(Path::ROOT, text).help("keep those in `container`"));
    } else if filled(&mappings) {
        container.insert("portMappings".into(), mappings);
    }
}

fn complete_ports(spec: &mut Spec) {
    if network_mode(spec) != "host" {
        spec.remove("portDefinitions");
        spec.insert("requirePorts".into(), false.into());
        spec.entry("container").or_insert_with(|| json!({"type": "MESOS"}));
        return;
    }
    if let Some(container) = spec.get_mut("container").and_then(Value::as_object_mut) {
        container.remove("portMappings");
    }
    let default = json!([{"port": 0, "name": "default"}]);
    spec.entry("portDefinitions").or_insert(default);
    fill_each(spec.get_mut("portDefinitions"), &json!({"protocol": "tcp"}));
}

fn complete_container(spec: &mut Spec) {
    let mode = network_mode(spec).to_owned();
    let Some(container) = spec.get_mut("container").and_then(Value::as_object_mut) else {
        return;
    };
    fill(container, json!({"type": "DOCKER", "volumes": []}));
    for volume in
        container.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten()
    {
        if let Some(mode) =
            volume.get("mode").and_then(Value::as_str).map(str::to_uppercase)
        {
            volume["mode"] = mode.into();
        }
        if let Some(persistent) =
            volume.get_mut("persistent").and_then(Value::as_object_mut)
        {
            let is_of_profile = persistent.contains_key("profileName");
            let kind = if is_of_profile { "mount" } else { "root" };
            fill(persistent, json!({"type": kind}));
        }
    }
    let docker = json!({"forcePullImage": false, "privileged": false, "parameters": []});
    if container.contains_key("docker") {
        fill_in(container, "docker", &docker);
    }
    if mode == "host" {
        return;
    }
    let none =
        container.get("portMappings").and_then(Value::as_array).is_none_or(Vec::is_empty);
    if none {
        container.insert("portMappings".into(), json!([{"name": "default"}]));
    }
    let mut mapping =
        json!({"containerPort": 0, "servicePort": 0, "protocol": "tcp", "labels": {}});
    if mode == "container/bridge" {
        mapping["hostPort"] = 0.into();
    }
    fill_each(container.get_mut("portMappings"), &mapping);
}

/// Where ports were not chosen one by one a check names none, as there.
fn complete_health_checks(spec: &mut Spec, chose_ports: bool) {
    let checks = spec.get_mut("healthChecks").and_then(Value::as_array_mut);
    for check in checks.into_iter().flatten().filter_map(Value::as_object_mut) {
        let defaults = json!({
            "protocol": "HTTP", "gracePeriodSeconds": 300, "intervalSeconds": 60,
            "timeoutSeconds": 20, "maxConsecutiveFailures": 3, "delaySeconds": 15,
        });
        fill(check, defaults);
        let protocol = check["protocol"].as_str().unwrap_or_default().to_owned();
        if protocol != "COMMAND" && !check.contains_key("port") && chose_ports {
            fill(check, json!({"portIndex": 0}));
        }
        fill(check, json!({"ipProtocol": "IPv4"}));
        if protocol == "HTTP" || protocol == "HTTPS" {
            fill(check, json!({"ignoreHttp1xx": false}));
        }
    }
}

fn fill(target: &mut Map<String, Value>, defaults: Value) {
    let Value::Object(defaults) = defaults else { return };
    for (key, value) in defaults {
        target.entry(key).or_insert(value);
    }
}

fn fill_in(spec: &mut Spec, key: &str, defaults: &Value) {
    if let Some(inner) = spec.get_mut(key).and_then(Value::as_object_mut) {
        fill(inner, defaults.clone());
    }
}

fn fill_each(list: Option<&mut Value>, defaults: &Value) {
    let items = list.and_then(Value::as_array_mut).into_iter().flatten();
    for item in items.filter_map(Value::as_object_mut) {
        fill(item, defaults.clone());
    }
}
