//! Checks a cluster that gets new hosts, and plans.

use std::collections::BTreeSet;

use super::super::RunContext;
use super::super::cluster_files::ClusterFiles;
use super::super::error::Error;
use super::super::fit::preflight_failures;
use super::super::gather::gather;
use super::super::starting;
use super::super::survey::{self, Survey, survey};
use super::super::up::Assessment;
use crate::component::zookeeper;
use crate::host::HostName;
use crate::plan::{self, Plan, Scope};
use crate::run::Fleet;
use crate::topology::{Machine, Topology};

/// Checks the cluster, and plans what its new hosts need and what other hosts need to know of
/// them; changes nothing. Also returns the other hosts that `up` would change.
///
/// # Errors
/// When a host does not answer, a new host is not fit, or no plan is safe.
pub(super) async fn look(
    files: &ClusterFiles,
    machines: &[Machine],
    fleet: &Fleet,
    new: &BTreeSet<HostName>,
    ctx: &RunContext<'_>,
) -> Result<(Assessment, Vec<HostName>), Error> {
    let mut topology = Topology::new(&files.inventory, machines)?;
    let mut gathered = gather(files, &topology, ctx).await?;
    let before = machines.iter().filter(|machine| !new.contains(&machine.host));
    let before: Vec<Machine> = before.cloned().collect();
    let mut before = Topology::new(&files.inventory, &before)?;
    let (survey, plan) = starting::waited_for(ctx, async || {
        let survey = survey(files, fleet, &mut topology, &mut gathered, ctx).await?;
        let (catalog, facts) = (&gathered.catalog, &survey.facts);
        let failures =
            preflight_failures(fleet, &topology, catalog, facts, Some(new)).await;
        before.keep_numbers(&zookeeper::numbers(facts.values()));
        let without = survey::wants(&before, &gathered, facts)?;
        let scope = Scope::Newcomers { hosts: new, without: &without };
        let plan = plan::build_within(&survey.situation(&topology, &failures), &scope);
        Ok((survey, plan))
    })
    .await?;
    let plan = plan?;
    let drifted = drifted(&survey, &topology, &plan, new);
    Ok((Assessment::new(topology, plan, gathered, survey), drifted))
}

/// The hosts on which a plan for everything would change more than this plan. If no such plan can
/// be made, `up` reports that.
fn drifted(
    survey: &Survey,
    topology: &Topology,
    plan: &Plan,
    new: &BTreeSet<HostName>,
) -> Vec<HostName> {
    let Ok(whole) = plan::build(&survey.situation(topology, &[])) else {
        return Vec::new();
    };
    let is_left = |host: &&HostName| {
        !new.contains(*host) && whole.n_changes_on(host) > plan.n_changes_on(host)
    };
    whole.hosts().into_iter().filter(is_left).cloned().collect()
}
