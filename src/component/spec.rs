//! What the rest of the program has to know about each component, in one place.
//!
//! Plans, gates, the checks before a run, lost secrets, `status` and the checks of the network
//! read it. A new component is a variant of [`Component`], a module with a `SPEC`, and its line
//! in [`Spec::of`]. No other code has a default case that could silently handle it.

use super::znode::ZookeeperUser;
use super::{Context, Stage, Wants};
use crate::inventory::component::{Component, Redundancy};
use crate::resource::Facts;
use crate::resource::probe::Questions;
use crate::template::BadTemplate;
use crate::topology::Node;

/// A component, as the rest of the program knows it.
#[derive(Debug)]
pub struct Spec {
    /// The component.
    pub component: Component,
    /// The name of all its instances together, at the start of a sentence: `Mesos`.
    pub title: &'static str,
    /// The name of one instance, within a sentence: `the Mesos master`.
    pub instance: &'static str,
    /// The texts for one instance that serves and for several; `{}` is replaced by their hosts.
    pub serve: [&'static str; 2],
    /// The unit that runs it.
    pub unit: &'static str,
    /// The stage that installs it.
    pub stage: Stage,
    /// The ports on which it listens. The first is the one on which it serves.
    pub ports: &'static [Port],
    /// The components that it connects to.
    pub connects_to: &'static [Component],
    /// The components whose interruption stops it too. It starts again by itself within seconds;
    /// until then none of them may be interrupted again.
    pub interrupted_by: &'static [Component],
    /// How it registers as a framework of Mesos, if it does.
    pub framework: Option<Framework>,
    /// How it uses ZooKeeper, if it does.
    pub zookeeper: Option<ZookeeperUser>,
    /// What it uses of the state folder.
    pub state: &'static [StateUse],
    /// How it is asked whether it serves.
    pub health: Health,
    /// What it wants on a host.
    pub wants: fn(Context<'_>, &Facts) -> Result<Wants, BadTemplate>,
    /// Asks what it needs to know about a host, besides what its wanted resources ask.
    pub ask: fn(&mut Questions),
    /// What to do about an instance whose unit logged this text as it ended, if the text itself
    /// does not say so. The instruction does not name the host.
    pub remedy: fn(&str) -> Option<String>,
}

/// A TCP port on which a component listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// The hosts that connect to it.
    pub clients: Clients,
    /// Whether it listens on all addresses of its host, not only on the private one.
    pub on_all: bool,
}

impl Port {
    /// A port at a host's private address.
    pub(super) const fn new(number: u16, clients: Clients) -> Self {
        Self { number, clients, on_all: false }
    }

    /// The same port on all addresses of the host.
    pub(super) const fn on_all_addresses(self) -> Self {
        Self { on_all: true, ..self }
    }
}

/// Which hosts connect to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Every host that runs containers.
    Containers,
    /// The hosts of the components that say that they connect to this one.
    Users,
    /// The hosts that run one of these components.
    Hosts(&'static [Component]),
    /// No host of the cluster, but everyone outside who is let in.
    Outside,
}

/// How a framework registers at Mesos' masters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framework {
    /// Its name there, and the account with which it registers.
    pub principal: &'static str,
    /// The name of the secret that is this account's password.
    pub secret: &'static str,
}

/// Something of the state folder that a component uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateUse {
    /// A certificate that the cluster's certificate authority signed.
    Authority,
    /// The secret of this name. If it were made again, it would not match what hosts hold.
    Secret(&'static str),
    /// A secret that may be made again: all hosts get the new one in the same run.
    Renewable(&'static str),
}

impl StateUse {
    /// The name of the secret, if it is one.
    pub const fn secret(self) -> Option<&'static str> {
        match self {
            Self::Authority => None,
            Self::Secret(name) | Self::Renewable(name) => Some(name),
        }
    }
}

