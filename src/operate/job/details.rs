//! One job, and how long its runs take. Pure.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::super::columns::amount;
use super::list::JobRow;
use crate::api::chronos::{Histogram, JobSummary};

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobDetails {
    /// Its line in the list.
    now: JobRow,
    /// The job as Chronos writes it.
    job: Value,
}

impl JobDetails {
    /// A job from Chronos' answers.
    pub(super) fn of(summary: JobSummary, job: Value) -> Self {
        Self { now: JobRow::of(summary), job }
    }

    /// The job as text.
    pub fn show(&self) -> String {
        let [name, last, now, runs] = self.now.cells();
        let mut text = format!("{name}\n");
        // Writing to a string does not fail.
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                let _ = writeln!(text, "  {name:12}  {value}");
            }
        };
        let member = |name: &str| self.job[name].as_str().unwrap_or_default();
        let number = |name: &str| self.job[name].as_f64().unwrap_or_default();
        line("about", member("description"));
        line("owner", member("owner"));
        line("starts", &runs);
        line("time zone", member("scheduleTimeZone"));
        line("image", self.job["container"]["image"].as_str().unwrap_or_default());
        line("command", member("command"));
        let [cpus, mem] = ["cpus", "mem"].map(|name| amount(number(name)));
        line("each run", &format!("{cpus} CPUs, {mem} MB, as {}", member("runAsUser")));
        line("now", &now);
        line("last run", &last);
        let [successes, errors] = ["successCount", "errorCount"].map(number).map(amount);
        line("counters", &format!("{successes} successful, {errors} failed"));
        line("last success", member("lastSuccess"));
        line("last error", member("lastError"));
        text
    }
}

/// How long the runs of a job take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobStat {
    /// Its name.
    name: String,
    /// In milliseconds.
    #[serde(flatten)]
    took: Histogram,
}

impl JobStat {
    pub(super) fn of(name: String, took: Histogram) -> Self {
        Self { name, took }
    }

    /// The times as text.
    pub fn show(&self) -> String {
        let Self { name, took } = self;
        let mut text = format!(
            "{name}: successful runs since Chronos started: {}\n",
            amount(took.count)
        );
        if took.count > 0.0 {
            let rows = [
                ("half of them", took.median),
                ("75 of 100", took.p75),
                ("95 of 100", took.p95),
                ("99 of 100", took.p99),
            ];
            for (share, millis) in rows {
                // Writing to a string does not fail.
                let _ =
                    writeln!(text, "  {share:12}  within {} s", amount(millis / 1000.0));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_is_shown_with_what_is_known_of_it() {
        let summary = JobSummary {
            name: "load".to_owned(),
            status: "failure".to_owned(),
            state: "idle".to_owned(),
            schedule: "R/2030-01-01T00:00:00Z/PT1H".to_owned(),
            ..JobSummary::default()
        };
        let job = json!({"name": "load", "command": "sh load", "cpus": 0.1, "mem": 128.0,
            "runAsUser": "root", "successCount": 3, "errorCount": 1, "owner": "",
            "lastError": "2026-11-29T15:00:00.000Z"});
        assert_eq!(
            JobDetails::of(summary, job).show(),
            "\
load
  starts        R/2030-01-01T00:00:00Z/PT1H
  command       sh load
  each run      0.1 CPUs, 128 MB, as root
  now           idle
  last run      failure
  counters      3 successful, 1 failed
  last error    2026-11-29T15:00:00.000Z
"
        );
    }

    #[test]
    fn times_are_told_in_seconds() {
        let took: Histogram = serde_json::from_value(json!({"75thPercentile": 4875.0,
            "95thPercentile": 4875.0, "98thPercentile": 4875.0, "99thPercentile": 6000.0,
            "median": 4875.0, "mean": 4875.0, "count": 2}))
        .unwrap();
        let shown = JobStat::of("ok".to_owned(), took).show();
        assert!(shown.starts_with("ok: successful runs since Chronos started: 2\n"));
        assert!(shown.ends_with("  99 of 100     within 6 s\n"), "{shown}");
        let none = JobStat::of("ok".to_owned(), Histogram::default()).show();
        assert_eq!(none, "ok: successful runs since Chronos started: 0\n");
    }
}
