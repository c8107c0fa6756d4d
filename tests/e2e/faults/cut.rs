//! Interrupted runs: hosts that die, connections that break, operators who stop a run, and other
//! runs in between.

use std::time::Duration;

use platform::event::{Event, Outcome, RunResult};

use super::{SMALL, check_clean, check_finished, check_up};
use crate::harness::{Given, Lab, Run, Running, copy_folder, turn, until};

#[test]
fn a_run_that_is_cut_off_says_so_accounts_for_every_step_and_is_finished_by_the_next() {
    let _turn = turn();
    let given = Given::new(2);
    let lab = given.lab(SMALL);
    of_two_runs_the_second_is_told_who_goes_on(&given, &lab);
    an_operator_stops_a_run(&lab);
    an_impatient_operator_stops_a_run(&lab);
    another_run_changes_a_host_in_between(&given, &lab);
    a_session_is_killed(&given, &lab);
    a_host_dies_between_two_stages(&given, &lab);
    a_network_is_cut_for_a_while(&given, &lab);
    for number in [1, 2] {
        check_clean(&given.machine(number));
    }
}

#[test]
fn an_operator_stops_the_making_of_machines() {
    let _turn = turn();
    let lab = Lab::local(
        "groups: {node: {roles: [base], count: 12, memory: 256MiB}}\n\
         platform: {images: {images}}\n",
    );
    let mut run = lab.start(&["up", "--yes", "-o", "json"]);
    run.wait_for("a machine", |event| matches!(event, Event::StepFinished { .. }));
    run.signal("INT");
    let run = run.end().exits(130);
    assert_eq!(run.result(), RunResult::Interrupted, "{}", run.said());
    let is_left = |event: &Event| {
        matches!(event, Event::StepFinished { outcome: Outcome::NotStarted { .. }, .. })
    };
    let n_left = run.events().iter().filter(|event| is_left(event)).count();
    assert!(n_left > 0, "{}", run.said());
    let said = summary(&run);
    assert!(said.ends_with(&format!(", {n_left} left")), "{said}");
    lab.up();
    lab.is_settled();
}

fn of_two_runs_the_second_is_told_who_goes_on(given: &Given, lab: &Lab) {
    let mut first = start(lab);
    until_stage_begins(&mut first, "base");
    // Until the second run has checked, and for less time than a run may be silent.
    first.signal("STOP");
    check_up(lab, 4, &["is locked by", "since 20", "running `up`"]);
    let elsewhere = given.lab(SMALL);
    // Another computer has the secrets of the hosts, and its own journals.
    for folder in ["ca", "secrets"] {
        copy_folder(&lab.state().join(folder), &elsewhere.state().join(folder));
    }
    check_up(&elsewhere, 4, &["control-1 is being changed by another run", "since 20"]);
    first.signal("CONT");
    first.end().exits(0);
    check_finished(lab);
}

fn an_operator_stops_a_run(lab: &Lab) {
    let run = begin_anew(lab, "registry");
    run.signal("INT");
    let run = run.end().exits(130);
    assert_eq!(run.result(), RunResult::Interrupted);
    let said = summary(&run);
    assert!(said.starts_with("stopped: ") && said.ends_with(" left"), "{said}");
    check_accounted(&run);
    finish(lab);
}

fn an_impatient_operator_stops_a_run(lab: &Lab) {
    let mut run = begin_anew(lab, "registry");
    run.signal("INT");
    run.wait_for("a warning", |event| matches!(event, Event::Warned { .. }));
    run.signal("INT");
    run.end().exits(130);
    finish(lab);
}

fn another_run_changes_a_host_in_between(given: &Given, lab: &Lab) {
    let run = begin_anew(lab, "registry");
    given.machine(1).sh("echo another/0/0 >/var/lib/platform/generation");
    let run = run.end().exits(4);
    let said = run.said();
    assert!(said.contains("another run of platform changed this host"), "{said}");
    check_accounted(&run);
    finish(lab);
}

fn a_session_is_killed(given: &Given, lab: &Lab) {
    let mut run = begin_anew(lab, "zookeeper");
    run.wait_for("the image's pull", |event| match event {
        Event::StepStarted { step, .. } => step.starts_with("pull image"),
        _ => false,
    });
    given.machine(1).sh("pkill -KILL -f '^sshd: platform'");
    let run = run.end().exits(5);
    let said = run.said();
    assert!(
        said.contains("lost the connection to control-1 during apply zookeeper"),
        "{said}"
    );
    check_accounted(&run);
    finish(lab);
}

fn a_host_dies_between_two_stages(given: &Given, lab: &Lab) {
    let run = begin_anew(lab, "registry");
    given.machine(1).kill();
    let run = run.end().exits(5);
    let said = run.said();
    assert!(said.contains("lost the connection to control-1"), "{said}");
    let neighbour = |event: &Event| match event {
        Event::StageFinished { stage, ok, .. } => stage == "registry" && *ok,
        _ => false,
    };
    assert!(
        run.events().iter().any(neighbour),
        "its neighbour did not end its work\n{said}"
    );
    check_accounted(&run);
    check_up(lab, 5, &["cannot reach control-1", "Nothing was changed"]);
    given.machine(1).start();
    until("a login", Duration::from_secs(30), || {
        (lab.run(&["exec", "--", "true"]).code == 0).then_some(())
    });
    finish(lab);
}

/// The host does not notice the end of the run: it keeps the lock until the run has been silent
/// for too long.
fn a_network_is_cut_for_a_while(given: &Given, lab: &Lab) {
    let run = begin_anew(lab, "registry");
    let machine = given.machine(1);
    machine.sh("iptables -I INPUT -p tcp --dport 22 -j DROP");
    let run = run.end().exits(5);
    assert!(run.said().contains("it no longer answers"), "{}", run.said());
    check_accounted(&run);
    machine.sh("iptables -D INPUT -p tcp --dport 22 -j DROP");
    check_up(
        lab,
        0,
        &["waiting until control-1 releases the lock of an interrupted run"],
    );
    check_finished(lab);
}

fn start(lab: &Lab) -> Running {
    lab.start(&["up", "--yes", "-o", "json"])
}

/// Takes everything down and brings it up again, until a stage begins.
fn begin_anew(lab: &Lab, stage: &str) -> Running {
    lab.run(&["down", "--yes", "--purge"]).exits(0);
    let mut run = start(lab);
    until_stage_begins(&mut run, stage);
    run
}

fn until_stage_begins(run: &mut Running, name: &str) {
    run.wait_for(name, |event| match event {
        Event::StageStarted { stage, .. } => stage == name,
        _ => false,
    });
}

fn finish(lab: &Lab) {
    lab.up();
    check_finished(lab);
}

fn summary(run: &Run) -> String {
    match run.events().pop() {
        Some(Event::RunFinished { summary, .. }) => summary,
        other => panic!("the last event is {other:?}"),
    }
}

/// Checks that each planned step ended as done, failed or not started.
fn check_accounted(run: &Run) {
    let (mut planned, mut ended, mut failed) = (0, 0, 0);
    for event in run.events() {
        match event {
            Event::Planned { stages } => {
                planned = stages.iter().map(|stage| stage.n_changes).sum();
            }
            Event::StepFinished { outcome, .. } => {
                ended += 1;
                failed += usize::from(matches!(outcome, Outcome::Failed { .. }));
            }
            _ => {}
        }
    }
    assert_eq!(ended, planned, "{}", run.said());
    assert!(failed <= 1, "{}", run.said());
}
