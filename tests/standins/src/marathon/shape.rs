//! Reads JSON by a shape: what is not in the shape is dropped, what is of the wrong kind is a
//! fault at its path. Pure.
//!
//! A shape is JSON itself: `"text"`, `"number"`, `"flag"`, `"env"` for a text or a secret, `"any"`;
//! a list of one shape; an object with these keys and no others, or with any where the key is `*`.

use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// What Marathon is sent: the fields of 1.11, and at the end those of the form before 1.5.
static SHAPES: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("shapes.json")).unwrap_or_default()
});

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where, such as `/container/docker/image`.
    pub path: String,
    /// What.
    pub errors: Vec<String>,
}

impl Fault {
    /// One fault.
    pub fn new(path: impl Into<String>, error: impl Into<String>) -> Self {
        Self { path: path.into(), errors: vec![error.into()] }
    }
}

/// What is left of an `app` or a `group` under its shape.
///
/// # Errors
/// Every value of the wrong kind.
pub fn read(kind: &str, value: &Value) -> Result<Map<String, Value>, Vec<Fault>> {
    let mut faults = Vec::new();
    match visit(&SHAPES[kind], value, "", &mut faults) {
        Value::Object(read) if faults.is_empty() => Ok(read),
        _ => Err(faults),
    }
}

fn visit(shape: &Value, value: &Value, path: &str, faults: &mut Vec<Fault>) -> Value {
    let expected = match (shape, value) {
        (Value::Array(shapes), Value::Array(items)) => {
            let items = items.iter().enumerate();
            return items
                .map(|(i, item)| visit(&shapes[0], item, &format!("{path}({i})"), faults))
                .collect();
        }
        (Value::Object(shapes), Value::Object(members)) => {
            let mut kept = Map::new();
            for (key, item) in members {
                let known = shapes.get(key).filter(|_| !item.is_null());
                if let Some(inner) = known.or_else(|| shapes.get("*")) {
                    let path = format!("{path}/{key}");
                    kept.insert(key.clone(), visit(inner, item, &path, faults));
                }
            }
            return kept.into();
        }
        (Value::Array(_), _) => "error.expected.jsarray",
        (Value::Object(_), _) => "error.expected.jsobject",
        (kind, value) => {
            let (fits, expected) = match kind.as_str().unwrap_or_default() {
                "text" => (value.is_string(), "error.expected.jsstring"),
                "number" => (value.is_number(), "error.expected.jsnumber"),
                "flag" => (value.is_boolean(), "error.expected.jsboolean"),
                "env" => {
                    (value.is_string() || value.is_object(), "error.expected.jsobject")
                }
                _ => (true, ""),
            };
            if fits {
                return value.clone();
            }
            expected
        }
    };
    faults.push(Fault::new(if path.is_empty() { "/" } else { path }, expected));
    json!(null)
}

#[test]
fn unknown_fields_and_nulls_are_dropped_and_wrong_kinds_are_faults_at_their_paths() {
    let read = |value: Value| read("app", &value);
    let found = read(json!({"id": "/a", "nope": 1, "user": null, "env": {"A": "1"}}));
    assert_eq!(json!(found.unwrap()), json!({"id": "/a", "env": {"A": "1"}}));
    let wrong = json!({"id": 1, "constraints": [["a", 2]], "labels": {"x": []}});
    let faults = read(wrong).unwrap_err();
    let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["/id", "/constraints(0)(1)", "/labels/x"]);
    assert_eq!(faults[0].errors, ["error.expected.jsstring"]);
    assert_eq!(read(json!([])).unwrap_err()[0].path, "/");
}
