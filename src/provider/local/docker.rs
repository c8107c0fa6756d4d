//! Builds `docker` commands, and parses their output.
//!
//! Pure functions build the commands and parse the output; [`docker`] runs a command.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::plan::{Existing, NewMachine, State};
use super::{Machine, MachineError, Settings};
use crate::host::HostName;
use crate::inventory::{Cidr, ClusterName};
use crate::reason;
use crate::remote::Argv;
use crate::remote::local;

/// A label on everything that this provider creates; its value is the cluster's name. Resources
/// without it are never changed.
const CLUSTER: &str = "platform.cluster";
const HOST: &str = "platform.host";
const GROUP: &str = "platform.group";
const ADDRESS: &str = "platform.address";
/// The public half of the machine's host key.
const HOST_KEY: &str = "platform.host-key";

/// Docker answers in milliseconds; creating and removing take longer on a busy disk.
const DEADLINE: Duration = Duration::from_secs(60);
const ALIVE: Duration = Duration::from_secs(10);

/// The permissions that a container needs to be a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    /// All permissions: the usual case.
    Privileged,
    /// The capabilities that systemd and Docker need, if Docker itself does not have all.
    Listed,
}

/// The kinds of resources that this provider creates, in the order in which they can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Machines.
    Container,
    /// The data of the machines' own Docker.
    Volume,
    /// Their network.
    Network,
}

impl Kind {
    pub(super) const IN_ORDER: [Self; 3] = [Self::Container, Self::Volume, Self::Network];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// The name of a machine's container.
pub(super) fn container(cluster: &ClusterName, host: &HostName) -> String {
    format!("platform-{cluster}-{host}")
}

/// The name of a cluster's network.
pub(super) fn network(cluster: &ClusterName) -> String {
    format!("platform-{cluster}")
}

/// Lists all machines of a cluster: one line of JSON for each.
pub(super) fn ask_machines(cluster: &ClusterName) -> Argv {
    let label = |name: &str| format!("{{{{json (.Label \"{name}\")}}}}");
    let format = format!(
        "{{\"host\":{},\"group\":{},\"address\":{},\"host_key\":{},\"state\":{{{{json .State}}}}}}",
        label(HOST),
        label(GROUP),
        label(ADDRESS),
        label(HOST_KEY),
    );
    let ours = ours(cluster);
    Argv::new([
        "docker",
        "ps",
        "--all",
        "--no-trunc",
        "--filter",
        &ours,
        "--format",
        &format,
    ])
}

/// Parses the output of [`ask_machines`], by name.
pub(super) fn machines(answer: &str) -> Result<Vec<Existing>, serde_json::Error> {
    let mut machines = answer
        .lines()
        .map(|line| serde_json::from_str::<Listed>(line).map(Existing::from))
        .collect::<Result<Vec<_>, _>>()?;
    machines.sort_by(|a, b| a.machine.host.cmp(&b.machine.host));
    Ok(machines)
}

/// Lists when these containers were last started: one line for each, its name and the time.
pub(super) fn ask_started(containers: &[String]) -> Argv {
    let format = "{{.Name}} {{.State.StartedAt}}";
    let words = ["docker", "container", "inspect", "--format", format];
    Argv::new(words.into_iter().chain(containers.iter().map(String::as_str)))
}

/// Parses the output of [`ask_started`], by container; skips lines without a time.
pub(super) fn started(answer: &str) -> BTreeMap<String, Timestamp> {
    let start = |line: &str| {
        // Docker writes a slash before the name.
        let (name, at) = line.trim_start_matches('/').split_once(' ')?;
        Some((name.to_owned(), at.parse().ok()?))
    };
    answer.lines().filter_map(start).collect()
}

/// Lists the names of all resources of one kind that a cluster has.
pub(super) fn ask_names(kind: Kind, cluster: &ClusterName) -> Argv {
    let ours = ours(cluster);
    let (all, name) = match kind {
        Kind::Container => (Some("--all"), "{{.Names}}"),
        Kind::Volume | Kind::Network => (None, "{{.Name}}"),
    };
    let words = ["docker", kind.word(), "ls"].into_iter().chain(all);
    Argv::new(words.chain(["--filter", &ours, "--format", name]))
}

/// Removes resources of one kind; running containers are killed.
pub(super) fn remove(kind: Kind, names: &[String]) -> Argv {
    let options: &[&str] = match kind {
        Kind::Container => &["--force", "--volumes"],
        Kind::Volume | Kind::Network => &[],
    };
    let words = ["docker", kind.word(), "rm"].into_iter().chain(options.iter().copied());
    Argv::new(words.chain(names.iter().map(String::as_str)))
}

/// Lists the names of the endpoints that a network still has, one per line.
pub(super) fn ask_ends(network: &str) -> Argv {
    let format = "{{range .Containers}}{{println .Name}}{{end}}";
    Argv::new(["docker", "network", "inspect", "--format", format, network])
}

/// Disconnects an endpoint of a network.
pub(super) fn cut_end(network: &str, end: &str) -> Argv {
    Argv::new(["docker", "network", "disconnect", "--force", network, end.trim()])
}

/// Creates a cluster's network.
pub(super) fn create_network(
    cluster: &ClusterName,
    subnet: Cidr,
    gateway: std::net::Ipv4Addr,
    mtu: Option<u32>,
) -> Argv {
    let mtu = mtu.map(|mtu| format!("--opt=com.docker.network.driver.mtu={mtu}"));
    let words = ["docker", "network", "create"].map(str::to_owned).into_iter().chain([
        format!("--label={CLUSTER}={cluster}"),
        format!("--subnet={subnet}"),
        format!("--gateway={gateway}"),
    ]);
    Argv::new(words.chain(mtu).chain([network(cluster)]))
}

/// Creates a machine's container, which does not run yet.
pub(super) fn create(
    settings: &Settings,
    rights: Rights,
    new: &NewMachine,
    host_key: &str,
) -> Argv {
    let cluster = &settings.cluster;
    let name = container(cluster, &new.host);
    let mut words = vec!["docker".to_owned(), "create".to_owned()];
    words.extend([
        format!("--name={name}"),
        format!("--hostname={}", new.host),
        format!("--network={}", network(cluster)),
        format!("--ip={}", new.address),
        format!("--label={CLUSTER}={cluster}"),
        format!("--label={HOST}={}", new.host),
        format!("--label={GROUP}={}", new.group),
        format!("--label={ADDRESS}={}", new.address),
        format!("--label={HOST_KEY}={host_key}"),
        format!(
            "--mount=type=volume,source={name}-docker,target=/var/lib/docker,\
             volume-label={CLUSTER}={cluster}"
        ),
    ]);
    // No swap in addition to the memory: a machine without free memory must show it.
    words.extend(new.memory.into_iter().flat_map(|memory| {
        let bytes = memory.as_bytes();
        [format!("--memory={bytes}"), format!("--memory-swap={bytes}")]
    }));
    words.extend(rights.options().iter().map(|option| (*option).to_owned()));
    words.push(settings.image.clone());
    Argv::new(words)
}

impl Rights {
    /// systemd needs its own control groups and its own `/run`, in both cases.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Privileged => &[
                "--cgroupns=private",
                "--tmpfs=/run:exec,mode=755",
                "--tmpfs=/run/lock",
                "--tmpfs=/tmp:exec,mode=1777",
                "--privileged",
            ],
            Self::Listed => &[
                "--cgroupns=private",
                "--tmpfs=/run:exec,mode=755",
                "--tmpfs=/run/lock",
                "--tmpfs=/tmp:exec,mode=1777",
                "--cap-add=SYS_ADMIN",
                "--cap-add=NET_ADMIN",
                "--cap-add=SYS_PTRACE",
                "--cap-add=SYSLOG",
                "--cap-add=SYS_NICE",
                "--cap-add=IPC_LOCK",
                "--security-opt=seccomp=unconfined",
                "--security-opt=apparmor=unconfined",
                "--security-opt=systempaths=unconfined",
            ],
        }
    }
}

