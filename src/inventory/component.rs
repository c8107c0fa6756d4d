//! The components, the roles of machines that run them, and the ports on which they listen: what
//! an inventory has to know of them. All else is in a component's
//! [`Spec`](crate::component::Spec).

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// The port on which ZooKeeper serves its clients.
pub const ZOOKEEPER_PORT: u16 = 2181;
/// The ports on which ZooKeeper's members speak to each other: data, elections.
pub const ZOOKEEPER_PEER_PORTS: [u16; 2] = [2888, 3888];
/// The port on which the registry serves.
pub const REGISTRY_PORT: u16 = 5000;
/// The port on which a copier tells other copiers, and this program, about its registry.
pub const COPIER_PORT: u16 = 5001;
/// The port on which a Mesos master serves frameworks, agents and operators.
pub const MASTER_PORT: u16 = 5050;
/// The port on which a Mesos agent serves its master and operators.
pub const AGENT_PORT: u16 = 5051;
/// The port on which Marathon serves its clients.
pub const MARATHON_PORT: u16 = 8080;
/// The port on which Chronos serves its clients.
pub const CHRONOS_PORT: u16 = 4400;
/// The service ports that an app may have at the edge: the first and the last one.
pub const APP_PORTS: [u16; 2] = [10000, 20000];
/// The first service port that Marathon itself gives to apps that name none.
pub const FIRST_GIVEN_PORT: u16 = 10101;
/// The port on which the balancer tells its own host about itself.
pub const BALANCER_PORT: u16 = 9095;
/// At which the balancer tells HAProxy who leads Chronos, on the loopback address.
pub const LEADERS_PORT: u16 = 9096;
/// The common port for HTTPS at the edge: virtual hosts of apps, and else the landing page.
pub const PAGE_PORT: u16 = 443;
/// The common port for HTTP at the edge: virtual hosts of apps; all else is sent to HTTPS.
pub const PLAIN_PORT: u16 = 80;
/// The port on which the edge serves Marathon to everyone, with TLS and a password.
pub const MARATHON_EDGE_PORT: u16 = 8443;
/// The port on which the edge serves the leading Mesos master.
pub const MESOS_EDGE_PORT: u16 = 5443;
/// The port on which the edge serves Chronos.
pub const CHRONOS_EDGE_PORT: u16 = 4443;
/// The port on which the masters connect back to Marathon's driver. Without this setting Mesos
/// would choose a new port at each start, but a firewall has to know it.
pub const MARATHON_DRIVER_PORT: u16 = 9091;
/// The port on which the masters connect back to Chronos' driver.
pub const CHRONOS_DRIVER_PORT: u16 = 9092;

/// The ports of the platform's own services, in order: no task may get one of them.
pub(crate) const SERVICE_PORTS: [u16; 16] = [
    PLAIN_PORT,
    PAGE_PORT,
    ZOOKEEPER_PORT,
    ZOOKEEPER_PEER_PORTS[0],
    ZOOKEEPER_PEER_PORTS[1],
    CHRONOS_PORT,
    CHRONOS_EDGE_PORT,
    REGISTRY_PORT,
    COPIER_PORT,
    MASTER_PORT,
    AGENT_PORT,
    MESOS_EDGE_PORT,
    MARATHON_PORT,
    MARATHON_EDGE_PORT,
    MARATHON_DRIVER_PORT,
    CHRONOS_DRIVER_PORT,
];

/// What a machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// What every machine of the cluster gets, and nothing more.
    Base,
    /// All services that control the platform: ZooKeeper and, in a cluster with Mesos, its
    /// masters, Marathon and Chronos.
    Control,
    /// Only ZooKeeper.
    Zookeeper,
    /// Only a Mesos master.
    Master,
    /// Only Marathon.
    Marathon,
    /// Only Chronos.
    Chronos,
    /// A Mesos agent, which runs tasks.
    Agent,
    /// The edge of the cluster, which runs the registry and, in a cluster with Mesos, the proxy
    /// through which everyone reaches its services.
    Edge,
}

/// A program of the platform that runs on the machines. The variants are in the order in which
/// they are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// The private registry from which all machines get images.
    Registry,
    /// ZooKeeper.
    Zookeeper,
    /// A Mesos master.
    MesosMaster,
    /// A Mesos agent.
    MesosAgent,
    /// Marathon, which keeps services running.
    Marathon,
    /// Chronos, which runs jobs at their times.
    Chronos,
    /// HAProxy, through which everyone reaches the services of the cluster.
    Haproxy,
    /// The balancer, which gives the service ports of apps to their tasks, by configuring HAProxy.
    Balancer,
    /// keepalived, which gives one of the edge hosts the virtual IP.
    Keepalived,
    /// The copier, which gives the registry of its host what the other registries have.
    Copier,
}

