//! Text that all displays share, so that everything has the same name everywhere.

use std::borrow::Cow;
use std::time::Duration;

use console::measure_text_width;

use crate::host::HostName;

/// The place of a step without a host: this computer.
const HERE: &str = "here";

/// Where a step runs.
pub(super) fn place(host: Option<&HostName>) -> &str {
    host.map_or(HERE, HostName::as_str)
}

/// A time in readable form: `0.1s`, `2m05s`, `1h02m`.
pub(super) fn took(time: Duration) -> String {
    let whole = time.as_secs();
    match whole {
        0..60 => format!("{:.1}s", tenths(time)),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

/// Cut, not rounded, so that 59.96 seconds do not become `60.0s`.
fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).floor() / 10.0
}

/// A text without characters that a terminal acts upon or that change the order in which text is
/// shown: such characters are replaced by `\\x1b` or `\\u202e`.
pub fn visible(text: &str) -> String {
    escaped(text, |c| match u8::try_from(c) {
        Ok(byte) => format!("\\x{byte:02x}"),
        Err(_) => format!("\\u{:04x}", u32::from(c)),
    })
}

/// The same for a JSON document, which stays valid: in JSON, such characters can only be in
/// strings.
pub fn visible_json(document: &str) -> String {
    escaped(document, |c| format!("\\u{:04x}", u32::from(c)))
}

fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            // Marks of the text direction: they can make a line look like another one.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.push_str(&escape(c))
            }
            c if c.is_control() => shown.push_str(&escape(c)),
            c => shown.push(c),
        }
    }
    shown
}

/// A text from elsewhere, made harmless to a terminal: no escape codes, no control characters
/// but the end of a line.
pub(super) fn clean(text: &str) -> String {
    let plain: Cow<'_, str> = console::strip_ansi_codes(text);
    plain
        .trim_end()
        .chars()
        .filter_map(|c| match c {
            '\n' => Some('\n'),
            '\t' => Some(' '),
            c if c.is_control() => None,
            c => Some(c),
        })
        .collect()
}

/// A text from elsewhere in one line.
pub(super) fn one_line(text: &str) -> String {
    clean(text).split('\n').map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The first line of a text from elsewhere.
pub(super) fn first_line(text: &str) -> String {
    clean(text).trim_start().lines().next().unwrap_or_default().trim_end().to_owned()
}

/// So many lines of a reason are shown during a run: its first, the decisive one, and its last.
const SHOWN: usize = 12;

/// A reason from elsewhere, indented below its line. The middle of a long one is left out; a line
/// in its place says so.
pub(super) fn brief(reason: &str) -> Vec<String> {
    let all: Vec<String> = indented(reason).collect();
    if all.len() <= SHOWN {
        return all;
    }
    let (first, others) = all.split_at(1);
    let others: Vec<&String> = others.iter().filter(|line| !is_frame(line)).collect();
    let last = &others[others.len().saturating_sub(SHOWN - 2)..];
    let n = all.len() - 1 - last.len();
    let gap = format!("    (… {n} lines are left out: `platform audit` shows them)");
    first.iter().cloned().chain([gap]).chain(last.iter().copied().cloned()).collect()
}

/// Whether a line is only a frame of a Java stack trace.
fn is_frame(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("at ") || line.starts_with("... ")
}

/// Each line of a text from elsewhere, indented below the line it belongs to.
pub(super) fn indented(text: &str) -> impl Iterator<Item = String> {
    clean(text)
        .lines()
        .map(|line| format!("    {}", line.trim_end()).trim_end().to_owned())
        .collect::<Vec<_>>()
        .into_iter()
}

/// A sentence in lines of at most `width` characters; words that are longer stay whole.
pub(super) fn wrapped(sentence: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in sentence.split(' ') {
        let room = |line: &String| {
            measure_text_width(line) + 1 + measure_text_width(word) <= width
        };
        match lines.last_mut().filter(|line| room(line)) {
            Some(line) => line.extend([" ", word]),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_at_every_length() {
        let shown = [0, 40, 140, 59_960, 60_000, 125_000, 3_725_000]
            .map(|ms| took(Duration::from_millis(ms)));
        assert_eq!(shown, ["0.0s", "0.0s", "0.1s", "59.9s", "1m00s", "2m05s", "1h02m"]);
    }

    #[test]
    fn text_from_a_host_cannot_move_the_cursor() {
        assert_eq!(clean("\u{1b}[2Jbad\r\u{7}\tthing\n"), "bad thing");
        assert_eq!(one_line("a \n  b\n"), "a b");
        assert_eq!(first_line("\n\n  first\nsecond"), "first");
    }

    #[test]
    fn a_long_reason_keeps_its_first_line_and_its_last_ones() {
        let lines: Vec<String> = (1..=30).map(|n| format!("line {n}")).collect();
        let shown = brief(&lines.join("\n"));
        assert_eq!(shown.len(), 12);
        assert_eq!(shown[0], "    line 1");
        assert_eq!(
            shown[1],
            "    (… 19 lines are left out: `platform audit` shows them)"
        );
        assert_eq!((shown[2].trim(), shown[11].trim()), ("line 21", "line 30"));
        assert_eq!(brief(&lines[..12].join("\n")).len(), 12);
        let frames = "\n\tat a.B.c(B.java:1)".repeat(20);
        let shown = brief(&format!("why\nbefore{frames}\nafter"));
        assert_eq!(shown[0], "    why");
        assert_eq!(shown[2..], ["    before", "    after"]);
    }

    #[test]
    fn what_a_terminal_would_act_upon_is_shown_instead() {
        assert_eq!(visible("a\u{1b}[2J\u{9b}b\n\tc\r"), "a\\x1b[2J\\x9bb\n\tc\\x0d");
        assert_eq!(visible("\u{202e}txt"), "\\u202etxt");
        assert_eq!(visible("größer ✓"), "größer ✓");
        let document = serde_json::json!({"said": "\u{1b}[2J\u{9b}\u{202e}"});
        let shown = visible_json(&format!("{document:#}\n"));
        assert!(!shown.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{shown}");
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read, document);
    }

    #[test]
    fn sentences_break_between_words_and_words_not_at_all() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a verylongword b", 4), ["a", "verylongword", "b"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
