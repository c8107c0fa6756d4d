//! What tasks write, as a user sees it: the agents are reached over SSH.

use std::time::Duration;

use serde_json::json;

use super::verbs::ask;
use crate::harness::{Lab, Running, Services, until};

const APP: &str = "/talks";
const FAILS: &str = "/fails";

/// The longest until a task that runs has written its first line.
const WRITTEN: Duration = Duration::from_secs(20);
/// The lines that a task writes as fast as it can.
const MANY: usize = 1_000_000;

pub(super) fn show_what_tasks_write(lab: &Lab) {
    let services = Services::of(lab);
    let cmd = format!(
        "echo first; echo wrong >&2; until test -e more; do sleep 0.2; done; seq {MANY}; \
         exec sleep 1000"
    );
    services.run_app(
        &json!({"id": APP, "cmd": cmd, "cpus": 0.1, "mem": 32, "instances": 1}),
        1,
    );
    until("the first line", WRITTEN, || {
        let shown = ask(lab, &["app", "logs", APP]).stdout;
        (shown == "first\n").then_some(())
    });
    let errors = ask(lab, &["app", "logs", APP, "--stderr"]).exits(0).stdout;
    assert!(errors.contains("wrong\n"), "{errors}");
    ask(lab, &["app", "logs", APP, "--task", "nothing"]).exits(2);
    ask(lab, &["app", "exec", APP, "--", "sh", "-c", "exit 7"]).exits(7);
    is_followed_without_a_gap(lab);
    runs_commands_where_the_task_runs(lab);
    services.remove_app(APP);
    tells_what_a_failed_task_wrote(lab);
}

fn is_followed_without_a_gap(lab: &Lab) {
    let mut program = lab.program();
    let program = program.args(["app", "logs", APP, "--follow", "-i"]);
    let mut followed = Running::start(program.arg(lab.inventory()));
    followed.wait_for_line("first");
    ask(lab, &["app", "exec", APP, "--", "touch", "more"]).exits(0);
    followed.wait_for_line(&MANY.to_string());
    followed.signal("INT");
    let all = followed.end().exits(0).stdout;
    let lines = all.lines().skip(1).map(|line| line.parse().ok());
    assert!(lines.eq((1..=MANY).map(Some)), "a line is missing, or is another one");
}

/// In the folder of its files, as its user, with the words and the input as they are.
fn runs_commands_where_the_task_runs(lab: &Lab) {
    let script = "id -un; ls more; printf '%s\\n' \"$1\"; cat";
    let words = ["app", "exec", APP, "-i"];
    let mut program = lab.program();
    program.args(words).arg(lab.inventory());
    program.args(["--", "sh", "-c", script, "sh", "it's $HOME"]);
    let ran = Running::start_with(&mut program, "typed\n").end().exits(0);
    assert_eq!(ran.stdout, "platform-tasks\nmore\nit's $HOME\ntyped\n");
}

fn tells_what_a_failed_task_wrote(lab: &Lab) {
    let app = json!({"id": FAILS, "cmd": "echo broken >&2; sleep 3; exit 3", "cpus": 0.1,
        "mem": 32, "instances": 1, "healthChecks": [{"protocol": "COMMAND",
            "command": {"value": "false"}}]});
    let file = lab.file("fails.json", app.to_string());
    let file = file.to_str().expect("a name in ASCII");
    let words = ["app", "deploy", file, "--yes", "--wait", "--timeout", "20s"];
    let said = ask(lab, &words).exits(6).said();
    for part in
        ["wrote last to standard error:\n", "\n  broken\n", "runs and is not healthy yet"]
    {
        assert!(said.contains(part), "{part} is missing:\n{said}");
    }
    let why = ask(lab, &["app", "why", FAILS]).exits(0).stdout;
    assert!(why.contains("\n  broken\n"), "{why}");
    ask(lab, &["app", "rm", FAILS, "--yes", "--wait"]).exits(0);
}
