//! Checks a cluster of which only a part may change, and plans.

use std::collections::BTreeSet;

use super::cluster_files::ClusterFiles;
use super::error::Error;
use super::fit::preflight_failures;
use super::gather::gather;
use super::survey::{self, Survey, survey};
use super::up::Assessment;
use super::{RunContext, starting};
use crate::component::Inputs;
use crate::component::zookeeper;
use crate::event::Event;
use crate::host::{HostName, joined};
use crate::plan::{self, Plan, Scope};
use crate::run::Fleet;
use crate::topology::{Machine, Topology};

/// The part of a cluster that may change.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'a> {
    /// These new hosts, and what other hosts need to know of them.
    Newcomers(&'a BTreeSet<HostName>),
    /// What depends on who the users are and on their passwords.
    Users,
}

impl Part<'_> {
    fn is_new(self, host: &HostName) -> bool {
        match self {
            Self::Newcomers(new) => new.contains(host),
            Self::Users => false,
        }
    }

    /// What hosts are made from that does not change.
    fn rest_of(self, inputs: &Inputs) -> Inputs {
        match self {
            Self::Newcomers(_) => inputs.clone(),
            Self::Users => inputs.without_users(),
        }
    }
}

/// Checks the cluster, and plans what has to change in this part of it; changes nothing. Warns of
/// other hosts that `up` would change, and of those that are unreachable.
///
/// # Errors
/// When a host does not answer, a new host is not fit, or no plan is safe.
pub(super) async fn look(
    files: &ClusterFiles,
    machines: &[Machine],
    (fleet, silent): (&Fleet, &[HostName]),
    part: Part<'_>,
    ctx: &RunContext<'_>,
) -> Result<Assessment, Error> {
    let new = machines.iter().map(|machine| machine.host.clone());
    let new: BTreeSet<HostName> = new.filter(|host| part.is_new(host)).collect();
    let mut topology = Topology::new(&files.inventory, machines)?;
    let mut gathered = gather(files, &topology, ctx).await?;
    let before = machines.iter().filter(|machine| !new.contains(&machine.host));
    let before: Vec<Machine> = before.cloned().collect();
    let mut before = Topology::new(&files.inventory, &before)?;
    let (survey, plan) = starting::waited_for(ctx, async || {
        let survey = survey(files, fleet, &mut topology, &mut gathered, ctx).await?;
        let (catalog, facts) = (&gathered.catalog, &survey.facts);
        let failures =
            preflight_failures(fleet, &topology, catalog, facts, Some(&new)).await;
        before.keep_numbers(&zookeeper::numbers(facts.values()));
        let rest = part.rest_of(&gathered.inputs);
        let without = survey::wants(&before, &rest, facts)?;
        let scope = Scope::Differing { hosts: &new, without: &without };
        let plan = plan::build_within(&survey.situation(&topology, &failures), &scope);
        Ok((survey, plan))
    })
    .await?;
    let plan = plan?;
    let drifted = drifted(&survey, &topology, &plan, &new);
    tell_of_others(&drifted, silent, ctx);
    Ok(Assessment::new(topology, plan, gathered, survey))
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

/// Warns of other hosts that differ from the inventory or are unreachable; they are not changed.
fn tell_of_others(drifted: &[HostName], silent: &[HostName], ctx: &RunContext<'_>) {
    let told = [
        (drifted, "differ from the inventory in other ways"),
        (silent, "cannot be reached"),
    ];
    for (hosts, what) in told.into_iter().filter(|(hosts, _)| !hosts.is_empty()) {
        let message = format!(
            "the following hosts {what}, and are not changed: {}; see `platform plan`",
            joined(hosts)
        );
        ctx.events.emit(&Event::Warned { message });
    }
}
