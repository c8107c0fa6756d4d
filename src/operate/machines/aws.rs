//! Instances of AWS: which exist, which are missing, and making the missing ones.

use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;

use super::Made;
use crate::component::Stage;
use crate::event::{Event, count, in_words};
use crate::host::HostName;
use crate::inventory::{Aws, SecretSource};
use crate::operate::RunContext;
use crate::operate::cluster_files::ClusterFiles;
use crate::operate::error::Error;
use crate::progress::StageReport;
use crate::provider::MachinePlan;
use crate::provider::aws::cost;
use crate::provider::aws::prices::Prices;
use crate::provider::aws::sweep::{ClusterResources, Left};
use crate::provider::aws::{
    self, AwsError, AwsPlan, Cloud, Instance, MakeContext, Step, Wanted,
};
use crate::remote::config::expand_home;
use crate::topology::Machine;

/// How often a run continues by itself after the connection to AWS was lost.
const CUTS: usize = 3;
/// The secret from which the host keys of new instances are derived.
const SEED: &str = "aws-host-keys";

/// A cluster at AWS, and what has to be done to make it match the inventory.
pub(super) struct AwsMachines {
    cloud: Cloud,
    wanted: Wanted,
    pub(super) plan: AwsPlan,
    /// The cost of the inventory's machines, as one line.
    cost: Option<String>,
}

/// Checks what exists at AWS, and plans.
///
/// # Errors
/// When AWS does not answer or refuses, or cannot provide what the inventory asks for.
pub(super) async fn aws_machines(
    files: &ClusterFiles,
    settings: &Aws,
    ctx: &RunContext<'_>,
) -> Result<AwsMachines, Error> {
    let wanted = Wanted::of(&files.inventory, settings, public_key(files, settings)?);
    let cloud = Cloud::open(settings).await?;
    let plan = look(&cloud, &wanted, ctx).await?;
    let cost = cost::estimate_in(&files.inventory, cloud.region(), &Prices::shipped());
    Ok(AwsMachines { cloud, wanted, plan, cost: cost.map(|cost| cost.line()) })
}

async fn look(
    cloud: &Cloud,
    wanted: &Wanted,
    ctx: &RunContext<'_>,
) -> Result<AwsPlan, AwsError> {
    let seen = cloud.look(wanted).await?;
    Ok(aws::plan(wanted, &seen, (ctx.clock)())?)
}

/// The operator's public key: the file beside the private one.
fn public_key(files: &ClusterFiles, settings: &Aws) -> Result<String, AwsError> {
    let mut path = files.folder().join(expand_home(&settings.ssh.key)).into_os_string();
    path.push(".pub");
    let path = PathBuf::from(path);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(AwsError::PublicKey { path, source }),
    }
}

/// Makes what is missing, and waits until all instances run. If the connection to AWS is lost,
/// this checks again what exists, and continues.
///
/// # Errors
/// When something cannot be made; the next run finds what was made.
pub(super) async fn make(
    files: &ClusterFiles,
    machines: AwsMachines,
    ctx: &RunContext<'_>,
) -> Result<Made, Error> {
    let AwsMachines { cloud, wanted, plan, .. } = machines;
    if plan.is_complete() {
        return Ok(made(plan.running(), &plan.instances, ctx));
    }
    let seed =
        files.state.resolve(&SecretSource::Generate, SEED, &files.folder(), ctx.env)?;
    // A launch that is repeated after a lost connection must be exactly the same.
    files.state.keep()?;
    let hosts: Vec<HostName> = hosts(&plan).collect();
    let n_steps = plan.steps().count();
    let stage = StageReport::begin(&ctx.events, Stage::Machines, hosts, n_steps);
    let making = MakeContext {
        wanted: &wanted,
        seed: &seed,
        stage: &Stage::Machines.to_string(),
        events: &ctx.events,
        stopped: &|| ctx.is_stopped(),
    };
    let done = go_on(&cloud, plan, &making, ctx).await;
    stage.end(done.is_ok());
    let instances = done?;
    let machines = instances.iter().filter_map(Instance::machine).collect();
    Ok(made(machines, &instances, ctx))
}

async fn go_on(
    cloud: &Cloud,
    mut plan: AwsPlan,
    making: &MakeContext<'_>,
    ctx: &RunContext<'_>,
) -> Result<Vec<Instance>, AwsError> {
    for _ in 0..CUTS {
        match cloud.make(plan, making).await {
            Err(error @ AwsError::Cut { .. }) => {
                let message = format!("{}; continuing from there now", in_words(&error));
                ctx.events.emit(&Event::Warned { message });
                plan = look(cloud, making.wanted, ctx).await?;
            }
            done => return done,
        }
    }
    cloud.make(plan, making).await
}

fn made(machines: Vec<Machine>, instances: &[Instance], ctx: &RunContext<'_>) -> Made {
    Made { machines, booting: aws::booting(instances, (ctx.clock)()) }
}

fn hosts(plan: &AwsPlan) -> impl Iterator<Item = HostName> {
    let launched = plan.steps().filter_map(|step| match step {
        Step::Launch(launch) => launch.node.clone(),
        _ => None,
    });
    launched.chain(plan.awaited().filter_map(Instance::host))
}

impl AwsMachines {
    /// What exists and what will be done, in the form that all providers share.
    pub(super) fn machine_plan(&self, now: Timestamp) -> MachinePlan {
        self.plan.machine_plan(self.cost.clone(), now)
    }
}

/// Removes everything that has the cluster's tag, in the order of dependencies, and checks again
/// what is left.
///
/// # Errors
/// When AWS does not answer, or something is left: the error says what, why, and the command
/// that removes it by hand.
pub(super) async fn remove(
    files: &ClusterFiles,
    cloud: &Cloud,
    there: &ClusterResources,
    ctx: &RunContext<'_>,
) -> Result<String, Error> {
    let n_steps = there.n_steps();
    let stage = StageReport::begin(&ctx.events, Stage::Retire, Vec::new(), n_steps);
    files.state.begin_removal()?;
    let cluster = &files.inventory.cluster;
    let left = cloud.remove(cluster, there, stage.name(), &ctx.events).await;
    stage.end(left.as_ref().is_ok_and(Vec::is_empty));
    let left = left?;
    if !left.is_empty() {
        return Err(Error::Left(Left::told(&left, cloud.region())));
    }
    files.state.end_removal()?;
    Ok(format!("{} removed; 0 left", count(there.things.len(), "thing")))
}
