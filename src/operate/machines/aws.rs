//! Instances of AWS: what is there, what is missing, and making that.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

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

/// An instance that was launched a shorter time ago may be booting still.
const BOOTING: SignedDuration = SignedDuration::from_mins(5);
/// How often a run goes on by itself after a connection to AWS was cut.
const CUTS: usize = 3;
/// The secret that the host keys of new instances are derived from.
const SEED: &str = "aws-host-keys";

/// A cluster at AWS, and what it takes to have it as the inventory says.
pub(super) struct AwsMachines {
    cloud: Cloud,
    wanted: Wanted,
    pub(super) plan: AwsPlan,
    /// What the machines of the inventory cost, in a line.
    cost: Option<String>,
}

/// Looks at AWS, and plans.
///
/// # Errors
/// When AWS does not answer or refuses, or what is asked for cannot be had.
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

/// Makes what is missing, and waits until all instances run. After a connection to AWS was cut,
/// it looks anew and goes on.
///
/// # Errors
/// When something cannot be made; what was made is found by the next run.
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
    // A launch that is repeated after a cut must be the same to the letter.
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
                let message = format!("{}; going on from there now", in_words(&error));
                ctx.events.emit(&Event::Warned { message });
                plan = look(cloud, making.wanted, ctx).await?;
            }
            done => return done,
        }
    }
    cloud.make(plan, making).await
}

fn made(machines: Vec<Machine>, instances: &[Instance], ctx: &RunContext<'_>) -> Made {
    let now = (ctx.clock)();
    let is_new = |launched: Timestamp| now.duration_since(launched) < BOOTING;
    let new = instances.iter().filter(|found| found.launched.is_some_and(is_new));
    let booting: BTreeSet<HostName> = new.filter_map(Instance::host).collect();
    Made { machines, booting }
}

fn hosts(plan: &AwsPlan) -> impl Iterator<Item = HostName> {
    let launched = plan.steps().filter_map(|step| match step {
        Step::Launch(launch) => launch.node.clone(),
        _ => None,
    });
    launched.chain(plan.awaited().filter_map(Instance::host))
}

impl AwsMachines {
    /// What there is and what will be done, in the terms of all providers.
    pub(super) fn machine_plan(&self) -> MachinePlan {
        self.plan.machine_plan(self.cost.clone())
    }
}

/// Removes everything that carries the cluster's tag, in the order of what stands on what, and
/// looks afresh.
///
/// # Errors
/// When AWS does not answer, or something is left: it says what, why, and the command that
/// removes it by hand.
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