/// What the loss of an instance means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redundancy {
    /// A majority has to serve, and one of them leads.
    Quorum,
    /// One has to serve and lead; the others wait to take over.
    Standby,
    /// Each can do all of the work, and one has to serve.
    Replicas,
    /// Each does its own share of the work; some of them may be interrupted at once.
    Pool,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 8] = [
        Self::Base,
        Self::Control,
        Self::Zookeeper,
        Self::Master,
        Self::Marathon,
        Self::Chronos,
        Self::Agent,
        Self::Edge,
    ];

    /// The role as it is written in an inventory.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Control => "control",
            Self::Zookeeper => "zookeeper",
            Self::Master => "master",
            Self::Marathon => "marathon",
            Self::Chronos => "chronos",
            Self::Agent => "agent",
            Self::Edge => "edge",
        }
    }

    /// Whether machines of this role are members of the ZooKeeper ensemble.
    pub const fn runs_zookeeper(self) -> bool {
        matches!(self, Self::Control | Self::Zookeeper)
    }

    /// Whether a machine of this role has an identity: other machines know it by its name, or it
    /// keeps data that a replacement has to take over.
    pub const fn has_identity(self) -> bool {
        !matches!(self, Self::Base | Self::Agent)
    }

    /// What a machine of this role runs that one of [`Role::Control`] runs too, with its article.
    pub(super) const fn part_of_control(self) -> Option<&'static str> {
        match self {
            Self::Zookeeper => Some("ZooKeeper"),
            Self::Master => Some("a Mesos master"),
            Self::Marathon => Some("Marathon"),
            Self::Chronos => Some("Chronos"),
            Self::Base | Self::Control | Self::Agent | Self::Edge => None,
        }
    }

    /// The role that a cluster without [`Role::Control`] has to have beside this one, and what for.
    pub(super) const fn needs(self) -> Option<(Self, &'static str)> {
        match self {
            Self::Agent | Self::Marathon | Self::Chronos => {
                Some((Self::Master, "its master"))
            }
            Self::Master => {
                Some((Self::Zookeeper, "ZooKeeper, where masters are elected"))
            }
            Self::Base | Self::Control | Self::Zookeeper | Self::Edge => None,
        }
    }

    /// Whether a cluster with this role has Mesos. `control` alone does not mean that: without
    /// other roles of Mesos, it is only a ZooKeeper ensemble.
    pub const fn brings_mesos(self) -> bool {
        matches!(self, Self::Master | Self::Marathon | Self::Chronos | Self::Agent)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a text does not name a component.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown component `{0}`")]
pub struct UnknownComponent(String);

impl Component {
    /// All components, in their order.
    pub const ALL: [Self; 10] = [
        Self::Registry,
        Self::Zookeeper,
        Self::MesosMaster,
        Self::MesosAgent,
        Self::Marathon,
        Self::Chronos,
        Self::Haproxy,
        Self::Balancer,
        Self::Keepalived,
        Self::Copier,
    ];

    /// The component as it is written in a catalogue.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Zookeeper => "zookeeper",
            Self::MesosMaster => "mesos-master",
            Self::MesosAgent => "mesos-agent",
            Self::Marathon => "marathon",
            Self::Chronos => "chronos",
            Self::Haproxy => "haproxy",
            Self::Balancer => "balancer",
            Self::Keepalived => "keepalived",
            Self::Copier => "copier",
        }
    }

    /// The components that come from images, in their order.
    pub fn with_images() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|component| component.has_image())
    }

    /// Whether it comes from an image that a catalogue names. The others travel inside this program.
    pub const fn has_image(self) -> bool {
        match self {
            Self::Registry
            | Self::Zookeeper
            | Self::MesosMaster
            | Self::MesosAgent
            | Self::Marathon
            | Self::Chronos
            | Self::Haproxy
            | Self::Keepalived => true,
            Self::Balancer | Self::Copier => false,
        }
    }

    /// What the loss of an instance means.
    pub const fn redundancy(self) -> Redundancy {
        match self {
            Self::Zookeeper | Self::MesosMaster => Redundancy::Quorum,
            Self::MesosAgent | Self::Copier => Redundancy::Pool,
            Self::Marathon | Self::Chronos | Self::Keepalived => Redundancy::Standby,
            Self::Registry | Self::Haproxy | Self::Balancer => Redundancy::Replicas,
        }
    }

    /// Several of its instances, within a sentence: `Mesos masters`.
    pub const fn instances(self) -> &'static str {
        match self {
            Self::Registry => "registries",
            Self::Zookeeper => "ZooKeeper members",
            Self::MesosMaster => "Mesos masters",
            Self::MesosAgent => "Mesos agents",
            Self::Marathon => "hosts of Marathon",
            Self::Chronos => "hosts of Chronos",
            Self::Haproxy => "edge hosts",
            Self::Balancer => "balancers",
            Self::Keepalived => "hosts for the virtual IP",
            Self::Copier => "copiers",
        }
    }

    /// Whether machines of a role run it, in a cluster with Mesos or without.
    pub(super) fn is_run_by(self, role: Role, has_mesos: bool) -> bool {
        let commands = has_mesos && role == Role::Control;
        match self {
            Self::Registry | Self::Copier => role == Role::Edge,
            Self::Zookeeper => role.runs_zookeeper(),
            Self::MesosMaster => commands || role == Role::Master,
            Self::MesosAgent => role == Role::Agent,
            Self::Marathon => commands || role == Role::Marathon,
            Self::Chronos => commands || role == Role::Chronos,
            Self::Haproxy | Self::Balancer | Self::Keepalived => {
                has_mesos && role == Role::Edge
            }
        }
    }
}

impl FromStr for Component {
    type Err = UnknownComponent;

    fn from_str(text: &str) -> Result<Self, UnknownComponent> {
        let found = Self::ALL.into_iter().find(|component| component.as_str() == text);
        found.ok_or_else(|| UnknownComponent(text.to_owned()))
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
