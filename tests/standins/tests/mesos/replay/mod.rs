//! Every recorded request is put to the stand-ins, in the state that the real ones were in.
//!
//! Status, the headers that matter and the shape of the body must be the recorded ones, but for
//! the differences that are known.

mod cluster;
mod differences;
mod framework;
mod history;
pub(crate) mod recording;
mod replayer;
mod shape;

use std::collections::BTreeMap;

use self::differences::{KNOWN, Known};
use crate::cluster::ZooKeeper;

/// The differences of each recording.
type Found = BTreeMap<String, Vec<String>>;

#[tokio::test]
async fn the_stand_ins_answer_as_a_real_mesos_but_for_what_is_known() {
    let zookeeper = ZooKeeper::start().await;
    let (main, late, alone, closed) = tokio::join!(
        history::main(&zookeeper),
        history::late(&zookeeper),
        history::alone(&zookeeper),
        history::closed(&zookeeper),
    );
    let found: Found = [main, late, alone, closed].into_iter().flatten().collect();
    let asked: Vec<&String> = found.keys().collect();
    let recorded = recording::requests();
    assert_eq!(asked, recorded.keys().collect::<Vec<_>>(), "each is replayed");
    assert_eq!(unknown(&found), Vec::<String>::new());
    let is_gone = |known: &&Known| !is_found(&found, known);
    let gone: Vec<&Known> = KNOWN.iter().filter(is_gone).collect();
    assert!(gone.is_empty(), "no longer different: {gone:#?}");
}

fn unknown(found: &Found) -> Vec<String> {
    let all = found.iter().flat_map(|(name, all)| all.iter().map(move |one| (name, one)));
    all.filter(|(name, one)| !KNOWN.iter().any(|known| known.covers(name, one)))
        .map(|(name, one)| format!("{name}: {one}"))
        .collect()
}

fn is_found(found: &Found, known: &Known) -> bool {
    found.iter().any(|(name, all)| all.iter().any(|one| known.covers(name, one)))
}

#[test]
fn the_readme_tells_of_every_known_difference() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let readme = words(include_str!("../../../README.md"));
    for known in KNOWN {
        assert!(readme.contains(&words(known.told)), "{known:#?}");
    }
}
