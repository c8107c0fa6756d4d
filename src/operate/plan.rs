//! `platform plan`: what `up` would do.

use super::cluster_files::ClusterFiles;
use super::down::Hosts;
use super::error::Error;
use super::gather::{own_certificate, warn_of_unverified};
use super::preview::{self, Preview};
use super::run::shown_with;
use super::up::Assessment;
use super::{RunContext, connect, image, machines, up};
use crate::plan::{Peers, Plan};
use crate::provider::MachinePlan;

const EXCHANGE_IS_OPEN: &str = "The certificate authority is being exchanged: the next `up` \
                                finishes that, and asks again before each further part.";

/// What `up` would do, and notes.
pub struct PlanReport {
    /// What `up` would do.
    pub pending: Pending,
    /// Other facts about the cluster, in sentences.
    pub notes: Vec<String>,
}

/// What `up` would do.
pub enum Pending {
    /// There is nothing to change.
    Nothing,
    /// Machines have to be made or changed first.
    Machines {
        /// The machines that are made or changed.
        machines: MachinePlan,
        /// What is done on all hosts then; `None` if that is planned once all machines run.
        then: Option<Plan>,
    },
    /// Hosts would change.
    Changes(Plan),
}

impl PlanReport {
    /// The report as text.
    pub fn text(&self) -> String {
        let changes = match &self.pending {
            Pending::Nothing => &Plan::default(),
            Pending::Changes(plan) => plan,
            Pending::Machines { machines, then } => {
                return shown_with(machines, then.as_ref(), &self.notes);
            }
        };
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = changes.show_with(&self.notes, &mut text);
        text
    }

    /// The report as JSON: `changes` (their number), `stages` and `notes`, and `machines` if
    /// machines have to be made or changed first. If `changes` and `stages` are `null`, what is
    /// done on the hosts is planned once all machines run.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.pending {
            Pending::Nothing => Plan::default().to_json(&self.notes),
            Pending::Changes(plan) => plan.to_json(&self.notes),
            Pending::Machines { machines, then } => {
                let mut json = match then {
                    Some(plan) => plan.to_json(&self.notes),
                    None => serde_json::json!({
                        "changes": null, "stages": null, "notes": self.notes,
                    }),
                };
                json["machines"] = machines.to_json();
                json
            }
        }
    }
}

/// Finds out what `up` would do; changes no host.
///
/// # Errors
/// As [`up`](super::up::up) before its first change.
pub async fn plan(
    files: &ClusterFiles,
    ctx: &RunContext<'_>,
) -> Result<PlanReport, Error> {
    // Faults of the operator's files are reported before machines are planned.
    own_certificate(files, ctx)?;
    let images = files.images()?;
    let mut notes = image::pin_new(files, &images).await?;
    let machines = machines::look(files, ctx).await?.plan;
    if !machines.is_complete() {
        warn_of_unverified(files, &images, ctx);
        let preview = preview::preview(files, &machines, ctx).await?;
        notes.extend(preview.iter().flat_map(Preview::notes));
        let then = preview.map(|preview| preview.plan);
        let pending = Pending::Machines { machines, then };
        return Ok(PlanReport { pending, notes });
    }
    let MachinePlan { running: machines, booting, .. } = &machines;
    let fleet = connect::connect_booting(files, machines, booting, ctx).await?;
    if files.state.exchange((ctx.clock)())?.is_some() {
        notes.push(EXCHANGE_IS_OPEN.to_owned());
    }
    match up::look(files, machines, &fleet, ctx).await {
        Err(lost) if lost.is_of_lost_data() && files.state.removal_is_open() => {
            let hosts = Hosts { files, machines, fleet: &fleet };
            let pending = Pending::Changes(hosts.rest(ctx).await?);
            let note = "This is the rest of an interrupted `down --purge`; what comes after it \
                        is planned when it is done.";
            notes.push(note.to_owned());
            Ok(PlanReport { pending, notes })
        }
        seen => Ok(report(files, seen?, notes)),
    }
}

fn report(files: &ClusterFiles, seen: Assessment, mut notes: Vec<String>) -> PlanReport {
    if files.state.proof_is_open() {
        notes.push(
            "An earlier `up` did not make its proof: the next `up` makes it.".to_owned(),
        );
    }
    if !seen.plan.is_empty() {
        return PlanReport { pending: Pending::Changes(seen.plan), notes };
    }
    let idle = Peers::all(&seen.topology).into_iter();
    notes.extend(idle.filter_map(|peers| peers.idle(&seen.survey.health)).map(|idle| {
        format!("{idle} now: `platform up` waits until that is repaired; see `platform status`.")
    }));
    PlanReport { pending: Pending::Nothing, notes }
}
