//! A fault of a file, with its position.

use std::ops::Range;

/// A fault in a file that a person wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The bytes of the text that it is about; empty if something is missing.
    pub span: Range<usize>,
    /// What is wrong, in lower case and without a full stop. It never contains a secret.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// How bad it is.
    pub level: Level,
}

/// How bad something in a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The file cannot be used.
    Error,
    /// The file may not do what was meant.
    Warning,
    /// The file can be better.
    Note,
}

impl Level {
    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl Diagnostic {
    /// A fault at `span`.
    pub fn new(span: &Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span: span.clone(),
            message: message.into(),
            help: None,
            level: Level::Error,
        }
    }

    /// The same fault, with what to write instead.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// The line of a byte in `text`, counted from 1.
pub(super) fn line_of(text: &str, byte: usize) -> usize {
    text[..text.floor_char_boundary(byte)].matches('\n').count() + 1
}
