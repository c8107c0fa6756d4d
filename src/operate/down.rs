//! `platform down`: takes down what `up` put up.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::cluster_files::ClusterFiles;
use super::error::Error;
use super::fit::fit;
use super::run::{Ended, finish, shown, take_lock};
use super::{RunContext, connect, machines, ssh_limits, survey};
use crate::component::Stage;
use crate::component::znode::Znode;
use crate::event::{Event, RunResult, count};
use crate::host::HostName;
use crate::plan::{self, Gate, Plan, Push, preflight};
use crate::provider::aws::EXPIRES_TAG;
use crate::provider::{Capabilities, capabilities};
use crate::resource::probe::Questions;
use crate::resource::{Cgroups, Facts, Image, Owned};
use crate::run::Fleet;
use crate::run::apply::{
    ApplyContext, Bytes, ImageTransport, TransportError, ZnodeAccess, apply,
};
use crate::run::gate::{GateState, HealthCheck};
use crate::topology::{Machine, Topology};

/// Takes a cluster down: removes machines that the program made; on machines that were given,
/// takes back what earlier runs brought. Repeated, it finds nothing to do.
///
/// # Errors
/// When something is left: the events say what, and the next `down` goes on there.
pub async fn down(
    files: &ClusterFiles,
    agreed: bool,
    how: How,
    ctx: &RunContext<'_>,
) -> Result<Ended, Error> {
    let Capabilities { makes_machines, expires } =
        capabilities(&files.inventory.provider);
    match makes_machines {
        _ if how == How::Expired && !expires => Err(Error::NeverExpires),
        true => remove_machines(files, agreed, how, ctx).await,
        false => take_back(files, agreed, how == How::Purge, ctx).await,
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
    files: &ClusterFiles,
    agreed: bool,
    how: How,
    ctx: &RunContext<'_>,
) -> Result<Ended, Error> {
    let unchanged = |summary| Ok(Ended { result: RunResult::Unchanged, summary });
    let existing = machines::existing(files).await?;
    if existing.is_empty() {
        files.state.begin_removal()?;
        files.state.end_removal()?;
        return unchanged(format!("nothing to do: {}", existing.none()));
    }
    if how == How::Expired
        && let Some(summary) = not_yet(existing.expires(), (ctx.clock)())?
    {
        return unchanged(summary);
    }
    let cluster = files.inventory.cluster.as_str();
    if !agreed && !ctx.ask.retype(&existing.show(), cluster) {
        return Err(Error::Declined);
    }
    ctx.begin("removing the cluster")?;
    let summary = machines::remove(files, existing, ctx).await?;
    Ok(Ended { result: RunResult::Changed, summary })
}

/// Why an expired cluster is not removed: it has not expired, or never will.
fn not_yet(expires: Option<Timestamp>, now: Timestamp) -> Result<Option<String>, Error> {
    match expires {
        None => Err(Error::NoExpiry(EXPIRES_TAG)),
        Some(at) if at > now => Ok(Some(format!(
            "nothing to do: the cluster expires at {at}, and not before"
        ))),
        Some(_) => Ok(None),
    }
}

async fn take_back(
    files: &ClusterFiles,
    agreed: bool,
    purge: bool,
    ctx: &RunContext<'_>,
) -> Result<Ended, Error> {
    let machines = machines::running(files, ctx).await?;
    let fleet = connect::connect_all(files, &machines, ctx).await?;
    let hosts = Hosts { files, machines: &machines, fleet: &fleet };
    let facts = hosts.look(ctx).await?;
    let plan = plan::tear_down(&facts, purge);
    if plan.is_empty() {
        if purge {
            files.state.begin_removal()?;
            files.state.end_removal()?;
        }
        let summary = format!("nothing to do: {}", left(&facts));
        return Ok(Ended { result: RunResult::Unchanged, summary });
    }
    let topology = Topology::new(&files.inventory, &machines)?;
    fit(ssh_limits::without_room(&fleet, &topology).await)?;
    if !agreed && !ctx.ask.retype(&shown(&plan), files.inventory.cluster.as_str()) {
        return Err(Error::Declined);
    }
    let n_changes = plan.n_changes();
    hosts.carry_out(plan, &facts, purge, ctx).await?;
    let (n_changes, left) = (count(n_changes, "change"), left(&hosts.look(ctx).await?));
    let summary = format!("{n_changes} taken back; {left}{}", until_reboot(&facts));
    Ok(Ended { result: RunResult::Changed, summary })
}

/// The hosts of a cluster, which stay when what is on them goes.
pub(super) struct Hosts<'a> {
    pub(super) files: &'a ClusterFiles,
    pub(super) machines: &'a [Machine],
    pub(super) fleet: &'a Fleet,
}

