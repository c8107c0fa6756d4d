//! A gate is checked until it opens, and reports what it saw.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use platform::event::{Event, Events};
use platform::inventory::Component;
use platform::plan::Gate;
use platform::run::gate::{Closed, GateState, HealthCheck, wait};
use platform::run::units::{Stuck, UnitRun};
use tokio::time::Instant;

use crate::fake::Kept;

/// Gives one result after the other; the last one stays. At each check its unit has been
/// restarted once more, up to a limit.
struct Says {
    looks: Mutex<VecDeque<GateState>>,
    n_restarts: Mutex<u64>,
    at_most: u64,
}

impl HealthCheck for Says {
    fn look<'a>(&'a self, _: &'a Gate) -> BoxFuture<'a, GateState> {
        let mut looks = self.looks.lock().expect("no test panics while it writes");
        let look = match looks.len() {
            1 => looks[0].clone(),
            _ => looks.pop_front().expect("it was given looks"),
        };
        async move { look }.boxed()
    }

    fn units<'a>(&'a self, _: &'a Gate) -> BoxFuture<'a, Vec<UnitRun>> {
        let mut n = self.n_restarts.lock().expect("no test panics while it writes");
        *n = (*n + 1).min(self.at_most);
        let unit = UnitRun {
            host: "control-1".parse().expect("a host's name"),
            unit: "platform-zookeeper.service",
            active: "activating".to_owned(),
            n_restarts: *n,
        };
        async move { vec![unit] }.boxed()
    }

    fn blocked<'a>(&'a self, _: &'a Gate) -> BoxFuture<'a, Vec<String>> {
        async { vec!["c2 does not reach port 2181 of control-1".to_owned()] }.boxed()
    }

    fn last_words<'a>(&'a self, _: &'a Stuck) -> BoxFuture<'a, String> {
        async { "java.io.EOFException\nthe log before it".to_owned() }.boxed()
    }
}

fn says(looks: &[GateState], at_most: u64) -> Says {
    let looks = Mutex::new(looks.iter().cloned().collect());
    Says { looks, n_restarts: Mutex::new(0), at_most }
}

/// Waits for a gate with these results: how it ended, the events, how long it took.
async fn watch(looks: &[GateState]) -> (Result<(), Closed>, Vec<Event>, Duration) {
    watch_unit(Component::Zookeeper, looks, 0).await
}

/// The same for a component, with a unit that is restarted this often.
async fn watch_unit(
    component: Component,
    looks: &[GateState],
    n_restarts: u64,
) -> (Result<(), Closed>, Vec<Event>, Duration) {
    let kept = Arc::new(Kept::default());
    let health = says(looks, n_restarts);
    let gate = Gate::Serves { component, members: Vec::new() };
    let begun = Instant::now();
    let ended = wait(&gate, &health, &Events::to(kept.clone()), &|| false).await;
    (ended, kept.all(), begun.elapsed())
}

fn closed(seen: &str) -> GateState {
    GateState::Closed(seen.to_owned())
}

fn open(seen: &str) -> GateState {
    GateState::Open(seen.to_owned())
}

#[tokio::test(start_paused = true)]
async fn an_open_gate_is_passed_at_once() {
    let (ended, told, took) = watch(&[open("all serve")]).await;
    assert_eq!(ended, Ok(()));
    assert_eq!(took, Duration::ZERO);
    assert!(matches!(&told[..], [Event::GatePassed { seen, .. }] if seen == "all serve"));
}

#[tokio::test(start_paused = true)]
async fn a_gate_opens_as_soon_as_its_components_say_so_and_tells_only_what_is_new() {
    let looks = [closed("none"), closed("none"), closed("one"), open("all")];
    let (ended, told, took) = watch(&looks).await;
    assert_eq!(ended, Ok(()));
    assert_eq!(took, Duration::from_millis(750));
    let seen: Vec<&str> = told
        .iter()
        .map(|event| match event {
            Event::Waiting { seen, .. } | Event::GatePassed { seen, .. } => seen.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seen, ["none", "one", "all"]);
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_does_not_open_in_time_says_what_was_seen_last() {
    let (ended, _, took) =
        watch(&[closed("first"), closed("control-1 does not answer")]).await;
    let shut = ended.expect_err("it stays shut").to_string();
    assert!(shut.starts_with("gave up after waiting 180s until ZooKeeper"), "{shut}");
    let end = "; last seen: control-1 does not answer; the next run checks again and \
               plans from what it finds\nc2 does not reach port 2181 of control-1";
    assert!(shut.ends_with(end), "{shut}");
    assert!((180..182).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn images_may_take_any_time_to_copy_as_long_as_some_are_copied() {
    let each = (1..2_000).map(|n| closed(&format!("{n} MiB so far")));
    let looks: Vec<GateState> = each.chain([closed("no more")]).collect();
    let (ended, _, took) = watch_unit(Component::Copier, &looks, 0).await;
    let shut = ended.expect_err("it stays shut").to_string();
    assert!(shut.contains("nothing was copied in that time"), "{shut}");
    assert!((680..682).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_stops_does_not_wait_but_an_open_gate_is_seen() {
    let stopped = async |look: GateState| {
        let health = says(&[look], 0);
        let events = Events::to(Arc::new(Kept::default()));
        wait(
            &Gate::Serves { component: Component::Zookeeper, members: Vec::new() },
            &health,
            &events,
            &|| true,
        )
        .await
    };
    assert_eq!(stopped(open("all")).await, Ok(()));
    let seen = match stopped(closed("one")).await {
        Err(Closed::Stopped { seen, .. }) => seen,
        other => panic!("{other:?}"),
    };
    assert_eq!(seen, "one");
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_ends_at_each_start_ends_the_wait_with_its_own_words() {
    let (ended, told, took) =
        watch_unit(Component::Zookeeper, &[closed("control-1 is silent")], 100).await;
    let why = match ended {
        Err(Closed::Never { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    let lines: Vec<&str> = why.lines().collect();
    assert_eq!(
        lines,
        [
            "platform-zookeeper.service on control-1 ended and was started again 3 \
             times: its log says: java.io.EOFException",
            "the log before it",
            "repair that on control-1 (full log: `journalctl -u \
             platform-zookeeper.service` there), then run the command again",
        ]
    );
    assert!(took < Duration::from_secs(20), "{took:?}");
    let last = told.last().expect("something was told");
    assert!(
        matches!(last, Event::GateFailed { reason, .. } if *reason == why),
        "{last:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_ended_twice_is_waited_for_and_its_words_are_told_in_the_end() {
    let (ended, told, took) =
        watch_unit(Component::Zookeeper, &[closed("control-1 is silent")], 2).await;
    assert!(took >= Duration::from_secs(180), "{took:?}");
    let shut = ended.expect_err("it stays shut").to_string();
    assert!(shut.contains("its log says: java.io.EOFException"), "{shut}");
    let reason = told.iter().find_map(|event| match event {
        Event::GateFailed { reason, .. } => Some(reason),
        _ => None,
    });
    let reason = reason.expect("it is told that the gate failed");
    let begin =
        "last seen: control-1 is silent\nc2 does not reach port 2181 of control-1\n";
    assert!(reason.starts_with(begin), "{reason}");
}
