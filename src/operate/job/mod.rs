//! `platform job`: the jobs of a Chronos.
//!
//! What is shown, and what is sent, is decided on values by the files beside this one.

mod list;

use super::error::Error;
use super::target::Target;

pub use list::{JobList, JobRow};

/// All jobs, by one request.
///
/// # Errors
/// When Chronos does not answer, or refuses the password.
pub async fn list(target: &Target) -> Result<JobList, Error> {
    let jobs = target.chronos()?.summary().await.map_err(|error| target.fails(error))?;
    Ok(JobList::of(jobs))
}
