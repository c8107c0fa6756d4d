//! Looks at a cluster for the sake of its new hosts.

use std::collections::BTreeSet;

use super::super::Ambient;
use super::super::fit::objections;
use super::super::gather::gather;
use super::super::lab::Lab;
use super::super::survey::{self, Survey, survey};
use super::super::trouble::Trouble;
use super::super::up::Look;
use crate::component::zookeeper;
use crate::host::HostName;
use crate::plan::{self, Plan, Scope};
use crate::run::Fleet;
use crate::topology::{Machine, Topology};

/// Looks at the cluster, and plans what its new hosts need and what others need of them;
/// changes nothing. Also gives the other hosts that the inventory would change in other ways.
///
/// # Errors
/// When a host does not answer, a new one is not fit, or no plan is safe.
pub(super) async fn look(
    lab: &Lab,
    machines: &[Machine],
    fleet: &Fleet,
    new: &BTreeSet<HostName>,
    ambient: &Ambient<'_>,
) -> Result<(Look, Vec<HostName>), Trouble> {
    let mut topology = Topology::new(&lab.inventory, machines)?;
    let mut gathered = gather(lab, &topology, ambient).await?;
    let survey = survey(lab, fleet, &mut topology, &mut gathered, ambient).await?;
    let (catalog, facts) = (&gathered.catalog, &survey.facts);
    let objections = objections(fleet, &topology, catalog, facts, Some(new)).await;
    let before = machines.iter().filter(|machine| !new.contains(&machine.host));
    let before: Vec<Machine> = before.cloned().collect();
    let mut before = Topology::new(&lab.inventory, &before)?;
    if let Some(ensemble) = &mut before.ensemble {
        ensemble.keep(&zookeeper::numbers(survey.facts.values()));
    }
    let without = survey::wants(&before, &gathered, &survey.facts)?;
    let scope = Scope::Newcomers { hosts: new, without: &without };
    let plan = plan::build_within(&survey.situation(&topology, &objections), &scope)?;
    let drifted = drifted(&survey, &topology, &plan, new);
    Ok((Look::new(topology, plan, gathered, survey), drifted))
}

/// The hosts that a plan for everything would change and this one does not. Where there is no
/// such plan, that is for `up` to say.
fn drifted(
    survey: &Survey,
    topology: &Topology,
    plan: &Plan,
    new: &BTreeSet<HostName>,
) -> Vec<HostName> {
    let Ok(whole) = plan::build(&survey.situation(topology, &[])) else {
        return Vec::new();
    };
    let changed = plan.hosts();
    let is_left = |host: &&HostName| !new.contains(*host) && !changed.contains(host);
    whole.hosts().into_iter().filter(is_left).cloned().collect()
}
