//! Asks the components of a gate about their health, each through its own host.

pub(crate) mod services;
pub(crate) mod zookeeper;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use futures::stream::{self, StreamExt};

use services::Services;

use super::gate::{GateState, HealthCheck};
use super::reach;
use super::reboot::RebootCheck;
use super::registries::Registries;
use super::units::{self, Stuck, UnitRun};
use crate::component::{Health, Spec, remedy};
use crate::event;
use crate::inventory::Component;
use crate::plan::Gate;
use crate::secret::Redactor;
use crate::topology::Member;

/// The number of hosts whose units are checked at once.
const AT_ONCE: usize = 32;

/// The health of a cluster's components, as they report it on their own hosts.
pub(crate) struct ClusterHealth<'a> {
    /// Those that are asked over HTTP.
    pub(crate) services: Services<'a>,
    /// The cluster's registries.
    pub(crate) registries: Registries<'a>,
    /// Checks machines that reboot; `None` if no machine reboots and no lock is held.
    pub(crate) reboots: Option<RebootCheck<'a>>,
    /// Removes secrets from the log lines of units.
    pub(crate) redactor: &'a Redactor,
}

impl HealthCheck for ClusterHealth<'_> {
    fn look<'a>(&'a self, gate: &'a Gate) -> BoxFuture<'a, GateState> {
        async move {
            match (gate, &self.reboots) {
                (Gate::Booted(reboots), Some(check)) => check.look(reboots).await,
                (_, Some(reboots)) => reboots.with_lock(self.see(gate).await).await,
                (_, None) => self.see(gate).await,
            }
        }
        .boxed()
    }

    fn units<'a>(&'a self, gate: &'a Gate) -> BoxFuture<'a, Vec<UnitRun>> {
        async move {
            let Some((component, hosts)) = gate.who() else { return Vec::new() };
            let looks = hosts.into_iter().filter_map(|host| {
                let remote = self.services.fleet.get(host)?;
                Some(units::look(host, remote.as_ref(), Spec::of(component).unit))
            });
            let looks = stream::iter(looks.collect::<Vec<_>>());
            looks.buffer_unordered(AT_ONCE).filter_map(ready).collect().await
        }
        .boxed()
    }

    fn blocked<'a>(&'a self, gate: &'a Gate) -> BoxFuture<'a, Vec<String>> {
        async move {
            let Some((_, hosts)) = gate.who() else { return Vec::new() };
            let Services { topology, fleet, .. } = self.services;
            let connections = reach::connections_of(topology, &hosts);
            reach::sentences(&reach::blocked(fleet, connections).await)
        }
        .boxed()
    }

    fn last_words<'a>(&'a self, stuck: &'a Stuck) -> BoxFuture<'a, String> {
        async move {
            match self.services.fleet.get(&stuck.host) {
                Some(remote) => {
                    let words = units::last_words(remote.as_ref(), stuck.unit).await;
                    let words = self.redactor.clean(&words);
                    match remedy(stuck.unit, &words) {
                        Some(remedy) => format!("{words}\n{remedy}"),
                        None => words,
                    }
                }
                None => String::new(),
            }
        }
        .boxed()
    }
}

impl ClusterHealth<'_> {
    async fn see(&self, gate: &Gate) -> GateState {
        match gate {
            Gate::Serves { component, members } => self.ask(*component, members).await,
            Gate::Booted(_) => {
                GateState::Never("this run does not check for reboots".to_owned())
            }
        }
    }

    /// The health of these instances of a component, as they report it themselves.
    async fn ask(&self, component: Component, members: &[Member]) -> GateState {
        match Spec::of(component).health {
            Health::Registry => self.ask_registries(members).await,
            Health::Zookeeper => {
                let Services { fleet, topology, .. } = self.services;
                zookeeper::state(fleet, topology, members).await
            }
            Health::Agents => self.services.look_at_agents(members).await,
            Health::Leader
            | Health::Edge
            | Health::Balancer
            | Health::VirtualIp
            | Health::Copier => self.services.look(component, members).await,
        }
    }

    async fn ask_registries(&self, members: &[Member]) -> GateState {
        for member in members {
            match self.registries.check(&member.host).await {
                Ok(()) => {}
                Err(error) if error.is_final() => {
                    return GateState::Never(event::in_words(&error));
                }
                Err(error) => return GateState::Closed(event::in_words(&error)),
            }
        }
        GateState::Open("it asks for a password and accepts the cluster's".to_owned())
    }
}

/// Helpers for the tests of health checks.
#[cfg(test)]
mod fixture {
    use crate::topology::Member;

    pub(super) fn member(id: u8) -> Member {
        Member {
            id: id.into(),
            host: format!("control-{id}").parse().unwrap(),
            address: [10, 0, 0, id].into(),
        }
    }
}
