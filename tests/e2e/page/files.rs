//! Files of apps are brought to Marathon through the edge, by the program.

use serde_json::json;

use crate::harness::{Lab, http_server};

/// A file is deployed, shows no difference then, and a change of it that cannot run is taken back.
pub(super) fn become_apps_and_a_bad_change_is_taken_back(lab: &Lab) {
    let app = json!({"id": "/filed/web", "cmd": http_server("filed"), "cpus": 0.1, "mem": 32,
        "env": {"KEY": "hush"}, "portDefinitions": [{"port": 10_009, "name": "http"}],
        "healthChecks": [{"protocol": "HTTP", "path": "/", "portIndex": 0, "intervalSeconds": 1}]});
    lab.file("web.json", app.to_string());
    let deployed = lab.run(&["app deploy -i", "web.json", "--yes", "--wait"]).exits(0);
    assert!(deployed.stdout.contains("/filed/web: a new app with 1 instance"));
    assert!(deployed.stdout.contains("/filed/web: done"), "{}", deployed.stdout);
    is_as_in_its_file(lab);
    let scaled = lab.run(&["app diff -i", "web.json", "--set", "instances=2"]).exits(10);
    assert!(scaled.stdout.contains("1 → 2 instances; running tasks are not touched"));
    let keyed = lab.run(&["app diff -i", "web.json", "--set", "env.KEY=other"]).exits(10);
    assert!(keyed.stdout.contains("~ /env/KEY changes"), "{}", keyed.stdout);
    let wrong = ["app deploy -i", "web.json", "--set", "instances=\"2\"", "--yes"];
    let refused = lab.run(&wrong).exits(3);
    assert!(refused.stderr.contains("a number is needed, not a text"));
    let bad = ["app deploy -i", "web.json", "--set", "cmd=exit 3", "--yes", "--wait"];
    let bad = [&bad[..], &["--timeout", "15s", "--on-failure", "rollback"]].concat();
    let failed = lab.run(&bad).exits(6);
    for part in [
        "all 1 task will be replaced",
        "its last failure: TASK_",
        "the change was taken back",
    ] {
        let said = format!("{}{}", failed.stdout, failed.stderr);
        assert!(said.contains(part), "{part}: {said}");
    }
    is_as_in_its_file(lab);
    lab.run(&["app rm -i", "/filed/web", "--yes", "--wait"]).exits(0);
}

fn is_as_in_its_file(lab: &Lab) {
    let same = lab.run(&["app diff -i", "web.json"]).exits(0);
    assert!(same.stdout.contains("/filed/web: no difference"), "{}", same.stdout);
}
