//! Machines that are containers on this computer, with their own systemd, sshd and Docker.
//!
//! [`list`] and [`plan()`] say what exists and what to do; a [`MachineBuilder`] makes machines, in
//! parallel if the caller wishes; [`destroy`] removes everything of a cluster. Docker's labels are
//! the only record: a machine's name, group, address and host key are on its container.
//!
//! A machine's host key is made here and copied into it before it first starts, so its public
//! half is known without asking over the network. The private half is only in the container.
//!
//! Invariant: nothing without the cluster's label is stopped or removed.

mod boot;
mod docker;
mod limits;
mod network;
mod plan;
mod removal;

use std::time::Duration;

use crate::inventory::{Cidr, ClusterName};
use crate::remote::Argv;
use crate::remote::local::LocalError;

use docker::{Kind, Rights, docker};
pub use limits::raise_limits;
pub use network::NetworkError;
pub use plan::{
    ContainerPlan, Existing, NewMachine, NoRoom, State, Wanted, plan, wanted,
};
pub use removal::Wait;

pub use super::Machine;

/// The user to log in to local machines as; it may become root without a password.
pub const LOGIN_USER: &str = "platform";

/// The settings that all machines of a cluster share.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The cluster.
    pub cluster: ClusterName,
    /// Their network.
    pub subnet: Cidr,
    /// The image that they are made from, by its name in this computer's Docker.
    pub image: String,
    /// The public key that may log in, as one line of `authorized_keys`.
    pub authorized_key: String,
}

/// Makes machines: the network exists, and it is known what Docker allows.
#[derive(Debug, Clone)]
pub struct MachineBuilder {
    settings: Settings,
    rights: Rights,
}

/// Why local machines cannot be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// There is no Docker.
    #[error(
        "there is no `docker` on this computer: install it (`apt-get install docker.io`)"
    )]
    NoDocker,
    /// Docker does not answer.
    #[error(
        "Docker on this computer does not answer: start it (`systemctl start docker`), or \
         allow this user to use it (`usermod -aG docker USER`); it said: {said}"
    )]
    DockerDown {
        /// What `docker` said.
        said: String,
    },
    /// The image does not exist.
    #[error("Docker on this computer has no image `{0}`: build it first")]
    NoImage(String),
    /// The network cannot be made.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Docker refused, or did not end in time.
    #[error(transparent)]
    Docker(LocalError),
    /// Docker's answer cannot be parsed.
    #[error("cannot read the answer of `docker` about {what}")]
    Answer {
        /// The subject of the question.
        what: &'static str,
        /// What is wrong with the answer.
        source: serde_json::Error,
    },
    /// The machine was started, but does not accept a login.
    #[error(
        "{host} does not accept a login {}s after its start; last seen: {seen}; see \
         `docker logs {container}`", deadline.as_secs()
    )]
    NoLogin {
        /// The machine.
        host: crate::host::HostName,
        /// Its container.
        container: String,
        /// How long was waited.
        deadline: std::time::Duration,
        /// What was seen last.
        seen: String,
    },
    /// No host key could be made.
    #[error("cannot make a host key")]
    Key(#[from] russh::keys::ssh_key::Error),
    /// The files for a machine could not be packed.
    #[error("cannot pack the keys of a machine")]
    Pack(#[from] std::io::Error),
    /// The routes of this computer cannot be read.
    #[error("cannot read /proc/net/route, this computer's routes")]
    Routes(#[source] std::io::Error),
    /// Docker does not remove networks.
    #[error(
        "Docker does not remove {networks}, although no container is left: restart it \
         (`systemctl restart docker`), then run the command again; it said: {said}"
    )]
    Held {
        /// The networks.
        networks: String,
        /// Docker's last message.
        said: String,
    },
    /// Docker does not finish a removal.
    #[error(
        "Docker has not removed {things} within {}s; check its log (`journalctl -u docker`), \
         restart it if it hangs (`systemctl restart docker`), then run the command again; \
         it said: {said}", deadline.as_secs()
    )]
    NotRemoved {
        /// The containers or volumes.
        things: String,
        /// How long was waited.
        deadline: Duration,
        /// Docker's last message.
        said: String,
    },
    /// Something still exists after it was removed.
    #[error("these still exist after they were removed: {}", .0.join(", "))]
    Left(Vec<String>),
}

