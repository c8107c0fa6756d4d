//! The differences of two apps in their one form. Pure.

use crate::Spec;
use crate::path::Path;
use serde_json::Value;
use std::collections::BTreeSet;

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where.
    pub path: Path,
    /// What is there; `None` where there is nothing.
    pub before: Option<Value>,
    /// What is to be there.
    pub after: Option<Value>,
}

/// Lists whose order means nothing.
const SETS: [&str; 5] = [
    "constraints",
    "healthChecks",
    "acceptedResourceRoles",
    "dependencies",
    "httpStatusCodesForReady",
];

/// Where `after` differs from `before`. Numbers are compared by value, and what is empty is as good
/// as what is not there.
pub fn differences(before: &Spec, after: &Spec) -> Vec<Difference> {
    let mut found = Vec::new();
    members(before, after, &Path::ROOT, &mut found);
    found
}

/// Whether Marathon starts all tasks of an app anew for these: it does for all but their number.
pub fn restart(differences: &[Difference]) -> bool {
    differences.iter().any(|difference| difference.path.keys() != ["instances"])
}

fn members(before: &Spec, after: &Spec, path: &Path, found: &mut Vec<Difference>) {
    let fresh = after.keys().filter(|key| !before.contains_key(*key));
    for key in before.keys().chain(fresh) {
        let (before, after) = (before.get(key), after.get(key));
        values(filled(before), filled(after), &path.key(key), found);
    }
}

fn values(
    before: Option<&Value>,
    after: Option<&Value>,
    path: &Path,
    found: &mut Vec<Difference>,
) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            return members(before, after, path, found);
        }
        (Some(Value::Array(before)), Some(Value::Array(after)))
            if before.len() == after.len() && !is_set(path) =>
        {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                values(Some(before), Some(after), &path.index(index), found);
            }
            return;
        }
        _ => {}
    }
    let plain = |value: Option<&Value>| value.map(|value| canonical(value, is_set(path)));
    if plain(before) != plain(after) {
        let (before, after) = (before.cloned(), after.cloned());
        found.push(Difference { path: path.clone(), before, after });
    }
}

fn is_set(path: &Path) -> bool {
    let keys = path.steps().last();
    matches!(keys, Some(crate::Step::Key(key)) if SETS.contains(&key.as_str()))
}

fn filled(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    })
}

/// A text that is the same for the same values.
fn canonical(value: &Value, is_set: bool) -> String {
    match value {
        Value::Number(number) => number.as_f64().unwrap_or_default().to_string(),
        Value::Array(items) if is_set => {
            let items: BTreeSet<String> =
                items.iter().map(|item| canonical(item, false)).collect();
            format!("{items:?}")
        }
        Value::Array(items) => {
            let items: Vec<String> =
                items.iter().map(|item| canonical(item, false)).collect();
            format!("{items:?}")
        }
        Value::Object(members) => {
            let members: BTreeSet<String> = members
                .iter()
                .filter(|(_, value)| filled(Some(*value)).is_some())
                .map(|(key, value)| {
                    format!("{key:?}: {}", canonical(value, SETS.contains(&key.as_str())))
                })
                .collect();
            format!("{members:?}")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(before: &Value, after: &Value, expected: &[&str], restarts: bool) {
        let [before, after] = [before, after].map(|value| value.as_object().unwrap());
        let found = differences(before, after);
        let paths: Vec<_> = found.iter().map(|found| found.path.to_string()).collect();
        assert_eq!(paths, expected);
        assert_eq!(restart(&found), restarts);
    }

    #[test]
    fn only_what_means_another_thing_is_a_difference() {
        let before = json!({"cpus": 1, "constraints": [["a", "UNIQUE"], ["b", "UNIQUE"]],
            "env": {}, "instances": 1, "args": ["a", "b"]});
        let same = json!({"cpus": 1.0, "constraints": [["b", "UNIQUE"], ["a", "UNIQUE"]],
            "labels": {}, "instances": 1, "args": ["a", "b"]});
        check(&before, &same, &[], false);
        let other = json!({"cpus": 1, "constraints": [["a", "UNIQUE"]], "instances": 2,
            "args": ["b", "a"], "env": {"A": "1"}});
        let expected = ["/constraints", "/env", "/instances", "/args(0)", "/args(1)"];
        check(&before, &other, &expected, true);
    }

    #[test]
    fn another_number_of_instances_restarts_nothing() {
        check(&json!({"instances": 1}), &json!({"instances": 2}), &["/instances"], false);
    }
}
