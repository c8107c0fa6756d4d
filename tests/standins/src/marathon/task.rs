//! What Mesos is told to run for one instance of an app. Pure.

use super::matching::{Room, needs};
use marathon_rules::app::{App, Artifact, HealthCheck, Port, Volume};
use marathon_rules::id;
use serde_json::{Map, Value, json};

/// A new task's place and name.
#[derive(Clone, Debug)]
pub struct Naming<'a> {
    /// The task's id.
    pub task: &'a str,
    /// The agent's id.
    pub agent: &'a str,
    /// The agent's host name.
    pub host: &'a str,
    /// The version of the app.
    pub version: &'a str,
    /// The user of tasks that name none.
    pub user: Option<&'a str>,
    /// Put before `PORT…` and `HOST`.
    pub prefix: Option<&'a str>,
}

/// The `TaskInfo` of an instance.
pub fn info(app: &App, naming: &Naming<'_>, room: &Room) -> Value {
    let mut task = json!({
        "name": id::as_hostname(&app.id),
        "task_id": {"value": naming.task},
        "agent_id": {"value": naming.agent},
        "resources": room.resources,
        "command": command(app, naming, room),
        "discovery": discovery(app, room),
    });
    if let Some(container) = container(app, room) {
        task["container"] = container;
    }
    if let Some(check) = app.health_checks.iter().find(|check| check.by_agent()) {
        task["health_check"] = health_check(app, check, room);
    }
    if let Some(seconds) = app.task_kill_grace_period_seconds {
        let nanoseconds = (seconds.max(0.0) * 1e9) as u64;
        task["kill_policy"] = json!({"grace_period": {"nanoseconds": nanoseconds}});
    }
    if !app.labels.is_empty() {
        let labels =
            app.labels.iter().map(|(key, value)| json!({"key": key, "value": value}));
        task["labels"] = json!({"labels": labels.collect::<Value>()});
    }
    task
}

fn command(app: &App, naming: &Naming<'_>, room: &Room) -> Value {
    let variables = environment(app, naming, room);
    let variables =
        variables.iter().map(|(name, value)| json!({"name": name, "value": value}));
    let mut command = json!({
        "environment": {"variables": variables.collect::<Value>()},
        "uris": app.fetch.iter().map(artifact).collect::<Value>(),
    });
    match &app.cmd {
        Some(cmd) => {
            command["shell"] = true.into();
            command["value"] = cmd.clone().into();
        }
        None => {
            let has_image = app.container.as_ref().is_some_and(|c| c.docker.is_some());
            command["shell"] = false.into();
            command["arguments"] = json!(app.args);
            if let (false, Some(program)) = (has_image, app.args.first()) {
                command["value"] = program.clone().into();
            }
        }
    }
    if let Some(user) = app.user.as_deref().or(naming.user) {
        command["user"] = user.into();
    }
    command
}

fn artifact(artifact: &Artifact) -> Value {
    let mut uri = json!({
        "value": artifact.uri, "extract": artifact.extract,
        "executable": artifact.executable, "cache": artifact.cache,
    });
    if let Some(path) = &artifact.dest_path {
        uri["output_file"] = path.clone().into();
    }
    uri
}

/// Variables of the task: those of Marathon, of its ports, and the app's own, which win.
fn environment(app: &App, naming: &Naming<'_>, room: &Room) -> Map<String, Value> {
    let mut found = Map::new();
    let mut put = |name: String, value: String| drop(found.insert(name, value.into()));
    put("MARATHON_APP_ID".into(), app.id.clone());
    put("MARATHON_APP_VERSION".into(), naming.version.into());
    put("MESOS_TASK_ID".into(), naming.task.into());
    if let Some(docker) = app.container.as_ref().and_then(|c| c.docker.as_ref()) {
        put("MARATHON_APP_DOCKER_IMAGE".into(), docker.image.clone());
    }
    for (name, amount) in needs(app).named() {
        let name = format!("MARATHON_APP_RESOURCE_{}", name.to_uppercase());
        put(name, format!("{amount:?}"));
    }
    let labels: Vec<_> = app.labels.keys().map(|key| as_variable(key)).collect();
    put("MARATHON_APP_LABELS".into(), labels.join(" "));
    for (key, value) in &app.labels {
        put(format!("MARATHON_APP_LABEL_{}", as_variable(key)), value.clone());
    }
    let prefix = naming.prefix.unwrap_or_default();
    put(format!("{prefix}HOST"), naming.host.into());
    for (name, value) in port_variables(&app.ports(), room) {
        put(format!("{prefix}{name}"), value);
    }
    for (name, value) in &app.env {
        if let Some(text) = value.as_str() {
            put(name.clone(), text.to_owned());
        }
    }
    found
}

