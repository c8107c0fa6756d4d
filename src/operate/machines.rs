//! The machines of an inventory: which there are, which are missing, and making those.

mod aws;
mod local;

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::RunContext;
use super::cluster_files::ClusterFiles;
use super::error::Error;
use crate::component::Stage;
use crate::event::Event;
use crate::host::HostName;
use crate::inventory::Provider;
use crate::provider::local::ContainerPlan;
use crate::provider::ssh;
use crate::topology::{Machine, Topology};

pub(super) use aws::{AwsMachines, site};
pub(super) use local::remove;

/// The machines of an inventory, and what it takes to have them all.
pub(super) struct MachinePlan {
    /// Machines that run.
    pub(super) running: Vec<Machine>,
    /// What is to be made or started, and by whom.
    missing: Missing,
}

/// What is to be made or started.
enum Missing {
    /// Nothing ever: the machines are given.
    Given,
    /// Containers of this computer.
    Local(ContainerPlan),
    /// Instances, and what they stand on.
    Aws(Box<AwsMachines>),
}

/// The machines of an inventory, made.
pub(super) struct Made {
    /// All of them, in the order of the inventory.
    pub(super) machines: Vec<Machine>,
    /// Those that were launched so short a time ago that they may be booting still.
    pub(super) booting: BTreeSet<HostName>,
}

/// Asks the provider.
///
/// # Errors
/// When it does not answer, or its network is too small, or its machines would let nobody in.
pub(super) async fn machine_plan(
    files: &ClusterFiles,
    ctx: &RunContext<'_>,
) -> Result<MachinePlan, Error> {
    match &files.inventory.provider {
        Provider::Ssh(_) => Ok(MachinePlan {
            running: ssh::machines(&files.inventory),
            missing: Missing::Given,
        }),
        Provider::Local(network) => {
            let plan = local::plan(files, network.subnet).await?;
            for message in plan.notes(&files.inventory.cluster) {
                ctx.events.emit(&Event::Warned { message });
            }
            Ok(MachinePlan {
                running: plan.unchanged.clone(),
                missing: Missing::Local(plan),
            })
        }
        Provider::Aws(settings) => {
            let site = site(files, settings, ctx).await?;
            Ok(MachinePlan {
                running: site.plan.running(),
                missing: Missing::Aws(Box::new(site)),
            })
        }
    }
}

/// The machines that run and that the inventory has.
///
/// # Errors
/// When the provider does not answer.
pub(super) async fn running(
    files: &ClusterFiles,
    ctx: &RunContext<'_>,
) -> Result<Vec<Machine>, Error> {
    Ok(machine_plan(files, ctx).await?.running)
}

/// The machines of these names and groups; all where there is none.
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

impl MachinePlan {
    /// The cluster with all of its machines, those included that do not run.
    ///
    /// # Errors
    /// When they cannot form the ensemble.
    pub(super) fn topology(&self, files: &ClusterFiles) -> Result<Topology, Error> {
        Ok(Topology::new(&files.inventory, &self.all())?)
    }

    /// All machines of the inventory that have a name and an address, those included that do
    /// not run.
    pub(super) fn all(&self) -> Vec<Machine> {
        let mut machines = self.running.clone();
        machines.extend(match &self.missing {
            Missing::Given => Vec::new(),
            Missing::Local(plan) => local::planned(plan),
            Missing::Aws(site) => site.planned(),
        });
        machines
    }

    /// The machines that are to be made or started, each in a word or two.
    pub(super) fn missing(&self) -> Vec<String> {
        match &self.missing {
            Missing::Given => Vec::new(),
            Missing::Local(plan) => local::hosts(plan).map(HostName::to_string).collect(),
            Missing::Aws(site) => site.missing(),
        }
    }

    /// The groups that lack machines.
    pub(super) fn lacking(&self) -> BTreeSet<String> {
        match &self.missing {
            Missing::Given => BTreeSet::new(),
            Missing::Local(plan) => {
                local::planned(plan).into_iter().map(|machine| machine.group).collect()
            }
            Missing::Aws(site) => site.lacking(),
        }
    }

    /// How many machines are to be made or started.
    pub(super) fn n_missing(&self) -> usize {
        match &self.missing {
            Missing::Given => 0,
            Missing::Local(plan) => local::hosts(plan).count(),
            Missing::Aws(site) => site.plan.n_machines(),
        }
    }

    /// Whether nothing has to be made, started or changed of the machines themselves and what
    /// they stand on.
    pub(super) fn is_complete(&self) -> bool {
        match &self.missing {
            Missing::Given => true,
            Missing::Local(plan) => local::is_complete(plan),
            Missing::Aws(site) => site.plan.is_complete(),
        }
    }

    /// Whether there is no machine that stays and could have anything on it.
    pub(super) fn is_blank(&self) -> bool {
        let none_stopped = match &self.missing {
            Missing::Given => true,
            Missing::Local(plan) => plan.start.is_empty(),
            Missing::Aws(site) => site.plan.instances.is_empty(),
        };
        self.running.is_empty() && none_stopped
    }

    /// When the cluster may be taken down by `down --expired`.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        match &self.missing {
            Missing::Aws(site) => site.plan.network.expires,
            _ => None,
        }
    }

    /// What is to be made or started, as text.
    pub(super) fn show(&self) -> String {
        let what = match &self.missing {
            Missing::Given => String::new(),
            Missing::Local(plan) => local::show(plan),
            Missing::Aws(site) => site.show(),
        };
        let then = match self.n_missing() {
            0 => "What is on the machines is looked at once this is done.",
            _ => "What each of them gets is planned once it can be asked.",
        };
        format!("{}\n{what}\n{then}\n", Stage::Machines)
    }

    /// What is to be made or started, as JSON.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.missing {
            Missing::Given => serde_json::json!({}),
            Missing::Local(plan) => local::to_json(plan),
            Missing::Aws(site) => site.plan.to_json(),
        }
    }
}

/// Makes and starts what is missing: all machines of the inventory, in its order.
///
/// # Errors
/// When one cannot be made; the others are made all the same, and the next run goes on there.
/// When the operator stops it, those under way are finished and no more are begun.
pub(super) async fn make(
    files: &ClusterFiles,
    machine_plan: MachinePlan,
    ctx: &RunContext<'_>,
) -> Result<Made, Error> {
    match machine_plan.missing {
        Missing::Local(plan) if !local::is_complete(&plan) => {
            local::make(files, &plan, ctx).await?;
            let machines = running(files, ctx).await?;
            Ok(Made { machines, booting: BTreeSet::new() })
        }
        Missing::Aws(site) => aws::make(files, *site, ctx).await,
        Missing::Given | Missing::Local(_) => {
            Ok(Made { machines: machine_plan.running, booting: BTreeSet::new() })
        }
    }
}
