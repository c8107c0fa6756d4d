//! Reads JSON by a shape: what is not in the shape is dropped, what is of the wrong kind is found
//! at its path. Pure.
//!
//! A shape is JSON itself: `text`, `filled` for a text that is not empty, `id`, `count` for a whole
//! number from 0, `amount`, `share` (0 to 1), `factor` (from 1), `flag`, `any`; words with `|`
//! between them; `?name` for a text or the named shape, `@name` for the named shape; a list of one
//! shape; an object with these keys and no others, or with any where the key is `*`. A key that
//! must be there ends in `!`.

use crate::finding::{Finding, Kind};
use crate::path::Path;
use crate::{Spec, id};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// The members of 1.11, and among them those of the form before 1.5.
static SHAPES: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("shapes.json")).unwrap_or_default()
});

/// What is left of an `app` or a `group` under its shape, and what was found.
pub fn read(kind: &str, value: &Value) -> (Spec, Vec<Finding>) {
    let mut reader = Reader { kind, found: Vec::new() };
    let read = reader.visit(&SHAPES[kind], value, &Path::ROOT);
    match read {
        Some(Value::Object(read)) => (read, reader.found),
        _ => (Spec::new(), reader.found),
    }
}

struct Reader<'k> {
    kind: &'k str,
    found: Vec<Finding>,
}

