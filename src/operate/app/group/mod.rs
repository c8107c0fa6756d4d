//! `platform group`: the groups of a Marathon. Files of groups are brought there as those of apps.

mod order;
mod rows;

use marathon_rules::id::absolute;
use tokio::time::Instant;

use self::order::{foresee_removal, scale};
use super::{Changed, Manner, Work};
use crate::api::marathon::{Change, Group};
use crate::operate::RunContext;
use crate::operate::error::Error;
use crate::operate::target::Target;

pub use order::{Scaled, ScaledApp};
pub use rows::{GroupDetails, GroupList, GroupRow};

/// All of Marathon, which is a group too.
const ROOT: &str = "/";

/// A change was asked for that would be one of all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "`/` is all that Marathon has: name a group in it; `platform group ls` lists them"
)]
pub struct AllThereIs;

/// All groups, by one request.
///
/// # Errors
/// When Marathon does not answer, or refuses the password.
pub async fn list(target: &Target) -> Result<GroupList, Error> {
    let root = target.marathon()?.group(ROOT).await;
    root.map(|root| GroupList::of(&root)).map_err(|error| target.fails(error))
}

/// One group.
///
/// # Errors
/// When Marathon does not answer, or has no such group.
pub async fn show(target: &Target, id: &str) -> Result<GroupDetails, Error> {
    let group = target.marathon()?.group(id).await;
    group.map(|group| GroupDetails::of(&group)).map_err(|error| target.fails(error))
}

/// Multiplies the number of instances of all apps in a group.
///
/// # Errors
/// When Marathon does not answer, has no such group, or another deployment changes one of its
/// apps; when the operator says no; and when it is waited for in vain.
pub async fn multiply(
    target: &Target,
    id: &str,
    factor: f64,
    manner: Manner,
    ctx: &RunContext<'_>,
) -> Result<Scaled, Error> {
    let work = Work { marathon: target.marathon()?, target, manner, ctx };
    let group = work.group(id).await?;
    let (scaled, foreseen) = scale(&group, factor);
    if !scaled.is_any() {
        return Ok(scaled);
    }
    work.agree(&foreseen)?;
    let body = serde_json::json!({"scaleBy": factor});
    let change = work.marathon.put_group(&group.id, &body).await;
    let change = change.map_err(|error| target.fails(error))?;
    let change = work.until_all_settled(&group, &change).await?;
    Ok(Scaled { change: Some(change), ..scaled })
}

/// Removes a group with all that is in it.
///
/// # Errors
/// When Marathon does not answer, or has no such group; when the operator says no; and when it is
/// waited for in vain.
pub async fn remove(
    target: &Target,
    id: &str,
    manner: Manner,
    ctx: &RunContext<'_>,
) -> Result<Changed, Error> {
    let work = Work { marathon: target.marathon()?, target, manner, ctx };
    let group = work.group(id).await?;
    let root = work.marathon.group(ROOT).await.map_err(|error| target.fails(error))?;
    work.agree(&foresee_removal(&group, &root))?;
    let change = work.marathon.delete_group(&group.id).await;
    let change = change.map_err(|error| target.fails(error))?;
    work.until_ended(&group.id, &change).await
}

impl Work<'_> {
    /// A group that is not all there is.
    async fn group(&self, id: &str) -> Result<Group, Error> {
        match absolute(id, ROOT).as_str() {
            ROOT => Err(AllThereIs.into()),
            id => self.marathon.group(id).await.map_err(|error| self.target.fails(error)),
        }
    }

    /// Waits until all apps of a group are as they should be, if that is wanted.
    async fn until_all_settled(
        &self,
        group: &Group,
        change: &Change,
    ) -> Result<Changed, Error> {
        let gate = format!("all apps of {} are as they should be", group.id);
        let follow = async |deadline, on_seen: &(dyn Fn(&str) + Sync)| {
            let until = Instant::now() + deadline;
            for it in group.all_apps() {
                let left = until.saturating_duration_since(Instant::now());
                self.marathon.follow_app(&it.app.id, left, on_seen).await?;
            }
            Ok(())
        };
        self.wait(&group.id, change, gate, follow).await
    }
}
