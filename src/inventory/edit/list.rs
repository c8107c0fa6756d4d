//! Appends items to a list, in brackets or with dashes, in the layout of the list, and removes them.

use std::ops::Range;

use super::super::tree::{Node, Value};
use super::host::Style;

/// The pieces to insert, each with its position; in the order of the text.
pub(super) type Insertions = Vec<(usize, String)>;

/// What has to be inserted so that these items follow the last one; `write` gives the lines of an
/// item in the style of the last one. `None` if the node is not a list with items.
pub(super) fn appendix<T>(
    text: &str,
    list: &Node,
    new: &[T],
    write: impl Fn(Style, &T) -> Vec<String>,
) -> Option<Insertions> {
    let Value::List(items) = &list.value else { return None };
    let last = items.last()?;
    let in_brackets = text[list.span.clone()].starts_with('[');
    let style = Style::of(text, last, in_brackets);
    let written: Vec<Vec<String>> = new.iter().map(|item| write(style, item)).collect();
    let end = end_of(text, last);
    match in_brackets {
        true => Some(in_flow(text, last.written.start, end, &written)),
        false => in_block(text, items, &written),
    }
}

/// The text with these pieces inserted.
pub(super) fn inserted(text: &str, pieces: &Insertions) -> String {
    let (mut out, mut from) = (String::new(), 0);
    for (at, piece) in pieces {
        out.push_str(&text[from..*at]);
        out.push_str(piece);
        from = *at;
    }
    out.push_str(&text[from..]);
    out
}

/// The bytes to remove so that a list lacks an item. Comments above the item stay, and those on its
/// own lines go with it. `None` if other things are on the same lines.
pub(super) fn removal(text: &str, list: &Node, n: usize) -> Option<Range<usize>> {
    let Value::List(items) = &list.value else { return None };
    let (item, in_brackets) = (items.get(n)?, text[list.span.clone()].starts_with('['));
    let (start, end) = (item.written.start, end_of(text, item));
    let first = if in_brackets { start } else { dash_before(text, start)? };
    let lines = line_around(text, first).start..line_around(text, end).end;
    let tail = text[end..lines.end].trim_start();
    let tail = tail.strip_prefix(',').unwrap_or(tail).trim_start();
    let is_alone = text[lines.start..first].trim().is_empty()
        && (tail.is_empty() || tail.starts_with('#'));
    if is_alone {
        return Some(whole_lines(text, lines));
    }
    match (in_brackets, items.get(n + 1), n.checked_sub(1)) {
        (true, Some(next), _) => Some(start..next.written.start),
        (true, None, Some(before)) => {
            let before = end_of(text, &items[before]);
            let is_plain = !text[before..start].contains(['\n', '#']);
            is_plain.then_some(before..end)
        }
        _ => None,
    }
}

/// These lines with a line end, so that none is left empty.
fn whole_lines(text: &str, lines: Range<usize>) -> Range<usize> {
    match text[lines.end..].find('\n') {
        Some(newline) => lines.start..lines.end + newline + 1,
        None => {
            let before = text[..lines.start].trim_end_matches(['\r', '\n']).len();
            before..lines.end
        }
    }
}

/// What has to be inserted so that a map has another key, after its last one. `None` if the layout
/// is not clear.
pub(super) fn entry(text: &str, map: &Node, pair: &str) -> Option<Insertions> {
    let Value::Map(entries) = &map.value else { return None };
    let in_brackets = text[map.span.clone()].starts_with('{');
    match (entries.as_slice(), in_brackets) {
        ([], true) => Some(vec![(map.span.start + 1, pair.to_owned())]),
        ([.., last], true) => Some(vec![(end_of(text, &last.node), format!(", {pair}"))]),
        ([first, .., last], false) | ([first @ last], false) => {
            let start = first.key_span.start;
            let margin = &text[line_around(text, start).start..start];
            let end = line_around(text, end_of(text, &last.node)).end;
            let new = format!("{}{margin}{pair}", newline_of(text, end));
            margin.trim().is_empty().then(|| vec![(end, new)])
        }
        ([], false) => None,
    }
}

