//! Takes a cluster of AWS down: everything that carries its tag.

use jiff::Timestamp;

use super::{Ended, How};
use crate::component::Stage;
use crate::event::count;
use crate::event::{Event, RunResult};
use crate::inventory::Aws;
use crate::operate::RunContext;
use crate::operate::cluster_files::ClusterFiles;
use crate::operate::error::Error;
use crate::provider::aws::sweep::{ClusterResources, Left};
use crate::provider::aws::{Cloud, EXPIRES_TAG};

/// Shows all that is there, asks, removes it in the order of what stands on what, and looks
/// afresh.
///
/// # Errors
/// When AWS does not answer, or something is left: it says what, why, and the command that
/// removes it by hand.
pub(super) async fn remove(
    files: &ClusterFiles,
    settings: &Aws,
    agreed: bool,
    how: How,
    ctx: &RunContext<'_>,
) -> Result<Ended, Error> {
    let cluster = &files.inventory.cluster;
    let cloud = Cloud::open(settings).await?;
    let there = cloud.remains(cluster).await?;
    if there.is_empty() {
        files.state.begin_removal()?;
        files.state.end_removal()?;
        let region = cloud.region();
        let summary =
            format!("nothing to do: {region} has nothing of this cluster; 0 left");
        return Ok(Ended { result: RunResult::Unchanged, summary });
    }
    if how == How::Expired
        && let Some(summary) = not_yet(&there, (ctx.clock)())?
    {
        return Ok(Ended { result: RunResult::Unchanged, summary });
    }
    if !agreed && !ctx.ask.retype(&there.show(), cluster.as_str()) {
        return Err(Error::Declined);
    }
    ctx.begin("removing the cluster")?;
    let (stage, begun) = (Stage::Retire.to_string(), std::time::Instant::now());
    let (hosts, n_steps) = (Vec::new(), there.n_steps());
    ctx.events.emit(&Event::StageStarted { stage: stage.clone(), hosts, n_steps });
    files.state.begin_removal()?;
    let left = cloud.remove(cluster, &there, &stage, &ctx.events).await;
    let ok = left.as_ref().is_ok_and(Vec::is_empty);
    ctx.events.emit(&Event::StageFinished { stage, took: begun.elapsed(), ok });
    let left = left?;
    if !left.is_empty() {
        return Err(Error::Left(Left::told(&left, cloud.region())));
    }
    files.state.end_removal()?;
    let summary = format!("{} removed; 0 left", count(there.things.len(), "thing"));
    Ok(Ended { result: RunResult::Changed, summary })
}

/// Why an expired cluster is not removed: it has not expired, or never will.
fn not_yet(there: &ClusterResources, now: Timestamp) -> Result<Option<String>, Error> {
    match there.expires {
        None => Err(Error::NoExpiry(EXPIRES_TAG)),
        Some(at) if at > now => Ok(Some(format!(
            "nothing to do: the cluster expires at {at}, and not before"
        ))),
        Some(_) => Ok(None),
    }
}
