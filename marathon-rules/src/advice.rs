//! What Marathon takes, but drops without a word, or what does not do what was meant. Pure.

use crate::app::App;
use crate::finding::{Finding, Kind};
use crate::path::Path;
use serde_json::Value;

/// What is to be said of an app that Marathon takes, as a body says it and in its one form.
pub fn advice(app: &App, body: &Value, is_alone: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    dropped(app, body, &mut found);
    relative(body, is_alone, &mut found);
    containers(app, &mut found);
    checks(app, &mut found);
    ports(app, &mut found);
    found.extend(signals(app));
    found.extend(moved(app, body));
    found
}

fn has(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty())
}

fn dropped(app: &App, body: &Value, found: &mut Vec<Finding>) {
    let mut drop = |path: Path, text: &str, help: &str| {
        found.push(Finding::new(path, Kind::Dropped, text).help(help));
    };
    let container = &body["container"];
    if app.mode() == "host" {
        let text = "an app on the host's network has no mappings: Marathon drops these";
        let help = "for a container with ports of its own write `\"networks\": \
                    [{\"mode\": \"container/bridge\"}]`; otherwise use `portDefinitions`";
        if has(&container["portMappings"]) {
            drop(Path::of(&["container", "portMappings"]), text, help);
        }
        if has(&container["docker"]["portMappings"]) {
            drop(Path::of(&["container", "docker", "portMappings"]), text, help);
        }
    } else {
        let text = "an app on a network of its own has no ports of the host: Marathon drops these";
        for key in ["ports", "portDefinitions"] {
            if has(&body[key]) {
                drop(Path::of(&[key]), text, "use `portMappings` in `container`");
            }
        }
    }
    let volumes = body["container"]["volumes"].as_array().into_iter().flatten();
    let is_kept = volumes.into_iter().any(|volume| volume.get("persistent").is_some());
    if body["residency"].is_object() && !is_kept {
        let text = "without a persistent volume, POST drops this and PUT refuses it";
        drop(Path::of(&["residency"]), text, "leave it out");
    }
}

/// Marathon itself reads a relative dependency in three ways.
fn relative(body: &Value, is_alone: bool, found: &mut Vec<Finding>) {
    let names = body["dependencies"].as_array().into_iter().flatten();
    for (index, name) in names.enumerate().filter(|_| is_alone) {
        if name.as_str().is_some_and(|name| !name.starts_with('/')) {
            let text = "Marathon counts this from the root if the app is posted, and from the \
                        app itself if it is put; in a group's file, from the group";
            let path = Path::of(&["dependencies"]).index(index);
            let help = "write the whole id, from `/` on";
            found.push(Finding::new(path, Kind::Doubtful, text).help(help));
        }
    }
}

fn containers(app: &App, found: &mut Vec<Finding>) {
    let Some(container) = app.container.as_ref().filter(|it| it.kind == "MESOS") else {
        return;
    };
    let mut doubt = |path: &[&str], text: &str| {
        let help = "write `\"type\": \"DOCKER\"`";
        found.push(Finding::new(Path::of(path), Kind::Doubtful, text).help(help));
    };
    if container.docker.is_some() {
        let text = "this platform's agents run images in Docker alone: in a MESOS container, every \
                    task of this app fails";
        doubt(&["container", "type"], text);
    } else if container.volumes.iter().any(|volume| volume.host_path.is_some()) {
        let text = "this platform's agents have no volumes of the host in MESOS containers: every \
                    task of this app fails";
        doubt(&["container", "volumes"], text);
    }
}

fn checks(app: &App, found: &mut Vec<Finding>) {
    let ports = app.ports();
    for (index, check) in app.health_checks.iter().enumerate() {
        let port = ports.get(check.port_index.unwrap_or(0));
        let is_published = port.is_some_and(|port| port.host.is_some());
        if app.mode() == "container" && !check.by_agent() && is_published {
            let text = "Marathon asks the container's address for the host's port, so this \
                        check never passes";
            let help =
                format!("write `MESOS_{}`, or leave `hostPort` out", check.protocol);
            let path = Path::of(&["healthChecks"]).index(index);
            found.push(Finding::new(path, Kind::Doubtful, text).help(help));
        }
    }
}

fn ports(app: &App, found: &mut Vec<Finding>) {
    let is_host = app.mode() == "host";
    for (index, port) in app.ports().iter().enumerate() {
        let list = if is_host {
            &["portDefinitions"][..]
        } else {
            &["container", "portMappings"]
        };
        let all = [Some(port.service), port.host, port.container];
        if let Some(port) = all.into_iter().flatten().find(|port| *port > 65_535) {
            let text = format!("there is no port {port}: the last is 65535");
            let path = Path::of(list).index(index);
            found.push(Finding::new(path, Kind::Doubtful, text));
        }
        for label in port.labels.keys().filter(|label| label.starts_with("VIP_")) {
            let text = format!("nothing here reads the label `{label}` of DC/OS");
            let path = Path::of(list).index(index).key("labels").key(label);
            let help = "the balancer serves the service port, and the labels HAPROXY_…";
            found.push(Finding::new(path, Kind::Doubtful, text).help(help));
        }
    }
}

