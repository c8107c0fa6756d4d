//! Which tasks are the servers of a service. Pure.
//!
//! A server that is going is told apart from one that serves, because it may only leave when
//! another one is up. Invariant: what is missing in an answer never takes a server away that may
//! still be alive.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use crate::hints::Hints;
use crate::marathon::{App, Reading, State, Task, instance_of};
use crate::servers_state::SlotState;
use crate::services::Service;

/// A server of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// The task.
    pub task: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether that is an address of its own, to which this host needs a route.
    pub is_own: bool,
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
    is_own: bool,
}

/// Where a task listens: at its host, or at an address of its own.
#[derive(Debug, Clone, Copy)]
struct Place {
    address: SocketAddr,
    is_own: bool,
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

/// The addresses that a service uses now, and what they do in HAProxy.
pub type Present = BTreeMap<SocketAddr, SlotState>;

/// The servers of a service, in the order of their tasks.
pub fn servers(
    app: &App,
    service: &Service,
    present: &Present,
    memory: &Memory,
    at: Circumstances<'_>,
) -> Vec<Server> {
    let mut servers: BTreeMap<SocketAddr, Server> = BTreeMap::new();
    for task in &app.tasks {
        let Some(place) = memory.place(task, service, at.names) else { continue };
        let Place { address, is_own } = place;
        let role = role(task, app, present.contains_key(&address), at);
        servers.extend(role.map(|role| {
            let task = task.id.clone();
            (address, Server { task, address, is_own, role })
        }));
    }
    for (address, state) in present {
        // One that drains has been replaced, and its task is no longer listed: it has ended.
        let is_needed = *state != SlotState::Draining && !servers.contains_key(address);
        if is_needed && memory.may_live(*address, app, at) {
            let task = memory.tasks.get(address).map(|known| known.task.clone());
            let task = task.unwrap_or_default();
            let (address, role) = (*address, Role::Going);
            servers.insert(address, Server { task, address, is_own: false, role });
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
    task.health_check_results.len() < app.health_checks.len()
        && seconds_with_leader < patience
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
            if let Some(place) = place(task, service, names) {
                let known = Known { task: task.id.clone(), is_own: place.is_own };
                self.tasks.insert(place.address, known);
            }
        }
    }

    /// Where a task listens. An address of its own is only told while it runs: later it is the
    /// agent's.
    fn place(&self, task: &Task, service: &Service, names: &Names) -> Option<Place> {
        let found = place(task, service, names);
        if task.state == State::Running || found.is_some_and(|place| !place.is_own) {
            return found;
        }
        let is_it = |(address, known): &(&SocketAddr, &Known)| {
            known.task == task.id && Some(address.port()) == service.container_port
        };
        let (address, known) = self.tasks.iter().find(is_it)?;
        Some(Place { address: *address, is_own: known.is_own })
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
        !known.is_own && !is_listed
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

fn place(task: &Task, service: &Service, names: &Names) -> Option<Place> {
    let is_own = task.ports.is_empty() || service.host_place.is_none();
    let (ip, port) = if is_own {
        let own = task.ip_addresses.first()?;
        (own.ip_address.parse().ok()?, service.container_port?)
    } else {
        let port = *task.ports.get(service.host_place?)?;
        (ip(&task.host, names)?, u16::try_from(port).ok()?)
    };
    (port > 0).then(|| Place { address: SocketAddr::new(ip, port), is_own })
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::marathon::Event;
    use crate::services::from_apps;
    use crate::tests::settings;

    const ONE: &str = "10.0.0.1:31001";
    const CHECKED: &str = r#""healthChecks":[{"protocol":"HTTP","intervalSeconds":10}],"#;

    /// Two lists of one app, one after the other, and what HAProxy does in between.
    struct Scene {
        members: &'static str,
        seconds_with_leader: u64,
        before: &'static str,
        present: &'static [(&'static str, SlotState)],
    }

    impl Default for Scene {
        fn default() -> Self {
            Self {
                members: r#""instances":1,"#,
                seconds_with_leader: 100,
                before: RUNS,
                present: &[(ONE, SlotState::Up)],
            }
        }
    }

    const RUNS: &str = r#"{"id":"w.instance-1._app.1","host":"10.0.0.1","ports":[31001],
        "state":"TASK_RUNNING","startedAt":"2026-11-29T15:12:00Z"}"#;

