//! A new firewall stays only if a new connection gets through.

use platform::component::Stage;
use platform::event::Outcome;
use platform::plan::{HostChanges, StagePlan};
use platform::resource::{Action, Change, Firewall, Key};
use tokio::time::Instant;

use super::apply::{Run, changes, name, stage, through};
use crate::fake::Act;

/// A change before the rules are loaded.
fn loads(host: &str) -> HostChanges {
    let mut changes = changes(host, 1);
    let action = Action::LoadFirewall(Firewall { rules: "a-hash".to_owned() });
    let (key, reason) = (Key::Firewall, String::new());
    changes.changes.push(Change { key, verb: "load", reason, diff: None, action });
    changes
}

fn stages() -> Vec<StagePlan> {
    let next = stage(Stage::Registry, &[changes("a", 1)]);
    vec![stage(Stage::Firewall, &[loads("a")]), next]
}

fn loaded() -> Act {
    Act::Ends(through(2), 0, "")
}

#[tokio::test]
async fn a_step_is_done_once_a_new_connection_has_confirmed_it() {
    let well = || Act::Ends(Vec::new(), 0, "");
    let run = Run::on(&[("a", vec![loaded(), well(), Act::Ends(through(1), 0, "")])]);
    let tally = run.carry_out(stages()).await;
    assert!(tally.is_complete(), "{tally:?}");
    let asked = run.asked(0);
    let script = "/etc/platform/firewall/firewall";
    assert_eq!(asked[1].words, ["sh", script, "confirm", "a-hash"]);
    assert_eq!(run.outcomes(), vec![Outcome::Done; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_firewall_that_was_taken_back_fails_with_the_address_to_let_in() {
    let away = || Act::Dies(Vec::new());
    let back = Act::Ends(Vec::new(), Firewall::TAKEN_BACK, "");
    let from = Act::Ends(vec!["192.0.2.9".to_owned()], 0, "");
    let run = Run::on(&[("a", vec![loaded(), away(), away(), back, from])]);
    let tally = run.carry_out(stages()).await;
    let [failure] = &tally.failed[..] else { panic!("{tally:?}") };
    assert_eq!(
        (failure.host.clone(), &*failure.step),
        (Some(name("a")), "load firewall")
    );
    assert_eq!(
        failure.why.said,
        "the firewall of a was taken back: a new SSH connection did not get through (lost the \
         connection to a during confirm the firewall); add 192.0.2.9, from which your \
         connections reach it, to `admin_cidrs`"
    );
    assert_eq!((tally.n_done, tally.n_not_started), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_stays_silent_is_given_up_after_it_has_taken_its_firewall_back() {
    let silent = vec![Act::Hangs(Vec::new()); 9];
    let acts = [vec![loaded()], silent].concat();
    let run = Run::on(&[("a", acts)]);
    let begun = Instant::now();
    let tally = run.carry_out(stages()).await;
    assert!(begun.elapsed() > Firewall::TRIAL, "{:?}", begun.elapsed());
    assert!(begun.elapsed() < Firewall::TRIAL * 3, "{:?}", begun.elapsed());
    let [failure] = &tally.failed[..] else { panic!("{tally:?}") };
    assert!(failure.why.said.contains("by itself"), "{}", failure.why.said);
}

#[tokio::test]
async fn rules_that_the_host_refuses_are_not_confirmed() {
    let refused = r#"{"step":1,"state":"failed","status":1,"said":"bm8="}"#;
    let lines = super::apply::then(1, &[r#"{"step":1,"state":"started"}"#, refused]);
    let run = Run::on(&[("a", vec![Act::Ends(lines, 1, "")])]);
    let tally = run.carry_out(stages()).await;
    let [failure] = &tally.failed[..] else { panic!("{tally:?}") };
    assert_eq!(failure.why.said, "no");
    assert_eq!(run.asked(0).len(), 1);
}
