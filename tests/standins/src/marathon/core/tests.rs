//! Whole histories of a leader, without a world around it.

use super::leader::Core as _;
use super::*;
use crate::framework::offer::Offer;
use crate::marathon::core::changes::AppChange;
use crate::scheduler::{Id, Status};
use serde_json::json;

/// A leader, the time, and the tasks that it has started and ended.
struct World {
    core: Core,
    now: Timestamp,
    store: BTreeMap<String, Vec<u8>>,
    killed: Vec<String>,
}

fn rules() -> Rules {
    Rules {
        role: "*".into(),
        user: None,
        env_prefix: None,
        service_ports: 10000..=10010,
        max_versions: 3,
        max_deployments: 5,
        max_per_offer: 5,
        launch_timeout: SignedDuration::from_secs(300),
        min_revive_interval: SignedDuration::from_secs(5),
        suppress: true,
        maintenance_mode: true,
    }
}

impl World {
    fn new() -> Self {
        let now = "2020-10-29T10:00:00Z".parse().unwrap();
        let mut core = Core::new(rules());
        core.subscribed("F1", false, now);
        Self { core, now, store: BTreeMap::new(), killed: vec![] }
    }

    fn drain(&mut self) -> Vec<Value> {
        let mut launched = Vec::new();
        for effect in self.core.effects() {
            match effect {
                Effect::Save(path, value) => {
                    drop(self.store.insert(path, value.to_string().into()))
                }
                Effect::Forget(path) => drop(self.store.remove(&path)),
                Effect::Call(Call::Launch { tasks, .. }) => launched.extend(tasks),
                Effect::Call(Call::Kill { task, .. }) => self.killed.push(task),
                Effect::Call(_) | Effect::Publish(..) => {}
                Effect::End(reason) => panic!("{reason}"),
            }
        }
        launched
    }

    fn put(&mut self, app: &str, body: Value) -> Deployed {
        let taken = self.core.change_app(app, &body, (AppChange::Merge, false), self.now);
        self.drain();
        taken.unwrap().1
    }

    /// Offers a host; the tasks that it is given.
    fn offer(&mut self, host: &str) -> Vec<String> {
        self.core.offers(vec![Offer::sample(host, 8.0, 8192.0)], self.now);
        let launched = self.drain();
        launched
            .iter()
            .map(|t| t["task_id"]["value"].as_str().unwrap().to_owned())
            .collect()
    }

    fn tell(&mut self, task: &str, state: &str) {
        let status = Status {
            task_id: Id { value: task.into() },
            state: state.into(),
            uuid: Some("dQ==".into()),
            ..Status::default()
        };
        self.core.update(&status, self.now);
        self.drain();
    }

    fn run(&mut self, host: &str) -> Vec<String> {
        let tasks = self.offer(host);
        for task in &tasks {
            self.tell(task, "TASK_RUNNING");
        }
        tasks
    }

    fn later(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.core.tick(self.now);
        self.drain();
    }

    fn app(&self, app: &str) -> Value {
        self.core.app_json(app, Embed::ONE).unwrap()
    }

    fn n_deployments(&self) -> usize {
        self.core.deployments.len()
    }
}

const SLEEP: &str = "sleep 1000";

#[test]
fn a_new_leader_goes_on_where_the_old_one_stopped() {
    let mut world = World::new();
    world.put("/a", json!({"cmd": SLEEP, "instances": 2}));
    let tasks = world.offer("w1");
    world.tell(&tasks[0], "TASK_RUNNING");

    let mut core = Core::new(rules());
    core.recover(&world.store).unwrap();
    assert_eq!(core.link.framework_id.as_deref(), Some("F1"));
    core.subscribed("F1", true, world.now);
    let effects = core.effects();
    // Masters with a new registry know no task before the agents are back: the real one asks 15
    // seconds later.
    assert_eq!(asked(&effects), None);
    assert!(!effects.iter().any(|e| matches!(e, Effect::Call(Call::Kill { .. }))));
    core.reconcile();
    assert_eq!(asked(&core.effects()), Some(2));
    world.core = core;
    assert_eq!(world.offer("w1").len(), 0);
    world.tell(&tasks[1], "TASK_RUNNING");
    assert_eq!(world.n_deployments(), 0);
}

/// Of how many tasks the master is asked by name.
fn asked(effects: &[Effect]) -> Option<usize> {
    effects.iter().find_map(|effect| match effect {
        Effect::Call(Call::Reconcile(tasks)) => Some(tasks.len()),
        _ => None,
    })
}

#[test]
fn tasks_of_a_lost_agent_are_replaced_at_once() {
    let mut world = World::new();
    world.put("/a", json!({"cmd": SLEEP}));
    let tasks = world.run("w1");
    world.tell(&tasks[0], "TASK_UNREACHABLE");
    assert_eq!(world.run("w2").len(), 1);
    world.tell(&tasks[0], "TASK_RUNNING");
    assert_eq!(world.killed, tasks, "one that nobody knows any more is ended");
}

#[test]
fn tasks_that_are_to_stay_are_waited_for() {
    let mut world = World::new();
    world.put("/a", json!({"cmd": SLEEP, "unreachableStrategy": "disabled"}));
    let tasks = world.run("w1");
    world.tell(&tasks[0], "TASK_UNREACHABLE");
    world.later(1000);
    assert_eq!(world.run("w2").len(), 0);
    world.tell(&tasks[0], "TASK_RUNNING");
    assert_eq!(world.app("/a")["tasksRunning"], 1);
}

#[test]
fn killing_and_scaling_wants_fewer() {
    let mut world = World::new();
    world.put("/a", json!({"cmd": SLEEP, "instances": 3}));
    let tasks = world.run("w1");
    let killed = world
        .core
        .kill(&tasks[..1], Killing { scale: true, ..Killing::default() }, world.now)
        .unwrap();
    assert!(killed.is_some());
    world.drain();
    assert_eq!(world.killed, tasks[..1]);
    world.tell(&tasks[0], "TASK_KILLED");
    assert_eq!(world.app("/a")["instances"], 2);
    assert_eq!(world.n_deployments(), 0);
}