    fn reading(members: &str, tasks: &str) -> Reading {
        let app = format!(
            r#"{{"id":"/w",{members}"container":{{"portMappings":
                [{{"containerPort":80,"hostPort":0,"servicePort":10001}}]}},"tasks":[{tasks}]}}"#
        );
        Reading::parse(format!("{{\"apps\":[{app}]}}").as_bytes()).unwrap()
    }

    impl Scene {
        fn roles(&self, tasks: &str, hints: &Hints) -> Vec<(String, Role)> {
            let present: Present = self
                .present
                .iter()
                .map(|(at, state)| (at.parse().unwrap(), *state))
                .collect();
            let in_use = present.keys().copied().collect();
            let names = Names::from([("w1".to_owned(), "10.0.0.1".parse().unwrap())]);
            let mut memory = Memory::default();
            let mut found = Vec::new();
            for tasks in [self.before, tasks] {
                let reading = reading(self.members, tasks);
                let services = from_apps(&reading.apps, &settings(), &|_| false).services;
                memory.learn(&reading, &services, &names, &in_use);
                let seconds_with_leader = self.seconds_with_leader;
                let at = Circumstances {
                    reading: &reading,
                    names: &names,
                    hints,
                    seconds_with_leader,
                };
                found = servers(&reading.apps[0], &services[0], &present, &memory, at);
            }
            found.iter().map(|server| (server.address.to_string(), server.role)).collect()
        }
    }

    fn check(scene: &Scene, tasks: &str, expected: &[(&str, Role)]) {
        let found = scene.roles(tasks, &Hints::default());
        let found: Vec<(&str, Role)> =
            found.iter().map(|(address, role)| (address.as_str(), *role)).collect();
        assert_eq!(found, expected, "{tasks}");
    }

    #[test]
    fn a_host_may_be_named() {
        check(
            &Scene::default(),
            &RUNS.replace("10.0.0.1", "w1"),
            &[(ONE, Role::Serving)],
        );
    }

    #[test]
    fn a_task_that_is_killed_stays_until_it_has_ended() {
        let killing = RUNS.replace("RUNNING", "KILLING");
        check(&Scene::default(), &killing, &[(ONE, Role::Going)]);
        let new = Scene { present: &[], ..Scene::default() };
        check(&new, &killing, &[]);
        let killed = RUNS.replace("RUNNING", "KILLED").replace("31001", "");
        check(&Scene::default(), &killed, &[]);
    }

    #[test]
    fn a_task_that_is_no_longer_listed_goes_but_not_before_another_is_up() {
        check(&Scene::default(), "", &[(ONE, Role::Going)]);
        let draining =
            Scene { present: &[(ONE, SlotState::Draining)], ..Scene::default() };
        check(&draining, "", &[]);
        let scaled = Scene { members: r#""instances":0,"#, ..Scene::default() };
        check(&scaled, "", &[]);
    }

    #[test]
    fn an_address_that_another_task_has_is_not_kept() {
        let other = RUNS.replace("instance-1", "instance-2");
        check(&Scene::default(), &other, &[(ONE, Role::Serving)]);
        let elsewhere = other.replace("10.0.0.1", "10.0.0.2");
        let both = [(ONE, Role::Going), ("10.0.0.2:31001", Role::Serving)];
        check(&Scene::default(), &elsewhere, &both);
    }

    #[test]
    fn the_next_task_of_an_instance_replaces_the_one_before() {
        let next = RUNS.replace("_app.1", "_app.2").replace("RUNNING", "STAGING");
        check(&Scene::default(), &next.replace("31001", "31005"), &[]);
    }

    #[test]
    fn missing_results_of_a_new_leader_take_nothing_away() {
        let new = |seconds_with_leader| Scene {
            members: Box::leak(format!("\"instances\":1,{CHECKED}").into_boxed_str()),
            seconds_with_leader,
            ..Scene::default()
        };
        check(&new(29), RUNS, &[(ONE, Role::Serving)]);
        check(&new(30), RUNS, &[(ONE, Role::Going)]);
        check(&Scene { present: &[], ..new(1) }, RUNS, &[]);
    }

    #[test]
    fn the_own_address_of_a_task_is_remembered_while_it_is_killed() {
        let own = r#"{"id":"w.instance-1._app.1","host":"10.0.0.1","ports":[],
            "ipAddresses":[{"ipAddress":"172.30.0.9"}],"state":"TASK_RUNNING"}"#;
        let present = &[("172.30.0.9:80", SlotState::Up)];
        let scene = Scene { before: own, present, ..Scene::default() };
        // Marathon now tells the agent's address.
        let killing = own.replace("172.30.0.9", "10.0.0.1").replace("RUNNING", "KILLING");
        check(&scene, &killing, &[("172.30.0.9:80", Role::Going)]);
        check(&scene, "", &[]);
    }

    #[test]
    fn a_hint_makes_a_running_task_go() {
        let mut hints = Hints::default();
        let list = reading("", RUNS);
        let date: Timestamp = "2026-11-29T15:13:00Z".parse().unwrap();
        hints.on_reading(&list, date, Duration::ZERO);
        let instance = "w.instance-1".to_owned();
        let event = Event::Instance { instance, condition: "Running".to_owned() };
        hints.on_event(&event, Duration::ZERO);
        let roles = Scene::default().roles(RUNS, &hints);
        assert_eq!(roles, [(ONE.to_owned(), Role::Going)]);
    }
}
