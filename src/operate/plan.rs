//! `platform plan`: what `up` would do.

use super::down::Hosts;
use super::gather::warn_of_unverified;
use super::lab::Lab;
use super::trouble::Trouble;
use super::up::Look;
use super::{Ambient, connect, image, machines, up};
use crate::plan::{Peers, Plan};

/// What `up` would do, and what else there is to say.
pub struct Outlook {
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
pub async fn plan(lab: &Lab, ambient: &Ambient<'_>) -> Result<Outlook, Trouble> {
    // A catalogue that cannot work is said before machines are planned that are made for it.
    let images = lab.images()?;
    let mut notes = image::pin_new(lab, &images).await?;
    let roster = machines::roster(lab, ambient).await?;
    if !roster.is_complete() {
        warn_of_unverified(lab, &images, ambient);
        let (text, json) = (roster.show(), roster.to_json());
        let pending = Pending::Machines { text, json };
        return Ok(Outlook { pending, notes });
    }
    let machines = &roster.running;
    let fleet = connect::connect_all(lab, machines, ambient).await?;
    match up::look(lab, machines, &fleet, ambient).await {
        Err(lost) if lost.is_of_lost_data() && lab.state.removal_is_open() => {
            let hosts = Hosts { lab, machines, fleet: &fleet };
            let pending = Pending::Changes(hosts.rest(ambient).await?);
            let note = "This is the rest of a `down` that was to take the data too and was cut \
                        off; what comes once it is done is planned then.";
            notes.push(note.to_owned());
            Ok(Outlook { pending, notes })
        }
        seen => Ok(outlook(lab, seen?, notes)),
    }
}

fn outlook(lab: &Lab, seen: Look, mut notes: Vec<String>) -> Outlook {
    if lab.state.proof_is_open() {
        notes
            .push("An `up` did not come to its proof: the next one makes it.".to_owned());
    }
    if !seen.plan.is_empty() {
        return Outlook { pending: Pending::Changes(seen.plan), notes };
    }
    let idle = Peers::all(&seen.topology).into_iter();
    notes.extend(idle.filter_map(|peers| peers.idle(&seen.survey.standing)).map(|idle| {
        format!("{idle} now: `platform up` waits until that is mended, `platform status` says more.")
    }));
    Outlook { pending: Pending::Nothing, notes }
}
