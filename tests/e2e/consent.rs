//! What the operator is asked, on a terminal.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::harness::{Lab, turn};

/// Runs a verb on a terminal of its own and types these lines: its exit code, and what the
/// terminal showed.
fn typed(lab: &Lab, verb: &str, lines: &str) -> (Option<i32>, String) {
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
    input.write_all(lines.as_bytes()).expect("the terminal takes input");
    drop(input);
    let ended = terminal.wait_with_output().expect("it ends");
    (ended.status.code(), String::from_utf8_lossy(&ended.stdout).into_owned())
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
    let (code, shown) = typed(&lab, "up", "n\n");
    assert_eq!(code, Some(4), "{shown}");
    for part in ["make container at", "install package tree: is not installed"] {
        assert!(shown.contains(part), "`{part}` is not in:\n{shown}");
    }
    assert_eq!(lab.remains(), [""; 0], "nothing was agreed to");

    // A second question would find no answer, and end the run.
    let (code, shown) = typed(&lab, "up", "y\n");
    assert_eq!(code, Some(0), "{shown}");
    lab.machine("node-1").sh("command -v tree");
    lab.is_settled();

    lab.rewrite(&group("tree, jq"));
    let (code, shown) = typed(&lab, "up", "y\n");
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("install package jq"), "{shown}");
    lab.is_settled();
}
