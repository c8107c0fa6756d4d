//! `platform plan`: what `up` would do.

use super::cluster_files::ClusterFiles;
use super::down::Hosts;
use super::error::Error;
use super::gather::warn_of_unverified;
use super::up::Assessment;
use super::{RunContext, connect, image, machines, up};
use crate::plan::{Peers, Plan};

/// What `up` would do, and what else there is to say.
pub struct PlanReport {
    /// What `up` would do.
    pub pending: Pending,
    /// What is known of the cluster beside that, in sentences.
    pub notes: Vec<String>,
}

/// What `up` would do.
pub enum Pending {
    /// There is nothing to change.
    Nothing,
    /// Machines have to be made first; what they get is planned then.
    Machines {
        /// As text.
        text: String,
        /// As JSON.
        json: serde_json::Value,
    },
    /// Hosts would change.
    Changes(Plan),
}

/// Finds out what `up` would do; changes no host.
///
/// # Errors
/// As [`up`](super::up::up) before its first change.
pub async fn plan(
    files: &ClusterFiles,
    ctx: &RunContext<'_>,
) -> Result<PlanReport, Error> {
    // A catalogue that cannot work is said before machines are planned that are made for it.
    let images = files.images()?;
    let mut notes = image::pin_new(files, &images).await?;
    let machine_plan = machines::machine_plan(files, ctx).await?;
    if !machine_plan.is_complete() {
        warn_of_unverified(files, &images, ctx);
        let (text, json) = (machine_plan.show(), machine_plan.to_json());
        let pending = Pending::Machines { text, json };
        return Ok(PlanReport { pending, notes });
    }
    let machines = &machine_plan.running;
    let fleet = connect::connect_all(files, machines, ctx).await?;
    match up::look(files, machines, &fleet, ctx).await {
        Err(lost) if lost.is_of_lost_data() && files.state.removal_is_open() => {
            let hosts = Hosts { files, machines, fleet: &fleet };
            let pending = Pending::Changes(hosts.rest(ctx).await?);
            let note = "This is the rest of a `down` that was to take the data too and was cut \
                        off; what comes once it is done is planned then.";
            notes.push(note.to_owned());
            Ok(PlanReport { pending, notes })
        }
        seen => Ok(report(files, seen?, notes)),
    }
}

fn report(files: &ClusterFiles, seen: Assessment, mut notes: Vec<String>) -> PlanReport {
    if files.state.proof_is_open() {
        notes
            .push("An `up` did not come to its proof: the next one makes it.".to_owned());
    }
    if !seen.plan.is_empty() {
        return PlanReport { pending: Pending::Changes(seen.plan), notes };
    }
    let idle = Peers::all(&seen.topology).into_iter();
    notes.extend(idle.filter_map(|peers| peers.idle(&seen.survey.health)).map(|idle| {
        format!("{idle} now: `platform up` waits until that is mended, `platform status` says more.")
    }));
    PlanReport { pending: Pending::Nothing, notes }
}
