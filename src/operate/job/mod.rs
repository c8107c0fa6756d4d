//! `platform job`: the jobs of a Chronos.
//!
//! What is shown, what is sent, and what that will do is decided on values by the files beside
//! this one. Chronos answers requests for unknown jobs with a Java trace, so it is first asked
//! which jobs there are.

mod check;
mod details;
mod graph;
mod list;
mod order;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use self::order::{foresee_removal, foresee_replacement, foresee_run, is_shown};
use super::RunContext;
use super::cluster_files;
use super::error::Error;
use super::target::Target;
use crate::api::chronos::{Chronos, JobSummary};
use crate::api::http::{ApiError, Reason};
use crate::event::Event;
use crate::progress::poll;

pub use check::JobFaults;
pub use details::{JobDetails, JobStat};
pub use graph::JobGraph;
pub use list::{JobList, JobRow};
pub use order::NotRun;

/// The longest until Chronos shows a job that it took.
const SHOWN: Duration = Duration::from_secs(30);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// Chronos has no such job.
#[derive(Debug, thiserror::Error)]
#[error("Chronos has no job `{name}`{}", alike(.close.as_deref()))]
pub struct NoJob {
    name: String,
    /// A name that may be meant.
    close: Option<String>,
}

fn alike(close: Option<&str>) -> String {
    close.map_or_else(
        || ": `platform job ls` lists them".to_owned(),
        |close| format!("; did you mean `{close}`?"),
    )
}

/// Chronos took a job, and does not show it.
#[derive(Debug, thiserror::Error)]
#[error(
    "Chronos took the job {name}, and did not show it within {} s: {seen}; look again with \
     `platform job show {name}`",
    SHOWN.as_secs()
)]
pub struct NotShown {
    name: String,
    seen: String,
}

/// The file of a job has faults.
#[derive(Debug, thiserror::Error)]
#[error("{} has {faults}", file.display())]
pub struct BadJob {
    file: PathBuf,
    faults: JobFaults,
}

/// What was done with a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobDone {
    /// The job.
    pub job: String,
    /// What was done.
    pub done: &'static str,
}

/// What to do with a job that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobOrder {
    /// Run it now.
    Run,
    /// Kill what it runs.
    Kill,
    /// Remove it.
    Remove,
}

/// All jobs, by one request.
///
/// # Errors
/// When Chronos does not answer, or refuses the password.
pub async fn list(target: &Target) -> Result<JobList, Error> {
    let jobs = target.chronos()?.summary().await.map_err(|error| target.fails(error))?;
    Ok(JobList::of(jobs))
}

/// Which job starts which.
///
/// # Errors
/// When Chronos does not answer, or refuses the password.
pub async fn graph(target: &Target) -> Result<JobGraph, Error> {
    let jobs = target.chronos()?.summary().await.map_err(|error| target.fails(error))?;
    Ok(JobGraph::of(&jobs))
}

/// One job.
///
/// # Errors
/// When Chronos does not answer, or has no such job.
pub async fn show(target: &Target, name: &str) -> Result<JobDetails, Error> {
    let chronos = target.chronos()?;
    let (summary, _) = found(target, &chronos, name).await?;
    let job = chronos.job(name).await.map_err(|error| target.fails(error))?;
    Ok(JobDetails::of(summary, job))
}

/// How long the runs of a job take.
///
/// # Errors
/// When Chronos does not answer, or has no such job.
pub async fn stat(target: &Target, name: &str) -> Result<JobStat, Error> {
    let chronos = target.chronos()?;
    found(target, &chronos, name).await?;
    let took = chronos.histogram(name).await.map_err(|error| target.fails(error))?;
    Ok(JobStat::of(name.to_owned(), took))
}

/// Adds the job of a file, or replaces it, and waits until Chronos shows it.
///
/// # Errors
/// When the file has faults, when Chronos does not answer or refuses it, and when the operator says
/// no.
pub async fn add(
    target: &Target,
    file: &Path,
    agreed: bool,
    ctx: &RunContext<'_>,
) -> Result<JobDone, Error> {
    let text = cluster_files::read(file)?;
    let chronos = target.chronos()?;
    let fails = |error| target.fails(error);
    let graph = JobGraph::of(&chronos.summary().await.map_err(fails)?);
    let job = check::check(&text, &graph)
        .map_err(|faults| BadJob { file: file.to_owned(), faults })?;
    for note in &job.notes {
        ctx.events.emit(&Event::Warned { message: format!("{}: {note}", job.name) });
    }
    let is_there = graph.jobs.contains_key(&job.name);
    if is_there && !agreed {
        ctx.agree(&foresee_replacement(&job.name))?;
    }
    chronos.put(&job.body).await.map_err(fails)?;
    let look = async || match chronos.job(&job.name).await {
        Ok(shown) if is_shown(&job.body, &shown) => Ok(ControlFlow::Break(())),
        Ok(_) => Ok(ControlFlow::Continue("it still shows the old one".to_owned())),
        Err(error) if error.is_transient() || is_unknown(&error) => {
            Ok(ControlFlow::Continue("it does not know it yet".to_owned()))
        }
        Err(error) => Err(fails(error)),
    };
    let shown = poll(SHOWN, || PAUSE, |_| (), look).await?;
    shown.map_err(|seen| NotShown { name: job.name.clone(), seen })?;
    let done = if is_there { "replaced" } else { "added" };
    Ok(JobDone { job: job.name, done })
}

