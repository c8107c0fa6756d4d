//! Small functions that turn nodes into values and record their faults.
//!
//! Each returns `None` only after it has recorded a fault, so a caller can go on with the rest of
//! the file: all faults are found in one pass.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::diagnostic::{Diagnostic, line_of};
use super::redact;
use super::tree::{Entry, NOT_EXPANDED, Node, Value};
use crate::unit::Size;

/// A value and its position.
#[derive(Debug, Clone)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// Collects the faults of one file.
pub(super) struct Reader<'a> {
    text: &'a str,
    exists: &'a dyn Fn(&Path) -> bool,
    faults: Vec<Diagnostic>,
}

/// The entries of a map, all with known keys.
pub(super) struct Fields<'n> {
    what: String,
    at: Range<usize>,
    entries: &'n [Entry],
    /// Known keys that are probably misspelt in the file.
    misspelt: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, exists: &'a dyn Fn(&Path) -> bool) -> Self {
        Self { text, exists, faults: Vec::new() }
    }

    /// The value if there was no fault, or else the faults in the order of the file.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<T, Vec<Diagnostic>> {
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => {
                self.faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
                Err(self.faults)
            }
        }
    }

    pub(super) fn fault(&mut self, fault: Diagnostic) {
        self.faults.push(fault);
    }

    /// Records a fault, and returns `None`.
    pub(super) fn refuse<T>(&mut self, fault: Diagnostic) -> Option<T> {
        self.faults.push(fault);
        None
    }

    /// The key of a node as the file has it; `None` for an item of a list and the whole file.
    fn key(&self, node: &Node) -> Option<&'a str> {
        let is_key = !node.at.is_empty() && node.at != node.written;
        self.text.get(node.at.clone()).filter(|_| is_key)
    }

    /// `line 7`, for a message about another place.
    pub(super) fn line(&self, span: &Range<usize>) -> String {
        format!("line {}", line_of(self.text, span.start))
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        (self.exists)(path)
    }

    /// A map whose keys are all among `known`.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        known: &[&'static str],
    ) -> Option<Fields<'n>> {
        let entries = self.map(node, what)?;
        let mut misspelt = BTreeSet::new();
        let is_free = |known: &&str| !entries.iter().any(|entry| entry.key == *known);
        let free: Vec<&str> = known.iter().copied().filter(is_free).collect();
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let meant = nearest(&entry.key, &free);
            misspelt.extend(known.iter().filter(|known| Some(**known) == meant));
            let message = format!("unknown key `{}` in {what}", entry.key);
            let help = suggestion(meant, known);
            self.fault(Diagnostic::new(&entry.key_span, message).help(help));
        }
        Some(Fields { what: what.to_owned(), at: node.at.clone(), entries, misspelt })
    }

    /// A map with any keys.
    pub(super) fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            Value::Scalar { text, .. } if text.is_empty() => {
                let help = "write `{}` if there is nothing to set";
                let message = match self.key(node) {
                    Some(key) => format!("`{key}` has no value"),
                    None => format!("{what} has no value"),
                };
                self.refuse(Diagnostic::new(node.place(), message).help(help))
            }
            _ => {
                self.wrong_type(node, &format!("{what} must be a map of keys and values"))
            }
        }
    }

    /// A list, which may be empty.
    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) => Some(items),
            Value::Scalar { text, .. } if !text.is_empty() && !text.contains("${") => {
                let message = format!("{what} must be a list, not {}", kind(node));
                let help =
                    match redact::is_suspect(text) || text.contains(char::is_control) {
                        true => "put it in brackets: `[…]`".to_owned(),
                        false => format!("put it in brackets: `[{text}]`"),
                    };
                self.refuse(Diagnostic::new(&node.span, message).help(help))
            }
            _ => self.wrong_type(node, &format!("{what} must be a list")),
        }
    }

    /// A list whose values `item` reads, with none of them twice.
    pub(super) fn distinct<T>(
        &mut self,
        node: &Node,
        what: &str,
        mut item: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Vec<Spanned<T>>
    where
        T: PartialEq + Display,
    {
        let mut found: Vec<Spanned<T>> = Vec::new();
        for node in self.list(node, what).unwrap_or_default() {
            let Some(value) = item(self, node) else { continue };
            if found.iter().any(|other| other.value == value) {
                let message = format!("`{value}` is already in this list");
                self.fault(Diagnostic::new(&node.span, message).help("leave one out"));
            } else {
                found.push(Spanned { value, span: node.span.clone() });
            }
        }
        found
    }

    /// A text: in quotes if YAML would read it as something else.
    pub(super) fn text<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        let Value::Scalar { text, plain } = &node.value else {
            return self.wrong_type(node, "this must be a text");
        };
        if text.contains("${") {
            let message = "a variable is not expanded here";
            return self.refuse(Diagnostic::new(&node.span, message).help(NOT_EXPANDED));
        }
        if redact::is_suspect(text) {
            let help = "remove it: this file must not contain a password";
            let message = "this text seems to contain a password";
            return self.refuse(Diagnostic::new(&node.span, message).help(help));
        }
        if text.contains(char::is_control) {
            let message = "this must be a text of one line";
            return self.refuse(Diagnostic::new(&node.span, message));
        }
        if text.is_empty() {
            let message = match self.key(node) {
                Some(key) => format!("`{key}` has no value"),
                None => "there is no value here".to_owned(),
            };
            return self.refuse(Diagnostic::new(node.place(), message));
        }
        if *plain && !is_text(text) {
            let message = format!("this must be a text, not {}", plain_kind(text));
            let help = format!("put it in quotes: \"{text}\"");
            return self.refuse(Diagnostic::new(&node.span, message).help(help));
        }
        Some(text)
    }

    /// A text that is a `T`.
    pub(super) fn parsed<T>(&mut self, node: &Node) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        match self.text(node)?.parse() {
            Ok(value) => Some(value),
            Err(error) => self.refuse(Diagnostic::new(&node.span, error.to_string())),
        }
    }

    /// A text for which `fits` is true; `rule` says which texts are allowed.
    pub(super) fn text_that(
        &mut self,
        node: &Node,
        fits: impl Fn(&str) -> bool,
        what: &str,
        rule: &str,
    ) -> Option<String> {
        match self.text(node)? {
            text if fits(text) => Some(text.to_owned()),
            text => self.refuse(
                Diagnostic::new(&node.span, format!("`{text}` is not {what}")).help(rule),
            ),
        }
    }

    /// A whole number without quotes.
    pub(super) fn number(
        &mut self,
        node: &Node,
        range: RangeInclusive<u16>,
    ) -> Option<u16> {
        let (from, to) = (range.start(), range.end());
        let expected = format!("this must be a whole number from {from} to {to}");
        let Value::Scalar { text, plain } = &node.value else {
            return self.wrong_type(node, &expected);
        };
        match text.parse() {
            Ok(number) if *plain && range.contains(&number) => Some(number),
            Ok(number) if range.contains(&number) => self.refuse(
                Diagnostic::new(&node.span, format!("{expected}, not a text"))
                    .help(format!("leave the quotes out: {number}")),
            ),
            _ if *plain && plain_kind(text) == "a number" => {
                self.refuse(Diagnostic::new(&node.span, expected))
            }
            _ => self.wrong_type(node, &expected),
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, node: &Node) -> Option<bool> {
        match &node.value {
            Value::Scalar { text, plain: true } if text == "true" => Some(true),
            Value::Scalar { text, plain: true } if text == "false" => Some(false),
            _ => self.wrong_type(node, "this must be `true` or `false`, without quotes"),
        }
    }

    /// A size with its unit.
    pub(super) fn size(&mut self, node: &Node) -> Option<Size> {
        if let Value::Scalar { text, .. } = &node.value
            && !text.is_empty()
            && text.chars().all(|c| c.is_ascii_digit())
        {
            let message = format!("the size {text} has no unit");
            let help = format!("write `{text}MiB` or `{text}GiB`");
            return self.refuse(Diagnostic::new(&node.span, message).help(help));
        }
        self.parsed(node)
    }

    /// A file on this computer that exists.
    pub(super) fn file(&mut self, node: &Node) -> Option<PathBuf> {
        let path = PathBuf::from(self.text(node)?);
        if self.exists(&path) {
            return Some(path);
        }
        let message = format!("there is no `{}`", path.display());
        let help = match path.is_absolute() || path.starts_with("~") {
            true => "create it, or write another path",
            false => "a relative path starts in the folder of this file",
        };
        self.refuse(Diagnostic::new(&node.span, message).help(help))
    }

    fn wrong_type<T>(&mut self, node: &Node, expected: &str) -> Option<T> {
        match &node.value {
            Value::Scalar { text, .. } if text.contains("${") => self.refuse(
                Diagnostic::new(&node.span, "a variable is not expanded here")
                    .help(NOT_EXPANDED),
            ),
            _ => {
                let message = format!("{expected}, not {}", kind(node));
                self.refuse(Diagnostic::new(node.place(), message))
            }
        }
    }
}

