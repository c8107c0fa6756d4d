//! Finds the parts of a file that must not be shown.
//!
//! An inventory must not contain a password; but if an operator writes one there, it must not
//! appear in a log. So this looks for values of keys that sound like secrets, also if they are
//! misspelt or the text is not YAML at all. In doubt it hides too much.

use std::ops::Range;

use super::tree::{self, Node, Value};

/// The bytes of `text` that may be secrets, in order, not overlapping.
pub(super) fn secret_spans(text: &str) -> Vec<Range<usize>> {
    let mut spans = match tree::parse(text) {
        Ok(tree) => {
            let mut spans = Vec::new();
            visible(&tree.root, &mut spans);
            spans
        }
        Err(_) => guess(text),
    };
    spans.retain(|span| !span.is_empty());
    spans.sort_by_key(|span| (span.start, span.end));
    spans.dedup_by(|next, kept| {
        let overlaps = next.start < kept.end;
        if overlaps {
            kept.end = kept.end.max(next.end);
        }
        overlaps
    });
    spans
}

/// Whether a text can name an environment variable.
pub(super) fn is_variable(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(word) && text.starts_with(|c: char| !c.is_ascii_digit() && word(c))
}

/// Whether a text may contain a secret although its key does not sound like one, so that no message
/// may repeat it: it has the form `user:password@…` or `password: …`.
pub(super) fn is_suspect(text: &str) -> bool {
    carries_password(text) || text.lines().any(|line| secret_key_end(line).is_some())
}

/// Whether a text has the form `user:password@…`; an image's digest does not count.
pub(super) fn carries_password(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(before, after)| {
        before.contains(':') && !after.starts_with("sha256:")
    })
}

const SECRET_KEYS: [&str; 3] = ["password", "passphrase", "sudopassword"];
const SECRET_SOUNDS: [&str; 4] = ["pass", "pwd", "secret", "token"];

fn sounds_secret(key: &str) -> bool {
    let key: String = key
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_lowercase();
    SECRET_SOUNDS.iter().any(|sound| key.contains(sound))
        || SECRET_KEYS.iter().any(|known| strsim::damerau_levenshtein(&key, known) <= 2)
}

/// Walks values that are not under the key of a secret.
fn visible(node: &Node, spans: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Scalar { text, .. } if is_suspect(text) => {
            spans.push(node.span.clone());
        }
        Value::Scalar { .. } => {}
        Value::List(items) => items.iter().for_each(|item| visible(item, spans)),
        Value::Map(entries) => {
            for entry in entries {
                let secret = sounds_secret(&entry.key);
                if secret {
                    hidden(&entry.node, spans)
                } else {
                    visible(&entry.node, spans)
                }
            }
        }
    }
}

/// Walks values under the key of a secret: only names of sources may be shown.
fn hidden(node: &Node, spans: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Scalar { .. } => spans.push(node.span.clone()),
        Value::List(items) => items.iter().for_each(|item| hidden(item, spans)),
        Value::Map(entries) => {
            for entry in
                entries.iter().filter(|entry| !is_source(&entry.key, &entry.node))
            {
                hidden(&entry.node, spans);
            }
        }
    }
}

fn is_source(key: &str, node: &Node) -> bool {
    match (&node.value, key) {
        (Value::Scalar { text, .. }, "env") => is_variable(text),
        (Value::Scalar { .. }, "file" | "generate") => true,
        _ => false,
    }
}

/// In a text that is not YAML, hides everything from the key of a secret to the end of its line,
/// and more indented lines below it.
fn guess(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let (mut at, mut under) = (0, None);
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let end = at + line.trim_end().len();
        under = under.filter(|key| indent > *key || line.trim().is_empty());
        if under.is_some() && !names_source(line) {
            spans.push(at + indent.min(line.trim_end().len())..end);
        } else if let Some(colon) = secret_key_end(line) {
            under = Some(indent);
            if !names_source(&line[colon..]) {
                spans.push(at + colon..end.max(at + colon));
            }
        }
        at += line.len();
    }
    spans
}

/// Where the value begins in a line with the key of a secret: after the colon and blanks.
fn secret_key_end(line: &str) -> Option<usize> {
    line.match_indices(':').find_map(|(colon, _)| {
        let key = line[..colon].trim_end_matches([' ', '"', '\'']);
        let word =
            key.rsplit(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').next()?;
        let blanks = line[colon + 1..].len() - line[colon + 1..].trim_start().len();
        sounds_secret(word).then_some((colon + 1 + blanks).min(line.trim_end().len()))
    })
}

fn names_source(value: &str) -> bool {
    let value = value.trim_start_matches(|c: char| "{ \t".contains(c));
    ["env:", "file:", "generate:"].iter().any(|source| value.starts_with(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<&str> =
            secret_spans(text).into_iter().map(|span| &text[span]).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn values_of_keys_that_sound_secret_are_found_and_sources_stay() {
        check("a: {password: hunter2, b: c}", &["hunter2"]);
        check("pasword: 'a, b'\nsudo_password:\n  x: y", &["'a, b'", "y"]);
        check("password: {env: LAB, file: x, generate: true}", &[]);
        check("password: {env: 'p@ss word'}", &["'p@ss word'"]);
        check("jump: ops:hunter2@bastion", &["ops:hunter2@bastion"]);
        check("domain: 'password: hunter2'", &["'password: hunter2'"]);
        check("image: registry:5000/zookeeper@sha256:12ab", &[]);
        check("password: &p hunter2\ntoken: *p", &["hunter2"]);
    }

    #[test]
    fn they_are_found_in_text_that_is_no_yaml() {
        check("a: [\npassword: hunter2, b\nc: d", &["hunter2, b"]);
        check("a: [\n- {name: x, \"password\": hunter2}\n", &["hunter2}"]);
        check("a: [\npassword:\n  hunter2\n\n  more\nc: d", &["hunter2", "more"]);
        check("a: [\npassword: {env: LAB}\n", &[]);
    }
}
