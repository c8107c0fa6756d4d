//! Whole histories of a leader, without a world around it.

use super::leader::Core as _;
use super::*;
use crate::scheduler::Id;

/// A leader, the time, what is kept, and what the master was told.
struct World {
    core: Core,
    now: Timestamp,
    store: BTreeMap<String, Vec<u8>>,
    killed: Vec<String>,
    n_launched: usize,
}

fn rules() -> Rules {
    Rules {
        defaults: Defaults {
            cpus: 0.1,
            mem: 128.0,
            disk: 256.0,
            epsilon: "PT60S".into(),
            user: "root".into(),
        },
        roles: Roles::new(["*".to_owned()]),
        failure_retry: SignedDuration::from_secs(60),
        disable_after_failures: 0,
        revive_for_new_jobs: false,
        min_revive_interval: SignedDuration::from_secs(5),
    }
}

impl World {
    fn new() -> Self {
        Self::with(rules())
    }

    fn with(rules: Rules) -> Self {
        let now = "2020-10-29T10:00:00Z".parse().unwrap();
        let mut core = Core::new(rules);
        core.subscribed("F1", false, now);
        Self { core, now, store: BTreeMap::new(), killed: vec![], n_launched: 0 }
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
                Effect::Call(_) => {}
                Effect::Publish(event, _) => panic!("Chronos has no {event}"),
            }
        }
        self.n_launched += launched.len();
        launched
    }

    fn at_once(&mut self, name: &str, more: &Value) {
        self.put(json!({"name": name, "command": "true", "schedule": "R1//PT1H"}), more);
    }

    fn after(&mut self, name: &str, parents: &[&str]) {
        self.put(
            json!({"name": name, "command": "true", "parents": parents}),
            &json!({}),
        );
    }

    fn put(&mut self, mut definition: Value, more: &Value) {
        for (name, value) in more.as_object().unwrap() {
            definition[name] = value.clone();
        }
        let put = match definition.get("parents") {
            Some(_) => self.core.put_dependent(&definition),
            None => self.core.put_scheduled(&definition, self.now),
        };
        put.unwrap();
        self.drain();
    }

    /// After some seconds an offer comes; the ids of what is launched with it.
    fn after_seconds(&mut self, seconds: i64) -> Vec<String> {
        self.now += SignedDuration::from_secs(seconds);
        self.core.tick(self.now);
        self.offer(8.0)
    }

    fn offer(&mut self, cpus: f64) -> Vec<String> {
        let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}, "role": "*"});
        let offer = json!({
            "id": {"value": "O"}, "agent_id": {"value": "S1"}, "hostname": "w1",
            "resources": [scalar("cpus", cpus), scalar("mem", 8000.0), scalar("disk", 8000.0)],
        });
        self.core.offers(vec![serde_json::from_value(offer).unwrap()], self.now);
        let launched = self.drain();
        launched
            .iter()
            .map(|t| t["task_id"]["value"].as_str().unwrap().to_owned())
            .collect()
    }

    fn one(&mut self, seconds: i64) -> String {
        let launched = self.after_seconds(seconds);
        assert_eq!(launched.len(), 1, "{launched:?}");
        launched[0].clone()
    }

    fn tell(&mut self, task: &str, state: &str) {
        let status = Status {
            task_id: Id { value: task.into() },
            agent_id: Id { value: "S1".into() },
            state: state.into(),
            uuid: Some("u".into()),
            ..Status::default()
        };
        self.core.update(&status, self.now);
        self.drain();
    }

    fn job(&self, name: &str) -> &Job {
        self.core.job(name).unwrap()
    }

    /// Another leader takes up what is kept.
    fn fail_over(&mut self) {
        self.drain();
        let mut core = Core::new(self.core.rules.clone());
        core.recover(&self.store).unwrap();
        core.subscribed("F1", true, self.now);
        self.core = core;
    }
}

#[test]
fn a_job_runs_once_and_is_set_aside() {
    let mut world = World::new();
    world.at_once("a", &json!({}));
    let task = world.one(0);
    let due = world.now.as_millisecond();
    assert_eq!(task, format!("ct:{due}:0:a:"));
    assert_eq!(world.core.summary_json()["jobs"][0]["state"], "1 running");
    world.tell(&task, "TASK_RUNNING");
    world.tell(&task, "TASK_FINISHED");
    assert_eq!((world.job("a").success_count, world.job("a").disabled), (1, true));
    assert_eq!(world.core.summary_json()["jobs"][0]["status"], "success");
    assert_eq!(world.core.stat_json("a").unwrap()["histogram"]["count"], 1);
    assert_eq!(world.after_seconds(7200), [""; 0]);
    assert!(!world.store.keys().any(|path| path.starts_with("T_")));
}

