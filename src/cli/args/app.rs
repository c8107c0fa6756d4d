//! The arguments of `platform app`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

use super::{AppDeploy, AppDiff, TargetArgs};
use crate::unit::parse_duration;

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
    /// Show what files would change, and which tasks that would replace
    Diff(AppDiff),
    /// Bring apps to what files say
    Deploy(AppDeploy),
    /// Show one app: its tasks, its last failure, its versions
    Show(AppShow),
    /// Say why an app has fewer tasks than it should have
    Why(AppWhy),
    /// Show what the tasks of an app write
    Logs(AppLogs),
    /// Run a command where a task of an app runs
    Exec(AppExec),
    /// Change how many tasks an app has
    Scale(AppScale),
    /// Replace all tasks of an app
    Restart(AppRestart),
    /// Take an app back to an earlier version
    Rollback(AppRollback),
    /// End a deployment
    Stop(AppStop),
    /// Remove an app and its tasks
    Rm(AppRm),
}

/// Which app, and whom to ask.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct OneApp {
    /// The app, such as /shop/cart
    #[arg(value_name = "ID")]
    pub id: String,
    /// Whom to ask.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// How to make a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ClapArgs)]
pub struct MannerArgs {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Wait until it is done
    #[arg(short, long)]
    pub wait: bool,
    /// Wait no longer than this, and exit 6 then
    #[arg(
        long,
        value_name = "TIME",
        default_value = "10m",
        value_parser = parse_duration
    )]
    pub timeout: Duration,
}

/// `platform app show`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
A task is healthy by results from after its own start: Marathon lets a task that replaces another \
one begin with that one's results.

EXAMPLES
  One app:
    platform app show /shop/cart -i lab.yaml

  Where its tasks answer, for a program:
    platform app show /shop/cart -o json | jq -c '.app.tasks[] | [.host, .ports[0]]'")]
pub struct AppShow {
    /// Which app.
    #[command(flatten)]
    pub app: OneApp,
}

/// `platform app why`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Says how many tasks wait and since when, why the last offers of agents did not fit, how the last \
task failed, and, with an inventory, what it wrote last to standard error.

EXAMPLES
  An app that stays at 5 of 6 tasks:
    platform app why /basic-0 -i lab.yaml")]
pub struct AppWhy {
    /// Which app.
    #[command(flatten)]
    pub app: OneApp,
}

/// `platform app logs`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Reads the files of tasks at their agents, through the SSH access of the inventory. Without --task, it \
shows all tasks that run, or else the one that failed last; each line begins with the short name of its \
task where there are several. With --follow, it goes on with tasks that begin later, and says when one \
ends and why, until Ctrl-C or until the app is removed; a task that is named ends it.

EXAMPLES
  What all tasks of an app wrote last:
    platform app logs /shop/cart -i lab.yaml

  Its errors as they come:
    platform app logs /shop/cart --stderr --follow -n 0

  One task, also one that has ended, by its name or the beginning of it:
    platform app logs /shop/cart --task 8f2c1d4e.2 -n 1000")]
pub struct AppLogs {
    /// Which app.
    #[command(flatten)]
    pub app: OneApp,
    /// Go on with what tasks write from now on
    #[arg(short, long)]
    pub follow: bool,
    /// Show standard error in place of standard output
    #[arg(long)]
    pub stderr: bool,
    /// Only this task; the beginning of its id or of its short name is enough
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// How many of the lines that are there to show of each task
    #[arg(short = 'n', long, value_name = "LINES", default_value = "100")]
    pub lines: usize,
}

/// `platform app exec`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Runs the command through the SSH access of the inventory on the host of a task: in its container if \
Docker runs it, and else in the folder of its files, as its user, without its environment. Without \
--task, in the first task that runs. Standard input is passed unless it is a terminal; what the \
command writes is printed when it has ended. Exits with the status of the command.

EXAMPLES
  The processes in a container:
    platform app exec /shop/cart -i lab.yaml -- ps aux

  With a shell's pipes, in a certain task:
    platform app exec /shop/cart --task 8f2c1d4e.2 -- sh -c 'env | sort'

  A file into a task:
    platform app exec /shop/cart -- sh -c 'cat > seed.sql' < seed.sql")]
pub struct AppExec {
    /// Which app.
    #[command(flatten)]
    pub app: OneApp,
    /// Only this task; the beginning of its id or of its short name is enough
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// The command and its arguments; they are passed unchanged, without a shell
    #[arg(value_name = "CMD", last = true, required = true)]
    pub command: Vec<String>,
}

/// `platform app scale`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Tasks that stay are not restarted. Asks only before all tasks are killed, or all are replaced, as \
Marathon does once if a health check names no port.

EXAMPLES
  Three tasks, and wait until they are healthy:
    platform app scale /shop/cart 3 --wait -i lab.yaml

  None, but keep the app:
    platform app scale /shop/cart 0 --yes")]
pub struct AppScale {
    /// The app, such as /shop/cart
    #[arg(value_name = "ID")]
    pub id: String,
    /// The number of tasks
    #[arg(value_name = "N")]
    pub instances: u32,
    /// Whom to ask.
    #[command(flatten)]
    pub target: TargetArgs,
    /// How.
    #[command(flatten)]
    pub manner: MannerArgs,
}

/// `platform app restart`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
The app's own `upgradeStrategy` says how many tasks there are meanwhile.

EXAMPLES
  Replace all tasks, and wait until the new ones are healthy:
    platform app restart /shop/cart --wait -i lab.yaml")]
pub struct AppRestart {
    /// Which app.
    #[command(flatten)]
    pub app: OneApp,
    /// How.
    #[command(flatten)]
    pub manner: MannerArgs,
}

/// `platform app rollback`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Says what will be other than now, and asks. Versions are sorted by their time; `app show` lists \
them. Marathon also keeps versions of an earlier, deleted app of the same id: such a version is \
refused, and where Marathon does not remember enough to tell, that is said.

EXAMPLES
  Back to the version before:
    platform app rollback /shop/cart --wait -i lab.yaml

  Back to a certain one:
    platform app rollback /shop/cart --to 2020-10-29T10:00:00.000Z")]
pub struct AppRollback {
    /// Which app.
    #[command(flatten)]
    pub app: OneApp,
    /// The version to go back to; if not given, the one before the app's own
    #[arg(long, value_name = "VERSION")]
    pub to: Option<String>,
    /// How.
    #[command(flatten)]
    pub manner: MannerArgs,
}

/// `platform app stop`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Marathon takes back what the deployment has changed. While tasks of it still wait to start, \
Marathon can kill tasks that run and are healthy, so these are listed before it asks.

EXAMPLES
  Take back what is being done to an app:
    platform app stop /shop/cart -i lab.yaml

  End the deployment, and leave everything as it is now:
    platform app stop /shop/cart --keep")]
pub struct AppStop {
    /// The deployment, or an app that it changes
    #[arg(value_name = "DEPLOYMENT|ID")]
    pub name: String,
    /// Leave everything as it is now, in place of taking it back
    #[arg(long)]
    pub keep: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub target: TargetArgs,
    /// How.
    #[command(flatten)]
    pub manner: MannerArgs,
}

/// `platform app rm`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
EXAMPLES
  Remove an app:
    platform app rm /shop/cart -i lab.yaml

  The same from a script, which goes on when no task is left:
    platform app rm /shop/cart --yes --wait")]
pub struct AppRm {
    /// Which app.
    #[command(flatten)]
    pub app: OneApp,
    /// How.
    #[command(flatten)]
    pub manner: MannerArgs,
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
