//! Where the stand-ins knowingly differ from the real ones.

use std::collections::{BTreeMap, BTreeSet};

/// Names of recordings, the difference as it is found, and what the stand-ins' README says of it;
/// in the first two `*` stands for anything.
#[derive(Debug)]
pub(crate) struct Known(
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) &'static str,
);

/// Insists that each recording was replayed, that what was found is known, that what is known was
/// found, and that the README tells.
pub(crate) fn check<'a>(
    recorded: impl IntoIterator<Item = &'a String>,
    found: &BTreeMap<String, Vec<String>>,
    known: &[Known],
) {
    let recorded: BTreeSet<&String> = recorded.into_iter().collect();
    assert_eq!(found.keys().collect::<BTreeSet<_>>(), recorded, "each is replayed");
    let all: Vec<(&str, &str)> = found
        .iter()
        .flat_map(|(name, all)| all.iter().map(move |one| (name.as_str(), one.as_str())))
        .collect();
    let unknown = all.iter().filter(|one| !known.iter().any(|known| known.covers(one)));
    let unknown: Vec<String> =
        unknown.map(|(name, one)| format!("{name}: {one}")).collect();
    assert!(unknown.is_empty(), "unknown differences:\n{}", unknown.join("\n"));
    for known in known {
        assert!(
            all.iter().any(|one| known.covers(one)),
            "no longer different: {known:#?}"
        );
    }
    are_told(known);
}

/// Insists that the README tells of all that is known.
pub(crate) fn are_told(known: &[Known]) {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let readme = words(include_str!("../../README.md"));
    for known in known {
        assert!(readme.contains(&words(known.2)), "README.md does not tell: {known:#?}");
    }
}

impl Known {
    fn covers(&self, (recording, difference): &(&str, &str)) -> bool {
        fits(self.0, recording) && fits(self.1, difference)
    }
}

/// Whether a pattern with `*` fits a text.
fn fits(pattern: &str, text: &str) -> bool {
    let pieces: Vec<String> = pattern.split('*').map(regex::escape).collect();
    let pattern = format!("(?s)^{}$", pieces.join(".*"));
    regex::Regex::new(&pattern).is_ok_and(|pattern| pattern.is_match(text))
}
