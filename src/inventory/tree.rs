//! YAML text as a tree in which every node has its position.
//!
//! This module does not know what the tree means. It stops at the first fault of syntax, because
//! the rest cannot be understood. A key written twice is reported, and the reading goes on.

use std::collections::HashMap;
use std::ops::Range;

use serde_yaml::granit_parser::{self, ErrorKind, Event, Parser, ScanError, StrInput};

use super::diagnostic::{Diagnostic, line_of};

/// A file's content.
#[derive(Debug)]
pub(super) struct Tree {
    /// All of it.
    pub(super) root: Node,
    /// Faults of YAML after which the reading could go on.
    pub(super) faults: Vec<Diagnostic>,
}

/// A value and its position.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Its own bytes; for an alias, those of the anchor's value.
    pub(super) span: Range<usize>,
    /// The bytes at the place of use; for an alias, those of the alias itself.
    pub(super) written: Range<usize>,
    /// The position to report when it lacks something: its key, if it has one.
    pub(super) at: Range<usize>,
    pub(super) value: Value,
}

/// The value of a node.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A single value: its text, and whether it has no quotes. A missing value, as in `key:` and
    /// `key: null`, is an empty text without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the file; no key twice.
    Map(Vec<Entry>),
}

/// A key of a map with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) node: Node,
}

/// The most values to which a text with aliases may expand.
const MOST_NODES: usize = 100_000;
/// The most bytes of text to which it may expand.
const MOST_BYTES: usize = 16 << 20;

/// Characters that look like a space but are not one to YAML. They come with text copied from a
/// page or a chat.
const ODD_SPACES: [(char, &str); 6] = [
    ('\u{a0}', "a no-break space"),
    ('\u{202f}', "a narrow no-break space"),
    ('\u{2007}', "a figure space, which is a no-break space"),
    ('\u{3000}', "an ideographic space"),
    ('\u{200b}', "a zero-width space"),
    ('\u{feff}', "a byte-order mark"),
];

/// Reads one YAML document.
///
/// # Errors
/// When the text is not YAML, contains several documents, or expands too much.
pub(super) fn parse(text: &str) -> Result<Tree, Diagnostic> {
    if let Some(fault) = odd_space(text) {
        return Err(fault);
    }
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder {
        parser,
        text,
        anchors: HashMap::new(),
        size: Size::default(),
        faults: Vec::new(),
    };
    let root = builder.document()?;
    Ok(Tree { root, faults: builder.faults })
}

/// The first character that only looks like a space, if YAML would read it as part of a word. In
/// quotes and comments it does no harm, nor does a byte-order mark at the start of the file.
fn odd_space(text: &str) -> Option<Diagnostic> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let found = line.char_indices().find_map(|(at, c)| {
            let (_, name) = ODD_SPACES.iter().find(|(odd, _)| *odd == c)?;
            let is_mark_of_file = start + at == 0 && c == '\u{feff}';
            (!is_mark_of_file).then_some((at, c.len_utf8(), name))
        });
        if let Some((at, length, name)) = found
            && !line[..at].contains(['#', '"', '\''])
        {
            let at = start + at..start + at + length;
            let help = "it looks like an ordinary space, or is invisible, but is another \
                        character: delete it and type a space";
            return Some(
                Diagnostic::new(&at, format!("there is {name} here")).help(help),
            );
        }
        start += line.len();
    }
    None
}

/// To how much a text expands.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    n_nodes: usize,
    n_bytes: usize,
}

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t str,
    /// Finished values by the number of their anchor, each with its size.
    anchors: HashMap<usize, (Node, Size)>,
    size: Size,
    faults: Vec<Diagnostic>,
}

