//! What is known, in the shapes in which clients are told it.

use super::{Core, Refusal};
use crate::chronos::job::{Job, Timing};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// What is told of how long runs took.
const FIGURES: [&str; 7] = [
    "75thPercentile",
    "95thPercentile",
    "98thPercentile",
    "99thPercentile",
    "median",
    "mean",
    "count",
];

impl Core {
    /// All jobs.
    pub fn jobs_json(&self) -> Value {
        self.jobs.values().map(with_both_names).collect()
    }

    /// The jobs whose name and command contain these texts, or one of them the last.
    pub fn search_json(
        &self,
        name: &str,
        command: &str,
        any: &str,
        (offset, limit): (usize, usize),
    ) -> Value {
        let has =
            |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
        let found = self.jobs.values().filter(|job| {
            let both = has(&job.name, name) && has(&job.command, command);
            both || (!any.is_empty() && (has(&job.name, any) || has(&job.command, any)))
        });
        found.skip(offset).take(limit).map(|job| json!(job)).collect()
    }

    /// All jobs in short.
    pub fn summary_json(&self) -> Value {
        let jobs = self.jobs.values().map(|job| {
            let (schedule, parents) = match &job.timing {
                Timing::At { schedule, .. } => (schedule.as_str(), &[][..]),
                Timing::After { parents } => ("", parents.as_slice()),
            };
            json!({
                "name": job.name, "status": job.last_state(), "state": self.state(&job.name),
                "schedule": schedule, "parents": parents, "disabled": job.disabled,
            })
        });
        json!({"jobs": jobs.collect::<Value>()})
    }

    fn state(&self, name: &str) -> String {
        let n_running = self.tasks_of(name).filter(|task| !task.waits()).count();
        match (n_running, self.tasks_of(name).next()) {
            (0, None) => "idle".to_owned(),
            (0, Some(_)) => "queued".to_owned(),
            (n, _) => format!("{n} running"),
        }
    }

    /// How long the runs of a job took.
    ///
    /// # Errors
    /// When there is no such job.
    pub fn stat_json(&self, name: &str) -> Result<Value, Refusal> {
        self.job(name)?;
        let figure = |figure: &str| (figure.to_owned(), json!(self.figure(name, figure)));
        let histogram: Map<String, Value> = FIGURES.into_iter().map(figure).collect();
        // The history of runs is kept in Cassandra alone.
        Ok(json!({"histogram": histogram, "taskStatHistory": []}))
    }

    /// One figure of all jobs; none that is not known.
    pub fn stats_json(&self, figure: &str) -> Value {
        let jobs = self.jobs.keys().filter(|_| FIGURES.contains(&figure));
        // In seconds, and so the count is one thousandth, as there.
        let shown = jobs.map(
            |job| json!({"jobNameLabel": job, "time": self.figure(job, figure) / 1000.0}),
        );
        shown.collect()
    }

    fn figure(&self, name: &str, figure: &str) -> f64 {
        let mut lengths = self.lengths.get(name).cloned().unwrap_or_default();
        lengths.sort_unstable();
        let part = match figure {
            "count" => return lengths.len() as f64,
            "median" | "mean" => 0.5,
            percentile => percentile[..2].parse::<f64>().unwrap_or_default() / 100.0,
        };
        let index = (part * lengths.len() as f64) as usize;
        lengths.get(index).or(lengths.last()).copied().unwrap_or_default() as f64
    }

    /// Which jobs run after which, as `dot` reads it.
    pub fn dot(&self) -> String {
        self.graph.dot(&self.jobs)
    }

    /// Which jobs run after which, a line for each job and each parent of one.
    pub fn csv(&self) -> String {
        let mut text = String::new();
        for (name, job) in &self.jobs {
            let (last, state) = (job.last_state(), self.state(name));
            writeln!(text, "node,{name},{last},{state}").unwrap_or_default();
        }
        for (child, parent) in self.graph.edges() {
            writeln!(text, "link,{parent},{child}").unwrap_or_default();
        }
        text
    }

    /// Numbers for `/metrics`.
    pub fn gauges(&self) -> Map<String, Value> {
        let waiting = |urgent: bool| {
            let waiting = self.tasks.values().filter(|task| task.waits());
            let priority = waiting.filter_map(|task| self.jobs.get(&task.job));
            priority.filter(|job| job.high_priority == urgent).count()
        };
        let base = "org.apache.mesos.chronos.scheduler.jobs.TaskManager";
        let gauge = |name: &str, value: usize| {
            (format!("{base}.{name}"), json!({"value": value}))
        };
        [gauge("queueSize", waiting(false)), gauge("highQueueSize", waiting(true))]
            .into_iter()
            .collect()
    }
}

/// Lists name files by both of their fields, whichever of them a job was given.
fn with_both_names(job: &Job) -> Value {
    let mut shown = json!(job);
    if job.fetch.is_empty() {
        let file = |uri: &String| json!({"uri": uri, "executable": false, "cache": false, "extract": true});
        shown["fetch"] = job.uris.iter().map(file).collect();
    } else {
        shown["uris"] = job.fetch.iter().map(|file| json!(file.uri)).collect();
    }
    shown
}
