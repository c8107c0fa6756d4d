//! Whether there is anything against changing the hosts, told before the first change.

use std::collections::{BTreeMap, BTreeSet};

use super::passage;
use super::trouble::Trouble;
use crate::host::HostName;
use crate::inventory::catalog::Catalog;
use crate::plan::preflight::{self, Objection};
use crate::plan::{NoPlan, Refusal, Refusals};
use crate::resource::Facts;
use crate::run::Fleet;
use crate::run::listener::{Listener, listener};
use crate::topology::Topology;

/// Whether there is nothing against it.
///
/// # Errors
/// With all that there is.
pub(super) fn fit(objections: Vec<Objection>) -> Result<(), Trouble> {
    let refusals = objections.into_iter().map(Refusal::Unfit).collect();
    Refusals::of(refusals).map_or(Ok(()), |refusals| Err(NoPlan::from(refusals).into()))
}

/// Everything that speaks against changing hosts by what they are; of what they need by themselves,
/// `new` keeps to these hosts.
pub(super) async fn objections(
    fleet: &Fleet,
    topology: &Topology,
    catalog: &Catalog,
    facts: &BTreeMap<HostName, Facts>,
    new: Option<&BTreeSet<HostName>>,
) -> Vec<Objection> {
    let mut objections = preflight::objections(topology, catalog, facts);
    objections.retain(|it| new.is_none_or(|new| new.contains(&it.host)));
    let mut objections = without_ours(objections, fleet).await;
    objections.extend(passage::objections(fleet, topology).await);
    objections
}

/// Names the programs that hold ports: who has to stop one wants to know which. A container of
/// ours whose unit waits to start it anew is no reason not to begin, nor is one that has ended.
async fn without_ours(objections: Vec<Objection>, fleet: &Fleet) -> Vec<Objection> {
    let mut left = Vec::new();
    for mut objection in objections {
        let remote = fleet.get(&objection.host);
        let listener = match (objection.port, remote) {
            (Some((port, _)), Some(remote)) => listener(remote.as_ref(), port).await,
            _ => Listener::Unknown,
        };
        match listener {
            Listener::Ours | Listener::Nobody => continue,
            Listener::Stranger(program) => objection.name_holder(&program),
            Listener::Unknown => {}
        }
        left.push(objection);
    }
    left
}
