//! Where each value of a YAML or JSON file is in its text, for faults that something else finds.

use std::ops::Range;

use marathon_rules::Step;

use super::diagnostic::Diagnostic;
use super::tree::{self, Node, Tree, Value};

/// The positions of all values of a file.
#[derive(Debug)]
pub struct Positions(Tree);

/// A position in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The key, or the item.
    pub key: Range<usize>,
    /// The value.
    pub value: Range<usize>,
    /// Whether the whole way was found; otherwise this is the last value on it.
    pub is_whole: bool,
}

impl Positions {
    /// Reads a text.
    ///
    /// # Errors
    /// When it is neither YAML nor JSON.
    pub fn read(text: &str) -> Result<Self, Diagnostic> {
        tree::parse(text).map(Self)
    }

    /// Keys that are written twice, which each program reads in its own way.
    pub fn faults(&self) -> &[Diagnostic] {
        &self.0.faults
    }

    /// The position of a value.
    pub fn find(&self, way: &[Step]) -> Position {
        let mut node = &self.0.root;
        for step in way {
            match inside(node, step) {
                Some(inner) => node = inner,
                None => return position(node, false),
            }
        }
        position(node, true)
    }
}

fn inside<'n>(node: &'n Node, step: &Step) -> Option<&'n Node> {
    match (&node.value, step) {
        (Value::Map(entries), Step::Key(key)) => {
            entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.node)
        }
        (Value::List(items), Step::Index(index)) => items.get(*index),
        _ => None,
    }
}

fn position(node: &Node, is_whole: bool) -> Position {
    Position { key: node.at.clone(), value: node.written.clone(), is_whole }
}

#[test]
fn values_of_yaml_and_json_have_their_positions() {
    let key = |key: &str| Step::Key(key.to_owned());
    let way = [key("a"), Step::Index(1), key("b")];
    for text in ["a:\n- 1\n- b: two\n", "{\"a\": [1, {\"b\": \"two\"}]}"] {
        let positions = Positions::read(text).unwrap();
        let found = positions.find(&way);
        assert_eq!(text[found.value].trim_matches('"'), "two");
        assert_eq!(text[found.key].trim_matches('"'), "b");
        let missing = positions.find(&[key("a"), Step::Index(1), key("c")]);
        assert!(!missing.is_whole && text[missing.value].contains("two"));
    }
}
