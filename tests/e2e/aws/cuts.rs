//! Runs that are interrupted after any call, throttled, or overlap: the next run finishes the
//! work.

use std::time::Duration;

use platform::event::RunResult;
use serde_json::json;

use super::{BODY, calm, is_empty, is_whole, up};
use crate::harness::{Ec2, Lab, until};

/// The longest that a run may take until its next call.
const CALL: Duration = Duration::from_secs(60);

#[test]
fn a_run_that_is_killed_after_any_call_is_finished_by_the_next() {
    let whole = {
        let ec2 = Ec2::start();
        up(&Lab::aws(&ec2, BODY)).exits(0);
        ec2.changes().len()
    };
    for nth in 1..=whole {
        let ec2 = Ec2::start();
        let lab = Lab::aws(&ec2, BODY);
        killed_after(nth, &ec2, &lab, &UP);
        let next = up(&lab).exits(0);
        assert!(
            matches!(next.result(), RunResult::Changed | RunResult::Unchanged),
            "after call {nth}: {}",
            next.said()
        );
        is_whole(&ec2);
        assert_eq!(up(&lab).exits(0).result(), RunResult::Unchanged, "after call {nth}");
    }
}

const UP: [&str; 5] = ["up", "--machines-only", "--yes", "-o", "json"];

/// Runs this command, and kills the program after the given number of its changes.
fn killed_after(nth: usize, ec2: &Ec2, lab: &Lab, words: &[&str]) {
    let before = ec2.changes().len();
    let hold = json!({"action": "*changes", "do": "hold", "nth": nth});
    ec2.set_faults(&json!({ "rules": [hold] }));
    let run = lab.start(words);
    until("the call that is held", CALL, || {
        let held = ec2.changes().into_iter().skip(before);
        held.into_iter().find(|call| !call.faults.is_empty()).map(|_| ())
    });
    run.kill();
    calm(ec2);
}

#[test]
fn a_removal_that_is_killed_after_any_call_is_finished_by_the_next() {
    let down = ["down", "--yes", "-o", "json"];
    let whole = {
        let ec2 = Ec2::start();
        let lab = Lab::aws(&ec2, BODY);
        up(&lab).exits(0);
        let before = ec2.changes().len();
        lab.run(&down).exits(0);
        ec2.changes().len() - before
    };
    for nth in 1..=whole {
        let ec2 = Ec2::start();
        let lab = Lab::aws(&ec2, BODY);
        up(&lab).exits(0);
        killed_after(nth, &ec2, &lab, &down);
        lab.run(&down).exits(0);
        is_empty(&ec2);
    }
}

#[test]
fn a_cut_connection_costs_nothing_and_makes_nothing_twice() {
    for how in ["cut-before", "cut-after"] {
        let ec2 = Ec2::start();
        let lab = Lab::aws(&ec2, BODY);
        let cut = |action: &str| json!({"action": action, "do": how, "nth": 1});
        let rules = ["CreateVpc", "CreateSubnet", "RunInstances"].map(cut);
        ec2.set_faults(&json!({ "rules": rules }));
        let run = up(&lab).exits(0);
        assert!(run.stdout.contains("continuing from there now"), "{}", run.said());
        is_whole(&ec2);
    }
}

#[test]
fn a_throttled_run_waits_and_ends_well() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    ec2.set_faults(&json!({"rules": [{"action": "*", "do": "throttle", "every": 3}]}));
    assert_eq!(up(&lab).exits(0).result(), RunResult::Changed);
    is_whole(&ec2);
}

#[test]
fn what_aws_does_not_show_yet_is_not_made_twice() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    ec2.set_faults(&json!({"eventual": {"seconds": 2, "writes": true}}));
    assert_eq!(up(&lab).exits(0).result(), RunResult::Changed);
    is_whole(&ec2);
}

#[test]
fn two_runs_from_two_computers_make_one_cluster() {
    let ec2 = Ec2::start();
    let lab = Lab::aws(&ec2, BODY);
    let other = lab.folder().join("other");
    std::fs::create_dir(&other).expect("a folder");
    for name in ["lab.yaml", "key", "key.pub"] {
        std::fs::copy(lab.folder().join(name), other.join(name)).expect("a copy");
    }
    let first = lab.start(&UP);
    let second = lab.run_in(&other, &UP);
    let first = first.end();
    for run in [&first, &second] {
        assert!([0, 1, 4].contains(&run.code), "{}", run.said());
    }
    assert!(
        first.code == 0 || second.code == 0 || up(&lab).code == 0,
        "{}",
        first.said()
    );
    up(&lab).exits(0);
    is_whole(&ec2);
}
