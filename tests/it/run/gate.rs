//! A gate is asked until it opens, and says what it saw.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use platform::event::{Event, Events};
use platform::plan::Gate;
use platform::run::gate::{Closed, Look, Witness, wait};
use tokio::time::Instant;

use crate::fake::Kept;

/// Says one thing after the other; the last one stays.
struct Says(Mutex<VecDeque<Look>>);

impl Witness for Says {
    fn look<'a>(&'a self, _: &'a Gate) -> BoxFuture<'a, Look> {
        let mut looks = self.0.lock().expect("no test panics while it writes");
        let look = match looks.len() {
            1 => looks[0].clone(),
            _ => looks.pop_front().expect("it was given looks"),
        };
        async move { look }.boxed()
    }
}

/// Waits for a gate of which this is seen: how it ended, what was told, how long it took.
async fn watch(looks: &[Look]) -> (Result<(), Closed>, Vec<Event>, Duration) {
    let kept = Arc::new(Kept::default());
    let witness = Says(Mutex::new(looks.iter().cloned().collect()));
    let gate = Gate::Ensemble(Vec::new());
    let begun = Instant::now();
    let ended = wait(&gate, &witness, &Events::to(kept.clone()), &|| false).await;
    (ended, kept.all(), begun.elapsed())
}

fn closed(seen: &str) -> Look {
    Look::Closed(seen.to_owned())
}

fn open(seen: &str) -> Look {
    Look::Open(seen.to_owned())
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
    assert!(shut.starts_with("waited 180s in vain until ZooKeeper"), "{shut}");
    let end = "; seen last: control-1 does not answer; another run looks anew and plans from \
               what it finds";
    assert!(shut.ends_with(end), "{shut}");
    assert!((180..182).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_stops_does_not_wait_but_an_open_gate_is_seen() {
    let stopped = async |look: Look| {
        let witness = Says(Mutex::new([look].into()));
        let events = Events::to(Arc::new(Kept::default()));
        wait(&Gate::Ensemble(Vec::new()), &witness, &events, &|| true).await
    };
    assert_eq!(stopped(open("all")).await, Ok(()));
    let seen = match stopped(closed("one")).await {
        Err(Closed::Stopped { seen, .. }) => seen,
        other => panic!("{other:?}"),
    };
    assert_eq!(seen, "one");
}
