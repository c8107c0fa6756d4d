//! Machines that reboot: their last output, and what is waited for then.

use std::time::Duration;

use platform::component::Stage;
use platform::event::Outcome;
use platform::plan::{HostChanges, StagePlan};
use platform::remote::ErrorKind;
use platform::resource::{Action, Change, Key};
use platform::run::gate::GateState;
use tokio::time::Instant;

use super::apply::{Run, changes, name, stage, then, through};
use crate::fake::Act;

/// A setting, and the reboot that it needs.
fn hybrid(host: &str) -> HostChanges {
    let mut changes = changes(host, 1);
    let action = Action::Reboot { boot: "boot-1".to_owned() };
    let (key, reason) = (Key::Reboot, String::new());
    changes.changes.push(Change { key, verb: "reboot", reason, diff: None, action });
    changes
}

/// The reboot of one machine after the other, and a stage after them.
fn boots() -> Vec<StagePlan> {
    let boot = stage(Stage::Boot, &[hybrid("a"), hybrid("b")]);
    vec![boot, stage(Stage::Base, &[changes("a", 1), changes("b", 1)])]
}

fn closed(seen: &str) -> GateState {
    GateState::Closed(seen.to_owned())
}

#[tokio::test]
async fn a_machine_may_take_its_last_word_with_it() {
    let cut = || Act::Dies(then(1, &[r#"{"step":1,"state":"started"}"#]));
    let acts = || vec![cut(), Act::Ends(through(1), 0, "")];
    let run = Run::on(&[("a", acts()), ("b", acts())]);
    let tally = run.carry_out(boots()).await;
    assert!(tally.is_complete(), "{tally:?}");
    let back = ["a is back with cgroup v1", "b is back with cgroup v1"];
    assert_eq!(run.gates(), back);
}

#[tokio::test]
async fn a_connection_that_dies_before_the_reboot_was_begun_is_a_failure() {
    let run = Run::on(&[("a", vec![Act::Dies(through(1))]), ("b", Vec::new())]);
    let tally = run.carry_out(boots()).await;
    let [failure] = &tally.failed[..] else { panic!("{tally:?}") };
    assert_eq!(failure.step, "reboot the machine");
    assert_eq!(failure.host, Some(name("a")));
    assert_eq!(failure.why.kind, ErrorKind::Unreachable);
    assert_eq!(tally.n_not_started, 4, "{tally:?}");
}

#[tokio::test]
async fn a_machine_that_comes_back_as_it_was_stops_the_run_before_the_next() {
    let run = Run::on(&[("a", vec![Act::Ends(through(2), 0, "")]), ("b", Vec::new())]);
    run.sees([closed("a is down"), GateState::Never("a came back as it was".to_owned())]);
    let tally = run.carry_out(boots()).await;
    let [failure] = &tally.failed[..] else { panic!("{tally:?}") };
    assert_eq!(failure.why.kind, ErrorKind::Failed);
    assert_eq!(
        failure.why.said,
        "gave up waiting until a is back with cgroup v1: a came back as it was"
    );
    assert_eq!((tally.n_done, tally.n_not_started), (2, 4));
    let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed { .. });
    assert!(!run.outcomes().iter().any(failed), "the steps themselves were done");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_does_not_come_back_stops_the_run_with_what_to_do() {
    let run = Run::on(&[("a", vec![Act::Ends(through(2), 0, "")]), ("b", Vec::new())]);
    run.sees([closed("a is down")]);
    let begun = Instant::now();
    let tally = run.carry_out(boots()).await;
    let [failure] = &tally.failed[..] else { panic!("{tally:?}") };
    assert_eq!(failure.why.kind, ErrorKind::TimedOut);
    assert_eq!(
        failure.why.said,
        "gave up after waiting 900s until a is back with cgroup v1; last seen: a is \
         down; look at the machine's console, and make it boot; the boot setting is in \
         /etc/default/grub.d/99-platform.cfg; the next run checks again and plans from \
         what it finds"
    );
    assert!(begun.elapsed() < Duration::from_secs(910), "{:?}", begun.elapsed());
    assert_eq!((tally.n_done, tally.n_not_started), (2, 4));
}
