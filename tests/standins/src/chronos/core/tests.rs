//! Whole histories of a leader, without a world around it.

use super::leader::Core as _;
use super::*;

/// A leader, the time, and what is kept.
struct World {
    core: Core,
    now: Timestamp,
    store: BTreeMap<String, Vec<u8>>,
}

fn rules() -> Rules {
    Rules {
        defaults: Defaults { cpus: 0.1, mem: 128.0, disk: 256.0, user: "root".into() },
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
        Self { core, now, store: BTreeMap::new() }
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
                Effect::Call(_) => {}
                Effect::End(reason) => panic!("{reason}"),
                Effect::Publish(event, _) => panic!("Chronos has no {event}"),
            }
        }
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
        self.core.take_up();
        self.core.queue_due(self.now);
        self.drain();
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

    fn job(&self, name: &str) -> &Job {
        self.core.job(name).unwrap()
    }
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
