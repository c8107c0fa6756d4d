//! The output of each display for the same scripted runs.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::snapshot;
use indicatif::InMemoryTerm;
use jiff::Timestamp;
use platform::event::{Event, Outcome, PlannedStage, RunResult, Sink};
use platform::host::HostName;
use platform::report::{Detail, Json, Plain, Recorder, Settings, Summary, Terminal};

const AGAIN: &str = "platform up lab.yaml";

/// A writer whose content a test can read.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        let bytes = self.0.lock().expect("no test panics while it writes").clone();
        String::from_utf8(bytes).expect("displays write UTF-8")
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics while it writes").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn host(name: &str) -> HostName {
    name.parse().expect("a host's name")
}

fn hosts(names: &[&str]) -> Vec<HostName> {
    names.iter().copied().map(host).collect()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn planned(stages: &[(&str, usize, usize)]) -> Event {
    let stage = |&(stage, n_changes, n_hosts): &(&str, usize, usize)| PlannedStage {
        stage: stage.to_owned(),
        n_changes,
        n_hosts,
    };
    Event::Planned { stages: stages.iter().map(stage).collect() }
}

fn started(stage: &str, names: &[&str], n_steps: usize) -> Event {
    Event::StageStarted { stage: stage.to_owned(), hosts: hosts(names), n_steps }
}

fn began(stage: &str, at: &str, step: &str) -> Event {
    let host = (!at.is_empty()).then(|| host(at));
    Event::StepStarted { stage: stage.to_owned(), host, step: step.to_owned() }
}

fn ended(stage: &str, at: &str, step: &str, outcome: Outcome) -> Event {
    Event::StepFinished {
        stage: stage.to_owned(),
        host: (!at.is_empty()).then(|| host(at)),
        step: step.to_owned(),
        took: ms(140),
        outcome,
    }
}

/// A step from beginning to end.
fn step(stage: &str, at: &str, step: &str, outcome: Outcome) -> [Event; 2] {
    [began(stage, at, step), ended(stage, at, step, outcome)]
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.to_owned() }
}

fn not_started() -> Outcome {
    Outcome::NotStarted { reason: "an earlier step failed".to_owned() }
}

fn finished(result: RunResult, summary: &str) -> Event {
    Event::RunFinished { result, summary: summary.to_owned(), took: ms(42_300) }
}

fn opening() -> Vec<Event> {
    let mut events = vec![Event::RunStarted {
        verb: "up".to_owned(),
        cluster: "lab1".to_owned(),
        who: "ops@laptop".to_owned(),
    }];
    for name in ["control-1", "control-2"] {
        events.push(Event::Connected { host: host(name), took: ms(44) });
        events.push(Event::Executed { host: host(name), purpose: "probe".to_owned() });
    }
    events
}

/// A stage on two hosts that succeeds, with a transfer, a wait and a warning.
fn base_stage() -> Vec<Event> {
    let waiting = |seen: &str| Event::Waiting {
        gate: "Docker runs on every host".to_owned(),
        seen: seen.to_owned(),
    };
    let sent = |done| Event::Progress {
        what: "push registry 2.8.2".to_owned(),
        done,
        total: 40 << 20,
    };
    let mut events = vec![started("base", &["control-1", "control-2"], 3)];
    events.extend(step(
        "base",
        "control-1",
        "write /etc/docker/daemon.json",
        Outcome::Done,
    ));
    events.extend(step(
        "base",
        "control-2",
        "write /etc/docker/daemon.json",
        Outcome::Done,
    ));
    events.push(began("base", "", "push registry 2.8.2"));
    events.extend([0, 1 << 20, 11 << 20, 12 << 20, 40 << 20].map(sent));
    events.push(ended("base", "", "push registry 2.8.2", Outcome::Done));
    events.extend(["1 of 2 runs", "1 of 2 runs", "2 of 2 run"].map(waiting));
    events.push(Event::Warned {
        message: "the clock of control-2 is 1.2 s off".to_owned(),
    });
    events.push(Event::GatePassed {
        gate: "Docker runs on every host".to_owned(),
        seen: "2 of 2 run 20.10.24".to_owned(),
        took: ms(1_200),
    });
    events.push(Event::StageFinished {
        stage: "base".to_owned(),
        took: ms(3_210),
        ok: true,
    });
    events
}