#[test]
fn a_schedule_runs_until_it_is_used_up() {
    let mut world = World::new();
    let schedule = json!({"schedule": "R2/2020-10-29T11:00:00Z/PT1H"});
    world.at_once("a", &schedule);
    assert_eq!(world.after_seconds(60), [""; 0]);
    for n_done in 1..=2 {
        let task = world.one(3600);
        world.tell(&task, "TASK_FINISHED");
        assert_eq!(world.job("a").success_count, n_done);
    }
    assert!(world.job("a").disabled);
    assert_eq!(world.after_seconds(3600), [""; 0]);
}

#[test]
fn a_run_that_was_missed_by_more_than_epsilon_is_left_out() {
    let mut world = World::new();
    let schedule = json!({"schedule": "R3/2020-10-29T11:00:00Z/PT1H", "epsilon": "PT5M"});
    world.at_once("a", &schedule);
    let late = world.one(3600 + 240);
    world.tell(&late, "TASK_FINISHED");
    assert_eq!(world.after_seconds(3600 + 120), [""; 0]);
    assert_eq!(
        world.job("a").timing,
        Timing::At {
            schedule: "R1/2020-10-29T13:00:00.000Z/PT1H".into(),
            schedule_time_zone: String::new(),
        }
    );
}

#[test]
fn a_child_runs_after_all_of_its_parents() {
    let mut world = World::new();
    world.at_once("a", &json!({}));
    world.at_once("b", &json!({}));
    world.after("c", &["a", "b"]);
    let launched = world.after_seconds(0);
    assert_eq!(launched.len(), 2, "{launched:?}");
    world.tell(&launched[0], "TASK_FINISHED");
    assert_eq!(world.after_seconds(1), [""; 0]);
    world.tell(&launched[1], "TASK_FINISHED");
    let child = world.one(1);
    assert!(child.contains(":c:"), "{child}");
    assert_eq!(world.core.csv().lines().last(), Some("link,b,c"));
    assert!(world.core.dot().contains("1 -> 3;"));
}

#[test]
fn what_fails_is_tried_again_and_then_counted() {
    let mut world = World::with(Rules { disable_after_failures: 1, ..rules() });
    world.at_once("a", &json!({"retries": 1}));
    world.after("b", &["a"]);
    let first = world.one(0);
    world.tell(&first, "TASK_FAILED");
    assert_eq!((world.job("a").error_count, world.after_seconds(59)), (0, vec![]));
    let second = world.one(1);
    assert!(second.contains(":1:a:"), "{second}");
    world.tell(&second, "TASK_LOST");
    let job = world.job("a");
    assert_eq!((job.error_count, job.disabled, job.last_state()), (1, true, "failure"));
    assert_eq!(world.after_seconds(600), [""; 0]);
}

#[test]
fn a_soft_error_lets_children_run() {
    let mut world = World::new();
    world.at_once("a", &json!({"retries": 0, "softError": true}));
    world.after("b", &["a"]);
    let task = world.one(0);
    world.tell(&task, "TASK_FAILED");
    assert!(world.one(1).contains(":b:"));
}

#[test]
fn a_job_that_runs_is_not_run_beside_itself_unless_it_may_be() {
    let mut world = World::new();
    world.at_once("a", &json!({}));
    let task = world.one(0);
    world.tell(&task, "TASK_RUNNING");
    world.core.run_now("a", "", world.now).unwrap();
    assert_eq!(world.after_seconds(1), [""; 0]);
    world.tell(&task, "TASK_FINISHED");
    assert_eq!(world.after_seconds(1), [""; 0], "its turn was dropped");
    world.at_once("b", &json!({"concurrent": true}));
    world.core.run_now("b", "", world.now).unwrap();
    assert_eq!(world.after_seconds(1).len(), 2);
}

#[test]
fn offers_are_asked_for_where_the_flags_say_so() {
    let mut world = World::with(Rules { revive_for_new_jobs: true, ..rules() });
    world.drain();
    world.core.run_now("none", "", world.now).unwrap_err();
    let n_revived = |world: &mut World, seconds| {
        world.now += SignedDuration::from_secs(seconds);
        world.core.tick(world.now);
        let effects = world.core.effects().into_iter();
        effects.filter(|effect| matches!(effect, Effect::Call(Call::Revive))).count()
    };
    assert_eq!(n_revived(&mut world, 60), 0);
    world.at_once("a", &json!({}));
    assert_eq!((n_revived(&mut world, 1), n_revived(&mut world, 1)), (1, 0));
    assert_eq!(n_revived(&mut world, 4), 1);
}

#[test]
fn runs_wait_for_room_and_the_urgent_go_first() {
    let mut world = World::new();
    world.at_once("a", &json!({"cpus": 1.0}));
    world.at_once("b", &json!({"cpus": 1.0, "highPriority": true}));
    assert_eq!(world.offer(0.5), [""; 0]);
    let launched = world.offer(1.0);
    assert_eq!(launched.len(), 1);
    assert!(launched[0].contains(":b:"), "{launched:?}");
}

