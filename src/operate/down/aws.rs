//! Takes a cluster of AWS down: everything that carries its tag.

use jiff::Timestamp;

use super::{Ended, How};
use crate::component::Stage;
use crate::event::count;
use crate::event::{Event, RunResult};
use crate::inventory::Aws;
use crate::operate::Ambient;
use crate::operate::lab::Lab;
use crate::operate::trouble::Trouble;
use crate::provider::aws::sweep::{Left, Remains};
use crate::provider::aws::{Cloud, EXPIRES_TAG};

/// Shows all that is there, asks, removes it in the order of what stands on what, and looks
/// afresh.
///
/// # Errors
/// When AWS does not answer, or something is left: it says what, why, and the command that
/// removes it by hand.
pub(super) async fn remove(
    lab: &Lab,
    settings: &Aws,
    agreed: bool,
    how: How,
    ambient: &Ambient<'_>,
) -> Result<Ended, Trouble> {
    let cluster = &lab.inventory.cluster;
    let cloud = Cloud::open(settings).await?;
    let there = cloud.remains(cluster).await?;
    if there.is_empty() {
        lab.state.begin_removal()?;
        lab.state.end_removal()?;
        let region = cloud.region();
        let summary =
            format!("nothing to do: {region} has nothing of this cluster; 0 left");
        return Ok(Ended { result: RunResult::Unchanged, summary });
    }
    if how == How::Expired
        && let Some(summary) = not_yet(&there, (ambient.clock)())?
    {
        return Ok(Ended { result: RunResult::Unchanged, summary });
    }
    if !agreed && !ambient.ask.retype(&there.show(), cluster.as_str()) {
        return Err(Trouble::Declined);
    }
    ambient.begin("removing the cluster")?;
    let (stage, begun) = (Stage::Retire.to_string(), std::time::Instant::now());
    let (hosts, n_steps) = (Vec::new(), there.n_steps());
    ambient.events.emit(&Event::StageStarted { stage: stage.clone(), hosts, n_steps });
    lab.state.begin_removal()?;
    let left = cloud.remove(cluster, &there, &stage, &ambient.events).await;
    let ok = left.as_ref().is_ok_and(Vec::is_empty);
    ambient.events.emit(&Event::StageFinished { stage, took: begun.elapsed(), ok });
    let left = left?;
    if !left.is_empty() {
        return Err(Trouble::Left(Left::told(&left, cloud.region())));
    }
    lab.state.end_removal()?;
    let summary = format!("{} removed; 0 left", count(there.things.len(), "thing"));
    Ok(Ended { result: RunResult::Changed, summary })
}

/// Why an expired cluster is not removed: it has not expired, or never will.
fn not_yet(there: &Remains, now: Timestamp) -> Result<Option<String>, Trouble> {
    match there.expires {
        None => Err(Trouble::NoExpiry(EXPIRES_TAG)),
        Some(at) if at > now => Ok(Some(format!(
            "nothing to do: the cluster expires at {at}, and not before"
        ))),
        Some(_) => Ok(None),
    }
}
