//! How two answers differ: in all but ids, times of the recording, ports that were given, and the
//! order of lists. Of a refusal the texts are not compared, only that they are there.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use super::recording::{Answer, HEADERS};

static CHANGING: LazyLock<Regex> = LazyLock::new(|| {
    let uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    let time = r"2026-(11|12)-\d\dT\d\d:\d\d:\d\d(\.\d+)?";
    let agent = r"-[SO]\w+|127\.0\.1\.2[12]|127\.0\.0\.1:38\d+";
    Regex::new(&format!("{uuid}|{time}|ct:\\d+|{agent}")).unwrap()
});

/// Each difference of an answer from the real one, such as `apps[].id is missing`.
pub(crate) fn differences(real: &Answer, own: &Answer) -> Vec<String> {
    if real.status != own.status {
        return vec![format!("status {}, not {}", own.status, real.status)];
    }
    let mut found = Vec::new();
    for name in HEADERS {
        let [real, own] = [real, own].map(|answer| answer.headers.get(name));
        let [real, own] =
            [real, own].map(|value| value.map_or(String::new(), |v| plain(v)));
        if real != own {
            found.push(format!("header {name} is `{own}`, not `{real}`"));
        }
    }
    let [real, own] =
        [&real.body, &own.body].map(|body| masked(body, real.status >= 400));
    compare(&real, &own, "", &mut found);
    found
}

fn plain(text: &str) -> String {
    CHANGING.replace_all(text, "*").into_owned()
}

fn masked(value: &Value, is_refusal: bool) -> Value {
    match value {
        Value::String(_) if is_refusal => json!("…"),
        Value::String(text) if text.starts_with("<!DOCTYPE HTML>") => json!("a page"),
        Value::String(text) => json!(plain(text)),
        Value::Number(number) => match number.as_f64().unwrap_or_default() {
            // Compared as numbers, not as they are spelt; 1 is 1.0.
            10000.0..=20000.0 => json!("a service port"),
            31000.0..=32000.0 => json!("a port"),
            number => json!(number),
        },
        Value::Array(list) => {
            let mut list: Vec<Value> =
                list.iter().map(|value| masked(value, is_refusal)).collect();
            list.sort_by_key(Value::to_string);
            if is_refusal {
                list.dedup();
            }
            list.into()
        }
        Value::Object(map) => {
            let mut members: Vec<_> = map
                .iter()
                .map(|(name, value)| (plain(name), masked(value, is_refusal)))
                .collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            members.into_iter().collect()
        }
        other => other.clone(),
    }
}

fn compare(real: &Value, own: &Value, path: &str, found: &mut Vec<String>) {
    match (real, own) {
        (Value::Object(real), Value::Object(own)) => {
            for (name, value) in real {
                match own.get(name) {
                    Some(own) => compare(value, own, &format!("{path}.{name}"), found),
                    None => found.push(format!("{path}.{name} is missing: {value}")),
                }
            }
            let unknown = own.iter().filter(|(name, _)| !real.contains_key(*name));
            found.extend(
                unknown.map(|(name, value)| format!("{path}.{name} is unknown: {value}")),
            );
        }
        (Value::Array(real), Value::Array(own)) if real.len() == own.len() => {
            for (real, own) in real.iter().zip(own) {
                compare(real, own, &format!("{path}[]"), found);
            }
        }
        (real, own) if real != own => found.push(format!("{path} is {own}, not {real}")),
        _ => (),
    }
}

#[test]
fn all_counts_but_ids_times_and_the_order_of_lists() {
    let answer = |body: Value| Answer { status: 200, body, ..Answer::default() };
    let real = answer(json!({"id": "a", "n": 1, "at": "2026-11-29T15:04:05.678Z",
        "list": ["x", {"port": 31000}]}));
    let same = answer(json!({"list": [{"port": 31001}, "x"], "n": 1.0,
        "at": "2026-12-01T00:00:00.000Z", "id": "a"}));
    assert_eq!(differences(&real, &same), Vec::<String>::new());
    let other = answer(json!({"id": "b", "n": 1, "list": [], "more": null}));
    let expected = [
        ".at is missing: \"*Z\"",
        ".id is \"b\", not \"a\"",
        ".list is [], not [\"x\",{\"port\":\"a port\"}]",
        ".more is unknown: null",
    ];
    assert_eq!(differences(&real, &other), expected);
    let failed = Answer { status: 500, ..other };
    assert_eq!(differences(&real, &failed), ["status 500, not 200"]);
}
