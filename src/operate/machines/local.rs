//! Containers on this computer: which to make and start, and making them a few at a time.

use futures::stream::{self, StreamExt};

use crate::component::Stage;
use crate::event::Event;
use crate::host::HostName;
use crate::inventory::{Cidr, Provider};
use crate::operate::RunContext;
use crate::operate::cluster_files::ClusterFiles;
use crate::operate::error::Error;
use crate::operate::image::{self, BuildContext};
use crate::progress::{self, StageReport, not_started};
use crate::provider::local::{
    self as containers, ContainerPlan, Existing, MachineBuilder, MachineError,
    NewMachine, Settings, Wait,
};

/// The number of machines that are made at once: each boots a whole system.
const AT_ONCE: usize = 8;

/// What has to be made and started. After an interrupted removal, Docker may still be removing
/// machines: no existing machine is used, and what is left of them is removed first.
///
/// # Errors
/// When Docker does not answer, the network is too small, or the machines' key is lost.
pub(super) async fn plan(
    files: &ClusterFiles,
    subnet: Cidr,
) -> Result<ContainerPlan, Error> {
    if files.state.removal_is_open() {
        let remove = containers::everything(&files.inventory.cluster).await?;
        let plan = containers::plan(&containers::wanted(&files.inventory), &[], subnet)?;
        return Ok(ContainerPlan { remove, ..plan });
    }
    let existing = containers::list(&files.inventory.cluster).await?;
    if !existing.is_empty() && !files.state.has_ssh_key() {
        return Err(Error::KeyLost(files.state.ssh_key_file()));
    }
    let wanted = containers::wanted(&files.inventory);
    Ok(containers::plan(&wanted, &existing, subnet)?)
}

/// Checks that the network that the plan needs exists or can be made. A plan that first removes
/// what an earlier run left is checked after that.
///
/// # Errors
/// When Docker does not answer, or the network cannot be made.
pub(super) async fn check_network(
    files: &ClusterFiles,
    subnet: Cidr,
    plan: &ContainerPlan,
) -> Result<(), Error> {
    if plan.hosts().next().is_some() && plan.remove.is_empty() {
        containers::check_network(&files.inventory.cluster, subnet).await?;
    }
    Ok(())
}

/// Makes and starts what is missing.
///
/// # Errors
/// When a machine cannot be made; the others are made all the same.
pub(super) async fn make(
    files: &ClusterFiles,
    plan: &ContainerPlan,
    ctx: &RunContext<'_>,
) -> Result<(), Error> {
    let Provider::Local(network) = &files.inventory.provider else { return Ok(()) };
    let settings = Settings {
        cluster: files.inventory.cluster.clone(),
        subnet: network.subnet,
        image: image::machine(&files.images()?, &BuildContext::of(ctx)).await?,
        authorized_key: files.state.ssh_key()?.public,
    };
    // A machine accepts only this key: it must not be lost if this run is interrupted.
    files.state.keep()?;
    let hosts: Vec<HostName> = plan.hosts().cloned().collect();
    let goes_on = files.state.removal_is_open();
    let n_steps = hosts.len() + usize::from(goes_on);
    let stage = StageReport::begin(&ctx.events, Stage::Machines, hosts, n_steps);
    let made = async {
        if goes_on {
            remove_in(stage.name(), files, ctx).await?;
        }
        all(&settings, plan, ctx).await
    };
    let made = made.await;
    stage.end(made.is_ok());
    made
}

/// Removes all machines, their network and their volumes, and returns what was removed. The
/// beginning is noted first, and notes about these machines are deleted; so if the removal is
/// interrupted at any time, the next run knows that it cannot use them.
///
/// # Errors
/// When Docker does not finish in time; the next run continues there.
pub(super) async fn remove(
    files: &ClusterFiles,
    ctx: &RunContext<'_>,
) -> Result<Vec<String>, Error> {
    let stage = StageReport::begin(&ctx.events, Stage::Retire, Vec::new(), 1);
    let removed = remove_in(stage.name(), files, ctx).await;
    stage.end(removed.is_ok());
    removed
}