/// All machines of a cluster that Docker has, by name.
///
/// # Errors
/// When Docker does not answer, or another program made a container with this program's label.
pub async fn list(cluster: &ClusterName) -> Result<Vec<Existing>, MachineError> {
    let answer = docker(&docker::ask_machines(cluster)).await?;
    let mut machines = docker::machines(&answer)
        .map_err(|source| MachineError::Answer { what: "its containers", source })?;
    let container = |found: &Existing| docker::container(cluster, &found.machine.host);
    let runs = |found: &&Existing| found.state == State::Running;
    let running: Vec<String> = machines.iter().filter(runs).map(container).collect();
    if !running.is_empty() {
        let answer = docker::docker_about(&docker::ask_started(&running)).await?;
        let started = docker::started(&answer);
        for machine in &mut machines {
            machine.started = started.get(&container(machine)).copied();
        }
    }
    Ok(machines)
}

/// Checks that a cluster has its network, or can get it.
///
/// # Errors
/// When Docker does not answer, the network has other addresses, or another network or an
/// interface of this computer uses some of its addresses.
pub async fn check_network(
    cluster: &ClusterName,
    subnet: Cidr,
) -> Result<(), MachineError> {
    network_is_there(cluster, subnet, &routes().await?).await.map(drop)
}

/// Starts a machine that does not run, and waits until it accepts a login. A machine that runs is
/// not changed.
///
/// # Errors
/// When Docker refuses, or the machine does not accept a login before the deadline.
pub async fn start(
    cluster: &ClusterName,
    existing: &Existing,
) -> Result<(), MachineError> {
    let container = docker::container(cluster, &existing.machine.host);
    let verb = match existing.state {
        State::Paused => "unpause",
        State::Running | State::Unfinished | State::Going | State::Stopped(_) => "start",
    };
    docker(&Argv::new(["docker", verb, &container])).await?;
    boot::until_login(&existing.machine, &container).await
}

/// Removes everything that this provider made for a cluster, and returns what was removed, for
/// example `container platform-lab-edge-1`. If it is repeated, it returns nothing. `waits` gets
/// the things for which it waits until Docker has removed them.
///
/// # Errors
/// When Docker refuses, or something still exists at the end.
pub async fn destroy(
    cluster: &ClusterName,
    waits: &(dyn Fn(Wait) + Sync),
) -> Result<Vec<String>, MachineError> {
    let mut removed = Vec::new();
    for kind in Kind::IN_ORDER {
        let names = removal::all(kind, cluster, waits).await?;
        removed.extend(names.iter().map(|name| format!("{} {name}", kind.word())));
    }
    match everything(cluster).await? {
        left if left.is_empty() => Ok(removed),
        left => Err(MachineError::Left(left)),
    }
}

/// Everything that this provider made for a cluster and that still exists, for example
/// `volume platform-lab-edge-1-docker`.
///
/// # Errors
/// When Docker does not answer.
pub async fn everything(cluster: &ClusterName) -> Result<Vec<String>, MachineError> {
    let mut all = Vec::new();
    for kind in Kind::IN_ORDER {
        let names = names(kind, cluster).await?;
        all.extend(names.iter().map(|name| format!("{} {name}", kind.word())));
    }
    Ok(all)
}

impl MachineBuilder {
    /// Prepares this computer for machines: checks the image, makes the cluster's network if it
    /// is missing, finds out what Docker allows. If it is repeated, it changes nothing.
    ///
    /// # Errors
    /// When Docker does not answer, has no such image, or the network cannot be made.
    pub async fn open(settings: Settings) -> Result<Self, MachineError> {
        check_image(&settings.image).await?;
        make_network(&settings).await?;
        let rights = docker::rights(&settings.image).await?;
        Ok(Self { settings, rights })
    }