impl<'n> Fields<'n> {
    /// The value of a key that may be left out.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The value of a key that must be there. `say` is an example of what to write.
    pub(super) fn required(
        &self,
        key: &str,
        say: &str,
        r: &mut Reader,
    ) -> Option<&'n Node> {
        let node = self.get(key);
        if node.is_none() && !self.misspelt.contains(key) {
            let message = format!("the key `{key}` is missing in {}", self.what);
            r.fault(Diagnostic::new(&self.at, message).help(format!("write `{say}`")));
        }
        node
    }

    /// Whether a key is there, or was probably meant to be.
    pub(super) fn attempts(&self, key: &str) -> bool {
        self.misspelt.contains(key) || self.get(key).is_some()
    }

    /// Whether there is no key at all.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The position to report when something is missing.
    pub(super) fn at(&self) -> &Range<usize> {
        &self.at
    }
}

impl Node {
    /// Whether there is no value, as in an empty file.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if text.is_empty())
    }

    /// The position to report for its value: that of its key if the value itself is not visible.
    pub(super) fn place(&self) -> &Range<usize> {
        match &self.value {
            Value::Scalar { .. } if !self.span.is_empty() => &self.span,
            _ => &self.at,
        }
    }
}

/// Help for an unknown word.
pub(super) fn did_you_mean(word: &str, known: &[&str]) -> String {
    suggestion(nearest(word, known), known)
}

