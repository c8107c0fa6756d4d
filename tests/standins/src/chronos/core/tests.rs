//! What no recording shows, without a world around it.

use super::leader::Core as _;
use super::*;

fn core(revive_for_new_jobs: bool) -> (Core, Timestamp) {
    let rules = Rules {
        defaults: Defaults { cpus: 0.1, mem: 128.0, disk: 256.0, user: "root".into() },
        roles: Roles::new(["*".to_owned()]),
        failure_retry: SignedDuration::from_secs(60),
        disable_after_failures: 0,
        revive_for_new_jobs,
        min_revive_interval: SignedDuration::from_secs(5),
    };
    let now = "2020-10-29T10:00:00Z".parse().unwrap();
    let mut core = Core::new(rules);
    core.subscribed("F1", false, now);
    core.effects();
    (core, now)
}

fn put(core: &mut Core, name: &str, urgent: bool, now: Timestamp) {
    let job = json!({"name": name, "cpus": 1.0, "highPriority": urgent});
    core.put_scheduled(&job, now).unwrap();
}

#[test]
fn offers_are_asked_for_where_the_flags_say_so() {
    let (mut core, mut now) = core(true);
    let mut n_revived = |core: &mut Core, seconds| {
        now += SignedDuration::from_secs(seconds);
        core.tick(now);
        let effects = core.effects().into_iter();
        effects.filter(|effect| matches!(effect, Effect::Call(Call::Revive))).count()
    };
    assert_eq!(n_revived(&mut core, 60), 0);
    put(&mut core, "a", false, "2020-10-29T10:01:00Z".parse().unwrap());
    let counts = [1, 1, 4].map(|seconds| n_revived(&mut core, seconds));
    assert_eq!(counts, [1, 0, 1]);
}

#[test]
fn runs_wait_for_room_and_the_urgent_go_first() {
    let (mut core, now) = core(false);
    put(&mut core, "a", false, now);
    put(&mut core, "b", true, now);
    core.tick(now);
    let mut launched = |cpus: f64| {
        core.offers(vec![Offer::sample("w1", cpus, 8000.0)], now);
        let launched = core.effects().into_iter().filter_map(|effect| match effect {
            Effect::Call(Call::Launch { tasks, .. }) => Some(tasks),
            _ => None,
        });
        launched.flatten().map(|task| task["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(launched(0.5), [json!(null); 0]);
    assert_eq!(launched(1.0), ["ChronosTask:b"]);
}