impl<'t> Builder<'t> {
    fn document(&mut self) -> Result<Node, Diagnostic> {
        let mut root = loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (Event::StreamEnd, at) => break scalar(at, String::new(), true),
                (event, at) => break self.node(event, at)?,
            }
        };
        root.at = root.span.start..root.span.start;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart(..), at) => {
                    return Err(Diagnostic::new(&at, "a second document begins here")
                        .help(
                            "write one document per file, without `---` in the middle",
                        ));
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Range<usize>), Diagnostic> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let bytes = span.byte_range().unwrap_or_default();
                Ok((event, self.within(bytes)))
            }
            Some(Err(error)) => Err(self.syntax_fault(&error)),
            None => Ok((Event::StreamEnd, self.text.len()..self.text.len())),
        }
    }

    fn node(&mut self, event: Event<'t>, at: Range<usize>) -> Result<Node, Diagnostic> {
        let before = self.size;
        let n_bytes = if let Event::Scalar(text, ..) = &event { text.len() } else { 0 };
        self.count(Size { n_nodes: 1, n_bytes }, &at)?;
        let (anchor, node) = match event {
            Event::Alias(anchor) => return self.alias(anchor, &at),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), &at)?;
                let plain = style == granit_parser::ScalarStyle::Plain;
                (anchor, scalar(self.trimmed(at), text.into_owned(), plain))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), &at)?;
                (anchor, self.list(at)?)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), &at)?;
                (anchor, self.map(at)?)
            }
            _ => return Err(Diagnostic::new(&at, "there is no value here")),
        };
        if anchor > 0 {
            let size = Size {
                n_nodes: self.size.n_nodes - before.n_nodes,
                n_bytes: self.size.n_bytes - before.n_bytes,
            };
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok(node)
    }

    fn list(&mut self, at: Range<usize>) -> Result<Node, Diagnostic> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, end) => {
                    return Ok(self.collection(at, &end, Value::List(items)));
                }
                (event, at) => items.push(self.node(event, at)?),
            }
        }
    }

    fn map(&mut self, at: Range<usize>) -> Result<Node, Diagnostic> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        loop {
            let (key, key_span) = match self.next()? {
                (Event::MappingEnd, end) => {
                    return Ok(self.collection(at, &end, Value::Map(entries)));
                }
                (Event::Scalar(text, ..), at) if !text.contains(char::is_control) => {
                    (text.into_owned(), at)
                }
                (_, at) => {
                    return Err(Diagnostic::new(&at, "a key must be a text of one line"));
                }
            };
            let (event, at) = self.next()?;
            let mut node = self.node(event, at)?;
            node.at = key_span.clone();
            match places.get(&key) {
                Some(first) => {
                    self.faults.push(self.written_twice(&entries[*first], &key_span));
                }
                None => {
                    places.insert(key.clone(), entries.len());
                    entries.push(Entry { key, key_span, node });
                }
            }
        }
    }

    fn collection(&self, at: Range<usize>, end: &Range<usize>, value: Value) -> Node {
        let span = self.trimmed(at.start..end.end.max(at.end));
        Node { at: span.clone(), written: span.clone(), span, value }
    }

    /// The range without blanks and line ends at its end.
    fn trimmed(&self, span: Range<usize>) -> Range<usize> {
        span.start..span.start + self.text[span.clone()].trim_end().len()
    }

    fn alias(&mut self, anchor: usize, at: &Range<usize>) -> Result<Node, Diagnostic> {
        let Some((_, size)) = self.anchors.get(&anchor) else {
            return Err(Diagnostic::new(at, "this alias is inside the value it names"));
        };
        self.count(*size, at)?;
        let (node, _) = &self.anchors[&anchor];
        Ok(Node { written: at.clone(), ..node.clone() })
    }

    fn count(&mut self, more: Size, at: &Range<usize>) -> Result<(), Diagnostic> {
        self.size.n_nodes += more.n_nodes;
        self.size.n_bytes += more.n_bytes;
        let most = match self.size {
            Size { n_nodes, .. } if n_nodes > MOST_NODES => {
                format!("{MOST_NODES} values")
            }
            Size { n_bytes, .. } if n_bytes > MOST_BYTES => {
                format!("{} MiB of text", MOST_BYTES >> 20)
            }
            _ => return Ok(()),
        };
        Err(Diagnostic::new(at, format!("the file expands to more than {most}"))
            .help("aliases (`*name`) repeat what they name: use fewer of them"))
    }

    fn refuse_tag(&self, tagged: bool, at: &Range<usize>) -> Result<(), Diagnostic> {
        let message = "tags (`!name`) are not supported here";
        let fault = || Diagnostic::new(at, message).help("leave the tag out");
        if tagged { Err(fault()) } else { Ok(()) }
    }

    fn written_twice(&self, first: &Entry, again: &Range<usize>) -> Diagnostic {
        let line = line_of(self.text, first.key_span.start);
        Diagnostic::new(again, format!("the key `{}` is written twice", first.key))
            .help(format!("it is already in line {line}: keep one of them"))
    }

    fn syntax_fault(&self, error: &ScanError) -> Diagnostic {
        let start = error.marker().byte_offset().unwrap_or(self.text.len());
        let at = self.within(start..start + 1);
        if let Some(tab) = self.tab_near(at.start, error.kind()) {
            return Diagnostic::new(&tab, "a tab indents this line")
                .help("YAML allows only spaces there: write two spaces for each step");
        }
        let line_start =
            self.text[..at.start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let fault = Diagnostic::new(&at, format!("this is not YAML: {}", error.info()));
        match error.kind() {
            _ if line.contains("${") => fault.help(NOT_EXPANDED),
            ErrorKind::UnknownAnchor => fault.help(
                "a value that begins with `*` is an alias: put it in quotes if it is a text",
            ),
            ErrorKind::MappingValueNotAllowed => fault.help(
                "each key must start in the same column as its neighbours, with a space after \
                 its `:`",
            ),
            _ => fault,
        }
    }

    /// The tab that indents the line of a fault, or the one at which the parser stopped.
    fn tab_near(&self, byte: usize, kind: &ErrorKind) -> Option<Range<usize>> {
        let line_start = self.text[..byte].rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let indent = &line[..line.len() - line.trim_start().len()];
        let about_tabs = matches!(
            kind,
            ErrorKind::TabInBlockIndentation
                | ErrorKind::TabInIndentation
                | ErrorKind::TabNotAllowed
                | ErrorKind::TabAtBlockScalarStart
        );
        let tab = indent.find('\t').or_else(|| line.find('\t').filter(|_| about_tabs))?;
        Some(line_start + tab..line_start + tab + 1)
    }

    /// The range, limited to the text and moved to character boundaries.
    fn within(&self, bytes: Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(bytes.start);
        start..self.text.ceil_char_boundary(bytes.end).max(start)
    }
}

/// The help for a text with `${VAR}`.
pub(super) const NOT_EXPANDED: &str = "`${…}` is not expanded in this file: write the value \
     itself, and a secret as `{env: NAME}`, `{file: PATH}` or `{generate: true}`";

fn scalar(at: Range<usize>, text: String, plain: bool) -> Node {
    let is_null = plain && matches!(text.as_str(), "~" | "null" | "Null" | "NULL");
    let text = if is_null { String::new() } else { text };
    let value = Value::Scalar { text, plain };
    Node { at: at.clone(), written: at.clone(), span: at, value }
}