impl Reader<'_> {
    /// The value as far as it fits; `None` where it does not.
    fn visit(&mut self, shape: &Value, value: &Value, path: &Path) -> Option<Value> {
        match shape {
            Value::Array(shapes) => {
                let Value::Array(items) = value else {
                    return self.wrong(path, "error.expected.jsarray", "a list", value);
                };
                let items = items.iter().enumerate();
                Some(
                    items
                        .filter_map(|(i, item)| {
                            self.visit(&shapes[0], item, &path.index(i))
                        })
                        .collect(),
                )
            }
            Value::Object(shapes) => self.object(shapes, value, path),
            Value::String(word) => self.word(word, value, path),
            _ => None,
        }
    }

    fn object(&mut self, shapes: &Spec, value: &Value, path: &Path) -> Option<Value> {
        let Value::Object(members) = value else {
            return self.wrong(path, "error.expected.jsobject", "an object", value);
        };
        let mut kept = Map::new();
        for (key, item) in members {
            let shape = shapes.get(key).or_else(|| shapes.get(&format!("{key}!")));
            let place = path.key(key);
            match shape.or_else(|| shapes.get("*")) {
                Some(_) if shape.is_some() && item.is_null() => {}
                Some(inner) => {
                    if let Some(item) = self.visit(inner, item, &place) {
                        kept.insert(key.clone(), item);
                    }
                }
                None => self.unknown(shapes, members, key, &place),
            }
        }
        for key in shapes.keys().filter_map(|key| key.strip_suffix('!')) {
            if members.get(key).is_none_or(Value::is_null) {
                let kind = Kind::Shape("error.path.missing");
                let text = format!("`{key}` is missing");
                self.found.push(Finding::new(path.key(key), kind, text));
            }
        }
        Some(kept.into())
    }

    fn word(&mut self, word: &str, value: &Value, path: &Path) -> Option<Value> {
        if let Some(name) = word.strip_prefix('@') {
            return self.visit(&SHAPES[name], value, path);
        }
        if let Some(name) = word.strip_prefix('?') {
            return match value {
                Value::String(_) => Some(value.clone()),
                Value::Object(_) => self.visit(&SHAPES[name], value, path),
                _ => self.wrong(path, "error.expected.jsobject", "a text", value),
            };
        }
        match (word, value) {
            ("any", _) | ("flag", Value::Bool(_)) | ("text", Value::String(_)) => {}
            ("filled", Value::String(text)) if text.is_empty() => {
                return self.limit(path, "error.minLength", "this must not be empty");
            }
            ("filled", Value::String(_)) => {}
            ("id", Value::String(text)) => {
                if let Some(fault) = id::fault(text) {
                    return self.limit(path, "error.pattern", fault);
                }
            }
            ("count" | "amount" | "share" | "factor", _) => {
                return self.number(word, value, path);
            }
            ("flag", _) => {
                return self.wrong(
                    path,
                    "error.expected.jsboolean",
                    "`true` or `false`",
                    value,
                );
            }
            (words, Value::String(text)) if words.contains('|') => {
                if !words.split('|').any(|word| word == text) {
                    return self.no_such_word(words, text, path);
                }
            }
            _ => return self.wrong(path, "error.expected.jsstring", "a text", value),
        }
        Some(value.clone())
    }

    fn number(&mut self, word: &str, value: &Value, path: &Path) -> Option<Value> {
        let Some(number) = value.as_f64() else {
            return self.wrong(path, "error.expected.jsnumber", "a number", value);
        };
        let (least, most) = match word {
            "share" => (0.0, 1.0),
            "factor" => (1.0, f64::MAX),
            _ => (0.0, f64::MAX),
        };
        let is_count = word == "count";
        if is_count && (number.fract() != 0.0 || number > f64::from(i32::MAX)) {
            let text = format!("a whole number is needed, not {value}");
            return self.limit(path, "error.expected.int", text);
        }
        if number < least {
            let text = format!("{value} is too small: the least is {least}");
            return self.limit(path, "error.min", text);
        }
        if number > most {
            let text = format!("{value} is too large: the most is {most}");
            return self.limit(path, "error.max", text);
        }
        // `2.0` is a whole number too, and is kept as one.
        Some(if is_count { Value::from(number as u64) } else { value.clone() })
    }

    fn no_such_word(&mut self, words: &str, text: &str, path: &Path) -> Option<Value> {
        let words: Vec<&str> = words.split('|').collect();
        let message = format!("there is no `{text}` here");
        let near =
            words.iter().find(|word| word.to_lowercase().ends_with(&text.to_lowercase()));
        let help = match near {
            Some(near) => format!("write `{near}`"),
            None => format!("it is one of {}", words.join(", ")),
        };
        let kind = Kind::Shape("error.unknown.enum.literal");
        self.found.push(Finding::new(path.clone(), kind, message).help(help));
        None
    }

    fn limit(
        &mut self,
        path: &Path,
        word: &'static str,
        text: impl Into<String>,
    ) -> Option<Value> {
        self.found.push(Finding::new(path.clone(), Kind::Shape(word), text));
        None
    }

    fn wrong(
        &mut self,
        path: &Path,
        word: &'static str,
        wanted: &str,
        value: &Value,
    ) -> Option<Value> {
        let text = format!("{wanted} is needed, not {}", kind_of(value));
        self.limit(path, word, text)
    }

    fn unknown(&mut self, shapes: &Spec, members: &Spec, key: &str, place: &Path) {
        let text = format!("Marathon does not know `{key}`, and drops it without a word");
        let finding = Finding::new(place.clone(), Kind::Dropped, text);
        let free = |known: &&str| !members.contains_key(*known);
        let known = shapes.keys().map(|known| known.trim_end_matches('!')).filter(free);
        let help = instead(place)
            .map(str::to_owned)
            .or_else(|| nearest(key, known).map(|near| format!("did you mean `{near}`?")))
            .or_else(|| {
                let home = home_of(&SHAPES[self.kind], key, &Path::ROOT)?;
                Some(match home.steps() {
                    [] => format!("`{key}` belongs beside `id`, in the app itself"),
                    _ => format!("`{key}` belongs into `{home}`"),
                })
            });
        self.found.push(Finding { help, ..finding });
    }
}

