//! The program behind `docker` on a host, in every known form.

use platform::resource::Engine;
use platform::resource::engine::Settings;
use platform::resource::probe::Questions;

use super::host::Host;

/// A client without an engine: it still exits with 0.
const ALONE: &str = "#!/bin/sh\ncase $* in\n*Server*) exit 1 ;;\ninfo*) echo ' [] []' ;;\n\
                     version*) echo 24.0.7 ;;\nesac\n";

/// The files of the package podman-docker.
const PODMAN: &str = "#!/bin/sh\n[ -e /etc/containers/nodocker ] || echo 'Emulate Docker' >&2\n\
                      case $1 in version) echo 4.3.1 ;; *) exit 125 ;; esac\n\
                      exec /usr/bin/podman \"$@\"\n";

fn engine(host: &Host) -> Engine {
    let mut engine =
        host.ask_with(&["sh"], &Questions::default().with_docker()).system.engine;
    // Whether this computer has it, because the host uses its programs.
    engine.in_place = false;
    engine
}

fn played() -> Engine {
    let settings = |containerd| Settings {
        user_namespaces: Some(false),
        containerd_store: Some(containerd),
    };
    Engine {
        command: Some("/usr/local/bin/docker".to_owned()),
        version: Some("20.10.24".to_owned()),
        runs_with: settings(false),
        ..Engine::default()
    }
}

fn without_engine(client: &str) -> Engine {
    Engine {
        version: None,
        client: Some(client.to_owned()),
        offered: Some("20.10.24".to_owned()),
        runs_with: Settings::default(),
        ..played()
    }
}

#[test]
fn an_engine_says_its_version_and_how_it_is_set_up() {
    let host = Host::new();
    assert_eq!(engine(&host), played());
    host.write(
        "/fake/engine",
        b"29.0.1 [name=seccomp,profile=builtin name=userns] \
          [[driver-type io.containerd.snapshotter.v1]]\n",
    );
    let all = Settings { user_namespaces: Some(true), containerd_store: Some(true) };
    let version = Some("29.0.1".to_owned());
    assert_eq!(engine(&host), Engine { version, runs_with: all, ..played() });
}

#[test]
fn a_client_alone_and_podman_are_told_from_an_engine() {
    let host = Host::new();
    host.program("/local/bin/docker", ALONE);
    assert_eq!(engine(&host), without_engine("24.0.7"));
    host.program("/local/bin/docker", PODMAN);
    assert_eq!(engine(&host), Engine { podman: true, ..without_engine("4.3.1") });
    // The link that some distributions install instead of a script.
    std::fs::remove_file(host.path("/local/bin/docker")).expect("it was just made");
    host.program("/local/bin/podman-remote", "#!/bin/sh\n");
    host.link("/local/bin/docker", "podman-remote");
    let silent = Engine { client: None, ..without_engine("") };
    assert_eq!(engine(&host), Engine { podman: true, ..silent });
}

#[test]
fn the_snap_is_known_by_its_unit() {
    let host = Host::new();
    host.write("/etc/systemd/system/snap.docker.dockerd.service", b"");
    assert_eq!(engine(&host), Engine { snap: true, ..played() });
}

#[test]
fn of_the_engine_s_settings_only_those_that_count_are_told() {
    let host = Host::new();
    let check = |text: &str, user_namespaces, containerd_store| {
        host.write("/etc/docker/daemon.json", text.as_bytes());
        let configured = Settings { user_namespaces, containerd_store };
        assert_eq!(engine(&host), Engine { configured, ..played() }, "{text}");
    };
    check("{}", None, None);
    check("", None, None);
    check("{ \"userns-remap\": \"default\", \"live-restore\": true }", Some(true), None);
    check("{\"userns-remap\":\"\"}", None, None);
    check(
        "{\n\t\"features\": {\r\n\t\t\"containerd-snapshotter\" : true\n\t}\n}\n",
        None,
        Some(true),
    );
    check("{\"features\": {\"containerd-snapshotter\":\nfalse}}", None, Some(false));
    let secret = "{\"proxies\": {\"http-proxy\": \"http://u:hunter2@proxy\"}}";
    host.write("/etc/docker/daemon.json", secret.as_bytes());
    let script = Questions::default().with_docker().script();
    let said = host.run(&["sh"], script.as_bytes());
    assert!(!format!("{said:?}").contains("hunter2"));
}
