//! A probe is one command, and its answer is complete or an error.

use std::sync::Arc;

use platform::event::{Event, Events, in_words};
use platform::host::HostName;
use platform::remote::{ErrorKind, Remote};
use platform::resource::Facts;
use platform::resource::probe::Questions;
use platform::run::probe::{ProbeError, Probed, Prober};

use crate::fake::{Act, Fake, Kept};

/// Asks a host which does these one after the other; also returns the events.
async fn ask_with(
    host: &Fake,
    stopped: bool,
) -> (Result<Probed, ProbeError>, Vec<Event>) {
    ask_in(&[], host, stopped).await
}

/// The same in a cluster with the lock on these hosts.
async fn ask_in(
    keepers: &[&Fake],
    host: &Fake,
    stopped: bool,
) -> (Result<Probed, ProbeError>, Vec<Event>) {
    let names: Vec<HostName> = keepers.iter().map(|keeper| keeper.name()).collect();
    let remotes = keepers.iter().map(|&keeper| keeper as &dyn Remote);
    let keepers: Vec<(&HostName, &dyn Remote)> = names.iter().zip(remotes).collect();
    let kept = Arc::new(Kept::default());
    let (clock, stopped) = (|| 100.0, || stopped);
    let prober = Prober {
        clock: &clock,
        events: &Events::to(kept.clone()),
        stopped: &stopped,
        is_over: &|run| run == "own",
        keepers: &keepers,
    };
    let probed = prober.probe(&host.name(), host, &Questions::default()).await;
    (probed, kept.all())
}

async fn ask(act: Act) -> Result<Facts, ProbeError> {
    let host = Fake::new("a", [act]);
    let (answer, told) = ask_with(&host, false).await;
    let asked = host.asked();
    assert_eq!((asked.len(), asked[0].purpose.as_str()), (1, "probe"));
    assert!(asked[0].input.ends_with(b"printf '{\"q\":\"end\"}\\n'\n"));
    assert_eq!(told, []);
    answer.map(|probed| {
        assert!(!probed.waited);
        probed.facts
    })
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

async fn check_error(act: Act, expected: &str) {
    let error = ask(act).await.expect_err("the answer is not whole");
    assert_eq!(in_words(&error), expected);
}

#[tokio::test]
async fn the_clock_is_compared_with_the_middle_of_question_and_answer() {
    let now = r#"{"q":"path","path":"/proc/self/ns/net","kind":"symbolic link","mode":"777","owner":["root","0"],"group":["root","0"],"inode":7,"changed":103}"#;
    let answer = lines(&[now, r#"{"q":"end"}"#]);
    let facts = ask(Act::Ends(answer, 0, "")).await.expect("it is whole");
    assert!((facts.system.clock_skew - 3.5).abs() < 0.001, "{}", facts.system.clock_skew);
}

#[tokio::test]
async fn an_answer_that_is_not_whole_is_an_error_and_says_why() {
    let end = r#"{"q":"end"}"#;
    check_error(
        Act::Ends(lines(&[r#"{"q":"user","name":"x"}"#]), 0, ""),
        "cannot read what a answered: the host's answer to the probe was cut off after 1 lines",
    )
    .await;
    check_error(
        Act::Ends(lines(&["Welcome!", end]), 0, ""),
        "cannot read what a answered: the host answered the probe with a line that cannot be \
         understood: `Welcome!`",
    )
    .await;
    check_error(
        Act::Ends(lines(&[end]), 2, "sh: syntax error\n"),
        "the probe of a ended with status 2: sh: syntax error",
    )
    .await;
    check_error(Act::Dies(lines(&[end])), "lost the connection to a during probe").await;
}

fn busy() -> Act {
    Act::Ends(lines(&[r#"{"q":"busy"}"#]), 0, "")
}

#[tokio::test(start_paused = true)]
async fn a_host_that_an_earlier_run_s_script_still_changes_is_waited_for_and_that_is_told()
 {
    let free = Act::Ends(lines(&[r#"{"q":"end"}"#]), 0, "");
    let nobody = || Act::Ends(Vec::new(), 0, "");
    let own = Act::Ends(lines(&["own me since 10 o'clock"]), 0, "");
    let host = Fake::new("a", [busy(), nobody(), busy(), own, busy(), nobody(), free]);
    let (probed, told) = ask_with(&host, false).await;
    assert!(probed.expect("it is free by then").waited);
    let gate = "a has finished the work of an earlier run";
    match &told[..] {
        [Event::Waiting { gate: waited, .. }, Event::GatePassed { gate: passed, .. }] => {
            assert_eq!((waited.as_str(), passed.as_str()), (gate, gate));
        }
        other => panic!("{other:?}"),
    }
    let probes = host.asked().into_iter().filter(|asked| asked.purpose == "probe");
    let patience = probes.map(|asked| {
        let text = String::from_utf8_lossy(&asked.input).into_owned();
        let (_, rest) = text.split_once("flock -s -w ").expect("it asks for the lock");
        rest.split(' ').next().map(str::to_owned)
    });
    let patience: Vec<String> = patience.flatten().collect();
    assert_eq!(patience, ["0", "5", "5", "5"], "the first answer is had at once");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_another_run_changes_now_is_not_waited_for() {
    let other = Act::Ends(lines(&["other you since 10 o'clock"]), 0, "");
    let host = Fake::new("a", [busy(), other]);
    let (probed, told) = ask_with(&host, false).await;
    let error = probed.expect_err("another run goes on");
    let said = "a is being changed by another run: you since 10 o'clock; wait until that run ends";
    assert_eq!((in_words(&error).as_str(), error.kind()), (said, ErrorKind::Unsafe));
    assert_eq!(told, []);
}

/// The lock is not on every host that a run changes.
#[tokio::test(start_paused = true)]
async fn a_run_that_holds_the_lock_elsewhere_is_not_waited_for() {
    let other = Act::Ends(lines(&["other you since 10 o'clock"]), 0, "");
    let keeper = Fake::new("keeper", [other]);
    let host = Fake::new("a", [busy()]);
    let (probed, told) = ask_in(&[&keeper], &host, false).await;
    let error = probed.expect_err("another run goes on");
    assert!(in_words(&error).starts_with("keeper is being changed by another run: you"));
    assert_eq!(told, []);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_stays_busy_is_given_up_and_an_operator_who_stops_is_obeyed() {
    let always = || Fake::new("a", (0..6000).map(|_| busy()));
    let begun = tokio::time::Instant::now();
    let late = ask_with(&always(), false).await.0.expect_err("it stays busy");
    assert_eq!(
        in_words(&late),
        "a is still busy with an earlier run after 600s: check there with `ps` what is \
         running, and run the command again when it has ended"
    );
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    assert!((600..602).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    let stopped = ask_with(&always(), true).await.0.expect_err("it was stopped");
    assert!(matches!(stopped, ProbeError::Stopped { .. }), "{stopped:?}");
}
