//! The arguments of the command line and their help texts.
//!
//! Only declarations. Every verb has one struct, in the order in which `--help` lists them.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

mod add_node;
mod app;
mod app_file;
mod certs;
mod group;
mod image;
mod job;
mod users;

use super::exit::Exit;
pub use add_node::AddNode;
pub use app::{
    App, AppExec, AppLogs, AppLs, AppRestart, AppRm, AppRollback, AppScale, AppShow,
    AppStop, AppValidate, AppVerb, AppWhy, MannerArgs, OneApp,
};
pub use app_file::{AppDeploy, AppDiff, AppFiles, DeployArgs, OnFailure};
pub use certs::{Certs, CertsLs, CertsRotate, CertsVerb};
pub use group::{
    Group, GroupDeploy, GroupDiff, GroupLs, GroupRm, GroupScale, GroupShow, GroupVerb,
    OneGroup,
};
pub use image::{
    Image, ImageBuild, ImageInspect, ImageLs, ImagePin, ImagePush, ImageRecipes,
    ImageSearch, ImageVerb,
};
pub use job::{
    Job, JobAdd, JobGraph, JobKill, JobLs, JobRm, JobRun, JobShow, JobStat, JobVerb,
    OneJob,
};
pub use users::{
    PasswordArgs, Users, UsersAdd, UsersLs, UsersPasswd, UsersRm, UsersVerb, Who,
};

/// The variable that names the inventory if the command line does not.
pub const INVENTORY_VARIABLE: &str = "PLATFORM_INVENTORY";

/// Text is wrapped at the terminal's width, but at most at this width.
const MAX_WIDTH: usize = 100;

/// The whole command line.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(
    name = "platform",
    version,
    about = "Sets up and runs a fault-tolerant container platform from one inventory",
    long_about = "Sets up and runs a fault-tolerant container platform from one inventory.\n\
        \n\
        The inventory is a YAML file that says which machines exist or will be made, and \
        what they do. `platform up` makes what is missing, changes what differs, touches \
        nothing else, and proves that the result works. Run it again at any time.",
    after_help = "Run `platform VERB --help` for examples, and `platform --help` for the \
        environment and the exit codes.",
    after_long_help = after_all(),
    max_term_width = MAX_WIDTH,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    disable_help_subcommand = true
)]
pub struct Args {
    /// The options for every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The options for every verb.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(next_help_heading = "Options for every verb")]
pub struct Global {
    /// Write for people (`human`) or for programs (`json`): one document of facts, or one line
    /// for each event
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value = "human",
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub output: Output,
    /// Also show each connection and each command
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Work on at most this many hosts at once; members of a quorum always change one by one
    #[arg(
        long,
        global = true,
        default_value = "64",
        value_name = "N",
        value_parser = at_least_one
    )]
    pub parallel: NonZeroUsize,
}

fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    let number: usize = text.parse().map_err(|error| format!("{error}"))?;
    NonZeroUsize::new(number).ok_or_else(|| "must be at least 1".to_owned())
}

/// How the program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Human,
    /// For programs
    Json,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Verb {
    /// Print a commented inventory to start from
    Init(Init),
    /// Show every change that `up` would make, and make none
    Plan(Plan),
    /// Estimate what the machines cost, from list prices
    Cost(Cost),
    /// Make the machines match the inventory, and prove that they work
    Up(Up),
    /// Add machines to a group, and change as little else as possible
    AddNode(AddNode),
    /// Show what runs where, who leads, and what may fail
    Status(Status),
    /// List, show, scale, restart and remove the apps of Marathon
    App(App),
    /// List, show, deploy, scale and remove the groups of Marathon
    Group(Group),
    /// List, show, add, run and remove the jobs of Chronos
    Job(Job),
    /// List, add, change and remove the users of the platform
    Users(Users),
    /// Remove what `up` set up
    Down(Down),
    /// Log in to a host, or run one command there
    Ssh(Ssh),
    /// Run a command on many hosts
    Exec(Exec),
    /// List past runs, or show one
    Audit(Audit),
    /// List certificates, or replace them while the cluster runs
    Certs(Certs),
    /// Build component images, and pin images of registries
    Image(Image),
    /// Print the completions of a shell
    Completions(Completions),
}

/// Which inventory to work on.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct Inventory {
    /// The inventory, a YAML file
    #[arg(
        value_name = "INVENTORY",
        env = INVENTORY_VARIABLE,
        hide_env_values = true,
        required = true
    )]
    pub inventory: PathBuf,
}

/// Which Marathon and Chronos to talk to.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct TargetArgs {
    /// Talk to the cluster of this inventory; without one, PLATFORM_URL says where Marathon is
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = INVENTORY_VARIABLE,
        hide_env_values = true
    )]
    pub inventory: Option<PathBuf>,
}