    /// Makes a machine, starts it, and waits until it accepts a login. If it is interrupted, it
    /// leaves a complete machine or an unfinished one, which [`list`] shows and [`plan()`] replaces.
    /// `waits` gets the things for which it waits until Docker has removed them.
    ///
    /// # Errors
    /// When Docker refuses, or the machine does not accept a login before the deadline.
    pub async fn create(
        &self,
        new: &NewMachine,
        waits: &(dyn Fn(Wait) + Sync),
    ) -> Result<Machine, MachineError> {
        let container = docker::container(&self.settings.cluster, &new.host);
        if new.remains {
            removal::one(Kind::Container, &self.settings.cluster, &container, waits)
                .await?;
        }
        let keys = boot::Keys::make(&self.settings.authorized_key)?;
        docker(&docker::create(&self.settings, self.rights, new, &keys.public)).await?;
        let copy = Argv::new(["docker", "cp", "-", &format!("{container}:/")]);
        docker::docker_with(&copy, &keys.pack()?).await?;
        docker(&Argv::new(["docker", "start", &container])).await?;
        let machine = Machine { host_keys: vec![keys.public], ..new.planned() };
        boot::until_login(&machine, &container).await?;
        Ok(machine)
    }
}

async fn check_image(image: &str) -> Result<(), MachineError> {
    let ask = Argv::new(["docker", "image", "ls", "--quiet", image]);
    match docker(&ask).await?.trim() {
        "" => Err(MachineError::NoImage(image.to_owned())),
        _ => Ok(()),
    }
}

async fn make_network(settings: &Settings) -> Result<(), MachineError> {
    let (cluster, subnet) = (&settings.cluster, settings.subnet);
    let routes = routes().await?;
    if network_is_there(cluster, subnet, &routes).await? {
        return Ok(());
    }
    let mtu = network::narrow(mtu(network::way_out(&routes)).await);
    let gateway = network::gateway(subnet);
    docker(&docker::create_network(cluster, subnet, gateway, mtu)).await.map(drop)
}

async fn network_is_there(
    cluster: &ClusterName,
    subnet: Cidr,
    routes: &[network::Route],
) -> Result<bool, MachineError> {
    let name = docker::network(cluster);
    Ok(network::is_there(&name, subnet, &networks().await?, routes)?)
}

async fn routes() -> Result<Vec<network::Route>, MachineError> {
    let table = tokio::fs::read_to_string("/proc/net/route").await;
    Ok(network::routes(&table.map_err(MachineError::Routes)?))
}

/// How often Docker is asked for its networks. Another program may remove one between the list and
/// the question about it, which then fails.
const TRIES: usize = 3;

async fn networks() -> Result<Vec<network::DockerNetwork>, MachineError> {
    let mut answer = listed_networks().await;
    for _ in 1..TRIES {
        if answer.is_err() {
            answer = listed_networks().await;
        }
    }
    serde_json::from_str(&answer?)
        .map_err(|source| MachineError::Answer { what: "its networks", source })
}

/// Every network, as Docker shows it.
async fn listed_networks() -> Result<String, MachineError> {
    let ids = docker(&Argv::new(["docker", "network", "ls", "--quiet"])).await?;
    let inspect = ["docker", "network", "inspect"].into_iter();
    docker(&Argv::new(inspect.chain(ids.split_whitespace()))).await
}

/// The MTU; `None` if there is no default route, or the kernel does not report it.
async fn mtu(interface: Option<&str>) -> Option<u32> {
    let file = format!("/sys/class/net/{}/mtu", interface?);
    tokio::fs::read_to_string(file).await.ok()?.trim().parse().ok()
}

async fn names(kind: Kind, cluster: &ClusterName) -> Result<Vec<String>, MachineError> {
    let answer = docker(&docker::ask_names(kind, cluster)).await?;
    Ok(answer.lines().map(str::to_owned).collect())
}
