//! From everything that is known to what HAProxy should do. Pure.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use crate::change::{self, Change, Layout, Situation};
use crate::marathon::App;
use crate::servers_state::{Backends, Slot, SlotState};
use crate::services::{self, PortOf, Quarantined, Service, Services};
use crate::settings::Settings;
use crate::wanted::{self, Circumstances, Memory, Present, Role, Server};

/// A list without any app, where there were apps, is believed after so long.
const DOUBT: Duration = Duration::from_secs(10);

/// The server of HAProxy's own configuration where nobody listens. Requests wait there, each for
/// [`HELD`] at most, until another server of their backend is up.
const NOBODY: &str = "nobody";
const HELD: Duration = Duration::from_secs(30);

/// Everything that is known.
#[derive(Debug, Clone, Copy)]
pub struct Known<'at> {
    /// What the balancer is told.
    pub settings: &'at Settings,
    /// What Marathon says.
    pub at: Circumstances<'at>,
    /// What HAProxy does.
    pub backends: &'at Backends,
    /// What HAProxy has loaded, in the order of apps and ports.
    pub loaded: &'at [Service],
    /// Services that HAProxy cannot load.
    pub broken: &'at [Broken],
    /// Whether "up" means that HAProxy has checked it.
    pub is_settled: bool,
}

/// A service that cannot be loaded, as long as it stays as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    /// The service.
    pub service: Service,
    /// The reason.
    pub reason: String,
    /// When to try again, if not only after a change.
    pub until: Option<Duration>,
}

/// What HAProxy should do.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// What is served, and what is not.
    pub services: Services,
    /// The servers and the change of each service, in the same order.
    pub backends: Vec<Backend>,
}

/// What one backend should do.
#[derive(Debug, Clone, Default)]
pub struct Backend {
    /// Its servers.
    pub servers: Vec<Server>,
    /// From what HAProxy does to these servers.
    pub change: Change,
    /// Its slots in the next configuration.
    pub layout: Layout,
    /// Whether HAProxy has loaded this very service, so that commands can change it.
    pub is_loaded: bool,
}

/// Decides about all services.
pub fn decide(known: Known<'_>, memory: &mut Memory) -> Decision {
    let services = services(known);
    let all: Vec<SocketAddr> =
        known.backends.values().flatten().filter_map(Slot::used).collect();
    let in_use: BTreeSet<SocketAddr> = all.into_iter().collect();
    memory.learn(known.at.reading, &services.services, known.at.names, &in_use);
    let apps: HashMap<&str, &App> =
        known.at.reading.apps.iter().map(|app| (app.id.as_str(), app)).collect();
    let backend = |service: &Service| {
        backend(service, apps.get(service.of.app.as_str()).copied(), known, memory)
    };
    Decision { backends: services.services.iter().map(backend).collect(), services }
}

/// The services of the list, and as they were those of apps that cannot be read.
fn services(known: Known<'_>) -> Services {
    // A backend's name says whose it is, also after a restart of this program.
    let had = |service: &Service| known.backends.contains_key(&service.name);
    let reading = known.at.reading;
    let mut found = services::from_apps(&reading.apps, known.settings, &had);
    for app in &reading.unreadable {
        let id = app.id.clone().unwrap_or_default();
        let kept = known.loaded.iter().filter(|service| service.of.app == id);
        let is_free =
            |at: &&Service| found.services.iter().all(|other| other.port != at.port);
        let kept: Vec<Service> = kept.filter(is_free).cloned().collect();
        found.services.extend(kept);
        let reason = format!("the app cannot be read: {}", app.reason);
        found.quarantined.push(Quarantined { app: id, index: None, reason });
    }
    found.set_aside(known.broken);
    found.services.sort_by(|one, other| one.of.cmp(&other.of));
    found.quarantined.sort();
    found
}

impl Services {
    /// Leaves out what cannot be loaded. What has changed since then is tried again.
    fn set_aside(&mut self, broken: &[Broken]) {
        for Broken { service, reason, .. } in broken {
            let Some(place) = self.services.iter().position(|at| at == service) else {
                continue;
            };
            let PortOf { app, index } = self.services.remove(place).of;
            self.quarantined.push(Quarantined {
                app,
                index: Some(index),
                reason: reason.clone(),
            });
        }
    }
}

/// Decides about one service.
pub fn backend(
    service: &Service,
    app: Option<&App>,
    known: Known<'_>,
    memory: &Memory,
) -> Backend {
    let slots = known.backends.get(&service.name).map_or(&[][..], Vec::as_slice);
    let present: Present =
        slots.iter().filter_map(|slot| Some((slot.used()?, slot.state()))).collect();
    let servers = match app {
        Some(app) => wanted::servers(app, service, &present, memory, known.at),
        None => present.keys().copied().map(unknown).collect(),
    };
    let situation = Situation {
        backend: &service.name,
        slots,
        wanted: &servers,
        is_vouched: service.is_vouched,
        is_settled: known.is_settled,
    };
    let change = situation.change();
    let loaded = known.loaded.binary_search_by(|at| at.of.cmp(&service.of));
    let is_same = |place: usize| known.loaded[place].name == service.name;
    let is_loaded = !slots.is_empty() && loaded.is_ok_and(is_same);
    let layout = change::layout(&change.layout, &servers);
    Backend { servers, change, layout, is_loaded }
}

