//! Pins the images of a catalogue: finds the references that may be another image tomorrow, and
//! writes digests after them.
//!
//! The text is changed at those places only: comments and layout are the operator's.

use std::ops::Range;
use std::path::Path;

use super::catalog;
use super::diagnostic::Diagnostic;
use super::tree::{self, Node, Value};

/// A reference without a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loose {
    /// The reference: `docker.io/mesosphere/marathon:v1.11.24`.
    pub reference: String,
    /// Its bytes in the text.
    pub span: Range<usize>,
}

/// The references of a catalogue that have no digest, in the order of the file. `exists` is
/// that of [`catalog::read`].
///
/// # Errors
/// Every other fault of the catalogue: it has to be right but for its digests.
pub fn loose(
    text: &str,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<Vec<Loose>, Vec<Diagnostic>> {
    let Err(mut faults) = catalog::read(text, exists) else { return Ok(Vec::new()) };
    let mut found = match tree::parse(text) {
        Ok(tree) => references(&tree.root),
        Err(fault) => return Err(vec![fault]),
    };
    found.sort_by_key(|loose| loose.span.start);
    // An anchor's value stands once, however often it is named.
    found.dedup();
    faults.retain(|fault| found.iter().all(|loose| loose.span != fault.span));
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

fn references(root: &Node) -> Vec<Loose> {
    let entries = match of(root, "components").map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.iter().map(|entry| &entry.node).collect(),
        _ => Vec::new(),
    };
    let images = entries.into_iter().chain(of(root, "machine"));
    images.filter_map(|entry| loose_at(of(entry, "image")?)).collect()
}

fn loose_at(node: &Node) -> Option<Loose> {
    match &node.value {
        Value::Scalar { text, .. } if catalog::is_name(text) => {
            Some(Loose { reference: text.clone(), span: node.span.clone() })
        }
        _ => None,
    }
}

fn of<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
}

/// The text with a digest after each of these references, in quotes where they are.
pub fn pinned(text: &str, digests: &[(Loose, String)]) -> String {
    let mut text = text.to_owned();
    let mut digests: Vec<&(Loose, String)> = digests.iter().collect();
    // From the end, so that the places before stay what they are.
    digests.sort_by_key(|(loose, _)| std::cmp::Reverse(loose.span.start));
    for (Loose { reference, span }, digest) in digests {
        let written = &text[span.clone()];
        let pinned = written.replacen(reference, &format!("{reference}@{digest}"), 1);
        text.replace_range(span.clone(), &pinned);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Result<Vec<String>, Vec<String>> {
        match loose(text, &|_| true) {
            Ok(found) => Ok(found.into_iter().map(|loose| loose.reference).collect()),
            Err(faults) => Err(faults.into_iter().map(|fault| fault.message).collect()),
        }
    }

    #[test]
    fn references_get_their_digest_and_all_else_stays() {
        let text = "# ours\ncomponents:\n  marathon:  {version: 1.11.24, image: \"d.io/m:v1\"}  # old\n  \
                    zookeeper: {version: 3.8.0, build: zookeeper}\n  chronos:\n    \
                    image: d.io/chronos:v3 # last\n    version: 3.0.2\n";
        let loose = loose(text, &|_| true).unwrap();
        let digest = |hex: char| format!("sha256:{}", hex.to_string().repeat(64));
        let digests: Vec<_> = loose.into_iter().zip([digest('a'), digest('b')]).collect();
        let written = pinned(text, &digests);
        let expected = text
            .replace("d.io/m:v1", &format!("d.io/m:v1@{}", digest('a')))
            .replace("d.io/chronos:v3", &format!("d.io/chronos:v3@{}", digest('b')));
        assert_eq!(written, expected);
        assert_eq!(found(&written), Ok(Vec::new()));
        catalog::read(&written, &|_| true).unwrap();
    }

    #[test]
    fn a_catalogue_that_has_other_faults_is_not_pinned() {
        let text = "components: {marathon: {version: '1', image: m:v1}, mesos: {version: '1', build: x}}";
        assert_eq!(found(text), Err(vec!["unknown component `mesos`".to_owned()]));
        assert!(found("components: {marathon: {version: '1', image: '-m'}}").is_err());
        assert!(found("components: [").is_err());
    }

    #[test]
    fn a_reference_that_several_entries_share_is_pinned_once() {
        let text = "components:\n  mesos-master: {version: '1', image: &mesos d.io/m:v1}\n  \
                    mesos-agent: {version: '1', image: *mesos}\n";
        assert_eq!(found(text), Ok(vec!["d.io/m:v1".to_owned()]));
    }

    #[test]
    fn the_catalogues_for_real_work_lack_nothing_but_two_digests() {
        let expected = [
            "docker.io/mesosphere/marathon:v1.11.24",
            "docker.io/mesosphere/chronos:v3.0.2",
        ];
        let mesos = found(include_str!("../../images/mesos.yaml")).unwrap();
        let clusterd = found(include_str!("../../images/clusterd.yaml")).unwrap();
        assert_eq!(mesos, expected);
        assert_eq!(clusterd, expected);
    }
}
