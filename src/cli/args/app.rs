//! The arguments of `platform app`.

use clap::{Args as ClapArgs, Subcommand};

use super::TargetArgs;

/// `platform app`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub struct App {
    /// What to do with apps.
    #[command(subcommand)]
    pub verb: AppVerb,
}

/// What to do with apps.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum AppVerb {
    /// List the apps: what they use, how many tasks run, how healthy they are
    Ls(AppLs),
}

/// `platform app ls`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Memory and CPUs are those of all instances together. The signs of the bar: # healthy, ! unhealthy, \
= runs without a result of a health check, + does not run yet, . waits for an agent.

EXAMPLES
  All apps of a cluster:
    platform app ls -i lab.yaml

  The same from any computer, with a user's own password:
    export PLATFORM_URL=https://10.0.0.100:8443 PLATFORM_CA_FILE=ca.crt
    export PLATFORM_USER=ann PLATFORM_PASSWORD_FILE=~/.lab-password
    platform app ls --watch

  The apps that have too few tasks, for a program:
    platform app ls -o json | jq -r '.apps[] | select(.running < .instances) | .id'")]
pub struct AppLs {
    /// Whom to ask.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Show the list again whenever it changes, until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
}
