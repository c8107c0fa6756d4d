//! The machines of an inventory: which exist, which are missing, and making the missing ones.

mod aws;
mod local;

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::RunContext;
use super::cluster_files::ClusterFiles;
use super::error::Error;
use crate::host::HostName;
use crate::inventory::Provider;
use crate::provider::aws::Cloud;
use crate::provider::aws::sweep::ClusterResources;
use crate::provider::local::{self as containers, ContainerPlan};
use crate::provider::{MachinePlan, ssh};
use crate::topology::{Machine, Topology};
use aws::{AwsMachines, aws_machines};

/// The machines of an inventory, and what has to be done to make the missing ones.
pub(super) struct Machines {
    /// What exists, and what will be done.
    pub(super) plan: MachinePlan,
    /// How it is done.
    work: Backend,
}

/// The provider that makes the machines.
enum Backend {
    /// None: the machines are given.
    Given,
    /// This computer's Docker.
    Local(ContainerPlan),
    /// AWS.
    Aws(Box<AwsMachines>),
}

/// The machines of an inventory, made.
pub(super) struct Made {
    /// All of them, in the order of the inventory.
    pub(super) machines: Vec<Machine>,
    /// The machines that were started so recently that they may still be booting.
    pub(super) booting: BTreeSet<HostName>,
}

impl Made {
    /// The machines that run already.
    fn of(plan: MachinePlan) -> Self {
        Self { machines: plan.running, booting: plan.booting }
    }
}

/// Asks the provider, and checks that the missing machines can be made.
///
/// # Errors
/// As [`compare`], and when another network has the addresses of the cluster's network.
pub(super) async fn look(
    files: &ClusterFiles,
    ctx: &RunContext<'_>,
) -> Result<Machines, Error> {
    let machines = compare(files, ctx).await?;
    if let (Provider::Local(network), Backend::Local(plan)) =
        (&files.inventory.provider, &machines.work)
    {
        local::check_network(files, network.subnet, plan).await?;
    }
    Ok(machines)
}

/// Asks the provider what exists, and compares it with the inventory.
///
/// # Errors
/// When it does not answer, or its network is too small, or no login to its machines is possible.
pub(super) async fn compare(
    files: &ClusterFiles,
    ctx: &RunContext<'_>,
) -> Result<Machines, Error> {
    let now = (ctx.clock)();
    let (plan, work) = match &files.inventory.provider {
        Provider::Ssh(_) => {
            (MachinePlan::of_given(ssh::machines(&files.inventory)), Backend::Given)
        }
        Provider::Local(network) => {
            let plan = local::plan(files, network.subnet).await?;
            (plan.machine_plan(&files.inventory.cluster, now), Backend::Local(plan))
        }
        Provider::Aws(settings) => {
            let machines = aws_machines(files, settings, ctx).await?;
            (machines.machine_plan(now), Backend::Aws(Box::new(machines)))
        }
    };
    for message in plan.notes.clone() {
        ctx.events.warn_once(message);
    }
    Ok(Machines { plan, work })
}

/// The running machines of the inventory.
///
/// # Errors
/// When the provider does not answer.
pub(super) async fn running(
    files: &ClusterFiles,
    ctx: &RunContext<'_>,
) -> Result<Vec<Machine>, Error> {
    Ok(compare(files, ctx).await?.plan.running)
}

/// The machines with these names and in these groups; all if no names are given.
///
/// # Errors
/// When a name is unknown.
pub(super) fn limited(
    machines: Vec<Machine>,
    limit: &[String],
) -> Result<Vec<Machine>, Error> {
    let names = |machine: &Machine| [machine.group.clone(), machine.host.to_string()];
    let known: Vec<String> = machines.iter().flat_map(names).collect();
    if let Some(name) = limit.iter().find(|name| !known.contains(name)) {
        let known: BTreeSet<String> = known.into_iter().collect();
        return Err(Error::NoSuchHost {
            name: name.clone(),
            known: known.into_iter().collect(),
        });
    }
    let kept = |machine: &Machine| {
        limit.is_empty() || names(machine).iter().any(|name| limit.contains(name))
    };
    Ok(machines.into_iter().filter(kept).collect())
}

