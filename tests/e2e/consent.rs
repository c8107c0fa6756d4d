//! What the operator is asked, on a terminal.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::harness::{Lab, turn};

/// Runs a verb on a terminal of its own: its exit code, and what the terminal showed. `early` is
/// typed at once, and each answer when the next question is shown.
fn typed(lab: &Lab, verb: &str, early: &str, answers: &[&str]) -> (Option<i32>, String) {
    typed_after(lab, verb, early, answers, &|| {})
}

/// The same; `before` is done when the first question is shown, before it is answered.
fn typed_after(
    lab: &Lab,
    verb: &str,
    early: &str,
    answers: &[&str],
    before: &dyn Fn(),
) -> (Option<i32>, String) {
    let program = lab.program();
    let (path, inventory) = (program.get_program(), lab.inventory());
    let command = format!("{} {verb} {}", path.display(), inventory.display());
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`script` is part of the system");
    let mut input = terminal.stdin.take().expect("it is piped");
    let mut output = terminal.stdout.take().expect("it is piped");
    let mut write = |text: &str| {
        input.write_all(text.as_bytes()).expect("the terminal takes input");
    };
    write(early);
    let (mut shown, mut answers) = (Vec::new(), answers.iter().enumerate());
    let mut part = [0; 4096];
    loop {
        let n_read = output.read(&mut part).expect("the terminal shows what it has");
        if n_read == 0 {
            break;
        }
        shown.extend_from_slice(&part[..n_read]);
        if shown.ends_with(b"[y/N] ") {
            let (number, answer) = answers.next().expect("no question more than answers");
            if number == 0 {
                before();
            }
            write(answer);
        }
    }
    let code = terminal.wait().expect("it ends").code();
    (code, String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn one_question_covers_new_machines_and_what_they_get() {
    let _turn = turn();
    let group = |packages| {
        format!(
            "groups: {{node: {{roles: [base], count: 1}}}}\nplatform: {{base: \
             {{packages: [{packages}]}}}}\n"
        )
    };
    let lab = Lab::local(&group("tree"));
    let (code, shown) = typed(&lab, "up", "y\n", &["maybe\n", "n\n"]);
    assert_eq!(code, Some(4), "{shown}");
    for part in ["make container at", "install package tree: is not installed"] {
        assert!(shown.contains(part), "`{part}` is not in:\n{shown}");
    }
    assert_eq!(lab.remains(), [""; 0], "nothing was agreed to");

    let (code, shown) = typed(&lab, "up", "", &["\x04"]);
    assert_eq!(code, Some(4), "{shown}");
    let (code, shown) = typed(&lab, "up", "", &["\x03"]);
    assert_eq!(code, Some(130), "{shown}");
    assert_eq!(lab.remains(), [""; 0], "nothing was agreed to");

    let (code, shown) = typed(&lab, "up", "", &["y\n"]);
    assert_eq!(code, Some(0), "{shown}");
    lab.machine("node-1").sh("command -v tree");
    lab.is_settled();

    lab.rewrite(&group("tree, jq"));
    let (code, shown) = typed(&lab, "up", "", &["y\n"]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("install package jq"), "{shown}");
    lab.is_settled();

    let two = group("tree, jq").replace("count: 1", "count: 2");
    lab.rewrite(&two);
    let node = lab.machine("node-1");
    let drift = || drop(node.sh("dpkg --purge jq"));
    let (code, shown) = typed_after(&lab, "up", "", &["y\n", "n\n"], &drift);
    assert_eq!(code, Some(1), "a machine was made: {shown}");
    for part in [
        "The machines differ from what the plan expected.",
        "node-1: install package jq",
        "not agreed to: the changes were not made; before that: 1 machine",
    ] {
        assert!(shown.contains(part), "`{part}` is not in:\n{shown}");
    }
}