/// A Docker container whose program never hears that it has to end.
fn signals(app: &App) -> Option<Finding> {
    let container = app.container.as_ref().filter(|it| it.kind == "DOCKER")?;
    let docker = container.docker.as_ref()?;
    let cmd = app.cmd.as_deref()?.trim_start();
    if cmd.starts_with("exec ") || cmd.contains("trap ") {
        return None;
    }
    let has_init =
        docker.parameters.iter().any(|it| it.key == "init" && it.value == "true");
    let text = match has_init {
        true => {
            "with `init`, this program is killed at once: SIGTERM ends the shell before it"
        }
        false => "this program never sees SIGTERM: a shell is before it, and ignores it",
    };
    let help = "write `args`, or put `exec` before the program: `exec serve --all`";
    Some(Finding::new(Path::of(&["cmd"]), Kind::Advice, text).help(help))
}

/// What an app that serves ports lacks to be moved without a lost request.
fn moved(app: &App, body: &Value) -> Option<Finding> {
    let container = &body["container"];
    let serves = has(&body["ports"])
        || has(&body["portDefinitions"])
        || has(&container["portMappings"])
        || has(&container["docker"]["portMappings"]);
    if !serves || app.instances == 0 {
        return None;
    }
    let slow = app.health_checks.iter().all(|check| check.interval_seconds > 1.0);
    let strategy = app.upgrade_strategy;
    let lacks = [
        (app.health_checks.is_empty(), "a health check"),
        (
            slow && !app.health_checks.is_empty(),
            "`intervalSeconds: 1` in its health check",
        ),
        (app.task_kill_grace_period_seconds.is_none(), "`taskKillGracePeriodSeconds`"),
        (app.instances < 2, "a second instance"),
        (strategy.minimum_health_capacity < 1.0, "`minimumHealthCapacity: 1`"),
    ];
    let lacks: Vec<&str> =
        lacks.into_iter().filter(|(lacks, _)| *lacks).map(|(_, what)| what).collect();
    (!lacks.is_empty()).then(|| {
        let text = "this app can lose requests when it is upgraded or moved";
        let help = format!("it lacks {}", lacks.join(", "));
        Finding::new(Path::of(&["id"]), Kind::Advice, text).help(help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, Rules, root::Root};
    use serde_json::json;

    fn check(members: Value, expected: &[&str]) {
        let mut body = json!({"id": "/a"});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let judged =
            Root::default().judge("/a", &body, (Change::Create, "/"), &Rules::default());
        assert_eq!(judged.refusals(), []);
        let app = App::read(&judged.spec).unwrap();
        let found = advice(&app, &body, true);
        let paths: Vec<_> = found.iter().map(|found| found.path.to_string()).collect();
        assert_eq!(paths, expected, "{body}");
    }

    #[test]
    fn ports_of_another_network_are_dropped() {
        let image = json!({"image": "web:1"});
        check(
            json!({"container": {"docker": image, "portMappings": [{"containerPort": 80}]}}),
            &["/container/portMappings", "/id"],
        );
        check(
            json!({"container": {"docker": image}, "networks": [{"mode": "container/bridge"}],
                   "portDefinitions": [{"port": 1}]}),
            &["/portDefinitions", "/id"],
        );
        check(json!({"cmd": "true", "residency": {}}), &["/residency"]);
    }

    #[test]
    fn a_shell_before_a_program_in_docker_is_named() {
        let container = json!({"docker": {"image": "web:1"}});
        check(json!({"cmd": "serve", "container": container}), &["/cmd"]);
        check(json!({"cmd": "exec serve", "container": container}), &[]);
        check(json!({"args": ["serve"], "container": container}), &[]);
        check(json!({"cmd": "serve"}), &[]);
    }

    #[test]
    fn a_check_that_cannot_pass_is_named() {
        let check_of = |protocol: &str| {
            json!({"networks": [{"mode": "container", "name": "n"}],
                   "taskKillGracePeriodSeconds": 5, "instances": 2,
                   "container": {"docker": {"image": "web:1"},
                                 "portMappings": [{"containerPort": 80, "hostPort": 0}]},
                   "healthChecks": [{"protocol": protocol, "intervalSeconds": 1}]})
        };
        check(check_of("HTTP"), &["/healthChecks(0)"]);
        check(check_of("MESOS_HTTP"), &[]);
    }

    #[test]
    fn what_does_nothing_here_is_named() {
        let dependency = json!({"cmd": "true", "dependencies": ["db", "/db"]});
        check(dependency, &["/dependencies(0)"]);
        let port = json!({"port": 70000, "labels": {"VIP_0": "/cache:6379"}});
        let expected = ["/portDefinitions(0)", "/portDefinitions(0)/labels/VIP_0", "/id"];
        check(json!({"cmd": "true", "portDefinitions": [port]}), &expected);
        let mesos = json!({"type": "MESOS", "docker": {"image": "web:1"}});
        check(json!({"container": mesos}), &["/container/type"]);
    }
}
