//! The arguments of `platform job`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::TargetArgs;

/// `platform job`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub struct Job {
    /// What to do with jobs.
    #[command(subcommand)]
    pub verb: JobVerb,
}

/// What to do with jobs.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum JobVerb {
    /// List the jobs: how they ended, what they do now, what starts them
    Ls(JobLs),
    /// Show one job
    Show(JobShow),
    /// Add a job, or replace it
    Add(JobAdd),
    /// Run a job now
    Run(JobRun),
    /// Kill what a job runs
    Kill(JobKill),
    /// Say how long the runs of a job take
    Stat(JobStat),
    /// Draw which job starts which
    Graph(JobGraph),
    /// Remove a job
    Rm(JobRm),
}

/// Which job, and whom to ask.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct OneJob {
    /// The job
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Whom to ask.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `platform job show`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
EXAMPLES
  One job:
    platform job show report -i lab.yaml

  A file to change and to add again; `schedule` is that of the next run:
    platform job show report -o json | jq .job > report.json")]
pub struct JobShow {
    /// Which job.
    #[command(flatten)]
    pub job: OneJob,
}

/// `platform job add`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
The file is one JSON object, with `schedule` or with `parents`. Everything that Chronos would turn \
into something else, or that would end it, is refused before anything is sent: null, texts for \
numbers, unknown operators and time zones, parents that do not exist, a period below one second, a \
job that is its own ancestor. Ends when Chronos shows the job. A job of that name is replaced as a \
whole, after a question.

EXAMPLES
  A job that runs each night:
    platform job add report.json -i lab.yaml

  with this file:
    {\"name\": \"report\", \"command\": \"/opt/report\", \"cpus\": 0.1, \"mem\": 64,
     \"schedule\": \"R/2026-01-01T02:00:00/P1D\", \"scheduleTimeZone\": \"Europe/Berlin\"}")]
pub struct JobAdd {
    /// The file with the job, in JSON
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `platform job run`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
A run by hand uses up one of the runs that the schedule has left; that is said, and asked for. A job \
with one run left can become one that runs for ever.

EXAMPLES
  Run a job now:
    platform job run report -i lab.yaml")]
pub struct JobRun {
    /// Which job.
    #[command(flatten)]
    pub job: OneJob,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `platform job kill`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
The job stays, and runs again when it is due. `platform job rm` removes it.

EXAMPLES
  Kill what a job runs:
    platform job kill report -i lab.yaml")]
pub struct JobKill {
    /// Which job.
    #[command(flatten)]
    pub job: OneJob,
}

/// `platform job stat`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Only successful runs count, since Chronos started.

EXAMPLES
  How long a job takes:
    platform job stat report -i lab.yaml

  The median in milliseconds, for a program:
    platform job stat report -o json | jq .median")]
pub struct JobStat {
    /// Which job.
    #[command(flatten)]
    pub job: OneJob,
}

/// `platform job graph`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
EXAMPLES
  As text, below each job what it starts:
    platform job graph -i lab.yaml

  As a picture, by Graphviz:
    platform job graph --dot | dot -T svg > jobs.svg")]
pub struct JobGraph {
    /// Draw it for Graphviz
    #[arg(long)]
    pub dot: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `platform job rm`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
The children of a job lose by that: Chronos gives them the job's schedule, and drops their user, \
environment, container and more. What it is, is said before it asks.

EXAMPLES
  Remove a job:
    platform job rm report -i lab.yaml")]
pub struct JobRm {
    /// Which job.
    #[command(flatten)]
    pub job: OneJob,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `platform job ls`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
EXAMPLES
  All jobs of a cluster:
    platform job ls -i lab.yaml

  The jobs that failed, for a program:
    platform job ls -o json | jq -r '.jobs[] | select(.status == \"failure\") | .name'")]
pub struct JobLs {
    /// Whom to ask.
    #[command(flatten)]
    pub target: TargetArgs,
}
