//! What master and agent both speak of: resources, attributes, times, and the version.
//!
//! Pure values in the JSON forms of Mesos' protocol buffers.

pub mod access;
pub mod durable;
pub mod place;
pub mod resources;

use serde_json::{Value, json};

/// The version that is imitated.
pub const VERSION: &str = "1.11.0";

/// What `/version` answers, and what the state of master and agent begins with.
pub fn build() -> Value {
    json!({
        "build_date": "2020-11-24 15:38:37",
        "build_time": 1_606_232_317.0,
        "build_user": "ubuntu",
        "git_sha": "04bc7ee1984d86fbb0bd782ccc69ce44c13ae4b9",
        "git_tag": "1.11.0",
        "version": VERSION,
    })
}

/// What an agent of this version can do.
pub const AGENT_CAPABILITIES: [&str; 8] = [
    "MULTI_ROLE",
    "HIERARCHICAL_ROLE",
    "RESERVATION_REFINEMENT",
    "RESOURCE_PROVIDER",
    "RESIZE_VOLUME",
    "AGENT_OPERATION_FEEDBACK",
    "AGENT_DRAINING",
    "TASK_RESOURCE_LIMITS",
];

/// Now, in seconds since 1970.
pub fn now() -> f64 {
    let nanoseconds = jiff::Timestamp::now().as_nanosecond();
    (nanoseconds / 1000) as f64 / 1e6
}

/// Seconds as a `TimeInfo` or `DurationInfo`.
pub fn nanoseconds(seconds: f64) -> Value {
    json!({"nanoseconds": (seconds * 1e9) as i64})
}

/// The text of a member, or nothing.
pub fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// The id in a member such as `task_id`.
pub fn id<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member]["value"].as_str().unwrap_or_default()
}

/// An id as Mesos wraps it.
pub fn wrapped(id: &str) -> Value {
    json!({"value": id})
}

/// The members of a list, or none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Copies members that are there.
pub fn copy_members(from: &Value, to: &mut Value, members: &[&str]) {
    for member in members {
        if let Some(value) = from.get(member) {
            to[*member] = value.clone();
        }
    }
}

/// Whether a task in this state has ended.
pub fn is_terminal(state: &str) -> bool {
    matches!(
        state,
        "TASK_FINISHED"
            | "TASK_FAILED"
            | "TASK_KILLED"
            | "TASK_ERROR"
            | "TASK_LOST"
            | "TASK_DROPPED"
            | "TASK_GONE"
            | "TASK_GONE_BY_OPERATOR"
    )
}

/// The attributes of a flag as `name:value;…`, as Mesos wraps them.
pub fn attributes(text: &str) -> Option<Value> {
    let parts = text.split([';', '\n']).map(str::trim).filter(|part| !part.is_empty());
    parts.map(attribute).collect::<Option<Vec<_>>>().map(Value::from)
}

fn attribute(text: &str) -> Option<Value> {
    let (name, value) = text.split_once(':')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || value.is_empty() {
        return None;
    }
    if let Some(ranges) = resources::parse_ranges(value) {
        let ranges = resources::ranges_json(&ranges);
        return Some(json!({"name": name, "type": "RANGES", "ranges": ranges}));
    }
    Some(match value.parse::<f64>() {
        Ok(number) => {
            json!({"name": name, "type": "SCALAR", "scalar": {"value": number}})
        }
        Err(_) => json!({"name": name, "type": "TEXT", "text": {"value": value}}),
    })
}

/// Attributes as the older endpoints show them: an object of plain values.
pub fn plain_attributes(attributes: &Value) -> Value {
    let plain = |attribute: &Value| match text(attribute, "type") {
        "SCALAR" => attribute["scalar"]["value"].clone(),
        "RANGES" => Value::from(resources::ranges_text(&resources::ranges_of(attribute))),
        _ => attribute["text"]["value"].clone(),
    };
    let entries = list(attributes).iter().map(|a| (text(a, "name").to_owned(), plain(a)));
    Value::Object(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_the_type_of_their_value() {
        let attributes = attributes("rack:r2; slots:4;ids:[1-3,7-7];path:a:b").unwrap();
        let plain = plain_attributes(&attributes);
        assert_eq!(
            plain,
            json!({"rack": "r2", "slots": 4.0, "ids": "[1-3, 7-7]",
            "path": "a:b"})
        );
        for text in ["rack", "rack:", ":r1"] {
            assert!(super::attributes(text).is_none(), "{text}");
        }
    }
}
