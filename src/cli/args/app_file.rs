//! The arguments of the verbs of `platform app` that bring files to Marathon.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::{MannerArgs, TargetArgs};
use crate::definition::Setting;

/// The files of apps, and the Marathon that they are for.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct AppFiles {
    /// The files: JSON or YAML, of an app, a list of apps, or a group
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Allow what stops Marathon itself, such as GROUP_BY without a number
    #[arg(long)]
    pub force: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `platform app diff`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Compares as Marathon does, after defaults and ports were filled in: a file that was deployed as it is \
shows nothing. Values of `env` are not shown: they may be secrets. What cannot work on this cluster is \
a warning: what no agent has, an upgrade that can never end, a service port of another app.

Exit codes: 0 if there is no difference, 10 if there is one.

EXAMPLES
  What would happen to the tasks:
    platform app diff -i lab.yaml web.json

  With another image:
    platform app diff -i lab.yaml web.json --set container.docker.image=web:2")]
pub struct AppDiff {
    /// The files.
    #[command(flatten)]
    pub files: AppFiles,
    /// Use this in place of what the file says, which has to be of one app
    #[arg(long, value_name = "MEMBER=VALUE", value_parser = str::parse::<Setting>)]
    pub set: Vec<Setting>,
}

/// `platform app deploy`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Shows the differences, asks, and sends each app that differs as a whole: what the file does not say \
goes back to its default. Several apps go one after the other, each after those that it depends on; \
with `--wait`, each only when the one before it is as it should be. A group in a \
file is brought as by `platform group deploy`; apps that it leaves out stay. Waiting goes on while \
Marathon elects another leader, and says what becomes of each instance. If an app is not as it should be in time, \
its last failure is shown with what that task wrote last to standard error, and what \
follows is not begun. Ctrl-C stops waiting, not Marathon.

EXAMPLES
  Deploy, and wait until all instances run and are healthy:
    platform app deploy -i lab.yaml web.json --wait

  From a pipeline; what does not become healthy is taken back:
    platform app deploy web.json --yes --wait --on-failure rollback")]
pub struct AppDeploy {
    /// The files.
    #[command(flatten)]
    pub files: AppFiles,
    /// Use this in place of what the file says, which has to be of one app
    #[arg(long, value_name = "MEMBER=VALUE", value_parser = str::parse::<Setting>)]
    pub set: Vec<Setting>,
    /// How.
    #[command(flatten)]
    pub how: DeployArgs,
}

/// How to bring files to Marathon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ClapArgs)]
pub struct DeployArgs {
    /// What to do about an app that is not as it should be in time: leave it (`keep`), or take the
    /// change back (`rollback`); a new app is then removed
    #[arg(
        long,
        value_enum,
        requires = "wait",
        default_value = "keep",
        value_name = "WHAT",
        hide_possible_values = true
    )]
    pub on_failure: OnFailure,
    /// How else.
    #[command(flatten)]
    pub manner: MannerArgs,
}

/// What to do about an app that is not as it should be in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    /// Leave it
    Keep,
    /// Take the change back
    Rollback,
}
