//! The verbs for apps and jobs, as a user runs them: through the edge.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Lab, Run, Running, Services};

const APP: &str = "/verbs";

/// Runs a verb on the cluster.
pub(super) fn ask(lab: &Lab, words: &[&str]) -> Run {
    let mut program = lab.program();
    // Behind `--` it would be a word of a command.
    let (verb, rest) = words.split_at(2);
    program.args(verb).arg("-i").arg(lab.inventory()).args(rest);
    Running::start(&mut program).end()
}

fn json_of(lab: &Lab, words: &[&str]) -> Value {
    ask(lab, &[words, &["-o", "json"]].concat()).json()
}

pub(super) fn show_and_change_apps_and_jobs(lab: &Lab) {
    change_an_app(lab);
    change_a_group(lab);
    run_a_job(lab);
    let both = Running::start(
        lab.program()
            .args(["app", "ls", "-i"])
            .arg(lab.inventory())
            .env("PLATFORM_URL", "https://127.0.0.1:8443"),
    );
    both.end().exits(2);
}

fn change_an_app(lab: &Lab) {
    let services = Services::of(lab);
    assert_eq!(ask(lab, &["app", "ls"]).exits(0).stdout, "Marathon has no app.\n");
    let app = json!({"id": APP, "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 32,
        "instances": 1});
    services.run_app(&app, 1);
    ask(lab, &["app", "scale", APP, "2", "--wait"]).exits(0);
    let scaled = services.tasks();
    assert_eq!(scaled.len(), 2, "{scaled:?}");
    let row = &json_of(lab, &["app", "ls"])["apps"][0];
    assert_eq!(
        (&row["id"], &row["running"], &row["mem"]),
        (&json!(APP), &json!(2), &json!(64.0))
    );
    ask(lab, &["app", "restart", APP, "--wait"]).exits(0);
    let restarted = services.tasks();
    assert!(
        restarted.len() == 2 && restarted.iter().all(|task| !scaled.contains(task)),
        "{scaled:?} {restarted:?}"
    );
    let details = json_of(lab, &["app", "show", APP]);
    let first = details["versions"][0].as_str().expect("a version");
    ask(lab, &["app", "rollback", APP, "--to", first, "--yes", "--wait"]).exits(0);
    assert_eq!(services.tasks().len(), 1);
    let why = ask(lab, &["app", "why", APP]).exits(0).stdout;
    assert_eq!(why, "/verbs: 1 of 1 task runs; nothing is missing\n");
    // Nobody can be asked.
    ask(lab, &["app", "rm", APP]).exits(4);
    assert_eq!(services.tasks().len(), 1);
    ask(lab, &["app", "rm", APP, "--yes", "--wait"]).exits(0);
    assert!(services.tasks().is_empty());
    ask(lab, &["app", "show", APP]).exits(1);
}

fn change_a_group(lab: &Lab) {
    let app =
        |id: &str| json!({"id": id, "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 16});
    let file = |apps: Value| {
        let front = json!({"id": "front", "dependencies": ["/shop/back"], "apps": apps});
        let back = json!({"id": "back", "apps": [app("db")]});
        let body = json!({"id": "/shop", "groups": [front, back]});
        lab.file("shop.json", body.to_string()).to_str().expect("ASCII").to_owned()
    };
    let path = file(json!([app("web"), app("old")]));
    let deployed = ask(lab, &["group", "deploy", &path, "--yes", "--wait"]).exits(0);
    let [db, web] = ["/shop/back/db: done", "/shop/front/web: done"]
        .map(|text| deployed.stdout.find(text).expect("each app is named"));
    assert!(db < web, "{}", deployed.stdout);
    let shown = json_of(lab, &["group", "show", "/shop/front"]);
    assert_eq!(shown["dependencies"], json!(["/shop/back"]), "{shown:#}");
    ask(lab, &["group", "diff", &path]).exits(0);
    let path = file(json!([app("web")]));
    let left = ask(lab, &["group", "diff", &path]).exits(0).stdout;
    assert!(left.contains("/shop/front/old: its group's file leaves it out; it stays"));
    ask(lab, &["group", "deploy", &path, "--prune", "--yes", "--wait"]).exits(0);
    let scaled = ask(lab, &["group", "scale", "/shop", "2", "--yes", "--wait"]).exits(0);
    assert!(!scaled.stdout.contains("/shop/front/old"), "{}", scaled.stdout);
    let row = &json_of(lab, &["group", "ls"])["groups"][0];
    assert_eq!((&row["id"], &row["running"]), (&json!("/shop"), &json!(4)), "{row:#}");
    ask(lab, &["group", "rm", "/"]).exits(2);
    // Nobody can be asked.
    ask(lab, &["group", "rm", "/shop"]).exits(4);
    ask(lab, &["group", "rm", "/shop", "--yes", "--wait"]).exits(0);
    assert!(Services::of(lab).tasks().is_empty());
}

fn run_a_job(lab: &Lab) {
    let add = |name: &str, body: &Value| {
        let file = lab.file(name, body.to_string());
        let file: &Path = &file;
        ask(lab, &["job", "add", file.to_str().expect("a name in ASCII")])
    };
    let parent = json!({"name": "parent", "command": "true",
        "schedule": "R/2030-01-01T00:00:00Z/PT1H"});
    add("parent.json", &parent).exits(0);
    let child = json!({"name": "child", "command": "true", "parents": ["parent"]});
    add("child.json", &child).exits(0);
    let cycle = json!({"name": "parent", "command": "true", "parents": ["child"]});
    add("cycle.json", &cycle).exits(4);
    assert_eq!(ask(lab, &["job", "graph"]).exits(0).stdout, "first\nparent\n  child\n");
    let jobs = json_of(lab, &["job", "ls"])["jobs"].clone();
    let parents: Vec<&Value> = jobs
        .as_array()
        .expect("a list")
        .iter()
        .filter(|job| job["name"] == "child")
        .map(|job| &job["parents"])
        .collect();
    assert_eq!(parents, [&json!(["parent"])]);
    ask(lab, &["job", "stat", "parent"]).exits(0);
    ask(lab, &["job", "run", "paernt"]).exits(1);
    for name in ["child", "parent"] {
        ask(lab, &["job", "rm", name, "--yes"]).exits(0);
    }
}