async fn remove_in(
    stage: &str,
    files: &ClusterFiles,
    ctx: &RunContext<'_>,
) -> Result<Vec<String>, Error> {
    let work = async {
        files.state.begin_removal()?;
        let waits = |wait: Wait| tell_wait(wait, ctx);
        let removed = containers::destroy(&files.inventory.cluster, &waits).await?;
        files.state.end_removal()?;
        Ok(removed)
    };
    let name = "remove all machines and their network";
    progress::step(&ctx.events, stage, None, name, work).await
}

/// Reports that Docker is still removing things, and how long that may take.
fn tell_wait(Wait { things, said, deadline }: Wait, ctx: &RunContext<'_>) {
    let seconds = deadline.as_secs();
    let message = format!(
        "waiting until Docker has removed {things}, at most {seconds} s; it said: {said}"
    );
    ctx.events.emit(&Event::Warned { message });
}

async fn all(
    settings: &Settings,
    plan: &ContainerPlan,
    ctx: &RunContext<'_>,
) -> Result<(), Error> {
    if let Some(message) = containers::raise_limits(plan.hosts().count()).await {
        ctx.events.emit(&Event::Warned { message });
    }
    let builder = MachineBuilder::open(settings.clone()).await?;
    let create = plan.create.iter().map(Job::Make);
    let jobs = create.chain(plan.start.iter().map(Job::Start)).collect();
    let (builder, cluster) = (&builder, &settings.cluster);
    let work = async |job: &Job<'_>| match job {
        Job::Make(new) => {
            let waits = |wait: Wait| tell_wait(wait, ctx);
            builder.create(new, &waits).await.map(drop)
        }
        Job::Start(old) => containers::start(cluster, old).await,
    };
    carry_out(jobs, work, ctx).await
}

/// Does this work for each machine, a few at a time. Once the operator wants to stop, begun
/// machines are finished and no more are begun.
async fn carry_out(
    jobs: Vec<Job<'_>>,
    work: impl AsyncFn(&Job<'_>) -> Result<(), MachineError>,
    ctx: &RunContext<'_>,
) -> Result<(), Error> {
    let work = &work;
    let jobs: Vec<_> = jobs
        .into_iter()
        .map(|job| async move {
            let (events, stage) = (&ctx.events, Stage::Machines.to_string());
            let (host, step) = (Some(job.host()), job.step());
            if ctx.is_stopped() {
                not_started(events, &stage, host, step, "the run was stopped");
                return Ok(false);
            }
            let done = progress::step(events, &stage, host, step, work(&job)).await;
            done.map(|()| true)
        })
        .collect();
    let ended: Vec<Result<bool, MachineError>> =
        stream::iter(jobs).buffer_unordered(AT_ONCE).collect().await;
    let done = ended.into_iter().collect::<Result<Vec<bool>, MachineError>>()?;
    let n_left = done.iter().filter(|done| !**done).count();
    match n_left {
        0 => Ok(()),
        _ => Err(Error::Interrupted { n_done: done.len() - n_left, n_left }),
    }
}

enum Job<'a> {
    Make(&'a NewMachine),
    Start(&'a Existing),
}

impl Job<'_> {
    fn host(&self) -> &HostName {
        match self {
            Self::Make(new) => &new.host,
            Self::Start(old) => &old.machine.host,
        }
    }

    fn step(&self) -> &'static str {
        match self {
            Self::Make(_) => "make container",
            Self::Start(_) => "start container",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::operate::fixture;

    fn machine(n: usize) -> NewMachine {
        NewMachine {
            host: format!("node-{n}").parse().unwrap(),
            group: "node".to_owned(),
            address: [10, 0, 0, 9].into(),
            memory: None,
            remains: false,
        }
    }

    #[tokio::test]
    async fn machines_under_way_are_finished_and_no_more_begun_once_the_operator_stops() {
        let ctx = fixture::ctx(false);
        let new: Vec<NewMachine> = (0..AT_ONCE + 3).map(machine).collect();
        let work = async |_: &Job<'_>| {
            ctx.stopped.store(true, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(())
        };
        let jobs = new.iter().map(Job::Make).collect();
        let stopped = carry_out(jobs, work, &ctx).await.expect_err("it was stopped");
        assert_eq!(stopped.to_string(), "stopped: 1 step done, 10 left");
    }
}