/// Which hosts to use.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct Limit {
    /// Only these groups and hosts, by name
    #[arg(long, value_name = "GROUP|HOST,…", value_delimiter = ',')]
    pub limit: Vec<String>,
}

/// `platform init`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
EXAMPLES
  Try everything on this computer:
    platform init --provider local --output-file lab.yaml
    platform up lab.yaml

  Start from machines that you have:
    platform init --provider ssh > rack7.yaml

  Start from an AWS account; the file ends with the permissions it needs:
    platform init --provider aws > aws.yaml")]
pub struct Init {
    /// Where the machines come from
    #[arg(long, value_enum, default_value = "local", value_name = "KIND")]
    pub provider: ProviderKind,
    /// Write to this file, which must not exist yet, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub output_file: Option<PathBuf>,
}

/// Where machines come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProviderKind {
    /// Machines that exist, reached over SSH
    Ssh,
    /// Containers on this computer that behave like machines
    Local,
    /// AWS EC2 instances, with the minimal IAM policy for them
    Aws,
}

/// `platform plan`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Shows for each stage and host what `up` would do and why, with the diffs of text files; \
secrets are redacted. Exits 0 if there is nothing to do and 10 if there are changes.

EXAMPLES
  See what would change:
    platform plan lab.yaml

  Fail a nightly check when a host has drifted:
    platform plan lab.yaml > drift.txt || mail -s drift ops < drift.txt

  Pass the changes to a program:
    platform plan lab.yaml -o json")]
pub struct Plan {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
}

/// `platform cost`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Counts instances, their disks and their public addresses, with a table of list prices that is \
built into the program. Works offline, and shows the date of the prices and what it could not \
count. Spot instances are counted as on-demand instances. Traffic is never counted.

EXAMPLES
  Before making a lab:
    platform cost aws.yaml

  With your own prices, in a region that the inventory does not set:
    platform cost aws.yaml --prices prices.yaml --region ap-south-1

  The cost of a day, for a program:
    platform cost aws.yaml -o json | jq .total.day

PRICES
  A file for --prices has this form. Amounts are US dollars per hour;
  for disks they are per GiB and month.
    date: 2026-01
    prices:
      - regions: [ap-south-1]
        disk: 0.09
        address: 0.005
        instances: {m7i.large: 0.1, t3.medium: 0.05}")]
pub struct Cost {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
    /// Use the prices of this file
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// Use the prices of this region instead of the inventory's region
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}

/// `platform up`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Shows the plan, asks, and makes the changes stage by stage; a stage begins only when the one \
before it is proved to work. To finish a run that was stopped for any reason, run it again. It \
always works on the whole inventory, so that no quorum is judged by only some of its members.

EXAMPLES
  Bring up a lab, or bring it up to date:
    platform up lab.yaml

  The same from a script:
    platform up lab.yaml --yes

  Follow it with a program:
    platform up lab.yaml --yes -o json | jq -r .event

  Make only the machines, and install the platform later:
    platform up aws.yaml --machines-only")]
pub struct Up {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Make only the machines and what they need; install nothing on them
    #[arg(long)]
    pub machines_only: bool,
}

/// `platform status`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Asks the hosts and the components themselves. Exits 0 if everything is healthy, and 1 if not.

EXAMPLES
  See the whole cluster:
    platform status lab.yaml

  See one group, or two hosts:
    platform status lab.yaml --limit control
    platform status lab.yaml --limit control-1,edge-1")]
pub struct Status {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
    /// Which hosts.
    #[command(flatten)]
    pub limit: Limit,
}

/// `platform down`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Machines that `up` made are removed, with everything that was made for them; nothing without \
the cluster's tag or label is touched. On existing machines, what `up` installed is stopped \
and removed, and the rest stays as it was. Asks you to type the cluster's name.

EXAMPLES
  Remove a lab:
    platform down lab.yaml

  Remove everything from existing hosts, including the data:
    platform down rack7.yaml --purge

  The same from a script:
    platform down rack7.yaml --purge --yes

  Every hour, from cron, as soon as the lab has expired:
    platform down aws.yaml --expired --yes")]
pub struct Down {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
    /// Do not ask for the cluster's name
    #[arg(short, long)]
    pub yes: bool,
    /// Also remove the components' data from existing hosts
    #[arg(long)]
    pub purge: bool,
    /// Only if the cluster has expired (`expires: 8h` under `provider.aws`)
    #[arg(long, conflicts_with = "purge")]
    pub expired: bool,
}

/// `platform ssh`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(
    override_usage = "platform ssh [OPTIONS] [INVENTORY] <NODE> [-- <CMD>...]",
    after_help = "\
Uses the inventory's user, key and bastions, and the host keys that `up` pinned.

