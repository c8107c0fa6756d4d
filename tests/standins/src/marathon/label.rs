//! Which apps a label selector selects. Pure.

use std::collections::BTreeMap;

/// One part of a selector: a key, and which values of it are looked for.
#[derive(Debug)]
pub struct Part<'a> {
    key: &'a str,
    /// Any when there are none.
    values: Vec<&'a str>,
    /// Whether it must have none of these.
    is_not: bool,
}

/// Reads `key`, `key==value`, `key!=value` and `key in (a, b)`, with commas between them.
///
/// # Errors
/// When it is none of these.
pub fn parse(selector: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = selector.trim();
    while !rest.is_empty() {
        // A comma in parentheses divides values.
        let mut depth = 0;
        let end = rest.find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            c == ',' && depth == 0
        });
        let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after.trim_start_matches(',').trim();
        parts.push(part_of(part.trim()).ok_or_else(|| {
            format!(
                "Can not parse label selector {selector}. Reason: end of input expected"
            )
        })?);
    }
    Ok(parts)
}

fn part_of(text: &str) -> Option<Part<'_>> {
    let (key, values, is_not) = if let Some((key, value)) = text.split_once("!=") {
        (key, vec![value.trim()], true)
    } else if let Some((key, value)) = text.split_once("==") {
        (key, vec![value.trim()], false)
    } else if let Some((key, values)) = text.split_once(" in ") {
        (key, list(values)?, false)
    } else {
        (text, Vec::new(), false)
    };
    let key = key.trim();
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    (!key.is_empty() && key.chars().all(fits)).then_some(Part { key, values, is_not })
}

/// `(a, b)`
fn list(text: &str) -> Option<Vec<&str>> {
    let inside = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(inside.split(',').map(str::trim).collect())
}

impl Part<'_> {
    /// Whether labels satisfy it.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(self.key);
        let has = |value: &String| {
            self.values.is_empty() || self.values.contains(&value.as_str())
        };
        value.is_some_and(has) != self.is_not
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_selectors_select() {
        let labels = [("env".to_owned(), "prod".to_owned())].into();
        for (selector, expected) in [
            ("env", Some(true)),
            ("env==prod", Some(true)),
            ("env!=prod", Some(false)),
            ("env in (prod, dev),env", Some(true)),
            ("x", Some(false)),
            ("x!=y", Some(true)),
            ("==", None),
            ("!x", None),
        ] {
            let parts = parse(selector).ok();
            let found = parts.map(|parts| parts.iter().all(|part| part.selects(&labels)));
            assert_eq!(found, expected, "{selector}");
        }
    }
}
