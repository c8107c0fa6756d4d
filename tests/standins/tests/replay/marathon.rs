//! Marathon.

use jiff::Timestamp;
use serde_json::json;
use standins::framework::options;
use standins::framework::setup::World;
use standins::marathon::core::{Core, Finding};
use standins::marathon::member::Marathon;
use standins::marathon::settings::{Settings, TABLE};

use super::known::{self, Known};
use super::{recording, script};

const FILE: &str = "marathon-1.11.24-replay.jsonl";

/// Where it knowingly differs.
const KNOWN: &[Known] =
    &[Known("*", ".details is missing: []", "A `404` has no `details`")];

fn service(flags: &str) -> Marathon {
    let at = "--master zk://127.0.0.1:1/mesos --hostname 127.0.0.1 --http_port 38080";
    let words: Vec<String> =
        format!("{at} {flags}").split_whitespace().map(str::to_owned).collect();
    let options = options::parse(TABLE, &words).unwrap();
    let world = World { hostname: "h", http_credentials: None, read: &|_| None };
    Marathon::new(Settings::read(&options, &world).unwrap())
}

/// `probes WRONG`: all checks that are due find this wrong, or nothing.
fn probes(core: &mut Core, now: Timestamp, line: &str) {
    let wrong = line.strip_prefix("probes").unwrap_or_else(|| panic!("what is {line}?"));
    let wrong = Some(wrong.trim().to_owned()).filter(|wrong| !wrong.is_empty());
    let status = wrong.as_ref().map_or(200, |_| 404);
    let response =
        Some(json!({"status": status, "contentType": "", "body": "<!DOCTYPE HTML>"}));
    let found = Finding { wrong, response };
    for probe in core.due_probes(now) {
        core.probed(&probe, found.clone(), now);
    }
}

#[tokio::test]
async fn it_answers_as_a_real_one_but_for_what_is_known() {
    let found = script::play(FILE, include_str!("marathon.txt"), service, probes).await;
    let recorded = recording::read(FILE);
    known::check(recorded.iter().map(|recording| &recording.name), &found, KNOWN);
}
