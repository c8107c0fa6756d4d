//! A probe is one command, and its answer is whole or an error.

use platform::event::in_words;
use platform::resource::Facts;
use platform::resource::probe::Questions;
use platform::run::probe::{ProbeError, probe};

use crate::fake::{Act, Fake};

async fn ask(act: Act) -> Result<Facts, ProbeError> {
    let host = Fake::new("a", [act]);
    let answer =
        probe(&host.name(), host.as_ref(), &Questions::default(), &|| 100.0).await;
    let asked = host.asked();
    assert_eq!((asked.len(), asked[0].purpose.as_str()), (1, "probe"));
    assert!(asked[0].input.ends_with(b"printf '{\"q\":\"end\"}\\n'\n"));
    answer
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
    let answer = lines(&[r#"{"q":"clock","seconds":"103.5"}"#, r#"{"q":"end"}"#]);
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
        "cannot read what a answered: the host answered the probe with a line that makes no \
         sense: `Welcome!`",
    )
    .await;
    check_error(
        Act::Ends(lines(&[end]), 2, "sh: syntax error\n"),
        "the probe of a ended with status 2: sh: syntax error",
    )
    .await;
    check_error(Act::Dies(lines(&[end])), "lost the connection to a during probe").await;
}
