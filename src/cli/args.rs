//! The words of the command line and their help texts.
//!
//! Declares; does nothing. Every verb has one struct, in the order in which `--help` lists
//! them.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

mod add_node;
mod image;

use super::exit::Exit;
pub use add_node::AddNode;
pub use image::{Image, ImageBuild, ImagePin, ImageRecipes, ImageVerb};

/// The variable that names the inventory where the command line does not.
pub const INVENTORY_VARIABLE: &str = "PLATFORM_INVENTORY";

/// Text is wrapped at the terminal's width, but never wider than is good to read.
const MAX_WIDTH: usize = 100;

/// The whole command line.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    name = "platform",
    version,
    about = "Stands up and runs a fault-tolerant container platform from one inventory",
    long_about = "Stands up and runs a fault-tolerant container platform from one inventory.\n\
        \n\
        The inventory is a YAML file that says which machines there are, or are to be, and \
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
    /// What holds for every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What holds for every verb.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(next_help_heading = "Options for every verb")]
pub struct Global {
    /// Write for people, `human`, or for programs, `json`: one document of facts, or a line for
    /// each event
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
    /// Work on at most this many hosts at once; a quorum's members always change one by one
    #[arg(long, global = true, default_value = "64", value_name = "N")]
    pub parallel: NonZeroUsize,
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
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Print a commented inventory to start from
    Init(Init),
    /// Show every change that `up` would make, and make none
    Plan(Plan),
    /// Estimate what the machines cost, from list prices
    Cost(Cost),
    /// Make the machines what the inventory says, and prove that they work
    Up(Up),
    /// Add machines to a group, and change nothing but what has to
    AddNode(AddNode),
    /// Show what runs where, who leads, and what can be lost
    Status(Status),
    /// Take down what `up` put up
    Down(Down),
    /// Log in to a host, or run one command there
    Ssh(Ssh),
    /// Run a command on many hosts
    Exec(Exec),
    /// List past runs, or show one
    Audit(Audit),
    /// Build component images, and pin those of registries
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

/// Which hosts to keep to.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct Limit {
    /// Keep to these groups and hosts, by name
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

  Start from machines you have:
    platform init --provider ssh > rack7.yaml

  Start from an account of AWS; at the end stands what it has to allow:
    platform init --provider aws > aws.yaml")]
pub struct Init {
    /// Where the machines come from
    #[arg(long, value_enum, default_value = "local", value_name = "KIND")]
    pub provider: ProviderKind,
    /// Write to this file, which must not exist yet, and not to standard output
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
    /// Instances of AWS EC2; with the least IAM policy for them
    Aws,
}

/// `platform plan`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Shows stage by stage and host by host what `up` would do and why, with the diffs of text \
files; secrets are redacted. Exits 0 when there is nothing to do and 10 when there is.

EXAMPLES
  See what would change:
    platform plan lab.yaml

  Fail a nightly check when a host has drifted:
    platform plan lab.yaml > drift.txt || mail -s drift ops < drift.txt

  Hand the changes to a program:
    platform plan lab.yaml -o json")]
pub struct Plan {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
}

/// `platform cost`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Counts instances, their disks and their public addresses, by a table of list prices that comes \
with the program; asks nobody, and says of when the prices are and what it could not count. \
Spot instances are counted as if on demand. Traffic is never counted.

EXAMPLES
  Before making a lab:
    platform cost aws.yaml

  With your own prices, in a region that the inventory leaves open:
    platform cost aws.yaml --prices prices.yaml --region ap-south-1

  What a day costs, for a program:
    platform cost aws.yaml -o json | jq .total.day

PRICES
  A file for --prices has this form. Amounts are US dollars for an hour;
  those of disks are for a GiB and month.
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
    /// Take the prices of this file
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// Take the prices of this region, whatever the inventory says
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}

/// `platform up`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Shows the plan, asks, makes the changes stage by stage, and lets each stage prove itself \
before the next. A run that was stopped, by whatever, is finished by running it again. It \
always works on the whole inventory, so that no quorum is judged by a part of its members.

EXAMPLES
  Bring up a lab, or bring it up to date:
    platform up lab.yaml

  The same from a script:
    platform up lab.yaml --yes

  Follow it with a program:
    platform up lab.yaml --yes -o json | jq -r .event

  Make the machines today, and what runs on them tomorrow:
    platform up aws.yaml --machines-only")]
pub struct Up {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Make the machines and what they stand on, and do nothing on them
    #[arg(long)]
    pub machines_only: bool,
}

/// `platform status`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Asks the hosts and the components themselves. Exits 0 when all is well and 1 when anything \
is not.

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
Machines that `up` made are removed, with all that they stand on; nothing that does not carry \
the cluster's tag or label is touched. On machines that were given, what `up` installed is \
stopped and removed, and the rest is left as it was. Asks for the cluster's name, typed.

EXAMPLES
  Take a lab down:
    platform down lab.yaml

  Leave nothing of it on given hosts, its data included:
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
    /// Also remove the components' data from given hosts
    #[arg(long)]
    pub purge: bool,
    /// Only where the cluster has expired (`expires: 8h` under `provider.aws`)
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
    /// The inventory, a YAML file; left out where PLATFORM_INVENTORY names it
    #[arg(value_name = "INVENTORY")]
    first: String,
    /// The host, by its name in the cluster
    #[arg(value_name = "NODE")]
    second: Option<String>,
    #[arg(long, hide = true, env = INVENTORY_VARIABLE)]
    inventory: Option<PathBuf>,
    /// A command and its arguments; a login shell where there is none
    #[arg(value_name = "CMD", last = true)]
    pub command: Vec<String>,
}

impl Ssh {
    /// The inventory and the host's name. One word alone is the host.
    ///
    /// # Errors
    /// When one word was given and the environment names no inventory.
    pub fn target(&self) -> Result<(&Path, &str), clap::Error> {
        match (&self.second, &self.inventory) {
            (Some(node), _) => Ok((Path::new(&self.first), node)),
            (None, Some(inventory)) => Ok((inventory, &self.first)),
            (None, None) => Err(command().error(
                ErrorKind::MissingRequiredArgument,
                format!("name INVENTORY and NODE, or set {INVENTORY_VARIABLE}"),
            )),
        }
    }
}

/// `platform exec`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Prints each host's output under its name. Exits 1 when the command fails on any host.

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
    /// The command and its arguments; they reach the host as they are, without a shell
    #[arg(value_name = "CMD", last = true, required = true)]
    pub command: Vec<String>,
}

/// `platform audit`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Reads the journal beside the inventory; no host is asked.

EXAMPLES
  List the runs: when, who, what, how it ended:
    platform audit lab.yaml

  Show the steps of one, by its name in the list:
    platform audit lab.yaml RUN")]
pub struct Audit {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
    /// The run to show, as the list names it; with it, name the inventory too
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

  And away again:
    platform down lab.yaml";

const ENVIRONMENT: &str = "\
ENVIRONMENT
  PLATFORM_INVENTORY  the inventory, where the command line names none
  NO_COLOR            with any text in it: no colours
  TERM                `dumb` or nothing: plain lines, as for a pipe";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }
}