/// A stage on four hosts of which one fails: the others finish and the rest is not begun.
fn broken_stage() -> Vec<Event> {
    let z = "zookeeper";
    let write = "write /etc/platform/zookeeper/zoo.cfg";
    let names = ["control-1", "control-2", "control-3", "edge-1"];
    let mut events = vec![started(z, &names, 8)];
    events.extend(names.map(|name| began(z, name, write)));
    events.push(ended(z, "control-1", write, Outcome::Done));
    let full = "cannot write zoo.cfg: No space left on device\n\u{1b}[31m/dev/sda1\t100%\u{1b}[0m";
    events.push(ended(z, "control-2", write, failed(full)));
    events.push(ended(z, "control-3", write, Outcome::Done));
    events.push(ended(z, "edge-1", write, failed("connection lost")));
    let start = "start zookeeper.service";
    events.extend(names.map(|name| ended(z, name, start, not_started())));
    events.push(Event::StageFinished { stage: z.to_owned(), took: ms(900), ok: false });
    events
}

fn good_run() -> Vec<Event> {
    let plan = planned(&[("base", 3, 2)]);
    let end = finished(RunResult::Changed, "3 changes on 2 hosts, all proved");
    [opening(), vec![plan], base_stage(), vec![end]].concat()
}

fn bad_run() -> Vec<Event> {
    let plan = planned(&[("base", 3, 2), ("zookeeper", 8, 4), ("verify", 1, 4)]);
    let end = finished(RunResult::Failed, "The stage zookeeper failed");
    [opening(), vec![plan], base_stage(), broken_stage(), vec![end]].concat()
}

fn interrupted_run() -> Vec<Event> {
    let plan = planned(&[("zookeeper", 3, 2)]);
    let z = "zookeeper";
    let stage = vec![
        started(z, &["control-1", "control-2"], 3),
        began(z, "control-1", "restart zookeeper.service"),
        finished(RunResult::Interrupted, "Stopped by Ctrl-C"),
    ];
    [opening(), vec![plan], stage].concat()
}

fn gate_that_stays_shut() -> Vec<Event> {
    let z = "zookeeper";
    let mut events = vec![started(z, &["control-1"], 1)];
    events.extend(step(z, "control-1", "restart zookeeper.service", Outcome::Done));
    events.push(Event::Waiting {
        gate: "ZooKeeper on control-1 serves".to_owned(),
        seen: "control-1 does not answer (connection refused)".to_owned(),
    });
    events.push(Event::StageFinished {
        stage: z.to_owned(),
        took: ms(60_000),
        ok: false,
    });
    events.push(finished(RunResult::Failed, "The stage zookeeper did not prove itself"));
    events
}

fn quiet_run() -> Vec<Event> {
    let end = finished(RunResult::Unchanged, "Nothing to do");
    [opening(), vec![planned(&[]), end]].concat()
}

fn plain(events: &[Event], detail: Detail) -> String {
    let page = Page::default();
    let sink = Plain::new(page.clone(), detail, Some(AGAIN.to_owned()));
    events.iter().for_each(|event| sink.take(event));
    page.text()
}

fn terminal(width: u16, settings: &Settings) -> (InMemoryTerm, Terminal) {
    let term = InMemoryTerm::new(24, width);
    let sink = Terminal::new(term.clone(), settings);
    (term, sink)
}

fn screen(events: &[Event]) -> String {
    let settings = Settings { again: Some(AGAIN.to_owned()), ..Settings::default() };
    let (term, sink) = terminal(80, &settings);
    events.iter().for_each(|event| sink.take(event));
    term.contents()
}