fn as_variable(text: &str) -> String {
    let fit =
        |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    text.chars().map(fit).collect()
}

fn port_variables(ports: &[Port], room: &Room) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut effective = Vec::new();
    for (index, (port, host)) in ports.iter().zip(&room.ports).enumerate() {
        let Some(number) = host.or(port.container) else { continue };
        effective.push(number.to_string());
        let value = number.to_string();
        found.push((format!("PORT{index}"), value.clone()));
        let declared = port.container.unwrap_or(port.service);
        if declared != 0 {
            found.push((format!("PORT_{declared}"), value.clone()));
        }
        if let Some(name) = &port.name {
            found.push((format!("PORT_{}", as_variable(name)), value));
        }
    }
    if let Some(first) = effective.first() {
        found.push(("PORT".into(), first.clone()));
        found.push(("PORTS".into(), effective.join(",")));
    }
    found
}

fn container(app: &App, room: &Room) -> Option<Value> {
    let container = app.container.as_ref()?;
    let volumes: Value = container.volumes.iter().map(volume).collect();
    let Some(docker) = &container.docker else {
        return Some(json!({"type": "MESOS", "volumes": volumes}));
    };
    if container.kind == "MESOS" {
        let image = json!({
            "type": "DOCKER", "docker": {"name": docker.image},
            "cached": !docker.force_pull_image,
        });
        return Some(
            json!({"type": "MESOS", "mesos": {"image": image}, "volumes": volumes}),
        );
    }
    let network = match app.mode() {
        "host" => "HOST",
        "container/bridge" => "BRIDGE",
        _ => "USER",
    };
    let mut found = json!({"type": "DOCKER", "volumes": volumes, "docker": {
        "image": docker.image, "network": network, "privileged": docker.privileged,
        "force_pull_image": docker.force_pull_image, "parameters": docker.parameters,
        "port_mappings": port_mappings(&app.ports(), room),
    }});
    if let Some(name) = app.networks.first().and_then(|network| network.name.as_ref()) {
        found["network_infos"] = json!([{"name": name}]);
    }
    Some(found)
}

fn port_mappings(ports: &[Port], room: &Room) -> Value {
    let mut found = Vec::new();
    for (port, host) in ports.iter().zip(&room.ports) {
        let (Some(inside), Some(outside)) = (port.container, *host) else { continue };
        let inside = if inside == 0 { outside } else { inside };
        for protocol in port.protocol.split(',') {
            found.push(json!({
                "container_port": inside, "host_port": outside, "protocol": protocol,
            }));
        }
    }
    found.into()
}

fn volume(volume: &Volume) -> Value {
    json!({
        "container_path": volume.container_path,
        "host_path": volume.host_path,
        "mode": volume.mode.as_deref().unwrap_or("RW"),
    })
}

/// The port that a check asks, as seen from where it runs.
pub fn check_port(
    app: &App,
    check: &HealthCheck,
    host_ports: &[Option<u32>],
) -> Option<u32> {
    if check.port.is_some() {
        return check.port;
    }
    let index = check.port_index.unwrap_or(0);
    let host = host_ports.get(index).copied().flatten();
    let inside = app.ports().get(index).and_then(|port| port.container);
    match check.by_agent() {
        true => inside.filter(|port| *port != 0).or(host),
        false => host.or(inside),
    }
}

fn health_check(app: &App, check: &HealthCheck, room: &Room) -> Value {
    let port = check_port(app, check, &room.ports);
    let mut found = json!({
        "delay_seconds": check.delay_seconds,
        "interval_seconds": check.interval_seconds,
        "timeout_seconds": check.timeout_seconds,
        "grace_period_seconds": check.grace_period_seconds,
        "consecutive_failures": check.max_consecutive_failures,
    });
    match check.protocol.as_str() {
        "COMMAND" => {
            let command = check.command.clone().unwrap_or_default().value;
            found["type"] = "COMMAND".into();
            found["command"] = json!({"shell": true, "value": command});
        }
        "MESOS_TCP" => {
            found["type"] = "TCP".into();
            found["tcp"] = json!({"port": port});
        }
        protocol => {
            let scheme = if protocol == "MESOS_HTTPS" { "https" } else { "http" };
            let path = check.path.as_deref().unwrap_or("/");
            found["type"] = "HTTP".into();
            found["http"] = json!({"port": port, "path": path, "scheme": scheme});
        }
    }
    found
}