/// A server of an app that cannot be read: it stays as it is.
fn unknown(address: SocketAddr) -> Server {
    Server { task: String::new(), address, is_own: false, role: Role::Serving }
}

impl Decision {
    /// Whether HAProxy has to load the file again.
    pub fn needs_reload(&self, loaded: &[Service]) -> bool {
        let lacks = |at: &Backend| !at.is_loaded || at.change.n_homeless > 0;
        self.services.services != loaded || self.backends.iter().any(lacks)
    }

    /// Whether a server waits for another one to be up.
    pub fn is_waiting(&self) -> bool {
        self.backends.iter().any(|backend| backend.change.is_waiting)
    }

    /// The services with the slots that they have now.
    pub fn as_is(&self) -> Vec<(&Service, &Layout)> {
        let layouts = self.backends.iter().map(|backend| &backend.change.layout);
        self.services.services.iter().zip(layouts).collect()
    }

    /// The services with the slots that they should have after a reload.
    pub fn reloaded(&self) -> Vec<(&Service, &Layout)> {
        let layouts = self.backends.iter().map(|backend| &backend.layout);
        self.services.services.iter().zip(layouts).collect()
    }
}

/// Ports that HAProxy listens on, from the names of its backends.
pub fn bound_ports(backends: &Backends) -> BTreeSet<u16> {
    let port = |name: &String| name.rsplit_once('_')?.1.parse().ok();
    backends.keys().filter_map(port).collect()
}

/// Whether a list is to be believed. One without any app, where there were apps, is doubted until
/// it has been repeated for a while: it takes everything away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Doubt {
    since: Option<Duration>,
}

impl Doubt {
    /// Judges a list that was read at this time.
    pub fn believes(&mut self, is_empty: bool, had_apps: bool, now: Duration) -> bool {
        if !is_empty || !had_apps {
            self.since = None;
            return true;
        }
        now >= *self.since.get_or_insert(now) + DOUBT
    }
}

/// Whether requests may wait in HAProxy for a leader. A process that is replaced checks no server
/// any more, so it would never find the new leader, and what waits in it would be given up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Leaderless {
    since: Option<Duration>,
}

impl Leaderless {
    /// Judges whether a reload has to be put off. Where nobody has led for longer than a request
    /// waits, a reload takes nothing away.
    pub fn puts_off_reload(&mut self, backends: &Backends, now: Duration) -> bool {
        if !backends.values().any(|slots| only_nobody_is_up(slots)) {
            self.since = None;
            return false;
        }
        now < *self.since.get_or_insert(now) + HELD
    }
}

fn only_nobody_is_up(slots: &[Slot]) -> bool {
    let mut up = slots.iter().filter(|slot| slot.state() == SlotState::Up);
    let holds = slots.iter().any(|slot| slot.name == NOBODY);
    holds && up.all(|slot| slot.name == NOBODY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers_state::tests::slot;

    #[test]
    fn what_cannot_be_loaded_is_left_out_until_it_changes() {
        let made = |labels: &[(&str, &str)]| {
            let apps = [crate::tests::app("/a", 10001, labels)];
            services::from_apps(&apps, &crate::tests::settings(), &|_| false)
        };
        let service = made(&[]).services.remove(0);
        let broken = [Broken { service, reason: "no".to_owned(), until: None }];
        let mut same = made(&[]);
        same.set_aside(&broken);
        assert_eq!((same.services.len(), same.quarantined.len()), (0, 1));
        let mut changed = made(&[("HAPROXY_0_MODE", "http")]);
        changed.set_aside(&broken);
        assert_eq!((changed.services.len(), changed.quarantined.len()), (1, 0));
    }

    #[test]
    fn an_empty_list_is_believed_only_after_a_while() {
        let mut doubt = Doubt::default();
        let at = Duration::from_secs;
        assert!(doubt.believes(true, false, at(0)));
        assert!(!doubt.believes(true, true, at(1)));
        assert!(!doubt.believes(true, true, at(10)));
        assert!(doubt.believes(true, true, at(11)));
        assert!(doubt.believes(false, true, at(12)));
        assert!(!doubt.believes(true, true, at(13)));
    }

    #[test]
    fn no_reload_takes_away_what_waits_for_a_leader() {
        let leader = |state| {
            Backends::from([
                (
                    "web_10001".to_owned(),
                    vec![slot("s1", "10.0.0.9:31000", SlotState::Down)],
                ),
                (
                    "chronos".to_owned(),
                    vec![
                        slot("control-1", "10.0.0.1:4400", state),
                        slot("nobody", "127.0.0.1:1", SlotState::Up),
                    ],
                ),
            ])
        };
        let (leads, lacks) = (leader(SlotState::Up), leader(SlotState::Down));
        let mut leaderless = Leaderless::default();
        let at = Duration::from_secs;
        assert!(!leaderless.puts_off_reload(&leads, at(0)));
        assert!(leaderless.puts_off_reload(&lacks, at(1)));
        assert!(leaderless.puts_off_reload(&lacks, at(30)));
        assert!(!leaderless.puts_off_reload(&lacks, at(31)), "what waits is given up");
        assert!(!leaderless.puts_off_reload(&leads, at(32)));
        assert!(leaderless.puts_off_reload(&lacks, at(33)));
    }
}