/// `a`, `b` and `c`.
pub(super) fn spoken(words: &[impl Display]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [rest @ .., last] if !rest.is_empty() => {
            format!("{} and {last}", rest.join(", "))
        }
        words => words.concat(),
    }
}

fn suggestion(meant: Option<&str>, known: &[&str]) -> String {
    let all = format!("known here: {}", spoken(known));
    meant.map_or(all.clone(), |meant| format!("did you mean `{meant}`? ({all})"))
}

/// The known word that is close enough to be the intended one.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_lowercase();
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&word, known), *known))
        .filter(|(distance, known)| *distance <= known.len().max(3) / 3)
        .min()
        .map(|(_, known)| known)
}

fn kind(node: &Node) -> &'static str {
    match &node.value {
        Value::Scalar { text, plain: true } => plain_kind(text),
        Value::Scalar { .. } => "a text",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}

/// The type that YAML gives to a text without quotes.
fn plain_kind(text: &str) -> &'static str {
    match text {
        "" => "nothing",
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => "true or false",
        text if is_number(text) => "a number",
        _ => "a text",
    }
}

/// Whether YAML reads this as a text if it has no quotes.
pub(super) fn is_text(text: &str) -> bool {
    plain_kind(text) == "a text"
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |prefix: &str, radix: u32| {
        unsigned.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix))
        })
    };
    let decimal = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text.parse::<f64>().is_ok();
    decimal || digits("0x", 16) || digits("0o", 8) || [".inf", ".nan"].contains(&unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_nearly_known_are_suggested_and_others_are_not() {
        let known = ["roles", "count", "hosts", "memory"];
        assert_eq!(nearest("role", &known), Some("roles"));
        assert_eq!(nearest("Memroy", &known), Some("memory"));
        assert_eq!(nearest("disk", &known), None);
        assert_eq!(nearest("", &known), None);
    }

    #[test]
    fn what_yaml_takes_for_no_text_is_known() {
        for text in ["1", "-1", "0644", "3.10", "1e3", "0x1F", "0o17", ".inf"] {
            assert_eq!(plain_kind(text), "a number", "{text}");
        }
        for text in ["2.8.2", "10.0.0.1", "yes", "2GiB", "infinity", "nan", "-", "e3"] {
            assert_eq!(plain_kind(text), "a text", "{text}");
        }
    }
}