fn last_lines(events: &[Event]) -> String {
    let mut summary = Summary::default();
    events.iter().for_each(|event| summary.take(event));
    summary.last_lines(Some(AGAIN)).join("\n")
}

#[test]
fn plain_lines_tell_a_run_from_plan_to_proof() {
    snapshot::check("plain-good-run", &plain(&good_run(), Detail::Normal));
}

#[test]
fn plain_lines_account_for_every_step_of_a_run_that_failed() {
    snapshot::check("plain-bad-run", &plain(&bad_run(), Detail::Normal));
}

#[test]
fn a_run_that_began_nothing_says_so_and_spells_its_reasons_out_one_by_one() {
    let reasons = "cannot connect to 2 hosts:\n  cannot reach a: no route\n  \
                   cannot reach b: no route";
    let events = [opening(), vec![finished(RunResult::Failed, reasons)]].concat();
    assert_eq!(
        last_lines(&events),
        "cannot connect to 2 hosts (42.3s):\n  cannot reach a: no route\n  \
         cannot reach b: no route\n\
         Nothing was changed. Fix this, then run `platform up lab.yaml` again."
    );
}

#[test]
fn plain_lines_in_verbose_also_tell_connections_and_commands() {
    snapshot::check("plain-verbose-run", &plain(&quiet_run(), Detail::Verbose));
}

#[test]
fn plain_lines_beside_facts_are_warnings_and_failures_only() {
    snapshot::check("plain-warnings", &plain(&bad_run(), Detail::Warnings));
}

#[test]
fn plain_lines_beside_a_change_also_tell_what_is_waited_for() {
    snapshot::check("plain-waits", &plain(&bad_run(), Detail::Waits));
}

#[test]
fn json_is_one_object_per_event_that_reads_back_as_the_event() {
    let page = Page::default();
    let clock = || Timestamp::from_second(1_767_225_600).unwrap();
    let sink = Json::new(page.clone(), clock);
    let events = bad_run();
    events.iter().for_each(|event| sink.take(event));
    let text = page.text();
    let read: Vec<Event> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, events);
    snapshot::check("json-bad-run", &text);
}

#[test]
fn a_closed_pipe_stops_no_run() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let json = Json::new(Closed, || Timestamp::UNIX_EPOCH);
    let plain = Plain::new(Closed, Detail::Normal, None);
    for event in bad_run() {
        json.take(&event);
        plain.take(&event);
    }
}

#[test]
fn a_terminal_keeps_one_line_per_finished_stage() {
    snapshot::check("terminal-good-run", &screen(&good_run()));
}

#[test]
fn a_terminal_keeps_failures_with_their_reasons() {
    snapshot::check("terminal-bad-run", &screen(&bad_run()));
}

#[test]
fn a_terminal_shows_what_each_host_is_doing() {
    let events = [opening(), broken_stage()].concat();
    let up_to_failure = events.iter().take_while(|event| {
        !matches!(event, Event::StepFinished { outcome: Outcome::NotStarted { .. }, .. })
    });
    snapshot::check(
        "terminal-mid-stage",
        &still(&screen(&up_to_failure.cloned().collect::<Vec<_>>())),
    );
}

#[test]
fn a_terminal_shows_transfers_by_bytes_and_waits_by_what_they_saw() {
    let sending =
        |event: &Event| matches!(event, Event::Progress { done: 12_582_912, .. });
    let base = base_stage();
    let position = base.iter().position(sending).unwrap();
    let waiting = Event::Waiting {
        gate: "Docker runs on every host".to_owned(),
        seen: format!("control-1 starting, {}", "a long story ".repeat(9)),
    };
    let events = [opening(), base[..=position].to_vec(), vec![waiting]].concat();
    snapshot::check("terminal-transfer", &still(&screen(&events)));
}

