//! `platform plan`: what `up` would do.

use super::lab::Lab;
use super::trouble::Trouble;
use super::up::Look;
use super::{Ambient, connect, machines, up};
use crate::plan::Plan;

/// What `up` would do.
pub enum Pending {
    /// There is nothing to do.
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
pub async fn plan(lab: &Lab, ambient: &Ambient<'_>) -> Result<Pending, Trouble> {
    // A catalogue that cannot work is said before machines are planned that are made for it.
    lab.images()?;
    let roster = machines::roster(lab, ambient).await?;
    if !roster.is_complete() {
        let (text, json) = (roster.show(), roster.to_json());
        return Ok(Pending::Machines { text, json });
    }
    let fleet = connect::connect_all(lab, &roster.running, ambient).await?;
    let Look { plan, .. } = up::look(lab, &roster.running, &fleet, ambient).await?;
    Ok(if plan.is_empty() { Pending::Nothing } else { Pending::Changes(plan) })
}
