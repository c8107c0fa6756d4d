//! What machines that do not exist yet will get. This is planned before they are made, so that
//! the operator is asked once for the machines and all that is done on them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::cluster_files::ClusterFiles;
use super::error::Error;
use super::gather::{self, NOT_THERE_YET};
use super::up::Assessment;
use super::{RunContext, connect, fit, starting, survey};
use crate::component::Inputs;
use crate::host::HostName;
use crate::plan::{self, Foreseen, Plan};
use crate::provider::{MachinePlan, MissingMachine};
use crate::remote::RemoteError;
use crate::topology::{Machine, Topology};

/// The plan of a cluster of which some machines do not exist yet.
pub(super) struct Preview {
    /// What will be done once they exist, planned from what is known about new machines.
    pub(super) plan: Plan,
    /// The hosts that exist already.
    running: BTreeSet<HostName>,
    /// The placeholder hosts, for machines that the provider names itself, with their groups.
    unnamed: BTreeMap<HostName, String>,
}

/// Plans for all machines, including those that are made first. `None` if a stopped machine is
/// started again (it may have anything on it), a running machine cannot be reached, or an earlier
/// removal has to be finished first. Writes nothing to the state folder. Images are built or
/// fetched only if hosts run already: the differences on those depend on them.
///
/// # Errors
/// When a running machine cannot be trusted or is not fit, or no plan is safe.
pub(super) async fn preview(
    files: &ClusterFiles,
    machines: &MachinePlan,
    ctx: &RunContext<'_>,
) -> Result<Option<Preview>, Error> {
    if !machines.is_foreseeable() {
        return Ok(None);
    }
    // What is generated here for placeholder names must not be kept.
    let files = &files.with_own_draft();
    let (fleet, failed) =
        connect::connect_some(files, &machines.running, &machines.booting, ctx).await?;
    if !failed.is_empty() {
        return away(failed);
    }
    let mut all = machines.all();
    let placeholders = placeholders(&machines.missing, &all);
    all.extend(placeholders.iter().cloned());
    let running = machines.running.iter().map(|machine| machine.host.clone());
    let running: BTreeSet<HostName> = running.collect();
    let mut topology = Topology::new(&files.inventory, &all)?;
    // If hosts run already, the differences on them depend on the images themselves.
    let mut gathered = match running.is_empty() {
        true => gather::without_images(files, &topology, ctx).await?,
        false => gather::gather(files, &topology, ctx).await?,
    };
    let new: BTreeSet<HostName> = all
        .iter()
        .map(|machine| machine.host.clone())
        .filter(|host| !running.contains(host))
        .collect();
    let (_, plan) = starting::waited_for(ctx, async || {
        let hosts = survey::Targets { fleet: &fleet, new: &new };
        let survey =
            survey::with_new(files, hosts, &mut topology, &mut gathered, ctx).await?;
        let known = survey.facts.iter().filter(|(host, _)| running.contains(*host));
        let known = known.map(|(host, facts)| (host.clone(), facts.clone())).collect();
        let catalog = &gathered.catalog;
        let failures =
            fit::preflight_failures(&fleet, &topology, catalog, &known, None).await;
        let plan = plan::build(&survey.situation(&topology, &failures));
        Ok((survey, plan))
    })
    .await?;
    let plan = match plan.map_err(Error::from) {
        Err(lost) if lost.is_of_lost_data() && files.state.removal_is_open() => {
            return Ok(None);
        }
        plan => plan?,
    };
    // On a new machine every file is new, and parts of it depend on what does not exist yet.
    let plan = plan.without_diffs(&new);
    let unnamed = placeholders.into_iter().map(|machine| (machine.host, machine.group));
    Ok(Some(Preview { plan, running, unnamed: unnamed.collect() }))
}

/// If running machines cannot be reached, the machine plan may be what repairs that, for example
/// if someone changed the network. They are then checked later.
///
/// # Errors
/// When a machine can be reached but cannot be trusted, or does not accept the login.
fn away(failed: Vec<(HostName, RemoteError)>) -> Result<Option<Preview>, Error> {
    match failed.iter().all(|(_, error)| error.kind().is_away()) {
        true => Ok(None),
        false => {
            let errors = failed.into_iter().map(|(_, error)| error).collect();
            Err(Error::Unreachable(errors))
        }
    }
}

/// Placeholders for machines that have no name yet, with names that no machine has.
fn placeholders(missing: &[MissingMachine], all: &[Machine]) -> Vec<Machine> {
    let is_taken = |host: &HostName| all.iter().any(|machine| machine.host == *host);
    let mut found: Vec<Machine> = Vec::new();
    for missing in missing.iter().filter(|missing| missing.machine.is_none()) {
        let group = &missing.group;
        let names = (1..).filter_map(|n: usize| format!("new-{group}-{n}").parse().ok());
        let free = names.filter(|host: &HostName| {
            !is_taken(host) && found.iter().all(|machine| machine.host != *host)
        });
        let new: Vec<HostName> = free.take(missing.count).collect();
        found.extend(new.into_iter().map(|host| Machine {
            host,
            group: group.clone(),
            address: Ipv4Addr::UNSPECIFIED.into(),
            ssh: None,
            host_keys: Vec::new(),
        }));
    }
    found
}

impl Preview {
    /// Notes that explain the plan.
    pub(super) fn notes(&self) -> Vec<String> {
        let groups: BTreeSet<&String> = self.unnamed.values().collect();
        let note = |group| {
            format!(
                "The names new-{group}-1 and so on are placeholders for the real names."
            )
        };
        groups.into_iter().map(note).collect()
    }

    /// The changes in the final plan (made once all machines answer) that are not in this plan,
    /// each with its reason and diff.
    pub(super) fn not_foreseen(&self, seen: &Assessment) -> Vec<String> {
        let foreseen = Foreseen::of(&self.plan, &self.running, &self.unnamed);
        foreseen.missing(&seen.plan, &seen.topology, &ids(&seen.gathered.inputs))
    }
}

/// The ids of images, which are part of the names of folders, and their placeholders.
fn ids(inputs: &Inputs) -> Vec<(String, String)> {
    let digits = |id: &str| id.rsplit(':').next().unwrap_or_default().to_owned();
    let before = digits(NOT_THERE_YET);
    inputs.images.values().map(|image| (digits(&image.id), before.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_in_their_group_and_take_no_name_of_a_machine() {
        let missing = |group: &str, count| MissingMachine {
            name: format!("a machine of {group}"),
            group: group.to_owned(),
            count,
            machine: None,
            is_new: true,
        };
        let there = Machine {
            host: "new-workers-2".parse().unwrap(),
            group: "new-workers".to_owned(),
            address: [10, 0, 0, 9].into(),
            ssh: None,
            host_keys: Vec::new(),
        };
        // AWS launches a group zone by zone.
        let missing = [missing("workers", 1), missing("workers", 2), missing("spare", 1)];
        let found = placeholders(&missing, &[there]);
        let found: Vec<&str> =
            found.iter().map(|machine| machine.host.as_str()).collect();
        assert_eq!(
            found,
            ["new-workers-1", "new-workers-3", "new-workers-4", "new-spare-1"]
        );
    }
}
