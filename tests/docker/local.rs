//! Real machines on this computer: they need Docker, and the machine image in it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use platform::images::build;
use platform::images::pins::Pins;
use platform::inventory::{self, ClusterName, Inventory};
use platform::provider::Machine;
use platform::provider::local::{
    self, LOGIN_USER, MachineBuilder, MachineError, Settings, State,
};

/// Removes everything when the test ends, however it ends.
struct Cleanup(&'static str);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let label = format!("label=platform.cluster={}", self.0);
        for (kind, options) in [("container", "-aq"), ("volume", "-q"), ("network", "-q")]
        {
            let list = docker(&[kind, "ls", options, "--filter", &label]);
            let names = String::from_utf8_lossy(&list.stdout).into_owned();
            for name in names.split_whitespace() {
                let force: &[&str] = if kind == "container" { &["-f"] } else { &[] };
                docker(&[&[kind, "rm"], force, &[name]].concat());
            }
        }
    }
}

fn docker(words: &[&str]) -> Output {
    Command::new("docker").args(words).output().expect("docker runs")
}

fn inventory(cluster: &str, subnet: &str, count: u16) -> Inventory {
    let text = format!(
        "cluster: {cluster}\n\
         provider: {{local: {{network: {{cidr: {subnet}}}}}}}\n\
         groups: {{node: {{roles: [base], count: {count}, memory: 512MiB}}}}\n"
    );
    inventory::read(&text, &|_: &Path| true).expect("the inventory is valid")
}

/// A key pair for each test, in its own folder.
fn login_key(folder: &Path) -> String {
    let key = folder.join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.expect("ssh-keygen runs").success());
    fs::read_to_string(key.with_extension("pub")).expect("the public key")
}

fn settings(cluster: &ClusterName, subnet: &str, folder: &Path) -> Settings {
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/machine");
    Settings {
        cluster: cluster.clone(),
        subnet: subnet.parse().expect("a network"),
        image: build::tag(&image, &Pins::default())
            .expect("the folder of the machine's image"),
        authorized_key: login_key(folder),
    }
}

/// Runs a command with the system's own ssh, which trusts only the machine's pinned key.
fn ssh(machine: &Machine, folder: &Path, command: &str) -> String {
    let known = folder.join("known_hosts");
    fs::write(&known, format!("{} {}\n", machine.address, machine.host_keys[0]))
        .expect("the known hosts");
    let output = Command::new("timeout")
        .args([
            "60",
            "ssh",
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
        ])
        .args(["-o", "ConnectTimeout=10", "-o", "IdentitiesOnly=yes", "-o"])
        .arg(format!("UserKnownHostsFile={}", known.display()))
        .arg("-i")
        .arg(folder.join("key"))
        .arg(format!("{LOGIN_USER}@{}", machine.address))
        .arg(command)
        .output()
        .expect("ssh runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command} on {}: {said}", machine.host);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

async fn make_all(
    builder: &MachineBuilder,
    inventory: &Inventory,
    subnet: &str,
) -> Vec<Machine> {
    let existing = local::list(&inventory.cluster).await.expect("Docker answers");
    let wanted = local::wanted(inventory);
    let plan = local::plan(&wanted, &existing, subnet.parse().expect("a network"))
        .expect("the network has room");
    let made = plan.create.iter().map(|new| builder.create(new, &|_| {}));
    futures::future::try_join_all(made).await.expect("machines come up")
}

#[tokio::test]
async fn machines_are_made_logged_in_to_stopped_started_and_destroyed() {
    const SUBNET: &str = "10.213.41.0/28";
    let cleanup = Cleanup("it-life");
    let folder = tempfile::tempdir().unwrap();
    let inventory = inventory(cleanup.0, SUBNET, 2);
    let cluster = &inventory.cluster;
    let builder =
        MachineBuilder::open(settings(cluster, SUBNET, folder.path())).await.unwrap();
    let machines = make_all(&builder, &inventory, SUBNET).await;

    let addresses: Vec<_> = machines.iter().map(|m| m.address.to_string()).collect();
    assert_eq!(addresses, ["10.213.41.11", "10.213.41.12"]);
    assert_ne!(machines[0].host_keys, machines[1].host_keys);
    for machine in &machines {
        ssh(
            machine,
            folder.path(),
            "until systemctl is-system-running; do sleep 0.1; done",
        );
        let limit = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes \
                     2>/dev/null || true";
        assert_eq!(ssh(machine, folder.path(), limit), (512 << 20).to_string());
        ssh(machine, folder.path(), "sudo docker info");
    }

    let container = format!("platform-it-life-{}", machines[0].host);
    assert!(docker(&["stop", &container]).status.success());
    let stopped = &local::list(cluster).await.unwrap()[0];
    assert_eq!(stopped.state, State::Stopped("exited".to_owned()));
    local::start(cluster, stopped).await.unwrap();
    assert_eq!(ssh(&machines[0], folder.path(), "hostname"), "node-1");

    let seen = local::list(cluster).await.unwrap();
    let seen: Vec<_> = seen.into_iter().map(|existing| existing.machine).collect();
    assert_eq!(seen, machines, "Docker remembers all of it");
    assert_eq!(local::destroy(cluster, &|_| {}).await.unwrap().len(), 5);
    assert!(local::everything(cluster).await.unwrap().is_empty());
    assert!(local::destroy(cluster, &|_| {}).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_machine_whose_making_was_broken_off_is_made_anew() {
    const SUBNET: &str = "10.213.42.0/28";
    let cleanup = Cleanup("it-broken");
    let folder = tempfile::tempdir().unwrap();
    let inventory = inventory(cleanup.0, SUBNET, 1);
    let cluster = &inventory.cluster;
    let settings = settings(cluster, SUBNET, folder.path());
    let half = [
        "create",
        "--name=platform-it-broken-node-1",
        "--label=platform.cluster=it-broken",
        "--label=platform.host=node-1",
        "--label=platform.group=node",
        "--label=platform.address=10.213.42.11",
        "--label=platform.host-key=ssh-ed25519 AAAA",
        &settings.image,
    ];
    assert!(docker(&half).status.success());
    let builder = MachineBuilder::open(settings.clone()).await.unwrap();

    let machines = make_all(&builder, &inventory, SUBNET).await;
    assert_eq!(ssh(&machines[0], folder.path(), "hostname"), "node-1");
    local::destroy(cluster, &|_| {}).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_before_anything_is_made() {
    const SUBNET: &str = "10.213.43.0/28";
    let _cleanup = Cleanup("it-refused");
    let folder = tempfile::tempdir().unwrap();
    let cluster: ClusterName = "it-refused".parse().unwrap();
    let good = settings(&cluster, SUBNET, folder.path());

    let no_image = Settings { image: "platform/machine:none".to_owned(), ..good.clone() };
    let refused = MachineBuilder::open(no_image).await;
    assert!(matches!(refused, Err(MachineError::NoImage(_))), "{refused:?}");

    let label = "--label=platform.cluster=it-refused";
    let other =
        ["network", "create", label, "--subnet=10.213.43.0/26", "it-refused-other"];
    assert!(docker(&other).status.success());
    let refused = MachineBuilder::open(good).await;
    let said = refused.expect_err("the networks overlap").to_string();
    assert!(said.contains("it-refused-other"), "{said}");
    assert!(local::list(&cluster).await.unwrap().is_empty());
}