fn discovery(app: &App, room: &Room) -> Value {
    let ports = app.ports();
    let shown = ports.iter().zip(&room.ports).filter_map(|(port, host)| {
        let number = host.or(port.container)?;
        let protocol = port.protocol.split(',').next().unwrap_or("tcp");
        let mut shown = json!({"number": number, "protocol": protocol});
        if let Some(name) = &port.name {
            shown["name"] = name.clone().into();
        }
        Some(shown)
    });
    json!({
        "visibility": "FRAMEWORK", "name": id::as_hostname(&app.id),
        "ports": {"ports": shown.collect::<Value>()},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use marathon_rules::normal;

    const NAMING: Naming<'_> = Naming {
        task: "prod_a.instance-1._app.1",
        agent: "S1",
        host: "w1",
        version: "v1",
        user: Some("root"),
        prefix: None,
    };

    fn build(value: Value, ports: &[Option<u32>]) -> Value {
        let spec = normal::modernise(value.as_object().unwrap().clone(), &mut Vec::new());
        let app = App::read(&normal::complete(spec, "*", "/")).unwrap();
        info(&app, &NAMING, &Room { resources: vec![], ports: ports.to_vec() })
    }

    fn variable<'a>(task: &'a Value, name: &str) -> Option<&'a str> {
        let all = task["command"]["environment"]["variables"].as_array().unwrap();
        all.iter().find(|v| v["name"] == name).and_then(|v| v["value"].as_str())
    }

    #[test]
    fn a_command_runs_in_a_shell_with_its_ports() {
        let task = build(
            json!({"id": "/prod/a", "cmd": "run $PORT0", "env": {"HOST": "mine"},
                   "taskKillGracePeriodSeconds": 3,
                   "portDefinitions": [{"port": 9000, "name": "web-ui"}, {"port": 0}]}),
            &[Some(31000), Some(31001)],
        );
        assert_eq!(task["name"], "a.prod");
        assert_eq!(task["command"]["value"], "run $PORT0");
        assert_eq!(task["command"]["user"], "root");
        assert_eq!(task["kill_policy"]["grace_period"]["nanoseconds"], 3_000_000_000_u64);
        assert_eq!(variable(&task, "PORTS"), Some("31000,31001"));
        assert_eq!(variable(&task, "PORT_9000"), Some("31000"));
        assert_eq!(variable(&task, "PORT_WEB_UI"), Some("31000"));
        assert_eq!(variable(&task, "HOST"), Some("mine"));
        assert_eq!(variable(&task, "MARATHON_APP_VERSION"), Some("v1"));
        assert_eq!(variable(&task, "MARATHON_APP_RESOURCE_CPUS"), Some("1.0"));
    }

    #[test]
    fn a_bridged_container_maps_its_ports() {
        let task = build(
            json!({"id": "/a", "container": {"docker": {"image": "i", "network": "BRIDGE",
                "parameters": [{"key": "hostname", "value": "n1"}],
                "portMappings": [{"containerPort": 80, "protocol": "udp,tcp"}, {}]}},
                "healthChecks": [{"protocol": "MESOS_HTTP", "path": "/up"}]}),
            &[Some(31000), Some(31001)],
        );
        let docker = &task["container"]["docker"];
        assert_eq!(docker["network"], "BRIDGE");
        assert_eq!(docker["parameters"], json!([{"key": "hostname", "value": "n1"}]));
        assert_eq!(docker["port_mappings"].as_array().unwrap().len(), 3);
        assert_eq!(docker["port_mappings"][2]["container_port"], 31001);
        assert_eq!(
            task["health_check"]["http"],
            json!({"port": 80, "path": "/up", "scheme": "http"})
        );
        assert_eq!(task["command"]["shell"], false);
        assert_eq!(task["command"].get("value"), None);
    }

    #[test]
    fn a_check_of_marathon_asks_the_port_of_the_host() {
        let spec = json!({"id": "/a", "healthChecks": [{"protocol": "TCP"}], "container":
            {"docker": {"image": "i", "network": "BRIDGE",
             "portMappings": [{"containerPort": 80}]}}});
        let spec = normal::modernise(spec.as_object().unwrap().clone(), &mut Vec::new());
        let app = App::read(&normal::complete(spec, "*", "/")).unwrap();
        assert_eq!(check_port(&app, &app.health_checks[0], &[Some(31000)]), Some(31000));
    }
}
