//! Answers of a real Marathon, each parsed by the client's own types.
//!
//! The file has one answer per line. Of several hundred recorded answers it contains those with a
//! field, or a type of field, that no earlier answer has.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::marathon::{App, Deployment, Group, Queued, Task};

#[derive(Deserialize)]
struct Answer {
    kind: String,
    request: String,
    body: Value,
}

/// Parses all answers in a file and checks that each is what its kind says.
fn check(file: &str, read: fn(&Answer) -> Result<bool, serde_json::Error>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let text = std::fs::read_to_string(folder.join(file)).expect("it is there");
    assert!(text.lines().count() > 5, "{file} has answers");
    for line in text.lines() {
        let answer: Answer = serde_json::from_str(line).expect("a line of the file");
        let (kind, request) = (&answer.kind, &answer.request);
        match read(&answer) {
            Ok(says_something) => assert!(says_something, "{request}: nothing is read"),
            Err(error) => panic!("{request} ({kind}): {error}\n{}", answer.body),
        }
    }
}

fn read<T: DeserializeOwned>(body: &Value) -> Result<T, serde_json::Error> {
    T::deserialize(body)
}

#[test]
fn every_answer_of_a_real_marathon_is_read() {
    check("marathon-1.11.24.jsonl", |Answer { kind, body, .. }| {
        Ok(match kind.as_str() {
            "app" => read::<App>(&body["app"])?.id.starts_with('/'),
            "apps" => {
                read::<Vec<App>>(&body["apps"])?.iter().all(|app| !app.id.is_empty())
            }
            "group" => {
                let group = read::<Group>(body)?;
                let has_ids = group.all_apps().all(|it| it.app.id.starts_with(&group.id));
                let enforces = group.enforce_role == (body["enforceRole"] == true);
                !group.id.is_empty() && has_ids && enforces
            }
            "tasks" => read::<Vec<Task>>(&body["tasks"])?
                .iter()
                .all(|task| !task.state.is_empty()),
            "deployments" => read::<Vec<Deployment>>(body)?
                .iter()
                .all(|under_way| !under_way.id.is_empty()),
            "queue" => read::<Vec<Queued>>(&body["queue"])?
                .iter()
                .all(|held| !held.app.id.is_empty()),
            other => panic!("no answer is `{other}`"),
        })
    });
}
