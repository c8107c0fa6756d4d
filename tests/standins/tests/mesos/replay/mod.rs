//! Every recorded request is put to the stand-ins, in the state that the real ones were in.
//!
//! Status, the headers that matter and the shape of the body must be the recorded ones, but for
//! the differences that are known.

mod cluster;
mod differences;
mod framework;
mod history;
#[path = "../../replay/known.rs"]
mod known;
pub(crate) mod recording;
mod replayer;
mod shape;

use std::collections::BTreeMap;

use self::differences::KNOWN;
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
    known::check(recording::requests().keys(), &found, KNOWN);
}

#[test]
fn the_readme_tells_of_every_known_difference() {
    known::are_told(KNOWN);
}
