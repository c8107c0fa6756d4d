//! The list of all jobs. Pure.

use serde::Serialize;

use super::super::columns::{Align, columns};
use crate::api::chronos::JobSummary;

/// All jobs, by their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobList {
    /// The jobs.
    pub jobs: Vec<JobRow>,
}

/// A job in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobRow {
    /// Its name.
    pub name: String,
    /// How its last run ended: `fresh` if there was none, `success` or `failure`.
    pub status: String,
    /// What it does now: `idle`, `queued` or `1 running`.
    pub state: String,
    /// Whether it does not run any more.
    pub disabled: bool,
    /// When it runs; empty if its parents start it.
    pub schedule: String,
    /// The jobs that have to succeed first.
    pub parents: Vec<String>,
}

impl JobList {
    /// The list of these jobs.
    pub(super) fn of(jobs: Vec<JobSummary>) -> Self {
        let mut jobs: Vec<JobRow> = jobs.into_iter().map(JobRow::of).collect();
        jobs.sort_by(|one, other| one.name.cmp(&other.name));
        Self { jobs }
    }

    /// The list as a table.
    pub fn show(&self) -> String {
        if self.jobs.is_empty() {
            return "Chronos has no job.\n".to_owned();
        }
        let head = ["NAME", "LAST RUN", "NOW", "RUNS"].map(|name| (name, Align::Left));
        columns(head, self.jobs.iter().map(JobRow::cells))
    }
}

impl JobRow {
    pub(super) fn of(job: JobSummary) -> Self {
        let JobSummary { name, status, state, schedule, parents, disabled } = job;
        Self { name, status, state, disabled, schedule, parents }
    }

    pub(super) fn cells(&self) -> [String; 4] {
        let last = match self.status.as_str() {
            "fresh" => "none",
            other => other,
        };
        let now = match (self.disabled, self.state.as_str()) {
            (true, "idle") => "disabled".to_owned(),
            (true, state) => format!("{state}, disabled"),
            (false, state) => state.to_owned(),
        };
        let runs = match self.parents.as_slice() {
            [] => self.schedule.clone(),
            parents => format!("after {}", parents.join(", ")),
        };
        [self.name.clone(), last.to_owned(), now, runs]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_it_ended_what_it_does_and_what_starts_it() {
        let job = |name: &str, status: &str, state: &str, parents: &[&str]| JobSummary {
            name: name.to_owned(),
            status: status.to_owned(),
            state: state.to_owned(),
            schedule: if parents.is_empty() { "R/2030-01-01T00:00:00Z/PT1H" } else { "" }
                .to_owned(),
            parents: parents.iter().map(|name| (*name).to_owned()).collect(),
            disabled: state == "idle" && status == "success",
        };
        let jobs = vec![
            job("report", "failure", "1 running", &["load", "clean"]),
            job("load", "fresh", "queued", &[]),
            job("once", "success", "idle", &[]),
        ];
        assert_eq!(
            JobList::of(jobs).show(),
            "\
NAME    LAST RUN  NOW        RUNS
load    none      queued     R/2030-01-01T00:00:00Z/PT1H
once    success   disabled   R/2030-01-01T00:00:00Z/PT1H
report  failure   1 running  after load, clean
"
        );
        assert_eq!(JobList::of(Vec::new()).show(), "Chronos has no job.\n");
    }
}
