//! The arguments of `platform app`.

use std::path::PathBuf;

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
    /// Say all that is wrong with files of apps, without a cluster
    Validate(AppValidate),
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

/// `platform app validate`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Works without a network. Reads JSON and YAML: an app, a list of apps, a group, and what Marathon \
itself answers. All faults are said at once, each with its place. An error is what Marathon refuses, \
or fails over; a warning is what it drops without a word, or what may not do what was meant; a \
note is what the app lacks to be upgraded and moved without a lost request. The form before \
Marathon 1.5 (`docker.network`, `docker.portMappings`, `uris`, `ports`) is understood.

Exit codes: 0 if Marathon takes all files, 3 if it refuses one, 4 if one would stop Marathon \
itself for all apps, which `--force` allows.

EXAMPLES
  A file before it is deployed:
    platform app validate web.json

  All files of a folder, for a program:
    platform app validate -o json apps/*.yaml | jq '.files[].remarks[]'")]
pub struct AppValidate {
    /// The files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Allow what stops Marathon itself, such as GROUP_BY without a number
    #[arg(long)]
    pub force: bool,
}