#[test]
fn another_leader_starts_nothing_twice_and_loses_nothing() {
    let mut world = World::new();
    world.at_once("a", &json!({}));
    let running = world.one(0);
    world.at_once("b", &json!({}));
    world.after("c", &["a"]);
    world.fail_over();
    let asked = world.core.effects().into_iter().find_map(|effect| match effect {
        Effect::Call(Call::Reconcile(tasks)) => Some(tasks),
        _ => None,
    });
    assert_eq!(asked.unwrap(), [(running.clone(), Some("S1".to_owned()))]);
    let launched = world.one(1);
    assert!(launched.contains(":b:"), "{launched}");
    world.tell(&running, "TASK_RUNNING");
    world.tell(&running, "TASK_FINISHED");
    assert!(world.one(1).contains(":c:"));
    assert_eq!(world.n_launched, 3);
}

#[test]
fn runs_are_killed_and_neither_counted_nor_tried_again() {
    let mut world = World::new();
    world.at_once("a", &json!({}));
    let task = world.one(0);
    world.core.kill_tasks("a").unwrap();
    world.drain();
    assert_eq!(world.killed, [task.as_str()]);
    world.tell(&task, "TASK_KILLED");
    assert_eq!((world.job("a").error_count, world.job("a").success_count), (0, 0));
    assert_eq!(world.after_seconds(600), [""; 0]);
}

#[test]
fn children_of_a_job_that_is_deleted_take_its_place() {
    let mut world = World::new();
    world.at_once("a", &json!({"schedule": "R/2030-01-01T00:00:00Z/P1D"}));
    world.after("b", &["a"]);
    world.after("c", &["b"]);
    world.core.delete("b").unwrap();
    assert_eq!(world.job("c").parents(), ["a"]);
    world.core.delete("a").unwrap();
    world.drain();
    let schedule = "R/2030-01-01T00:00:00Z/P1D".to_owned();
    let timing = Timing::At { schedule, schedule_time_zone: String::new() };
    assert_eq!(world.job("c").timing, timing);
    let kept: Vec<&str> = world.store.keys().map(String::as_str).collect();
    assert_eq!(kept, ["J_c", "frameworkId"]);
    assert!(matches!(world.core.delete("a"), Err(Refusal::Wrong(_))));
}

#[test]
fn definitions_that_cannot_be_are_refused() {
    let mut world = World::new();
    world.at_once("a", &json!({}));
    world.after("b", &["a"]);
    let now = world.now;
    let job = |more: Value| {
        let mut job = json!({"name": "x", "command": "true"});
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        job
    };
    let wrong = |result| matches!(result, Err(Refusal::Wrong(_)));
    let failed = |result| matches!(result, Err(Refusal::Failed(_)));
    assert!(wrong(world.core.put_scheduled(&job(json!({"schedule": "daily"})), now)));
    assert!(wrong(world.core.put_scheduled(&job(json!({"name": "a b"})), now)));
    assert!(wrong(world.core.put_dependent(&job(json!({"parents": ["none"]})))));
    assert!(failed(world.core.put_dependent(&job(json!({"parents": []})))));
    let circle = job(json!({"name": "a", "parents": ["b"]}));
    assert!(failed(world.core.put_dependent(&circle)));
    world.drain();
    assert_eq!(world.core.jobs_json().as_array().unwrap().len(), 2);
}

#[test]
fn a_success_that_was_not_had_can_be_counted() {
    let mut world = World::new();
    world.at_once("a", &json!({"disabled": true}));
    world.after("b", &["a"]);
    assert!(!world.core.mark_success("none", world.now));
    assert!(world.core.mark_success("a", world.now));
    assert_eq!(world.job("a").success_count, 1);
    assert!(world.one(1).contains(":b:"));
}

#[test]
fn jobs_are_found_by_parts_of_what_they_say() {
    let mut world = World::new();
    world.at_once("Backup", &json!({"command": "sh b.sh", "uris": ["file:///x"]}));
    world.at_once("clean", &json!({"command": "sh c.sh"}));
    let found = |name: &str, command: &str, any: &str, page: (usize, usize)| {
        let found = world.core.search_json(name, command, any, page);
        let found = found.as_array().unwrap().clone();
        found
            .iter()
            .map(|job| job["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(found("back", "", "", (0, 10)), ["Backup"]);
    assert_eq!(found("back", "c.sh", "", (0, 10)), [""; 0]);
    assert_eq!(found("none", "", "C.SH", (0, 10)), ["clean"]);
    assert_eq!(found("", "", "", (1, 1)), ["clean"]);
    assert_eq!(world.core.jobs_json()[0]["fetch"][0]["uri"], "file:///x");
}
