//! `platform app`: the apps of a Marathon.
//!
//! What is shown, and what is sent, is decided on values by the files beside this one.

mod list;

use super::error::Error;
use super::target::Target;

pub use list::{AppList, AppRow, AppState, HealthBar};

/// All apps, by one request.
///
/// # Errors
/// When Marathon does not answer, or refuses the password.
pub async fn list(target: &Target) -> Result<AppList, Error> {
    let apps = target.marathon()?.apps().await.map_err(|error| target.fails(error))?;
    Ok(AppList::of(&apps))
}
