//! Brings an app to the one form that Marathon keeps and returns.
//!
//! Pure. First the form before 1.5 is translated, touching only what is there, so that it also
//! serves updates; then what is missing gets its default.

use super::id;
use serde_json::{Map, Value, json};

/// The fields of an app.
pub type Spec = Map<String, Value>;

/// Why an app cannot be brought to the one form.
#[derive(Clone, Debug, PartialEq)]
pub enum NotNormal {
    /// Both forms of the same thing.
    Mixed(&'static str),
    /// A value that the old form once had, over which Marathon fails.
    Gone,
}

/// Translates the form before 1.5.
///
/// # Errors
/// When both forms of the same thing are there, or the network is `NONE`.
pub fn modernise(mut spec: Spec) -> Result<Spec, NotNormal> {
    let members = |key: &str| spec.get(key).and_then(Value::as_object).map(Map::len);
    if members("container") == Some(0)
        || members("upgradeStrategy").is_some_and(|n| n < 2)
    {
        return Err(NotNormal::Mixed(
            "the container or the upgrade strategy is not whole",
        ));
    }
    fetch_for_uris(&mut spec)?;
    definitions_for_ports(&mut spec)?;
    networks_for_docker(&mut spec)?;
    mappings_for_docker(&mut spec)?;
    Ok(spec)
}

/// Gives what is missing its default.
pub fn complete(mut spec: Spec, role: &str) -> Spec {
    let defaults = json!({
        "instances": 1, "cpus": 1.0, "mem": 128.0, "disk": 0.0, "gpus": 0,
        "executor": "", "backoffSeconds": 1, "backoffFactor": 1.15,
        "maxLaunchDelaySeconds": 300, "env": {}, "labels": {}, "constraints": [],
        "dependencies": [], "fetch": [], "healthChecks": [], "readinessChecks": [],
        "requirePorts": false, "killSelection": "YOUNGEST_FIRST", "role": role,
        "networks": [{"mode": "host"}], "upgradeStrategy": {},
        "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0},
    });
    fill(&mut spec, defaults);
    if spec["networks"].as_array().is_some_and(Vec::is_empty) {
        spec.insert("networks".into(), json!([{"mode": "host"}]));
    }
    let group = id::parent(spec["id"].as_str().unwrap_or_default()).to_owned();
    for name in
        spec.get_mut("dependencies").and_then(Value::as_array_mut).into_iter().flatten()
    {
        *name = id::absolute(name.as_str().unwrap_or_default(), &group).into();
    }
    fill_in(
        &mut spec,
        "check",
        &json!({"intervalSeconds": 60, "timeoutSeconds": 20, "delaySeconds": 15}),
    );
    let readiness = json!({
        "name": "readinessCheck", "protocol": "HTTP", "path": "/", "intervalSeconds": 30,
        "timeoutSeconds": 10, "httpStatusCodesForReady": [200], "preserveLastResponse": false,
    });
    fill_each(spec.get_mut("readinessChecks"), &readiness);
    let upgrade = json!({"minimumHealthCapacity": 1, "maximumOverCapacity": 1});
    fill_in(&mut spec, "upgradeStrategy", &upgrade);
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

fn present(spec: &Spec, key: &str) -> bool {
    spec.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

fn fetch_for_uris(spec: &mut Spec) -> Result<(), NotNormal> {
    if present(spec, "uris") && present(spec, "fetch") {
        return Err(NotNormal::Mixed("cannot specify both uris and fetch fields"));
    }
    let Some(Value::Array(uris)) = spec.remove("uris") else { return Ok(()) };
    if !uris.is_empty() || !spec.contains_key("fetch") {
        let fetch = uris.iter().map(|uri| {
            let extract = uri.as_str().is_some_and(is_archive);
            json!({"uri": uri, "extract": extract})
        });
        spec.insert("fetch".into(), fetch.collect());
    }
    Ok(())
}

fn is_archive(uri: &str) -> bool {
    const ENDINGS: [&str; 8] =
        [".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip", ".tar"];
    ENDINGS.iter().any(|ending| uri.ends_with(ending))
}

fn definitions_for_ports(spec: &mut Spec) -> Result<(), NotNormal> {
    if present(spec, "ports") && present(spec, "portDefinitions") {
        return Err(NotNormal::Mixed("cannot specify both ports and port definitions"));
    }
    let Some(Value::Array(ports)) = spec.remove("ports") else { return Ok(()) };
    // That they came so is remembered, until the app is whole.
    spec.insert("ports".into(), Value::Null);
    if !spec.contains_key("portDefinitions") {
        let definitions =
            ports.iter().map(|port| json!({"port": port, "protocol": "tcp"}));
        spec.insert("portDefinitions".into(), definitions.collect());
    }
    Ok(())
}

fn networks_for_docker(spec: &mut Spec) -> Result<(), NotNormal> {
    let docker = spec.get_mut("container").and_then(|c| c.get_mut("docker"));
    let network = docker.and_then(Value::as_object_mut).and_then(|d| d.remove("network"));
    let address = spec.remove("ipAddress");
    if network.is_none() && address.is_none() {
        return Ok(());
    }
    if present(spec, "networks") {
        return Err(NotNormal::Mixed(
            "cannot mix deprecated and current networking fields: networks with ipAddress or \
             container.docker.network",
        ));
    }
    let name = address.as_ref().and_then(|a| a["networkName"].as_str());
    let labels = address.as_ref().and_then(|a| a.get("labels").cloned());
    let mut networks = match (network.as_ref().and_then(Value::as_str), name) {
        (Some("HOST"), _) => json!([{"mode": "host"}]),
        (Some("BRIDGE"), _) => json!([{"mode": "container/bridge"}]),
        (Some("USER") | None, Some(name)) => json!([{"mode": "container", "name": name}]),
        (Some("USER") | None, None) => json!([{"mode": "container"}]),
        (Some(_), _) => return Err(NotNormal::Gone),
    };
    if let Some(labels) = labels {
        networks[0]["labels"] = labels;
    }
    spec.insert("networks".into(), networks);
    Ok(())
}

fn mappings_for_docker(spec: &mut Spec) -> Result<(), NotNormal> {
    let Some(container) = spec.get_mut("container").and_then(Value::as_object_mut) else {
        return Ok(());
    };
    let docker = container.get_mut("docker").and_then(Value::as_object_mut);
    let Some(mappings) = docker.and_then(|docker| docker.remove("portMappings")) else {
        return Ok(());
    };
    let filled = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty());
    if container.get("portMappings").is_some_and(filled) && filled(&mappings) {
        return Err(NotNormal::Mixed(
            "cannot specify both portMappings and docker.portMappings",
        ));
    }
    if filled(&mappings) {
        container.insert("portMappings".into(), mappings);
    }
    Ok(())
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
    let kind = if container.contains_key("docker") { "DOCKER" } else { "MESOS" };
    fill(container, json!({"type": kind, "volumes": []}));
    for volume in
        container.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten()
    {
        if let Some(mode) =
            volume.get("mode").and_then(Value::as_str).map(str::to_uppercase)
        {
            volume["mode"] = mode.into();
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
        if protocol.contains("HTTP") {
            fill(check, json!({"path": "/"}));
        }
        if protocol == "HTTP" || protocol == "HTTPS" {
            fill(check, json!({"ignoreHttp1xx": false}));
        }
    }
}

fn fill(target: &mut Spec, defaults: Value) {
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
