//! Which tasks are the servers of a service. Pure.
//!
//! A server that is going is told apart from one that serves, because it may only leave when
//! another one is up. Invariant: what is missing in an answer never takes a server away that may
//! still be alive.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use crate::hints::Hints;
use crate::marathon::{App, Reading, State, Task, instance_of};
use crate::services::Service;

/// A server of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// The task.
    pub task: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What is wanted of it.
    pub role: Role,
}

/// What is wanted of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It serves.
    Serving,
    /// It leaves as soon as another one is up.
    Going,
}

/// Addresses of hosts that are named, not numbered.
pub type Names = BTreeMap<String, IpAddr>;

/// The tasks behind the addresses that are, or were a moment ago, in use.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    tasks: HashMap<SocketAddr, Known>,
}

#[derive(Debug, Clone)]
struct Known {
    task: String,
    is_own_network: bool,
}

/// What is known besides the app itself.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'at> {
    /// The whole answer of Marathon.
    pub reading: &'at Reading,
    /// The addresses of named hosts.
    pub names: &'at Names,
    /// The tasks that are going, by events.
    pub hints: &'at Hints,
    /// For how many seconds this leader has been followed. After a change of leader the results
    /// of checks are missing at first.
    pub seconds_with_leader: u64,
}

/// The servers of a service, in the order of their tasks. `present` are the addresses that the
/// service uses now.
pub fn servers(
    app: &App,
    service: &Service,
    present: &BTreeSet<SocketAddr>,
    memory: &Memory,
    at: Circumstances<'_>,
) -> Vec<Server> {
    let mut servers: BTreeMap<SocketAddr, Server> = BTreeMap::new();
    for task in &app.tasks {
        let Some(address) = memory.address(task, service, at.names) else { continue };
        let role = role(task, app, present.contains(&address), at);
        servers.extend(role.map(|role| {
            let task = task.id.clone();
            (address, Server { task, address, role })
        }));
    }
    for address in present {
        if !servers.contains_key(address) && memory.may_live(*address, app, at) {
            let task = memory.tasks.get(address).map(|known| known.task.clone());
            let task = task.unwrap_or_default();
            servers
                .insert(*address, Server { task, address: *address, role: Role::Going });
        }
    }
    let mut servers: Vec<Server> = servers.into_values().collect();
    servers.sort();
    servers
}

fn role(task: &Task, app: &App, is_present: bool, at: Circumstances<'_>) -> Option<Role> {
    let n_checks = app.health_checks.len();
    let keeps = is_present && lacks_results(task, app, at.seconds_with_leader);
    match task.state {
        State::Running if at.hints.is_going(&task.id) => {
            is_present.then_some(Role::Going)
        }
        State::Running if task.passes(n_checks) || keeps => Some(Role::Serving),
        State::Running | State::Killing => is_present.then_some(Role::Going),
        State::Starting | State::Ended => None,
    }
}

/// Whether the results are missing because another Marathon leads since a moment ago.
fn lacks_results(task: &Task, app: &App, seconds_with_leader: u64) -> bool {
    let intervals = app.health_checks.iter().map(|check| check.interval_seconds);
    let patience = 3 * u64::from(intervals.max().unwrap_or_default());
    task.health_check_results.is_empty() && seconds_with_leader < patience
}

impl Memory {
    /// Learns the addresses of an answer. Those of tasks that have left it are kept while they
    /// are in use.
    pub fn learn(
        &mut self,
        reading: &Reading,
        services: &[Service],
        names: &Names,
        in_use: &BTreeSet<SocketAddr>,
    ) {
        let mut by_app: HashMap<&str, Vec<&Service>> = HashMap::new();
        for service in services {
            by_app.entry(&service.of.app).or_default().push(service);
        }
        self.tasks.retain(|address, _| in_use.contains(address));
        for app in &reading.apps {
            for service in by_app.get(app.id.as_str()).into_iter().flatten() {
                self.learn_tasks(app, service, names);
            }
        }
    }

    fn learn_tasks(&mut self, app: &App, service: &Service, names: &Names) {
        for task in app.tasks.iter().filter(|task| task.state == State::Running) {
            if let Some(address) = address(task, service, names) {
                let is_own_network = task.ports.is_empty();
                let known = Known { task: task.id.clone(), is_own_network };
                self.tasks.insert(address, known);
            }
        }
    }

    /// Where a task listens. The address of its own network is only told while it runs: later it
    /// is the agent's.
    fn address(
        &self,
        task: &Task,
        service: &Service,
        names: &Names,
    ) -> Option<SocketAddr> {
        if task.state == State::Running || !task.ports.is_empty() {
            return address(task, service, names);
        }
        let is_it = |(_, known): &(&SocketAddr, &Known)| known.task == task.id;
        let port = service.container_port?;
        let mut own = self.tasks.iter().filter(is_it).map(|(address, _)| *address);
        own.find(|address| address.port() == port)
    }

    /// Whether a server that is in use, but in no task of its app, may still be alive: nothing
    /// says that its task has ended or that another one has its address.
    fn may_live(&self, address: SocketAddr, app: &App, at: Circumstances<'_>) -> bool {
        if app.instances == 0 || is_taken(address, at) {
            return false;
        }
        let Some(known) = self.tasks.get(&address) else { return true };
        let is_replaced = |task: &Task| task.instance() == instance_of(&known.task);
        let is_listed = app.tasks.iter().any(is_replaced);
        !known.is_own_network && !is_listed
    }
}

/// Whether a task of any app has this port of this host.
fn is_taken(address: SocketAddr, at: Circumstances<'_>) -> bool {
    let has = |task: &Task| {
        task.ports.contains(&u32::from(address.port()))
            && ip(&task.host, at.names) == Some(address.ip())
    };
    at.reading.apps.iter().flat_map(|app| &app.tasks).any(has)
}

fn address(task: &Task, service: &Service, names: &Names) -> Option<SocketAddr> {
    let (ip, port) = if task.ports.is_empty() {
        let own = task.ip_addresses.first()?;
        (own.ip_address.parse().ok()?, service.container_port?)
    } else {
        let port = *task.ports.get(service.of.index)?;
        (ip(&task.host, names)?, u16::try_from(port).ok()?)
    };
    (port > 0).then(|| SocketAddr::new(ip, port))
}

fn ip(host: &str, names: &Names) -> Option<IpAddr> {
    host.parse().ok().or_else(|| names.get(host).copied())
}

/// The hosts of an answer that are named, not numbered.
pub fn named_hosts(reading: &Reading) -> BTreeSet<&str> {
    let tasks = reading.apps.iter().flat_map(|app| &app.tasks);
    let hosts = tasks.map(|task| task.host.as_str());
    hosts.filter(|host| !host.is_empty() && host.parse::<IpAddr>().is_err()).collect()
}
