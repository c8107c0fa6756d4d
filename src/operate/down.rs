//! `platform down`: removes what `up` made.

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

/// Removes a cluster: removes machines that the program made; on machines that were given,
/// removes what earlier runs installed. If it is repeated, there is nothing to do.
///
/// # Errors
/// When something is left: the events say what, and the next `down` continues there.
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

/// What of a cluster is removed, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Everything except the components' data on given hosts.
    Keep,
    /// Everything.
    Purge,
    /// Everything, but only once the cluster has expired.
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
    if !agreed {
        ctx.agree_by_name(&existing.show(), cluster)?;
    }
    ctx.begin("removing the cluster")?;
    let summary = machines::remove(files, existing, ctx).await?;
    Ok(Ended { result: RunResult::Changed, summary })
}

/// Why an expired cluster is not removed: it has not expired, or never will.
fn not_yet(expires: Option<Timestamp>, now: Timestamp) -> Result<Option<String>, Error> {
    match expires {
        None => Err(Error::NoExpiry(EXPIRES_TAG)),
        Some(at) if at > now => {
            Ok(Some(format!("nothing to do: the cluster does not expire before {at}")))
        }
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
    if !agreed {
        ctx.agree_by_name(&shown(&plan), files.inventory.cluster.as_str())?;
    }
    let n_changes = plan.n_changes();
    hosts.carry_out(plan, &facts, purge, ctx).await?;
    let (n_changes, left) = (count(n_changes, "change"), left(&hosts.look(ctx).await?));
    let summary = format!("{n_changes} reverted; {left}{}", until_reboot(&facts));
    Ok(Ended { result: RunResult::Changed, summary })
}

/// The hosts of a cluster: they are kept, and what was installed on them is removed.
pub(super) struct Hosts<'a> {
    pub(super) files: &'a ClusterFiles,
    pub(super) machines: &'a [Machine],
    pub(super) fleet: &'a Fleet,
}

impl Hosts<'_> {
    /// Finishes an interrupted removal, including data: the rest cannot serve without what was
    /// removed.
    ///
    /// # Errors
    /// When the operator does not agree, or something is left; the next run continues there.
    pub(super) async fn end_removal(
        &self,
        agreed: bool,
        ctx: &RunContext<'_>,
    ) -> Result<(), Error> {
        let facts = self.look(ctx).await?;
        let plan = plan::tear_down(&facts, true);
        let message = "a `down --purge` was interrupted, and most of the data is gone: the rest is \
                       removed first";
        ctx.events.emit(&Event::Warned { message: message.to_owned() });
        if !agreed {
            ctx.agree(&shown(&plan))?;
        }
        self.carry_out(plan, &facts, true, ctx).await
    }

    /// What is left to do of a removal that was begun, including data.
    ///
    /// # Errors
    /// When a host does not answer, or belongs to another cluster.
    pub(super) async fn rest(&self, ctx: &RunContext<'_>) -> Result<Plan, Error> {
        Ok(plan::tear_down(&self.look(ctx).await?, true))
    }

    /// What is on the hosts. No host may belong to another cluster.
    async fn look(
        &self,
        ctx: &RunContext<'_>,
    ) -> Result<BTreeMap<HostName, Facts>, Error> {
        let machines = self.machines.iter();
        let every = machines.map(|machine| (machine.host.clone(), Questions::default()));
        let topology = Topology::new(&self.files.inventory, self.machines)?;
        let facts = survey::facts(self.fleet, &topology, &every.collect(), ctx).await?;
        let others = preflight::of_other_clusters(&self.files.inventory.cluster, &facts);
        fit(others)?;
        Ok(facts)
    }

    /// Reverts what the plan says. If data is removed too, that is noted first, and notes about
    /// that data are deleted.
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

/// What does not change until hosts reboot. The operator has to reboot them: other programs may
/// run on a given host.
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
            "; reboot {} to return to control groups of version 2",
            hosts.join(", ")
        ),
    }
}

/// What this program installed and is still on the hosts, according to their records.
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

/// A removal copies nothing and waits for nothing.
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
            Err(format!("the stage {} pushes no {}", Stage::Retire, push.component)
                .into())
        })
    }
}

impl ZnodeAccess for Nothing {
    fn secure<'a>(
        &'a self,
        node: &'a Znode,
    ) -> futures::future::BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            Err(format!("the stage {} secures no {}", Stage::Retire, node.path))
        })
    }
}

impl HealthCheck for Nothing {
    fn look<'a>(&'a self, gate: &'a Gate) -> futures::future::BoxFuture<'a, GateState> {
        Box::pin(
            async move { GateState::Closed(format!("nobody checks whether {gate}")) },
        )
    }
}
