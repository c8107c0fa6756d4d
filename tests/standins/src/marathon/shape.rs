//! Reads JSON by a shape: what is not in the shape is dropped, what is of the wrong kind is a
//! fault at its path. Pure.

use serde::Serialize;
use serde_json::{Map, Value};

/// What a value must look like.
#[derive(Debug)]
pub enum Shape {
    /// A string.
    Text,
    /// A number.
    Number,
    /// A boolean.
    Flag,
    /// A string, or an object that names a secret.
    Env,
    /// Anything, kept as it is.
    Any,
    /// A list of these.
    List(&'static Shape),
    /// An object with any keys.
    Map(&'static Shape),
    /// An object with these keys and no others.
    Object(&'static [(&'static str, &'static Shape)]),
}

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

/// What is left of a value under a shape.
///
/// # Errors
/// Every value of the wrong kind.
pub fn read(shape: &Shape, value: &Value) -> Result<Value, Vec<Fault>> {
    let mut faults = Vec::new();
    let value = visit(shape, value, String::new(), &mut faults);
    match faults.is_empty() {
        true => Ok(value),
        false => Err(faults),
    }
}

fn visit(shape: &Shape, value: &Value, path: String, faults: &mut Vec<Fault>) -> Value {
    let expected = match (shape, value) {
        (Shape::Any, _)
        | (Shape::Text | Shape::Env, Value::String(_))
        | (Shape::Env, Value::Object(_))
        | (Shape::Number, Value::Number(_))
        | (Shape::Flag, Value::Bool(_)) => return value.clone(),
        (Shape::List(inner), Value::Array(items)) => {
            let each =
                |(index, item)| visit(inner, item, format!("{path}({index})"), faults);
            return Value::Array(items.iter().enumerate().map(each).collect());
        }
        (Shape::Map(inner), Value::Object(map)) => {
            let mut kept = Map::new();
            for (key, item) in map {
                kept.insert(
                    key.clone(),
                    visit(inner, item, format!("{path}/{key}"), faults),
                );
            }
            return Value::Object(kept);
        }
        (Shape::Object(fields), Value::Object(map)) => {
            return Value::Object(visit_fields(fields, map, &path, faults));
        }
        (Shape::Text, _) => "error.expected.jsstring",
        (Shape::Number, _) => "error.expected.jsnumber",
        (Shape::Flag, _) => "error.expected.jsboolean",
        (Shape::List(_), _) => "error.expected.jsarray",
        (Shape::Map(_) | Shape::Object(_) | Shape::Env, _) => "error.expected.jsobject",
    };
    faults.push(Fault::new(if path.is_empty() { "/".into() } else { path }, expected));
    Value::Null
}

fn visit_fields(
    fields: &[(&str, &Shape)],
    map: &Map<String, Value>,
    path: &str,
    faults: &mut Vec<Fault>,
) -> Map<String, Value> {
    let mut kept = Map::new();
    for (key, item) in map {
        let known = fields.iter().find(|(name, _)| name == key);
        let Some((_, inner)) = known.filter(|_| !item.is_null()) else { continue };
        kept.insert(key.clone(), visit(inner, item, format!("{path}/{key}"), faults));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SHAPE: Shape = Shape::Object(&[
        ("id", &Shape::Text),
        ("constraints", &Shape::List(&Shape::List(&Shape::Text))),
        ("labels", &Shape::Map(&Shape::Text)),
    ]);

    #[test]
    fn unknown_fields_and_nulls_are_dropped() {
        let found = read(&SHAPE, &json!({"id": "/a", "nope": 1, "labels": null}));
        assert_eq!(found, Ok(json!({"id": "/a"})));
    }

    #[test]
    fn every_wrong_kind_is_a_fault_at_its_path() {
        let wrong = json!({"id": 1, "constraints": [["a", 2]], "labels": {"x": []}});
        let faults = read(&SHAPE, &wrong).unwrap_err();
        let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, ["/id", "/constraints(0)(1)", "/labels/x"]);
        assert_eq!(faults[0].errors, ["error.expected.jsstring"]);
        assert_eq!(read(&SHAPE, &json!([])).unwrap_err()[0].path, "/");
    }
}