/// What was meant by members that people write and Marathon never had.
fn instead(place: &Path) -> Option<&'static str> {
    match place.keys().as_slice() {
        ["container", "docker", "hostname"] => Some(
            "give it to Docker: `\"parameters\": [{\"key\": \"hostname\", \"value\": \"…\"}]`",
        ),
        ["container", "docker", "name"] => Some(
            "leave it out: Mesos names its containers itself; for a name by which other \
             containers find it, use `hostname` or `network-alias` in `parameters`",
        ),
        ["container", "docker", "volumes"] => {
            Some("write `volumes` one level up, in `container`")
        }
        _ => None,
    }
}

/// Where a member of this name is known, outside of lists.
fn home_of(shape: &Value, key: &str, path: &Path) -> Option<Path> {
    let members = shape.as_object()?;
    let has = |name: &str| members.contains_key(name);
    if has(key) || has(&format!("{key}!")) {
        return Some(path.clone());
    }
    let name = |name: &str| path.key(name.trim_end_matches('!'));
    members.iter().find_map(|(inner, shape)| home_of(shape, key, &name(inner)))
}

/// The known word that a misspelt one stands for.
pub(crate) fn nearest<'k>(
    word: &str,
    known: impl Iterator<Item = &'k str>,
) -> Option<&'k str> {
    let plain = |text: &str| text.trim_matches([':', ' ', '_', '-']).to_lowercase();
    let word = plain(word);
    let distance = |known: &str| {
        let known = plain(known);
        let shorter = known.starts_with(&word) && word.len() * 2 > known.len();
        if shorter { 1 } else { strsim::damerau_levenshtein(&word, &known) }
    };
    known
        .map(|known| (distance(known), known))
        .filter(|(distance, known)| *distance <= known.len().max(3) / 3)
        .min()
        .map(|(_, known)| known)
}

/// Without the value, which may be a secret.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_fields_and_nulls_are_dropped_and_wrong_kinds_are_found_at_their_paths() {
        let app = json!({"id": "/a", "nope": 1, "user": null, "env": {"A": "1"}});
        let (kept, found) = read("app", &app);
        assert_eq!(json!(kept), json!({"id": "/a", "env": {"A": "1"}}));
        assert_eq!((found.len(), found[0].kind), (1, Kind::Dropped));
        let wrong = json!({"id": 1, "constraints": [["a", 2]], "labels": {"x": []}});
        let (_, found) = read("app", &wrong);
        let paths: Vec<_> = found.iter().map(|found| found.path.to_string()).collect();
        assert_eq!(paths, ["/id", "/constraints(0)(1)", "/labels/x"]);
        assert_eq!(found[0].kind, Kind::Shape("error.expected.jsstring"));
        assert_eq!(read("app", &json!([])).1[0].path, Path::ROOT);
    }

    #[test]
    fn a_misspelt_or_misplaced_member_is_named_with_the_right_word() {
        let body = json!({"id": "/a", "minimumHealthCapacity": 0.5, "uris:": [],
            "upgradeStrategy": {"minimunHealthCapacity": 0.5, "maximumOvercapacity": 0},
            "healthCheck": [], "taskKillGracePeriod": 60, "constraint": [],
            "backOffSeconds": 30, "portDefinition": [],
            "container": {"docker": {"image": "a", "hostname": "h"}}});
        let (_, found) = read("app", &body);
        let dropped = found.iter().filter(|found| found.kind == Kind::Dropped);
        let help: Vec<_> =
            dropped.map(|found| found.help.as_deref().unwrap_or("")).collect();
        for (help, part) in help.iter().zip([
            "belongs into `/upgradeStrategy`",
            "`uris`",
            "`minimumHealthCapacity`",
            "`maximumOverCapacity`",
            "`healthChecks`",
            "`taskKillGracePeriodSeconds`",
            "`constraints`",
            "`backoffSeconds`",
            "`portDefinitions`",
            "give it to Docker",
        ]) {
            assert!(help.contains(part), "{help}: {part}");
        }
        assert_eq!(help.len(), 10);
    }
}
