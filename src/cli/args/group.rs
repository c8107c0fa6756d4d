//! The arguments of `platform group`.

use clap::{Args as ClapArgs, Subcommand};

use super::{AppFiles, DeployArgs, MannerArgs, TargetArgs};

/// `platform group`
#[derive(Debug, Clone, PartialEq, ClapArgs)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub struct Group {
    /// What to do with groups.
    #[command(subcommand)]
    pub verb: GroupVerb,
}

/// What to do with groups.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum GroupVerb {
    /// List the groups: how many apps are in each, what these use, how healthy they are
    Ls(GroupLs),
    /// Show one group: what it depends on, what is in it
    Show(GroupShow),
    /// Show what files would change, and what they leave out
    Diff(GroupDiff),
    /// Bring groups and their apps to what files say
    Deploy(GroupDeploy),
    /// Multiply how many tasks the apps of a group have
    Scale(GroupScale),
    /// Remove a group with all apps in it
    Rm(GroupRm),
}

/// Which group, and whom to ask.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct OneGroup {
    /// The group, such as /shop
    #[arg(value_name = "ID")]
    pub id: String,
    /// Whom to ask.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `platform group ls`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
The numbers of a group are those of all apps in it, also in its groups. The signs of the bar are \
those of `platform app ls`.

EXAMPLES
  All groups of a cluster:
    platform group ls -i lab.yaml

  The groups without an app, for a program:
    platform group ls -o json | jq -r '.groups[] | select(.apps == 0) | .id'")]
pub struct GroupLs {
    /// Whom to ask.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `platform group show`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
EXAMPLES
  A group with its apps, also those of its groups:
    platform group show /shop -i lab.yaml")]
pub struct GroupShow {
    /// Which group.
    #[command(flatten)]
    pub group: OneGroup,
}

/// `platform group diff`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Compares as `platform app diff` does, and also names the apps that Marathon has in the groups and \
the files leave out. A file leaves out what is not in a list that it gives: without `groups` it says \
nothing of the groups in a group.

Exit codes: 0 if there is no difference, 10 if there is one.

EXAMPLES
  What would happen to the tasks:
    platform group diff -i lab.yaml shop.json

  With the removal of what the file leaves out:
    platform group diff -i lab.yaml shop.json --prune")]
pub struct GroupDiff {
    /// The files.
    #[command(flatten)]
    pub files: AppFiles,
    /// Also remove the apps that the files leave out of their groups
    #[arg(long)]
    pub prune: bool,
}

/// `platform group deploy`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Shows the differences, asks, and goes on as `platform app deploy` does, app by app. Before the apps, \
each group that differs is sent by its own path with its `dependencies` and `enforceRole`, since \
Marathon refuses a tree of groups that exist already; what the file does not say of a group stays. \
Apps that the files leave out stay, unless there is `--prune`. If one of these steps fails, what \
was done before it is said, and what follows is not begun.

EXAMPLES
  Deploy, and wait until all apps run and are healthy:
    platform group deploy -i lab.yaml shop.json --wait

  The group becomes what the file says, and has no other app:
    platform group deploy -i lab.yaml shop.json --prune")]
pub struct GroupDeploy {
    /// The files.
    #[command(flatten)]
    pub files: AppFiles,
    /// Also remove the apps that the files leave out of their groups
    #[arg(long)]
    pub prune: bool,
    /// How.
    #[command(flatten)]
    pub how: DeployArgs,
}

/// `platform group scale`
#[derive(Debug, Clone, PartialEq, ClapArgs)]
#[command(after_help = "\
Says first how many instances each app will have: the factor times those of now, where a part of an \
instance counts as a whole one. So 0.5 makes 2 of 3, and 1 of 1. Tasks that stay are not restarted, \
unless that is said. Apps that depend on others come after these.

EXAMPLES
  Twice as many tasks, and wait until they are healthy:
    platform group scale /shop 2 --wait -i lab.yaml

  No task, but keep the apps; what they had is not kept anywhere:
    platform group scale /shop 0")]
pub struct GroupScale {
    /// The group, such as /shop
    #[arg(value_name = "ID")]
    pub id: String,
    /// The factor: 2, 0.5
    #[arg(value_name = "FACTOR", value_parser = factor)]
    pub factor: f64,
    /// Whom to ask.
    #[command(flatten)]
    pub target: TargetArgs,
    /// How.
    #[command(flatten)]
    pub manner: MannerArgs,
}

fn factor(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
    match number.is_finite() && number.is_sign_positive() {
        true => Ok(number),
        false => Err("must be 0 or more".to_owned()),
    }
}

/// `platform group rm`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Shows first which apps with how many tasks go, and what else depends on them.

EXAMPLES
  Remove a group:
    platform group rm /shop -i lab.yaml

  The same from a script, which goes on when no task is left:
    platform group rm /shop --yes --wait")]
pub struct GroupRm {
    /// Which group.
    #[command(flatten)]
    pub group: OneGroup,
    /// How.
    #[command(flatten)]
    pub manner: MannerArgs,
}