/// A screen with a fixed spinner, without the time of the current stage.
fn still(screen: &str) -> String {
    let spinners = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
    let still = spinners.iter().fold(screen.to_owned(), |s, frame| s.replace(frame, "⠋"));
    let without_time = |line: &str| match line.rsplit_once("  ") {
        Some((kept, _)) if line.starts_with("⠋") => format!("{kept}  SECONDS"),
        _ => line.to_owned(),
    };
    still.lines().map(without_time).collect::<Vec<_>>().join("\n")
}

#[test]
fn fifty_hosts_fit_a_small_terminal_with_those_at_work_in_sight() {
    let names: Vec<String> = (1..=50).map(|n| format!("worker-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut events =
        vec![started("base", &names, 50), began("base", "worker-49", "write x")];
    events.push(ended("base", "worker-2", "write x", Outcome::Done));
    let shown = screen(&events);
    assert!(shown.lines().count() < 24, "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let at_work = shown.lines().find(|line| line.contains("worker-49 "));
    assert!(at_work.is_some_and(|line| line.ends_with("write x")), "{shown}");
    assert!(!shown.contains("worker-2 "), "a host at rest took room:\n{shown}");
    assert!(shown.contains("… and 29 more hosts"), "{shown}");
}

#[test]
fn colours_come_only_where_they_are_welcome() {
    let formatted = |colour| {
        let settings = Settings { colour, ..Settings::default() };
        let (term, sink) = terminal(80, &settings);
        good_run().iter().for_each(|event| sink.take(event));
        String::from_utf8(term.contents_formatted()).unwrap()
    };
    assert!(formatted(true).contains("\u{1b}[32m✓"), "{:?}", formatted(true));
    assert!(!formatted(false).contains("\u{1b}[3"), "{:?}", formatted(false));
}

#[test]
fn a_question_is_asked_on_a_clear_line_and_the_run_goes_on_below() {
    let (term, sink) = terminal(80, &Settings::default());
    sink.take(&started("base", &["control-1"], 1));
    assert!(term.contents().contains("base"));
    let during = sink.suspend(|| term.contents());
    assert_eq!(during, "");
    assert!(term.contents().contains("base"));
}

#[test]
fn a_run_that_was_refused_is_not_marked_as_done() {
    let (term, sink) = terminal(80, &Settings::default());
    sink.take(&finished(RunResult::Refused, "not agreed to: nothing was changed"));
    assert_eq!(term.contents(), "✗ not agreed to: nothing was changed (42.3s)");
}

#[test]
fn a_stage_of_this_computer_alone_names_no_hosts() {
    let mut events = vec![started("images", &[], 1)];
    events.extend(step(
        "images",
        "",
        "build zookeeper 3.8.0",
        failed("docker: exit 1\nno space"),
    ));
    let took = ms(5_000);
    events.push(Event::StageFinished { stage: "images".to_owned(), took, ok: false });
    events.push(finished(RunResult::Failed, "The images were not built"));
    let expected = "The images were not built (42.3s)\n\
        Stage images failed on this computer: build zookeeper 3.8.0 (docker: exit 1).\n\
        Run `platform up lab.yaml` again to finish.";
    assert_eq!(last_lines(&events), expected);
    assert!(
        plain(&events, Detail::Normal).starts_with("images: 1 step on this computer\n")
    );
}

#[test]
fn a_display_that_is_dropped_in_mid_run_leaves_nothing_half_drawn() {
    let (term, sink) = terminal(80, &Settings::default());
    sink.animate();
    sink.take(&started("base", &["control-1"], 1));
    drop(sink);
    assert_eq!(term.contents(), "");
}

#[test]
fn many_tasks_and_a_question_share_an_animated_terminal() {
    let (term, sink) = terminal(80, &Settings::default());
    sink.animate();
    let names = ["control-1", "control-2", "control-3"];
    sink.take(&started("base", &names, 300));
    std::thread::scope(|scope| {
        for name in names {
            let sink = &sink;
            scope.spawn(move || {
                for n in 0..100 {
                    let step = step("base", name, &format!("write {n}"), Outcome::Done);
                    step.iter().for_each(|event| sink.take(event));
                }
            });
        }
        scope.spawn(|| (0..20).for_each(|_| sink.suspend(|| ())));
    });
    sink.take(&Event::StageFinished { stage: "base".to_owned(), took: ms(5), ok: true });
    sink.take(&finished(RunResult::Changed, "Done"));
    assert_eq!(term.contents(), "✓ base  3 hosts, 300 changes  0.0s\n✓ Done (42.3s)");
}

#[test]
fn a_run_that_was_stopped_says_what_was_cut_off_and_what_to_do() {
    snapshot::check("summary-interrupted", &last_lines(&interrupted_run()));
}

#[test]
fn a_gate_that_stays_shut_says_what_it_saw_last() {
    snapshot::check("summary-shut-gate", &last_lines(&gate_that_stays_shut()));
}

/// A gate that fails because a unit ends after each start, with all of its last log lines.
fn gate_that_fails() -> Vec<Event> {
    let z = "zookeeper";
    let mut events = vec![planned(&[(z, 1, 1)]), started(z, &["control-1"], 1)];
    events.extend(step(z, "control-1", "restart zookeeper.service", Outcome::Done));
    let frames =
        (1..=20).map(|n| format!("\tat a.B.c(B.java:{n})\n")).collect::<String>();
    let gate = "ZooKeeper on control-1 serves".to_owned();
    events.extend([
        Event::Waiting { gate: gate.clone(), seen: "control-1 is silent".to_owned() },
        Event::GateFailed {
            gate,
            reason: format!(
                "platform-zookeeper.service on control-1 ended and was started again 3 times: \
                 it says: Caused by: java.io.EOFException\njava.io.IOException: broken\n\
                 {frames}mend that on control-1"
            ),
            took: ms(14_200),
        },
        Event::StageFinished { stage: z.to_owned(), took: ms(14_300), ok: false },
        finished(RunResult::Failed, "1 of 2 steps failed"),
    ]);
    events
}

#[test]
fn a_gate_that_fails_tells_the_reason_that_the_failing_thing_gave() {
    let told = plain(&gate_that_fails(), Detail::Normal);
    snapshot::check("plain-failed-gate", &told);
    snapshot::check("terminal-failed-gate", &screen(&gate_that_fails()));
    let all = plain(&gate_that_fails(), Detail::Verbose);
    assert!(all.contains("at a.B.c(B.java:7)") && !told.contains("B.java:7"), "{all}");
}

#[test]
fn a_run_with_nothing_to_do_says_so_in_one_line() {
    assert_eq!(last_lines(&quiet_run()), "Nothing to do (42.3s)");
}

#[test]
fn a_run_that_only_looked_leaves_the_last_word_to_its_verb() {
    let events =
        [opening(), vec![finished(RunResult::Looked, "Looked at 2 hosts")]].concat();
    assert_eq!(last_lines(&events), "");
}

#[test]
fn every_step_is_done_failed_under_way_or_not_started() {
    let mut summary = Summary::default();
    bad_run().iter().for_each(|event| summary.take(event));
    for account in summary.stages() {
        let known = account.n_done + account.failed.len() + account.under_way.len();
        assert_eq!(known + account.n_not_started(), account.n_steps, "{}", account.stage);
    }
    assert_eq!(summary.n_not_started(), 4);
    assert_eq!(summary.stage("zookeeper").unwrap().failed_hosts().len(), 2);
}

#[test]
fn a_recorder_counts_one_connection_per_host() {
    let recorder = Recorder::default();
    good_run().iter().for_each(|event| recorder.take(event));
    assert_eq!(recorder.events(), good_run());
    assert!(recorder.connections().values().all(|&n| n == 1));
    assert_eq!(recorder.executions().len(), 2);
}
