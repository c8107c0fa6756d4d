//! A run that dies at any of its steps: the next one finishes, and nothing is lost.
//!
//! The programs with which the scripts change things count down, and the last one kills the whole
//! run. So a run is stopped before its first such call, before its second, and so on until its
//! end: at every possible moment.

use std::path::Path;

use platform::resource::{File, Resource, Unit, retire};

use super::host::{Host, Tree, is_done, progress};
use super::probe::{at, file, hidden, sysctl};

/// Several things with more than one step; one of the files is replaced.
fn want() -> Vec<Resource> {
    let own = File::public(at("/etc/systemd/system/x.service"), "[Service]\n".to_owned());
    let unit = Unit::named("x.service").started_with([&own]);
    let drop_in = unit.drop_in().expect("it has an input");
    vec![
        sysctl("vm.swappiness", "1"),
        file("/etc/theirs", "ours\n"),
        hidden("/srv/app/key", "secret"),
        Resource::File(own),
        Resource::File(drop_in),
        Resource::Unit(unit),
    ]
}

fn host() -> Host {
    let host = Host::new();
    host.write("/etc/theirs", b"theirs\n");
    host
}

/// Runs until it is killed after `n_calls`; returns whether it finished before.
fn survives(host: &Host, want: &[Resource], n_calls: u32) -> bool {
    let (facts, changes) = host.changes(want);
    host.mortal(n_calls);
    progress(host.start(&facts, &changes, "test/0/0"));
    host.immortal()
}

fn check_as_before(host: &Host, before: &Tree, n_calls: u32) {
    let mut after = host.tree();
    // A kill at the very end may leave a run's own files and its lock, without a record.
    after.retain(|path, _| {
        !path.starts_with("var/lib/platform/staged") && !path.starts_with("run/platform")
    });
    after.remove(Path::new("var/lib/platform"));
    let paths = before.keys().chain(after.keys());
    let other: Vec<_> =
        paths.filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(other.is_empty(), "killed after {n_calls} calls, not as before: {other:?}");
}

/// Kills at every second moment, from the first or from the second on.
fn check_applying(first: u32) {
    let want = want();
    for n_calls in (first..).step_by(2) {
        let host = host();
        let before = host.tree();
        let ended = survives(&host, &want, n_calls);
        let theirs = host.text("/etc/theirs");
        assert!(["theirs\n", "ours\n"].contains(&theirs.as_str()), "{n_calls}: {theirs}");
        let said = host.apply(&want);
        assert!(is_done(&said), "killed after {n_calls} calls, then {said:?}");
        assert_eq!(host.changes(&want).1, [], "killed after {n_calls} calls");
        let said = host.retire();
        assert!(is_done(&said), "killed after {n_calls} calls, then {said:?}");
        check_as_before(&host, &before, n_calls);
        if ended {
            return;
        }
    }
}

#[test]
fn a_run_that_is_killed_at_any_odd_moment_is_finished_by_the_next() {
    check_applying(1);
}

#[test]
fn a_run_that_is_killed_at_any_even_moment_is_finished_by_the_next() {
    check_applying(0);
}

/// The same for a run that removes everything.
fn check_retiring(first: u32) {
    for n_calls in (first..).step_by(2) {
        let host = host();
        let before = host.tree();
        assert!(is_done(&host.apply(&want())));
        let facts = host.ask(&[]);
        let changes = retire(&[], &facts, true);
        host.mortal(n_calls);
        progress(host.start(&facts, &changes, "test/1/0"));
        let ended = host.immortal();
        let said = host.retire();
        assert!(is_done(&said), "killed after {n_calls} calls, then {said:?}");
        check_as_before(&host, &before, n_calls);
        if ended {
            return;
        }
    }
}

#[test]
fn a_tear_down_that_is_killed_at_any_odd_moment_is_finished_by_the_next() {
    check_retiring(1);
}

#[test]
fn a_tear_down_that_is_killed_at_any_even_moment_is_finished_by_the_next() {
    check_retiring(0);
}