/// Tests which permissions this computer's Docker can give a container: Docker itself may lack a
/// capability, and then refuses to start a privileged container.
///
/// # Errors
/// When there is no Docker, or it does not end in time.
pub(super) async fn rights(image: &str) -> Result<Rights, MachineError> {
    let run = ["docker", "run", "--rm", "--privileged", "--network=none"];
    let argv = Argv::new(run.into_iter().chain(["--entrypoint=/bin/true", image]));
    let output = local::run(&argv, &[], DEADLINE).await.map_err(start_error)?;
    Ok(if output.status == 0 { Rights::Privileged } else { Rights::Listed })
}

/// Runs a `docker` command that must succeed, and returns its output.
///
/// # Errors
/// When there is no Docker, it does not answer, or it refuses.
pub(super) async fn docker(argv: &Argv) -> Result<String, MachineError> {
    docker_with(argv, &[]).await
}

/// As [`docker`], with standard input.
pub(super) async fn docker_with(
    argv: &Argv,
    input: &[u8],
) -> Result<String, MachineError> {
    let output = local::run(argv, input, DEADLINE).await.map_err(start_error)?;
    if output.status == 0 {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    is_alive().await?;
    let words = argv.words();
    Err(MachineError::Docker(local::LocalError::Failed {
        command: words[..words.len().min(3)].join(" "),
        status: output.status,
        stderr: reason::decisive_first(&String::from_utf8_lossy(&output.stderr)),
    }))
}

/// Asks Docker about things that may vanish meanwhile: those that do have no line in the answer.
///
/// # Errors
/// When there is no Docker, or it does not end in time.
pub(super) async fn docker_about(argv: &Argv) -> Result<String, MachineError> {
    let output = local::run(argv, &[], DEADLINE).await.map_err(start_error)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Distinguishes a Docker that refuses from a Docker that does not answer.
async fn is_alive() -> Result<(), MachineError> {
    let ask = Argv::new(["docker", "version", "--format", "{{.Server.Version}}"]);
    let output = local::run(&ask, &[], ALIVE).await.map_err(start_error)?;
    if output.status == 0 {
        return Ok(());
    }
    let said = reason::decisive_first(&String::from_utf8_lossy(&output.stderr));
    Err(MachineError::DockerDown { said })
}

fn start_error(error: local::LocalError) -> MachineError {
    match error {
        local::LocalError::Start { source, .. }
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            MachineError::NoDocker
        }
        other => MachineError::Docker(other),
    }
}

fn ours(cluster: &ClusterName) -> String {
    format!("label={CLUSTER}={cluster}")
}

#[derive(Deserialize)]
struct Listed {
    host: HostName,
    group: String,
    address: IpAddr,
    host_key: String,
    state: String,
}

impl From<Listed> for Existing {
    fn from(listed: Listed) -> Self {
        let Listed { host, group, address, host_key, state } = listed;
        let state = match state.as_str() {
            "running" => State::Running,
            "paused" => State::Paused,
            "created" => State::Unfinished,
            "removing" | "dead" => State::Going,
            _ => State::Stopped(state),
        };
        let machine =
            Machine { host, group, address, ssh: None, host_keys: vec![host_key] };
        Self { machine, state, started: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Size;

    fn cluster() -> ClusterName {
        "lab".parse().unwrap()
    }

    fn created(rights: Rights, memory: Option<Size>) -> Argv {
        let settings = Settings {
            cluster: cluster(),
            subnet: "10.77.0.0/24".parse().unwrap(),
            image: "platform/machine:abc".to_owned(),
            authorized_key: "ssh-ed25519 AAAALOGIN".to_owned(),
        };
        let new = NewMachine {
            host: "edge-1".parse().unwrap(),
            group: "edge".to_owned(),
            address: "10.77.0.14".parse().unwrap(),
            memory,
            remains: false,
        };
        create(&settings, rights, &new, "ssh-ed25519 AAAAHOST")
    }

    fn has(argv: &Argv, word: &str) -> bool {
        argv.words().iter().any(|found| found == word)
    }

    #[test]
    fn a_machine_carries_all_that_finds_it_again() {
        let argv = created(Rights::Listed, Some(Size::mib(512)));
        for word in [
            "--name=platform-lab-edge-1",
            "--label=platform.cluster=lab",
            "--label=platform.host=edge-1",
            "--label=platform.group=edge",
            "--label=platform.address=10.77.0.14",
            "--label=platform.host-key=ssh-ed25519 AAAAHOST",
            "--ip=10.77.0.14",
            "--memory=536870912",
        ] {
            assert!(has(&argv, word), "{word} in {argv:?}");
        }
        assert_eq!(argv.words().last().unwrap(), "platform/machine:abc");
    }

    #[test]
    fn memory_and_rights_are_as_asked() {
        let argv = created(Rights::Privileged, None);
        assert!(has(&argv, "--privileged") && !has(&argv, "--cap-add=SYS_ADMIN"));
        assert!(!argv.words().iter().any(|word| word.starts_with("--memory")));
        assert!(!has(&created(Rights::Listed, None), "--privileged"));
    }

    #[test]
    fn dockers_list_becomes_machines_by_name() {
        let line = |host: &str, state: &str| {
            format!(
                r#"{{"host":"{host}","group":"edge","address":"10.77.0.14","host_key":"ssh-ed25519 AAAA","state":"{state}"}}"#
            )
        };
        let text = [
            line("edge-2", "exited"),
            line("edge-1", "created"),
            line("edge-3", "removing"),
        ];
        let found = machines(&text.join("\n")).unwrap();
        assert_eq!(found[0].machine.host.as_str(), "edge-1");
        assert_eq!(found[0].state, State::Unfinished);
        assert_eq!(found[1].state, State::Stopped("exited".to_owned()));
        assert_eq!(found[1].machine.host_keys, ["ssh-ed25519 AAAA"]);
        assert_eq!(found[2].state, State::Going);
        assert!(machines("").unwrap().is_empty());
    }

    #[test]
    fn dockers_start_times_become_times_by_container() {
        let text = "/platform-lab-edge-1 2026-07-01T10:00:00.123456789Z\n\
                    /platform-lab-edge-2 never\n";
        let at = "2026-07-01T10:00:00.123456789Z".parse().unwrap();
        assert_eq!(started(text), [("platform-lab-edge-1".to_owned(), at)].into());
    }

    #[test]
    fn a_container_without_our_labels_is_an_error_and_no_machine() {
        let text =
            r#"{"host":"","group":"","address":"","host_key":"","state":"running"}"#;
        assert!(machines(text).is_err());
    }

    #[test]
    fn only_what_carries_the_clusters_label_is_looked_for() {
        for kind in Kind::IN_ORDER {
            assert!(has(&ask_names(kind, &cluster()), "label=platform.cluster=lab"));
        }
        assert!(has(&ask_machines(&cluster()), "label=platform.cluster=lab"));
    }
}
