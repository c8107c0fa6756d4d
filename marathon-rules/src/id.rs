//! Ids of apps and groups: absolute paths. Pure.

/// The id `text` as seen from the group `base`: absolute, without a slash at its end.
pub fn absolute(text: &str, base: &str) -> String {
    let mut segments: Vec<&str> = match text.starts_with('/') {
        true => Vec::new(),
        false => segments_of(base).collect(),
    };
    for segment in segments_of(text) {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}

/// The group that an id is in; the root is in itself.
pub fn parent(id: &str) -> &str {
    match id.rfind('/') {
        Some(0) | None => "/",
        Some(end) => &id[..end],
    }
}

/// Whether an id is directly below the root.
pub fn is_top_level(id: &str) -> bool {
    id != "/" && parent(id) == "/"
}

/// Whether `id` is `group` or in it, at any depth.
pub fn within(id: &str, group: &str) -> bool {
    group == "/"
        || id == group
        || id.strip_prefix(group).is_some_and(|r| r.starts_with('/'))
}

/// Every group above an id, the root first.
pub fn ancestors(id: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut current = id;
    while current != "/" {
        current = parent(current);
        found.push(current);
    }
    found.reverse();
    found
}

/// The id with another separator, as task ids and node names have it: `prod_rabbit`.
pub fn joined(id: &str, separator: &str) -> String {
    segments_of(id).collect::<Vec<_>>().join(separator)
}

/// The id as a host name, its last segment first: `rabbit.prod`.
pub fn as_hostname(id: &str) -> String {
    let mut segments: Vec<_> = segments_of(id).collect();
    segments.reverse();
    segments.join(".")
}

/// What is wrong with an id, absolute or relative.
pub fn fault(id: &str) -> Option<String> {
    let wrong = segments_of(id).find(|segment| !good_segment(segment))?;
    Some(format!(
        "`{wrong}` cannot be a part of an id: only a-z, 0-9, `.` and `-` inside it, no capitals"
    ))
}

/// The word at the end of an id that the API keeps for itself.
pub fn reserved(id: &str) -> Option<&str> {
    let last = segments_of(id).next_back()?;
    ["restart", "tasks", "versions"].contains(&last).then_some(last)
}

fn segments_of(id: &str) -> impl DoubleEndedIterator<Item = &str> {
    id.split('/').filter(|segment| !segment.is_empty())
}

fn good_segment(segment: &str) -> bool {
    let is_dots = segment == "." || segment == "..";
    is_dots
        || segment.split('.').all(|label| {
            let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !label.is_empty()
                && label.chars().all(good)
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_ids_resolve_against_their_group() {
        assert_eq!(absolute("a", "/"), "/a");
        assert_eq!(absolute("../b/", "/a/x"), "/a/b");
        assert_eq!(absolute("/c", "/a"), "/c");
        assert_eq!(absolute("", "/"), "/");
    }

    #[test]
    fn groups_hold_what_is_below_them() {
        assert!(within("/a/b", "/a") && within("/a", "/a") && within("/a", "/"));
        assert!(!within("/ab", "/a"));
        assert_eq!(parent("/a"), "/");
        assert_eq!(parent("/a/b"), "/a");
        assert_eq!(ancestors("/a/b"), ["/", "/a"]);
    }

    #[test]
    fn an_id_in_other_clothes() {
        assert_eq!(joined("/prod/rabbit", "_"), "prod_rabbit");
        assert_eq!(as_hostname("/prod/rabbit"), "rabbit.prod");
    }

    #[test]
    fn ids_are_of_small_letters_digits_dots_and_hyphens() {
        for good in ["/a", "../a", "/9lives/api-v1.2/x0", "a/"] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in ["/A", "/a_b", "/a-", "/a..b"] {
            assert!(fault(bad).is_some(), "{bad}");
        }
        assert_eq!(reserved("/shop/tasks"), Some("tasks"));
    }
}
