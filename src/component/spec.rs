//! What the rest of the program has to know about each component, in one place.
//!
//! Plans, gates, the checks before a run, lost secrets, `status` and the checks of the network
//! read it. A new component is a variant of [`Component`], a module with a `SPEC`, and its line
//! in [`Spec::of`]. No other code has a default case that could silently handle it.

use super::{
    Context, Stage, Wants, agent, chronos, marathon, master, registry, zookeeper,
};
use crate::inventory::catalog::Component;
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
    /// The name of several instances, within a sentence: `Mesos masters`.
    pub instances: &'static str,
    /// The texts for one instance that serves and for several; `{}` is replaced by their hosts.
    pub serve: [&'static str; 2],
    /// The unit that runs it.
    pub unit: &'static str,
    /// The stage that installs it.
    pub stage: Stage,
    /// The ports on which it listens. The first is the one on which it serves.
    pub ports: &'static [Port],
    /// What the loss of an instance means.
    pub redundancy: Redundancy,
    /// The components whose interruption stops it too. It starts again by itself within seconds;
    /// until then none of them may be interrupted again.
    pub interrupted_by: &'static [Component],
    /// The name under which it registers as a framework of Mesos, if it does.
    pub framework: Option<&'static str>,
    /// The secrets that its hosts hold. If they were made again, they would not match the hosts'.
    pub given: &'static [Given],
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
    /// The hosts that run one of these components.
    Hosts(&'static [Component]),
}

/// A secret of the state folder that hosts hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// A certificate that the cluster's certificate authority signed.
    Authority,
    /// A secret of this name.
    Secret(&'static str),
}

/// What the loss of an instance means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redundancy {
    /// A majority has to serve, and one of them leads.
    Quorum,
    /// One has to serve and lead; the others wait to take over.
    Standby,
    /// Each does its own share of the work; some of them may be interrupted at once.
    Pool,
    /// Each serves alone.
    Single,
}

impl Spec {
    /// The spec of a component.
    pub const fn of(component: Component) -> &'static Self {
        match component {
            Component::Registry => &registry::SPEC,
            Component::Zookeeper => &zookeeper::SPEC,
            Component::MesosMaster => &master::SPEC,
            Component::MesosAgent => &agent::SPEC,
            Component::Marathon => &marathon::SPEC,
            Component::Chronos => &chronos::SPEC,
        }
    }

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
        match self.redundancy {
            Redundancy::Quorum | Redundancy::Standby => true,
            Redundancy::Pool | Redundancy::Single => false,
        }
    }

    /// The port on which it serves.
    pub const fn port(&self) -> u16 {
        self.ports[0].number
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
    use crate::inventory::SERVICE_PORTS;

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
