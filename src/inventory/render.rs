//! Shows faults as text.
//!
//! Rendering is pure: the same faults give the same text. A source line is never shown with a
//! password in it, whatever else is wrong with that line.

use std::fmt;
use std::ops::Range;

use super::diagnostic::{Diagnostic, Level, line_of};
use super::redact;

/// A file that has faults.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its name, as the operator gave it.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Whether a text is shown in colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// No colour: files, pipes, `NO_COLOR`.
    Plain,
    /// ANSI colours.
    Colour,
}

/// The widest source line that is shown in full.
const WIDEST_LINE: usize = 110;

/// The number of faults that are shown; further ones are only counted.
const MOST_FAULTS: usize = 50;

/// Writes each fault with its file, line and column, the line itself, carets and help.
///
/// # Errors
/// Only when `out` fails.
pub fn render(
    source: Source<'_>,
    faults: &[Diagnostic],
    paint: Paint,
    out: &mut dyn fmt::Write,
) -> fmt::Result {
    let secrets = redact::secret_spans(source.text);
    for (i, fault) in faults.iter().take(MOST_FAULTS).enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        let place = LineSpan::find(source.text, &fault.span);
        let excerpt = Excerpt::cut(source.text, &place, &secrets);
        write_fault(source.name, fault, &place, (&excerpt, paint), out)?;
    }
    match faults.len().saturating_sub(MOST_FAULTS) {
        0 => Ok(()),
        more => writeln!(out, "\nand {more} more: fix these first"),
    }
}

fn write_fault(
    file: &str,
    fault: &Diagnostic,
    place: &LineSpan,
    (excerpt, paint): (&Excerpt, Paint),
    out: &mut dyn fmt::Write,
) -> fmt::Result {
    let (red, other, blue, bold, end) = match paint {
        Paint::Plain => ("", "", "", "", ""),
        Paint::Colour => ("\x1b[1;31m", "\x1b[1;33m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"),
    };
    let line = place.line.to_string();
    let gutter = " ".repeat(line.len());
    let message = printable(&fault.message);
    let red = match fault.level {
        Level::Error => red,
        Level::Warning | Level::Note => other,
    };
    let word = fault.level.word();
    writeln!(out, "{red}{word}{end}{bold}: {message}{end}")?;
    writeln!(out, "{gutter}{blue}-->{end} {file}:{line}:{}", place.column)?;
    writeln!(out, "{gutter} {blue}|{end}")?;
    writeln!(out, "{blue}{line} |{end} {}", excerpt.text)?;
    let (indent, carets) = (" ".repeat(excerpt.indent), "^".repeat(excerpt.carets));
    writeln!(out, "{gutter} {blue}|{end} {indent}{red}{carets}{end}")?;
    match &fault.help {
        Some(help) => writeln!(out, "{gutter} {blue}={end} help: {}", printable(help)),
        None => Ok(()),
    }
}

/// Where a span begins, and the part of it in its first line.
struct LineSpan {
    /// Counted from 1.
    line: usize,
    /// In characters, counted from 1.
    column: usize,
    /// The bytes of the whole line, without its end.
    whole: Range<usize>,
    /// The bytes of the span in that line.
    marked: Range<usize>,
}

impl LineSpan {
    fn find(text: &str, span: &Range<usize>) -> Self {
        let start = text.floor_char_boundary(span.start);
        let begin = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let rest = &text[begin..];
        let length = rest.find('\n').unwrap_or(rest.len());
        let length = rest[..length].trim_end_matches('\r').len();
        let whole = begin..begin + length;
        let end = text.floor_char_boundary(span.end).clamp(start, whole.end.max(start));
        Self {
            line: line_of(text, start),
            column: text[begin..start].chars().count() + 1,
            whole,
            marked: start..end,
        }
    }
}

/// A source line as it is shown, and the part to mark in it, in characters.
struct Excerpt {
    text: String,
    indent: usize,
    carets: usize,
}

impl Excerpt {
    fn cut(text: &str, place: &LineSpan, secrets: &[Range<usize>]) -> Self {
        let pieces = pieces(text, &place.whole, secrets);
        let width = |piece: &Piece| piece.shown.chars().count();
        let (mut indent, mut end) = (0, 0);
        for piece in &pieces {
            indent += piece.chars_before(place.marked.start, 0);
            end += piece.chars_before(place.marked.end, width(piece));
        }
        let text: String = pieces.into_iter().map(|piece| piece.shown).collect();
        let line = Self { text, indent, carets: end.saturating_sub(indent).max(1) };
        if line.text.chars().count() > WIDEST_LINE { line.narrowed() } else { line }
    }