/// How a component is asked whether it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Over HTTPS, with a password and without one.
    Registry,
    /// By ZooKeeper's `mntr`.
    Zookeeper,
    /// At the leading Mesos master, which knows its agents.
    Agents,
    /// Over HTTP: each instance reports whether it serves, and one of them leads.
    Leader,
    /// Over HTTPS, without a password: it has to ask for one.
    Edge,
    /// At its host, over HTTP: whether HAProxy does what Marathon's apps want.
    Balancer,
    /// At its host: whether it has the virtual IP, as one of them does.
    VirtualIp,
    /// At its host, over HTTP: whether the registry there has all images.
    Copier,
}

impl Health {
    /// For what serves once it has done work that may take any time, as long as it reports
    /// progress: what to say if it reports none for long.
    pub const fn stopped_work(self) -> Option<&'static str> {
        match self {
            Self::Copier => Some(
                "nothing was copied in that time, and the copiers go on by themselves; ",
            ),
            Self::Registry
            | Self::Zookeeper
            | Self::Agents
            | Self::Leader
            | Self::Edge
            | Self::Balancer
            | Self::VirtualIp => None,
        }
    }
}

impl Spec {
    /// The specs of all components, in their order.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        Component::ALL.into_iter().map(Self::of)
    }

    /// The specs of the components that a host runs, in their order.
    pub fn of_node(node: &Node) -> impl Iterator<Item = &'static Self> {
        Self::all().filter(|spec| node.runs(spec.component))
    }

    /// The component that a unit runs; `None` for any other unit.
    pub fn of_unit(unit: &str) -> Option<&'static Self> {
        Self::all().find(|spec| spec.unit == unit)
    }

    /// Whether its instances serve together, so that no two may be interrupted at once.
    pub const fn serves_together(&self) -> bool {
        match self.component.redundancy() {
            Redundancy::Quorum | Redundancy::Standby | Redundancy::Replicas => true,
            Redundancy::Pool => false,
        }
    }

    /// Whether a host runs anything that connects to one of its ports.
    pub fn has_client(&self, port: Port, node: &Node) -> bool {
        match port.clients {
            Clients::Containers => node.has_containers(),
            Clients::Users => Self::of_node(node)
                .any(|other| other.connects_to.contains(&self.component)),
            Clients::Outside => false,
            Clients::Hosts(of) => of.iter().any(|component| node.runs(*component)),
        }
    }

    /// The port on which it serves; `None` if it listens on no TCP port.
    pub fn port(&self) -> Option<Port> {
        self.ports.first().copied()
    }
}

/// What to do about a component whose unit logged this text as it ended: see [`Spec::remedy`].
pub fn remedy(unit: &str, said: &str) -> Option<String> {
    Spec::of_unit(unit).and_then(|spec| (spec.remedy)(said))
}

/// For a component that asks nothing besides what its wanted resources ask.
pub(super) const fn asks_nothing(_: &mut Questions) {}

/// For a component whose own log says what to do.
pub(super) const fn no_remedy(_: &str) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::component::SERVICE_PORTS;

    #[test]
    fn no_task_is_given_a_port_of_the_platform() {
        let ports =
            Spec::all().flat_map(|spec| spec.ports.iter().map(|port| port.number));
        let mut ports: Vec<u16> = ports.collect();
        ports.sort_unstable();
        assert_eq!(ports, SERVICE_PORTS);
    }

    #[test]
    fn no_two_components_have_one_unit() {
        for spec in Spec::all() {
            let found = Spec::of_unit(spec.unit).map(|found| found.component);
            assert_eq!(found, Some(spec.component), "two have the unit {}", spec.unit);
        }
        assert!(Spec::of_unit("ssh.service").is_none());
    }

    #[test]
    fn nobody_ends_with_those_who_end_with_it() {
        for spec in Spec::all() {
            for other in spec.interrupted_by {
                let back = Spec::of(*other).interrupted_by;
                assert!(!back.contains(&spec.component), "{} and {other}", spec.title);
            }
        }
    }
}
