//! The log lines of services that do not run.

use std::collections::BTreeMap;

use futures::future::join_all;

use super::super::cluster_files::ClusterFiles;
use super::not_running;
use crate::component::{Spec, remedy};
use crate::host::HostName;
use crate::resource::Facts;
use crate::run::Fleet;
use crate::run::units::last_words;
use crate::topology::Topology;

/// The decisive log line of each service that does not run, and its remedy if that is known, by
/// host and unit.
pub(super) type Words = BTreeMap<(HostName, &'static str), String>;

/// Reads the journals of units that do not run. If all run, no host is asked.
pub(super) async fn words(
    files: &ClusterFiles,
    topology: &Topology,
    fleet: &Fleet,
    facts: &BTreeMap<HostName, Facts>,
) -> Words {
    let redactor = files.state.redactor();
    let mut asked = Vec::new();
    for node in &topology.nodes {
        let (Some(remote), Some(facts)) = (fleet.get(&node.host), facts.get(&node.host))
        else {
            continue;
        };
        for &Spec { unit, .. } in Spec::of_node(node) {
            if is_at_fault(facts, unit) {
                let host = node.host.clone();
                asked.push(async move {
                    ((host, unit), last_words(remote.as_ref(), unit).await)
                });
            }
        }
    }
    let said = join_all(asked).await.into_iter();
    said.filter_map(|((host, unit), words)| {
        let words = redactor.clean(&words);
        let decisive = words.lines().next()?.to_owned();
        let line = [Some(decisive), remedy(unit, &words)].into_iter().flatten();
        Some(((host, unit), line.collect::<Vec<_>>().join("; ")))
    })
    .collect()
}

/// Whether a unit that the host knows does not run.
fn is_at_fault(facts: &Facts, unit: &str) -> bool {
    facts.unit(unit).is_ok_and(|state| {
        state.load != "not-found" && not_running(Some(state)).is_some()
    })
}
