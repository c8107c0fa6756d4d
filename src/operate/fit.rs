//! Whether there is anything against changing the hosts, told before the first change.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Error;
use super::ssh_limits;
use crate::host::HostName;
use crate::inventory::catalog::Catalog;
use crate::plan::preflight::{self, PreflightFailure};
use crate::plan::{NoPlan, Refusal, Refusals};
use crate::resource::Facts;
use crate::run::Fleet;
use crate::run::listener::{Listener, listener};
use crate::topology::Topology;

/// Whether there is nothing against it.
///
/// # Errors
/// With all that there is.
pub(super) fn fit(preflight_failures: Vec<PreflightFailure>) -> Result<(), Error> {
    let refusals = preflight_failures.into_iter().map(Refusal::Unfit).collect();
    Refusals::of(refusals).map_or(Ok(()), |refusals| Err(NoPlan::from(refusals).into()))
}

/// Everything that speaks against changing hosts by what they are; of what they need by themselves,
/// `new` keeps to these hosts.
pub(super) async fn preflight_failures(
    fleet: &Fleet,
    topology: &Topology,
    catalog: &Catalog,
    facts: &BTreeMap<HostName, Facts>,
    new: Option<&BTreeSet<HostName>>,
) -> Vec<PreflightFailure> {
    let mut preflight_failures = preflight::preflight_failures(topology, catalog, facts);
    preflight_failures.retain(|it| new.is_none_or(|new| new.contains(&it.host)));
    let mut preflight_failures = without_ours(preflight_failures, fleet).await;
    preflight_failures.extend(ssh_limits::preflight_failures(fleet, topology).await);
    preflight_failures
}

/// Names the programs that hold ports: who has to stop one wants to know which. A container of
/// ours whose unit waits to start it anew is no reason not to begin, nor is one that has ended.
async fn without_ours(
    preflight_failures: Vec<PreflightFailure>,
    fleet: &Fleet,
) -> Vec<PreflightFailure> {
    let mut left = Vec::new();
    for mut failure in preflight_failures {
        let remote = fleet.get(&failure.host);
        let listener = match (failure.port, remote) {
            (Some((port, _)), Some(remote)) => listener(remote.as_ref(), port).await,
            _ => Listener::Unknown,
        };
        match listener {
            Listener::Ours | Listener::Nobody => continue,
            Listener::Other(program) => failure.name_holder(&program),
            Listener::Unknown => {}
        }
        left.push(failure);
    }
    left
}