/// Where a value ends. Comments and blank lines after a block do not belong to it.
fn end_of(text: &str, node: &Node) -> usize {
    let is_flow = text[node.span.clone()].starts_with(['[', '{']);
    match &node.value {
        _ if node.written != node.span || is_flow => node.written.end,
        Value::Scalar { .. } => node.written.end,
        Value::List(items) => {
            items.last().map_or(node.written.end, |item| end_of(text, item))
        }
        Value::Map(entries) => {
            entries.last().map_or(node.written.end, |entry| end_of(text, &entry.node))
        }
    }
}

/// Inserts after the last host between brackets: on the same line, or each on its own line if that
/// host is on its own line.
fn in_flow(text: &str, start: usize, end: usize, hosts: &[Vec<String>]) -> Insertions {
    let line = line_around(text, start);
    let margin = &text[line.start..start];
    let has_own_line = margin.chars().all(|c| c == ' ' || c == '\t');
    let hosts = hosts.iter().flatten();
    if !has_own_line {
        return vec![(end, hosts.map(|host| format!(", {host}")).collect())];
    }
    let newline = format!("{}{margin}", newline_of(text, end));
    let joined = hosts.map(|host| format!("{newline}{host}")).collect::<Vec<_>>();
    let rest = &text[end..line_around(text, end).end];
    let comma = rest.find(',').filter(|comma| rest[..*comma].trim().is_empty());
    let tail = comma.map_or(rest, |comma| &rest[comma + 1..]);
    let is_alone = tail.trim().is_empty() || tail.trim_start().starts_with('#');
    match (comma, is_alone) {
        (Some(_), true) => {
            let all = joined.iter().map(|host| format!("{host},")).collect();
            vec![(end + rest.len(), all)]
        }
        (None, true) => {
            vec![(end, ",".to_owned()), (end + rest.len(), joined.join(","))]
        }
        _ => vec![(end, format!(",{}", joined.join(",")))],
    }
}

/// Inserts after the line on which the last host ends, with the dashes below the first one.
fn in_block(text: &str, items: &[Node], hosts: &[Vec<String>]) -> Option<Insertions> {
    let first = items.first()?.written.start;
    let dash = dash_before(text, first)?;
    let margin = &text[line_around(text, dash).start..dash];
    let gap = &text[dash + 1..first];
    let gap = if gap.chars().all(|c| c == ' ') { gap } else { " " };
    let end = end_of(text, items.last()?);
    let newline = newline_of(text, end);
    let inner = format!("{newline}{margin} {gap}");
    let new: String = hosts
        .iter()
        .map(|host| format!("{newline}{margin}-{gap}{}", host.join(&inner)))
        .collect();
    Some(vec![(line_around(text, end).end, new)])
}

/// The dash of the item that begins here: the first character on its line. Comments and an anchor
/// may follow it.
fn dash_before(text: &str, item: usize) -> Option<usize> {
    let mut line = line_around(text, item);
    loop {
        let content = text[line.clone()].trim_start();
        if content.starts_with('-') {
            return Some(line.start + text[line.clone()].len() - content.len());
        }
        line = line_around(text, line.start.checked_sub(1)?);
    }
}

/// The bytes of the line at a position, without its line end.
fn line_around(text: &str, byte: usize) -> Range<usize> {
    let start = text[..byte].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[byte..].find('\n').map_or(text.len(), |newline| byte + newline);
    start..end - usize::from(text[start..end].ends_with('\r'))
}

/// The line end that is used around a position.
fn newline_of(text: &str, byte: usize) -> &'static str {
    let before = text[..byte].rfind('\n');
    let newline = before.or_else(|| text[byte..].find('\n').map(|at| byte + at));
    match newline {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}