/// Runs, kills or removes a job.
///
/// # Errors
/// When Chronos does not answer, has no such job, or would not do it; and when the operator says
/// no.
pub async fn carry_out(
    target: &Target,
    name: &str,
    order: JobOrder,
    agreed: bool,
    ctx: &RunContext<'_>,
) -> Result<JobDone, Error> {
    let chronos = target.chronos()?;
    let (job, graph) = found(target, &chronos, name).await?;
    let foreseen = match order {
        JobOrder::Run => foresee_run(&job)?,
        JobOrder::Remove => Some(foresee_removal(&job, &graph)),
        JobOrder::Kill => None,
    };
    if let Some(text) = foreseen.filter(|_| !agreed) {
        ctx.agree(&text)?;
    }
    let (sent, done) = match order {
        JobOrder::Run => {
            (chronos.run(name).await, "will run as soon as an agent has room")
        }
        JobOrder::Remove => (chronos.delete(name).await, "removed"),
        JobOrder::Kill if job.state == "idle" => {
            (Ok(()), "runs nothing, so nothing was killed")
        }
        JobOrder::Kill if job.state == "queued" => {
            (Ok(()), "waits for an agent, so there is nothing to kill")
        }
        JobOrder::Kill => (chronos.kill(name).await, "killed what it runs"),
    };
    sent.map_err(|error| target.fails(error))?;
    Ok(JobDone { job: name.to_owned(), done })
}

/// The answer for a job that is not there.
fn is_unknown(error: &ApiError) -> bool {
    matches!(error.reason, Reason::Status { status: 400, .. } | Reason::NotFound(_))
}

/// A job, and which starts which.
async fn found(
    target: &Target,
    chronos: &Chronos,
    name: &str,
) -> Result<(JobSummary, JobGraph), Error> {
    let jobs = chronos.summary().await.map_err(|error| target.fails(error))?;
    let graph = JobGraph::of(&jobs);
    let found = jobs.into_iter().find(|job| job.name == name);
    Ok((found.ok_or_else(|| NoJob::of(name, &graph))?, graph))
}

impl NoJob {
    fn of(name: &str, there: &JobGraph) -> Self {
        let distance = |other: &&String| strsim::osa_distance(name, other);
        let close = there.jobs.keys().min_by_key(distance);
        let close = close.filter(|other| distance(other) <= 2).cloned();
        Self { name: name.to_owned(), close }
    }
}

impl JobDone {
    /// What was done, in a line.
    pub fn show(&self) -> String {
        format!("{}: {}.\n", self.job, self.done)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_unknown_job_is_told_with_the_one_that_may_be_meant() {
        let names = ["load", "report"].map(|name| (name.to_owned(), Vec::new()));
        let graph = JobGraph { jobs: names.into() };
        let said = |name| NoJob::of(name, &graph).to_string();
        assert_eq!(said("laod"), "Chronos has no job `laod`; did you mean `load`?");
        assert_eq!(said("x"), "Chronos has no job `x`: `platform job ls` lists them");
    }

    /// What a real Chronos 3.0.2 took and refused: nothing that it refused is sent, and nothing
    /// that it made something else of.
    #[test]
    fn jobs_that_a_real_chronos_refused_are_not_sent() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = folder.join("tests/recordings/chronos-3.0.2-replay.jsonl");
        let (mut n_refused, mut n_taken) = (0, 0);
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let exchange: Value = serde_json::from_str(line).unwrap();
            let name = exchange["name"].as_str().unwrap();
            let is_new = exchange["method"] == "POST"
                && exchange["path"] == "/v1/scheduler/iso8601"
                && exchange["headers"]["Content-Type"] == "application/json";
            let Some(body) = exchange["body"].as_str().filter(|_| is_new) else {
                continue;
            };
            let checked = check::check(body, &JobGraph { jobs: [].into() });
            match exchange["answer"]["status"].as_u64() {
                // A regular expression is judged by Java alone.
                Some(400 | 500) if !name.contains("bad-regex") => {
                    assert!(checked.is_err(), "{name}: {body}");
                    n_refused += 1;
                }
                Some(204) => n_taken += usize::from(checked.is_ok()),
                _ => {}
            }
        }
        assert!(n_refused > 20 && n_taken > 10, "{n_refused} refused, {n_taken} taken");
    }
}
