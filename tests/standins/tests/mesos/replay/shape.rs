//! The shape of JSON: names and types, and the words of Mesos' own, but no ids, times or amounts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What may stand at one place. The elements of a list have one shape together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Such as `text`, `TASK_RUNNING`, `whole number`.
    kinds: BTreeSet<String>,
    members: BTreeMap<String, Shape>,
    elements: Option<Box<Shape>>,
}

impl Shape {
    pub(crate) fn of(value: &Value) -> Self {
        let mut shape = Self::default();
        shape.add(value);
        shape
    }

    fn add(&mut self, value: &Value) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            Value::Number(number) if number.is_f64() => "fraction",
            Value::Number(_) => "whole number",
            Value::String(text) if is_word(text) => text,
            Value::String(_) => "text",
            Value::Array(list) if list.is_empty() => "empty list",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        self.kinds.insert(kind.to_owned());
        for element in value.as_array().into_iter().flatten() {
            self.elements.get_or_insert_default().add(element);
        }
        for (name, member) in value.as_object().into_iter().flatten() {
            self.members.entry(name.clone()).or_default().add(member);
        }
    }

    /// How another differs from this one, a line for each difference, such as
    /// `slaves[].port is text, not whole number`.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        self.compare(other, "", &mut found);
        found
    }

    fn compare(&self, other: &Self, path: &str, found: &mut Vec<String>) {
        if self.kinds != other.kinds {
            let list = |kinds: &BTreeSet<String>| {
                kinds.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
            };
            let (own, others) = (list(&self.kinds), list(&other.kinds));
            found.push(format!("{path} is {others}, not {own}"));
        }
        if let (Some(own), Some(others)) = (&self.elements, &other.elements) {
            own.compare(others, &format!("{path}[]"), found);
        }
        let dot = if path.is_empty() { "" } else { "." };
        for (name, own) in &self.members {
            match other.members.get(name) {
                Some(others) => own.compare(others, &format!("{path}{dot}{name}"), found),
                // A shape that is no object says so already.
                None if other.kinds.contains("object") => {
                    found.push(format!("{path}{dot}{name} is missing"));
                }
                None => (),
            }
        }
        let unknown =
            other.members.keys().filter(|name| !self.members.contains_key(*name));
        if self.kinds.contains("object") {
            found.extend(unknown.map(|name| format!("{path}{dot}{name} is unknown")));
        }
    }
}

/// Whether a text is one of a fixed set of words, as Mesos writes them.
fn is_word(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

#[test]
fn names_types_and_words_count_and_values_do_not() {
    use serde_json::json;
    let real = json!({"id": "a", "n": 1, "at": 1.5, "up": true, "list": [
        {"state": "TASK_RUNNING", "x": 1}, {"state": "TASK_LOST"}]});
    let differences = |other: Value| Shape::of(&real).differences(&Shape::of(&other));
    let same = json!({"list": [{"state": "TASK_LOST"}, {"state": "TASK_RUNNING", "x": 7}],
        "up": true, "at": 2.5, "n": 2, "id": "b"});
    assert_eq!(differences(same), Vec::<String>::new());
    let other = json!({"id": "a", "n": 1.0, "up": false, "more": null, "list": [
        {"state": "TASK_RUNNING", "x": 1}]});
    assert_eq!(
        differences(other),
        [
            "at is missing",
            "list[].state is TASK_RUNNING, not TASK_LOST or TASK_RUNNING",
            "n is fraction, not whole number",
            "up is false, not true",
            "more is unknown",
        ]
    );
    let empty = json!({"id": "a", "n": 1, "at": 1.5, "up": true, "list": []});
    assert_eq!(differences(empty), ["list is empty list, not list"]);
}
