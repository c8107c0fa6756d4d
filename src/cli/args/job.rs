//! The arguments of `platform job`.

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