EXAMPLES
  Log in:
    platform ssh lab.yaml control-1

  Run one command:
    platform ssh lab.yaml control-1 -- journalctl -u zookeeper -n 50

  With the inventory from the environment:
    export PLATFORM_INVENTORY=lab.yaml
    platform ssh control-1"
)]
pub struct Ssh {
    /// The inventory, a YAML file; omit it if PLATFORM_INVENTORY names it
    #[arg(value_name = "INVENTORY")]
    first: String,
    /// The host, by its name in the cluster
    #[arg(value_name = "NODE")]
    second: Option<String>,
    #[arg(long, hide = true, env = INVENTORY_VARIABLE)]
    inventory: Option<PathBuf>,
    /// A command and its arguments; without a command, a login shell
    #[arg(value_name = "CMD", last = true)]
    pub command: Vec<String>,
}

impl Ssh {
    /// The inventory and the host's name. A single argument is the host.
    ///
    /// # Errors
    /// If there is one argument and the environment names no inventory.
    pub fn target(&self) -> Result<(&Path, &str), clap::Error> {
        target((&self.first, self.second.as_deref()), self.inventory.as_deref(), "NODE")
    }
}

/// The inventory and what to use in it. A single argument is not the inventory, which then comes
/// from the environment.
fn target<'a>(
    (first, second): (&'a str, Option<&'a str>),
    from_environment: Option<&'a Path>,
    what: &str,
) -> Result<(&'a Path, &'a str), clap::Error> {
    match (second, from_environment) {
        (Some(second), _) => Ok((Path::new(first), second)),
        (None, Some(inventory)) => Ok((inventory, first)),
        (None, None) => Err(command().error(
            ErrorKind::MissingRequiredArgument,
            format!("name INVENTORY and {what}, or set {INVENTORY_VARIABLE}"),
        )),
    }
}

/// `platform exec`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Prints each host's output under its name. Exits 1 if the command fails on any host.

EXAMPLES
  On every host:
    platform exec lab.yaml -- uptime

  On one group, as root:
    platform exec lab.yaml --limit control --sudo -- journalctl -n 5

  With a shell's pipes:
    platform exec lab.yaml -- sh -c 'dmesg | tail -n 3'")]
pub struct Exec {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
    /// Which hosts.
    #[command(flatten)]
    pub limit: Limit,
    /// Run it as root
    #[arg(long)]
    pub sudo: bool,
    /// The command and its arguments; they are passed unchanged, without a shell
    #[arg(value_name = "CMD", last = true, required = true)]
    pub command: Vec<String>,
}

/// `platform audit`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Reads the journal beside the inventory; does not connect to any host.

EXAMPLES
  List the runs: when, who, what, how it ended:
    platform audit lab.yaml

  Show the steps of one, by its name in the list:
    platform audit lab.yaml RUN")]
pub struct Audit {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
    /// The run to show, by its name in the list; it needs the inventory before it
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
}

/// `platform completions`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
EXAMPLES
  For bash, for this user:
    platform completions bash > ~/.local/share/bash-completion/completions/platform

  For zsh, in a folder of $fpath:
    platform completions zsh > ~/.zfunc/_platform

  For fish:
    platform completions fish > ~/.config/fish/completions/platform.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// The command line's definition, for completions and for tests of its help.
pub fn command() -> clap::Command {
    Args::command()
}

fn after_all() -> String {
    let codes: Vec<String> = Exit::ALL
        .iter()
        .map(|exit| format!("  {:>3}  {}", exit.code(), exit.meaning()))
        .collect();
    format!("{EXAMPLES}\n\n{ENVIRONMENT}\n\nEXIT CODES\n{}", codes.join("\n"))
}

const EXAMPLES: &str = "\
EXAMPLES
  From nothing to a platform on this computer:
    platform init --provider local --output-file lab.yaml
    platform plan lab.yaml
    platform up lab.yaml
    platform status lab.yaml

  And remove it again:
    platform down lab.yaml";

const ENVIRONMENT: &str = "\
ENVIRONMENT
  PLATFORM_INVENTORY  the inventory, if the command line names none
  NO_COLOR            if not empty: no colours
  TERM                if `dumb`, empty or not set: plain lines, as for a pipe

  For verbs on apps and jobs, in place of an inventory:
  PLATFORM_URL            where Marathon is, such as https://10.0.0.100:8443
  PLATFORM_CHRONOS_URL    where Chronos is; if not set, and PLATFORM_URL has
                          port 8443: port 4443 of the same host
  PLATFORM_USER           the user there
  PLATFORM_PASSWORD       the user's password
  PLATFORM_PASSWORD_FILE  or the file that has it on its first line
  PLATFORM_CA_FILE        the authority of the certificates there (PEM); if
                          not set, those that this computer trusts";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }
}
