//! Writes a host or a user in the style of its neighbours.

use super::super::reader::is_text;
use super::super::tree::{Node, Value};
use super::super::{Account, GivenHost, SecretSource};

/// The style in which an item of a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    form: Form,
    /// The quotes of addresses or names, if they have any.
    quote: Option<char>,
    /// The quotes of keys, if they have any.
    key_quote: Option<char>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Only the address, if nothing else is set.
    Address,
    /// `{address: …}`
    Flow,
    /// `address: …`, a line for each key.
    Block,
}

impl Style {
    /// On one line, with these quotes of keys and values.
    pub(super) fn on_one_line(quote: Option<char>) -> Self {
        Self { form: Form::Flow, quote, key_quote: quote }
    }

    /// The style of this item of a list. Within brackets, a map is never written over lines.
    pub(super) fn of(text: &str, item: &Node, in_brackets: bool) -> Self {
        let quote_at =
            |byte: usize| text[byte..].chars().next().filter(|c| ['"', '\''].contains(c));
        let Value::Map(entries) = &item.value else {
            let quote = quote_at(item.span.start);
            return Self { form: Form::Address, quote, key_quote: None };
        };
        let is_flow = in_brackets || text[item.span.clone()].starts_with('{');
        let named = entries.iter().find(|it| ["address", "name"].contains(&&*it.key));
        Self {
            form: if is_flow { Form::Flow } else { Form::Block },
            quote: named.and_then(|entry| quote_at(entry.node.span.start)),
            key_quote: entries.first().and_then(|first| quote_at(first.key_span.start)),
        }
    }

    /// A host in this style, as lines. The first line follows the dash or comma.
    pub(super) fn host(self, host: &GivenHost) -> Vec<String> {
        let address = host.address.to_string();
        let address = self.value(&address);
        let is_named = host.name.as_str() != host.address.to_string();
        let attributes = &host.agent_spec.attributes;
        if self.form == Form::Address && !is_named && attributes.is_empty() {
            return vec![address];
        }
        let mut pairs = vec![self.pair("address", &address)];
        if is_named {
            pairs.push(self.pair("name", &self.value(host.name.as_str())));
        }
        if !attributes.is_empty() {
            let each =
                attributes.iter().map(|(key, value)| self.pair(key, &self.value(value)));
            let all = each.collect::<Vec<String>>().join(", ");
            pairs.push(self.pair("attributes", &format!("{{{all}}}")));
        }
        self.map(pairs)
    }

    /// A user in this style, as lines.
    pub(super) fn account(self, account: &Account) -> Vec<String> {
        let source = format!("{{{}}}", self.source(&account.password));
        let mut pairs = vec![
            self.pair("name", &self.value(&account.name)),
            self.pair("password", &source),
        ];
        // All may push of whom nothing else is said.
        if !account.push {
            pairs.push(self.pair("push", "false"));
        }
        self.map(pairs)
    }

    /// Where a secret comes from: a key and its value.
    pub(super) fn source(self, source: &SecretSource) -> String {
        match source {
            SecretSource::Generate => self.pair("generate", "true"),
            SecretSource::Env(variable) => self.pair("env", &self.value(variable)),
            SecretSource::File(path) => {
                self.pair("file", &self.value(&path.to_string_lossy()))
            }
        }
    }

    fn map(self, pairs: Vec<String>) -> Vec<String> {
        match self.form {
            Form::Block => pairs,
            Form::Address | Form::Flow => vec![format!("{{{}}}", pairs.join(", "))],
        }
    }

    pub(super) fn pair(self, key: &str, value: &str) -> String {
        match self.key_quote {
            Some(quote) => format!("{quote}{key}{quote}: {value}"),
            None if is_plain(key) => format!("{key}: {value}"),
            None => format!("\"{key}\": {value}"),
        }
    }

    /// A value, without quotes if its neighbours have none and YAML reads it as a text.
    fn value(self, value: &str) -> String {
        match self.quote {
            Some('\'') => format!("'{}'", value.replace('\'', "''")),
            None if is_plain(value) => value.to_owned(),
            _ => format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\"")),
        }
    }
}

/// Whether every version of YAML reads this as a text without quotes, in any place.
fn is_plain(text: &str) -> bool {
    let taken = ["null", "yes", "no", "on", "off", "y", "n", "true", "false"];
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    begins
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/+@".contains(c))
        && is_text(text)
        && !taken.contains(&text.to_ascii_lowercase().as_str())
}