impl Hosts<'_> {
    /// Ends a removal that was begun and cut off, data included: what of it is left cannot serve
    /// without what is gone.
    ///
    /// # Errors
    /// When the operator does not agree, or something is left; the next run goes on there.
    pub(super) async fn end_removal(
        &self,
        agreed: bool,
        ctx: &RunContext<'_>,
    ) -> Result<(), Error> {
        let facts = self.look(ctx).await?;
        let plan = plan::tear_down(&facts, true);
        let message = "a `down` that was to take the data too was cut off, and most of it is \
                       gone: the rest goes first";
        ctx.events.emit(&Event::Warned { message: message.to_owned() });
        if !agreed && !ctx.ask.proceed(&shown(&plan)) {
            return Err(Error::Declined);
        }
        self.carry_out(plan, &facts, true, ctx).await
    }

    /// What is left to do of a removal that was begun, data included.
    ///
    /// # Errors
    /// When a host does not answer, or is another cluster's.
    pub(super) async fn rest(&self, ctx: &RunContext<'_>) -> Result<Plan, Error> {
        Ok(plan::tear_down(&self.look(ctx).await?, true))
    }

    /// What is on the hosts, none of which may be another cluster's.
    async fn look(
        &self,
        ctx: &RunContext<'_>,
    ) -> Result<BTreeMap<HostName, Facts>, Error> {
        let machines = self.machines.iter();
        let every = machines.map(|machine| (machine.host.clone(), Questions::default()));
        let facts = survey::facts(self.fleet, &every.collect(), ctx).await?;
        let others = preflight::of_other_clusters(&self.files.inventory.cluster, &facts);
        fit(others)?;
        Ok(facts)
    }

    /// Takes back what the plan says. Where data goes too, that is noted first, and what is true
    /// of it alone is forgotten.
    async fn carry_out(
        &self,
        plan: Plan,
        facts: &BTreeMap<HostName, Facts>,
        purge: bool,
        ctx: &RunContext<'_>,
    ) -> Result<(), Error> {
        let Self { files, machines, fleet } = self;
        ctx.events.emit(&Event::Planned { stages: plan.summary() });
        let topology = Topology::new(&files.inventory, machines)?;
        let held = take_lock(&topology, fleet, "down", ctx).await?;
        let generations = facts
            .iter()
            .map(|(host, facts)| (host.clone(), facts.generation.clone()))
            .collect();
        let apply_ctx = ApplyContext {
            fleet,
            images: &Nothing,
            znodes: &Nothing,
            health: &Nothing,
            events: &ctx.events,
            parallel: ctx.parallel,
            cluster: files.inventory.cluster.as_str(),
            run: &ctx.run,
            redactor: &files.state.redactor(),
            stopped: &|| ctx.is_stopped(),
        };
        files.state.keep_pins()?;
        if purge {
            files.state.begin_removal()?;
        }
        let tally = apply(plan, generations, &apply_ctx).await;
        held.release().await;
        finish(tally, ctx)?;
        if purge {
            files.state.end_removal()?;
        }
        Ok(())
    }
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

impl ImageTransport for Nothing {
    fn archive<'a>(
        &'a self,
        image: &'a Image,
    ) -> futures::future::BoxFuture<'a, Result<Bytes, TransportError>> {
        Box::pin(async move {
            Err(format!("the stage {} pulls no image: {}", Stage::Retire, image.name)
                .into())
        })
    }

    fn push<'a>(
        &'a self,
        push: &'a Push,
    ) -> futures::future::BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            Err(format!("a {} sends no {}", Stage::Retire, push.component).into())
        })
    }
}

impl ZnodeAccess for Nothing {
    fn secure<'a>(
        &'a self,
        node: &'a Znode,
    ) -> futures::future::BoxFuture<'a, Result<(), String>> {
        Box::pin(
            async move { Err(format!("a {} secures no {}", Stage::Retire, node.path)) },
        )
    }
}

impl HealthCheck for Nothing {
    fn look<'a>(&'a self, gate: &'a Gate) -> futures::future::BoxFuture<'a, GateState> {
        Box::pin(async move { GateState::Closed(format!("nobody asks whether {gate}")) })
    }
}
