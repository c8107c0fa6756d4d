//! Which apps a label selector selects. Pure.

use std::collections::BTreeMap;

/// Whether labels satisfy one part of a selector: `key`, `key==value` or `key!=value`.
pub fn selects(selector: &str, labels: &BTreeMap<String, String>) -> bool {
    let value = |key: &str| labels.get(key.trim()).map(String::as_str);
    if let Some((key, wanted)) = selector.split_once("!=") {
        value(key) != Some(wanted.trim())
    } else if let Some((key, wanted)) = selector.split_once("==") {
        value(key) == Some(wanted.trim())
    } else {
        value(selector).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_selectors_select() {
        let labels = [("env".to_owned(), "prod".to_owned())].into();
        for (selector, expected) in [
            ("env", true),
            ("env==prod", true),
            ("env!=prod", false),
            ("x", false),
            ("x!=y", true),
        ] {
            assert_eq!(selects(selector, &labels), expected, "{selector}");
        }
    }
}
