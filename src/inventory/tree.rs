//! YAML text as a tree in which everything knows its bytes.
//!
//! Knows nothing of what the tree is about. It stops at the first fault of syntax, because
//! what follows one means nothing; a key written twice is reported, and the tree goes on.

use std::collections::HashMap;
use std::ops::Range;

use serde_yaml::granit_parser::{self, ErrorKind, Event, Parser, ScanError, StrInput};

use super::diagnostic::{Diagnostic, line_of};

/// A file's content.
#[derive(Debug)]
pub(super) struct Tree {
    /// All of it.
    pub(super) root: Node,
    /// What is wrong with it as YAML, where reading could go on.
    pub(super) faults: Vec<Diagnostic>,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Its own bytes; those of its anchor's value where it is an alias.
    pub(super) span: Range<usize>,
    /// The bytes that stand for it where it is used: those of the alias where it is one.
    pub(super) written: Range<usize>,
    /// What to point at when it lacks something: its key where it has one.
    pub(super) at: Range<usize>,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A single value: its text, and whether that stands without quotes. No value, as in
    /// `key:` and `key: null`, is an empty one without quotes.
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

/// Aliases may make a text stand for this many values in all, and no more.
const MOST_NODES: usize = 100_000;
/// And for so many bytes of text.
const MOST_BYTES: usize = 16 << 20;

/// Characters that look like a space and are none to YAML. They come with text that was copied
/// from a page or a chat.
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
/// When the text is not YAML, holds several documents, or is made to explode.
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

/// The first character that only looks like a space, where YAML would take it for a part of a
/// word. In quotes and comments it harms nobody, and neither does a mark at the very beginning.
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
            let help = "it looks like an ordinary space, or like nothing, and is another \
                        character: delete it and type the space anew";
            return Some(Diagnostic::new(&at, format!("{name} stands here")).help(help));
        }
        start += line.len();
    }
    None
}

/// How much a text stands for.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    n_nodes: usize,
    n_bytes: usize,
}

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t str,
    /// Finished values by the number of their anchor, with how large each is.
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
                            "write one document in a file, without `---` in its midst",
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

    /// The same range without blanks and line ends at its end.
    fn trimmed(&self, span: Range<usize>) -> Range<usize> {
        span.start..span.start + self.text[span.clone()].trim_end().len()
    }

    fn alias(&mut self, anchor: usize, at: &Range<usize>) -> Result<Node, Diagnostic> {
        let Some((_, size)) = self.anchors.get(&anchor) else {
            return Err(Diagnostic::new(at, "this alias stands in the value it names"));
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
        Err(Diagnostic::new(at, format!("the file stands for more than {most}"))
            .help("aliases (`*name`) multiply what they name: write less with them"))
    }

    fn refuse_tag(&self, tagged: bool, at: &Range<usize>) -> Result<(), Diagnostic> {
        let message = "tags (`!name`) mean nothing here";
        let fault = || Diagnostic::new(at, message).help("leave the tag out");
        if tagged { Err(fault()) } else { Ok(()) }
    }

    fn written_twice(&self, first: &Entry, again: &Range<usize>) -> Diagnostic {
        let line = line_of(self.text, first.key_span.start);
        Diagnostic::new(again, format!("the key `{}` is written twice", first.key))
            .help(format!("it stands in line {line} already: keep one of them"))
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
                "a value that begins with `*` is an alias: put it in quotes if it is none",
            ),
            ErrorKind::MappingValueNotAllowed => fault.help(
                "each key stands in the column of its neighbours, with a blank after its `:`",
            ),
            _ => fault,
        }
    }

    /// The tab that indents the line of a fault, or the one which the parser stumbled over.
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

    /// The same range, made to lie within the text and on its characters.
    fn within(&self, bytes: Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(bytes.start);
        start..self.text.ceil_char_boundary(bytes.end).max(start)
    }
}

/// What to say to someone who wrote `${VAR}`.
pub(super) const NOT_EXPANDED: &str = "`${…}` is not expanded in this file: write the value \
     itself, and a secret as `{env: NAME}`, `{file: PATH}` or `{generate: true}`";

fn scalar(at: Range<usize>, text: String, plain: bool) -> Node {
    let is_null = plain && matches!(text.as_str(), "~" | "null" | "Null" | "NULL");
    let text = if is_null { String::new() } else { text };
    let value = Value::Scalar { text, plain };
    Node { at: at.clone(), written: at.clone(), span: at, value }
}
