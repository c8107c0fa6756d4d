//! Marathon.

use jiff::Timestamp;
use serde_json::json;
use standins::marathon::core::{Core, Finding};
use standins::marathon::member::Marathon;

use super::known::Known;
use super::script;

const FILE: &str = "marathon-1.11.24-replay.jsonl";

/// Where it knowingly differs.
const KNOWN: &[Known] =
    &[Known("*", ".details is missing: []", "A `404` has no `details`")];

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
    let script = include_str!("marathon.txt");
    script::check::<Marathon>((FILE, script), 38080, probes, KNOWN).await;
}