    /// The same line, cut to the part around its mark.
    fn narrowed(self) -> Self {
        let skip = self.indent.saturating_sub(WIDEST_LINE / 3);
        let lead = if skip > 0 { "…" } else { "" };
        let shown: String = self.text.chars().skip(skip).take(WIDEST_LINE).collect();
        let more = skip + WIDEST_LINE < self.text.chars().count();
        let trail = if more { "…" } else { "" };
        let indent = self.indent - skip + lead.chars().count();
        let carets = self.carets.min((WIDEST_LINE + 1).saturating_sub(indent)).max(1);
        Self { text: format!("{lead}{shown}{trail}"), indent, carets }
    }
}

/// A part of a line, shown as it is or hidden.
struct Piece<'a> {
    bytes: Range<usize>,
    source: &'a str,
    shown: String,
    hidden: bool,
}

impl Piece<'_> {
    /// How many of its characters are before `byte`; `inside` if `byte` is within a hidden part.
    fn chars_before(&self, byte: usize, inside: usize) -> usize {
        match byte {
            byte if byte <= self.bytes.start => 0,
            byte if byte >= self.bytes.end => self.shown.chars().count(),
            _ if self.hidden => inside,
            byte => self.source[..byte - self.bytes.start].chars().count(),
        }
    }
}

/// Splits a line where secrets begin and end; `secrets` are in order and do not overlap.
fn pieces<'a>(
    text: &'a str,
    line: &Range<usize>,
    secrets: &[Range<usize>],
) -> Vec<Piece<'a>> {
    let piece = |bytes: Range<usize>, hidden: bool| {
        let source = &text[bytes.clone()];
        let shown = if hidden { "[redacted]".to_owned() } else { printable(source) };
        Piece { bytes, source, shown, hidden }
    };
    let (mut pieces, mut from) = (Vec::new(), line.start);
    for secret in secrets {
        let bytes = secret.start.max(from)..secret.end.min(line.end);
        if bytes.is_empty() {
            continue;
        }
        pieces.push(piece(from..bytes.start, false));
        from = bytes.end;
        pieces.push(piece(bytes, true));
    }
    pieces.push(piece(from..line.end, false));
    pieces
}

/// The same text with a harmless character in place of each control character. So a file cannot
/// move the cursor, and carets stay under what they mark.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Range<usize>) -> String {
        let mut out = String::new();
        let source = Source { name: "x.yaml", text };
        let fault = Diagnostic::new(&span, "wrong").help("write it well");
        render(source, &[fault], Paint::Plain, &mut out).unwrap();
        out
    }

    #[test]
    fn a_fault_is_shown_under_its_line_with_carets_and_help() {
        let expected = "\
error: wrong
 --> x.yaml:2:4
  |
2 | b: ünter
  |    ^^^^^
  = help: write it well
";
        assert_eq!(shown("a: 1\nb: ünter\nc: 3\n", 8..14), expected);
    }

    #[test]
    fn what_spans_lines_is_marked_in_its_first_and_an_empty_span_has_one_caret() {
        assert!(shown("ab\ncd", 1..5).contains("1 | ab\n  |  ^\n"));
        assert!(shown("ab\n", 3..3).contains(":2:1\n  |\n2 | \n  | ^\n"));
        assert!(shown("", 0..0).contains(":1:1\n"));
    }

    #[test]
    fn long_lines_are_cut_around_the_mark_and_control_characters_are_harmless() {
        let long = format!("{}HERE{}", "x".repeat(500), "y".repeat(500));
        let lines = shown(&long, 500..504);
        assert!(lines.contains("xHEREy"), "{lines}");
        assert!(lines.lines().all(|line| line.chars().count() < 130), "{lines}");
        assert!(!shown("a: \x1b[31m", 0..1).contains('\x1b'));
    }

    #[test]
    fn colours_are_only_there_when_asked_for() {
        let mut out = String::new();
        let source = Source { name: "x.yaml", text: "a: 1" };
        render(source, &[Diagnostic::new(&(0..1), "wrong")], Paint::Colour, &mut out)
            .unwrap();
        assert!(out.contains("\x1b[1;31merror"));
        assert!(!shown("a: 1", 0..1).contains('\x1b'));
    }

    #[test]
    fn of_very_many_faults_the_first_are_shown_and_the_others_counted() {
        let text = "a: 1\n".repeat(60);
        let faults: Vec<Diagnostic> =
            (0..60).map(|n| Diagnostic::new(&(n * 5..n * 5 + 1), "wrong")).collect();
        let mut out = String::new();
        let source = Source { name: "lab.yaml", text: &text };
        render(source, &faults, Paint::Plain, &mut out).unwrap();
        assert_eq!(out.matches("error: wrong").count(), 50);
        assert!(out.ends_with("and 10 more: fix these first\n"), "{out}");
    }
}
