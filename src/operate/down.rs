//! `platform down`: takes down what `up` put up.

mod aws;

use std::collections::BTreeMap;

use super::lab::Lab;
use super::run::Ended;
use super::trouble::Trouble;
use super::up::{finish, take_lock};
use super::{Ambient, connect, machines, passage, survey};
use crate::component::Stage;
use crate::event::{Event, RunResult};
use crate::host::HostName;
use crate::inventory::Provider;
use crate::plan::{self, Gate, Push, count, preflight};
use crate::provider::local;
use crate::resource::probe::Questions;
use crate::resource::{Cgroups, Facts, Image, Owned};
use crate::run::apply::{Bytes, Courier, CourierError, Crew, apply};
use crate::run::gate::{Look, Witness};
use crate::state::StateError;

/// Takes a cluster down: removes machines that the program made; on machines that were given,
/// takes back what earlier runs brought. Repeated, it finds nothing to do.
///
/// # Errors
/// When something is left: the events say what, and the next `down` goes on there.
pub async fn down(
    lab: &Lab,
    agreed: bool,
    how: How,
    ambient: &Ambient<'_>,
) -> Result<Ended, Trouble> {
    match &lab.inventory.provider {
        Provider::Aws(settings) => aws::remove(lab, settings, agreed, how, ambient).await,
        _ if how == How::Expired => Err(Trouble::NeverExpires),
        Provider::Local(_) => remove_machines(lab, agreed, ambient).await,
        Provider::Ssh(_) => take_back(lab, agreed, how == How::Purge, ambient).await,
    }
}

/// What of a cluster is taken down, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// All but the components' data on given hosts.
    Keep,
    /// All.
    Purge,
    /// All, but only once the cluster has expired.
    Expired,
}

async fn remove_machines(
    lab: &Lab,
    agreed: bool,
    ambient: &Ambient<'_>,
) -> Result<Ended, Trouble> {
    let cluster = &lab.inventory.cluster;
    let there = local::everything(cluster).await?;
    if there.is_empty() {
        lab.state.forget_ensemble()?;
        let summary = "nothing to do: there is no machine of this cluster".to_owned();
        return Ok(Ended { result: RunResult::Unchanged, summary });
    }
    let shown: String = there.iter().map(|thing| format!("  remove {thing}\n")).collect();
    if !agreed && !ambient.ask.retype(&shown, cluster.as_str()) {
        return Err(Trouble::Declined);
    }
    ambient.begin("removing machines")?;
    let removed = local::destroy(cluster).await?;
    lab.state.forget_ensemble()?;
    let summary = format!("removed {}; 0 left", removed.join(", "));
    Ok(Ended { result: RunResult::Changed, summary })
}

async fn take_back(
    lab: &Lab,
    agreed: bool,
    purge: bool,
    ambient: &Ambient<'_>,
) -> Result<Ended, Trouble> {
    let machines = machines::running(lab, ambient).await?;
    let fleet = connect::connect_all(lab, &machines, ambient).await?;
    let every =
        machines.iter().map(|machine| (machine.host.clone(), Questions::default()));
    let facts = survey::facts(&fleet, &every.collect(), ambient).await?;
    let others = preflight::of_other_clusters(&lab.inventory.cluster, &facts);
    if !others.is_empty() {
        return Err(Trouble::Unfit(others));
    }
    let plan = plan::tear_down(&facts, purge);
    if plan.is_empty() {
        forget_data(lab, purge)?;
        let summary = format!("nothing to do: {}", left(&facts));
        return Ok(Ended { result: RunResult::Unchanged, summary });
    }
    let topology = crate::topology::Topology::new(&lab.inventory, &machines)?;
    let forbidden = passage::without_room(&fleet, &topology).await;
    if !forbidden.is_empty() {
        return Err(Trouble::Unfit(forbidden));
    }
    let mut shown = String::new();
    // Writing to a text does not fail.
    let _ = plan.show(&mut shown);
    if !agreed && !ambient.ask.retype(&shown, lab.inventory.cluster.as_str()) {
        return Err(Trouble::Declined);
    }
    ambient.events.emit(&Event::Planned { stages: plan.summary() });
    let held = take_lock(lab, &topology, &fleet, "down", ambient).await?;
    let generations = facts
        .iter()
        .map(|(host, facts)| (host.clone(), facts.generation.clone()))
        .collect();
    let n_changes = plan.n_changes();
    let crew = Crew {
        fleet: &fleet,
        courier: &Nothing,
        witness: &Nothing,
        events: &ambient.events,
        parallel: ambient.parallel,
        cluster: lab.inventory.cluster.as_str(),
        run: &ambient.run,
        redactor: &lab.state.redactor(),
        stopped: &|| ambient.is_stopped(),
    };
    // First, so that what comes after a purge that is cut off may begin anew.
    forget_data(lab, purge)?;
    let tally = apply(plan, generations, &crew).await;
    held.release().await;
    finish(tally, ambient)?;
    let every =
        machines.iter().map(|machine| (machine.host.clone(), Questions::default()));
    let after = survey::facts(&fleet, &every.collect(), ambient).await?;
    let (n_changes, left) = (count(n_changes, "change"), left(&after));
    let summary = format!("{n_changes} taken back; {left}{}", until_reboot(&facts));
    Ok(Ended { result: RunResult::Changed, summary })
}

/// What stays as it is until hosts boot anew. That is left to the operator: what else runs on a
/// host that was given is not ours to stop.
fn until_reboot(before: &BTreeMap<HostName, Facts>) -> String {
    let is_set = |owned: &Owned| matches!(owned, Owned::Boot { .. });
    let hosts: Vec<&str> = before
        .iter()
        .filter(|(_, facts)| facts.system.cgroups == Cgroups::V1)
        .filter(|(_, facts)| facts.manifest.entries().iter().any(is_set))
        .map(|(host, _)| host.as_str())
        .collect();
    match hosts.is_empty() {
        true => String::new(),
        false => format!(
            "; a reboot brings back control groups of version 2 alone on {}",
            hosts.join(", ")
        ),
    }
}

/// Data that was purged was taken away on purpose: the next `up` may begin anew.
fn forget_data(lab: &Lab, purge: bool) -> Result<(), StateError> {
    if purge { lab.state.forget_ensemble() } else { Ok(()) }
}

/// What of ours is still on the hosts, by their own record.
fn left(facts: &BTreeMap<HostName, Facts>) -> String {
    let left: Vec<String> = facts
        .iter()
        .flat_map(|(host, facts)| {
            facts.manifest.entries().iter().map(move |owned| format!("{owned} on {host}"))
        })
        .collect();
    match left.is_empty() {
        true => "0 left".to_owned(),
        false => format!("kept: {} (remove with --purge)", left.join(", ")),
    }
}

/// A tear-down carries nothing and waits for nothing.
struct Nothing;

impl Courier for Nothing {
    fn archive<'a>(
        &'a self,
        image: &'a Image,
    ) -> futures::future::BoxFuture<'a, Result<Bytes, CourierError>> {
        Box::pin(async move {
            Err(format!("a {} brings no {}", Stage::Retire, image.name).into())
        })
    }

    fn push<'a>(
        &'a self,
        push: &'a Push,
    ) -> futures::future::BoxFuture<'a, Result<(), CourierError>> {
        Box::pin(async move {
            Err(format!("a {} sends no {}", Stage::Retire, push.component).into())
        })
    }
}

impl Witness for Nothing {
    fn look<'a>(&'a self, gate: &'a Gate) -> futures::future::BoxFuture<'a, Look> {
        Box::pin(async move { Look::Closed(format!("nobody asks whether {gate}")) })
    }
}
