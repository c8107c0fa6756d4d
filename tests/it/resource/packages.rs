//! Packages: broken sources, locked lists, and missing commands.

use std::time::{Duration, Instant};

use platform::resource::{Change, Package, ProvidedCommand, Resource};

use super::host::{Host, is_done};
use super::probe::package;

const DEAD: &str = "W: An odd word of apt\n\
    E: The repository 'file:/opt/vendor ./ Release' does not have a Release file.\n";

/// The program whose installation may not install its command.
fn engine() -> [Resource; 1] {
    let brings = ProvidedCommand { command: "tool", package: "engine-cli" };
    [Resource::Package(Package::named("engine").that_brings(brings))]
}

/// A host whose packages install these commands.
fn host(bringing: &[&str]) -> Host {
    let host = Host::new();
    for name in bringing {
        host.program(&format!("/fake/brings/{name}"), "#!/bin/sh\n");
    }
    host
}

fn failure(host: &Host, want: &[Resource]) -> String {
    use platform::resource::apply::Progress;
    match host.apply(want).pop() {
        Some(Progress::Failed { said, .. }) => said,
        other => panic!("{other:?}"),
    }
}

#[test]
fn lists_that_another_process_holds_are_waited_for() {
    let host = Host::new();
    host.write("/fake/locked", b"2");
    assert!(is_done(&host.apply(&[package("jq")])));
    assert_eq!(host.text("/fake/locked").trim(), "-1", "it was tried three times");
}

#[test]
fn lists_that_are_held_too_long_fail_the_step_which_names_the_holder() {
    let host = Host::new();
    host.write("/fake/locked", b"1000");
    // At each reading of the clock, a minute has passed.
    host.program(
        "/local/sbin/date",
        "#!/bin/sh\nn=$(cat /fake/minutes 2>/dev/null || echo 0)\n\
         echo $((n + 1)) >/fake/minutes\necho $((n * 60))\n",
    );
    let begun = Instant::now();
    let said = failure(&host, &[package("jq")]);
    assert_eq!(
        said,
        "E: Unable to locate package jq\n\
         the package lists could not all be read:\n\
         gave up after two minutes: another process holds the lock\n\
         E: Could not get lock /var/lib/apt/lists/lock. It is held by process 77 (perl)"
    );
    assert!(begun.elapsed() < Duration::from_secs(60), "it went by another clock");
    host.write("/fake/locked", b"");
    assert!(is_done(&host.apply(&[package("jq")])), "the next run does not finish");
}

#[test]
fn a_dead_source_counts_only_where_a_package_cannot_be_had() {
    let host = Host::new();
    host.write("/fake/dead-source", DEAD.as_bytes());
    assert!(is_done(&host.apply(&[package("jq")])));
    assert_eq!(
        failure(&host, &[package("jq"), package("nowhere")]),
        format!(
            "E: Unable to locate package nowhere\n\
             the package lists could not all be read:\n{}",
            DEAD.trim()
        )
    );
}

#[test]
fn old_lists_are_read_anew_and_what_cannot_be_fetched_is_not_tried_again() {
    let host = Host::new();
    host.write("/fake/updated", b"");
    host.write("/fake/stale", b"");
    assert!(is_done(&host.apply(&[package("jq")])));
    host.write("/fake/unreachable", b"");
    host.write("/fake/dead-source", b"W: Failed to fetch http://mirror/InRelease\n");
    assert_eq!(
        failure(&host, &[package("tree")]),
        "E: Failed to fetch\nthe package lists could not all be read:\n\
         W: Failed to fetch http://mirror/InRelease"
    );
    assert_eq!(host.text("/fake/unreachable"), "\n", "it was tried once");
}

#[test]
fn an_engine_comes_with_its_client_where_that_is_a_package_of_its_own() {
    for (bringing, recommends, came) in [
        ("engine", "", vec!["engine"]),
        ("engine-cli", "engine-cli", vec!["engine", "engine-cli"]),
    ] {
        let host = host(&[bringing]);
        host.write("/fake/recommends/engine", recommends.as_bytes());
        let before = host.tree();
        assert!(is_done(&host.apply(&engine())), "{bringing}");
        for name in came {
            assert!(host.has(&format!("/fake/packages/{name}")), "{name}");
        }
        assert_eq!(host.changes(&engine()).1, []);
        assert!(is_done(&host.retire()));
        assert!(host.tree() == before, "{bringing} left something");
    }
}

#[test]
fn an_engine_without_its_command_fails_by_itself_and_the_next_run_finishes() {
    let host = host(&[]);
    host.write("/fake/updated", b"");
    let lacking = "the package engine brought no `tool` command";
    assert_eq!(failure(&host, &engine()), lacking);
    let owed = host.changes(&engine()).1;
    let owed: Vec<String> =
        owed.iter().map(|it: &Change| format!("{}: {}", it.step(), it.reason)).collect();
    assert_eq!(owed, ["install package engine: provides no `tool` command"]);
    assert_eq!(failure(&host, &engine()), lacking);
    host.write("/fake/recommends/engine", b"engine-cli");
    host.program("/fake/brings/engine-cli", "#!/bin/sh\n");
    assert!(is_done(&host.apply(&engine())));
    assert_eq!(host.changes(&engine()).1, []);
}