impl Machines {
    /// The cluster with all of its machines, including those that do not run.
    ///
    /// # Errors
    /// When they cannot form the ensemble.
    pub(super) fn topology(&self, files: &ClusterFiles) -> Result<Topology, Error> {
        Ok(Topology::new(&files.inventory, &self.plan.all())?)
    }
}

/// Everything that a provider made for a cluster and that still exists.
pub(super) enum ClusterRemains {
    /// Nothing: the machines are given.
    Given,
    /// Containers of this computer, their network and volumes.
    Local(Vec<String>),
    /// Everything at AWS that has the cluster's tag.
    Aws(Box<(Cloud, ClusterResources)>),
}

/// Asks the provider what exists.
///
/// # Errors
/// When it does not answer.
pub(super) async fn existing(files: &ClusterFiles) -> Result<ClusterRemains, Error> {
    let cluster = &files.inventory.cluster;
    Ok(match &files.inventory.provider {
        Provider::Ssh(_) => ClusterRemains::Given,
        Provider::Local(_) => {
            ClusterRemains::Local(containers::everything(cluster).await?)
        }
        Provider::Aws(settings) => {
            let cloud = Cloud::open(settings).await?;
            let there = cloud.remains(cluster).await?;
            ClusterRemains::Aws(Box::new((cloud, there)))
        }
    })
}

impl ClusterRemains {
    /// Whether nothing exists.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Given => true,
            Self::Local(there) => there.is_empty(),
            Self::Aws(aws) => aws.1.is_empty(),
        }
    }

    /// The sentence if nothing exists.
    pub(super) fn none(&self) -> String {
        match self {
            Self::Given | Self::Local(_) => {
                "there is no machine of this cluster".to_owned()
            }
            Self::Aws(aws) => {
                format!("{} has nothing of this cluster; 0 left", aws.0.region())
            }
        }
    }

    /// When `down --expired` may remove it.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        match self {
            Self::Given | Self::Local(_) => None,
            Self::Aws(aws) => aws.1.expires,
        }
    }

    /// What would be removed, as text.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Given => String::new(),
            Self::Local(there) => {
                there.iter().map(|thing| format!("  remove {thing}\n")).collect()
            }
            Self::Aws(aws) => aws.1.show(),
        }
    }
}

/// Removes everything that the provider made for a cluster, and returns what was removed, as a
/// sentence.
///
/// # Errors
/// When the provider does not answer, or something is left; the next run continues there.
pub(super) async fn remove(
    files: &ClusterFiles,
    existing: ClusterRemains,
    ctx: &RunContext<'_>,
) -> Result<String, Error> {
    match existing {
        ClusterRemains::Given => Ok("nothing to do".to_owned()),
        ClusterRemains::Local(there) => {
            let removed = local::remove(files, ctx).await?;
            // Another Docker command may have been faster.
            let removed = if removed.is_empty() { there } else { removed };
            Ok(format!("removed {}; 0 left", removed.join(", ")))
        }
        ClusterRemains::Aws(aws) => {
            let (cloud, there) = *aws;
            aws::remove(files, &cloud, &there, ctx).await
        }
    }
}

/// Makes and starts the missing machines, and returns all machines of the inventory, in its
/// order.
///
/// # Errors
/// When a machine cannot be made; the others are made all the same, and the next run continues
/// there. When the operator stops the run, begun machines are finished and no more are begun.
pub(super) async fn make(
    files: &ClusterFiles,
    machines: Machines,
    ctx: &RunContext<'_>,
) -> Result<Made, Error> {
    match machines.work {
        Backend::Local(plan) if !machines.plan.is_complete() => {
            local::make(files, &plan, ctx).await?;
            Ok(Made::of(look(files, ctx).await?.plan))
        }
        Backend::Aws(work) => aws::make(files, *work, ctx).await,
        Backend::Given | Backend::Local(_) => Ok(Made::of(machines.plan)),
    }
}
