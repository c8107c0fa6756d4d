//! Checks before the first change whether the hosts can be changed.

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

/// Checks that there is no preflight failure.
///
/// # Errors
/// With all preflight failures.
pub(super) fn fit(preflight_failures: Vec<PreflightFailure>) -> Result<(), Error> {
    let refusals = preflight_failures.into_iter().map(Refusal::Unfit).collect();
    Refusals::of(refusals).map_or(Ok(()), |refusals| Err(NoPlan::from(refusals).into()))
}

/// Every reason not to change the hosts. If `new` is given, only these hosts are checked for what
/// each host needs by itself.
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

/// Adds the names of the programs that hold ports, so that the operator knows what to stop. A
/// port that the platform's own container holds while its unit waits to start it again is no
/// reason not to begin, nor is a port whose holder has ended.
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
