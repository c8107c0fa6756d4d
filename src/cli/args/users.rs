//! The arguments of `platform users`.

use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};

use super::{INVENTORY_VARIABLE, Inventory, target};

/// `platform users`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub struct Users {
    /// What to do with users.
    #[command(subcommand)]
    pub verb: UsersVerb,
}

/// What to do with users.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum UsersVerb {
    /// List the users, and whether the edge hosts let them in
    Ls(UsersLs),
    /// Let a new user in
    Add(UsersAdd),
    /// Let a user in no longer
    Rm(UsersRm),
    /// Give a user another password
    Passwd(UsersPasswd),
}

/// `platform users ls`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(after_help = "\
Logs in as each user at HAProxy and at the registry of each edge host, and asks the registry whether \
the user may push. Passwords are not shown; a generated one is in the file that is named.

EXAMPLES
  Who may use the platform:
    platform users ls lab.yaml

  The names alone:
    platform users ls lab.yaml -o json | jq -r '.users[].name'")]
pub struct UsersLs {
    /// The inventory.
    #[command(flatten)]
    pub inventory: Inventory,
}

/// `platform users add`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(
    override_usage = "platform users add [OPTIONS] [INVENTORY] <USER>",
    after_help = "\
Writes the user into `platform.access.users` of the inventory, keeps its comments and layout, and \
shows that edit and all changes on the edge hosts before it asks. HAProxy and the registries take \
the new login without an interruption; nothing else is changed. At the end each edge host has to \
let the user in.

EXAMPLES
  A user with a password that is made at random and kept beside the inventory:
    platform users add lab.yaml ann

  A password from a variable, which has to be set for each run:
    platform users add lab.yaml ci --password-env CI_PASSWORD

  A password that only the pipe knows:
    pass show lab/bob | platform users add lab.yaml bob --password-stdin --yes

  A user who may pull images, but not push them:
    platform users add lab.yaml reader --no-push"
)]
pub struct UsersAdd {
    /// Who.
    #[command(flatten)]
    pub who: Who,
    /// Let the user pull images from the registry, but not push them
    #[arg(long)]
    pub no_push: bool,
    /// The password.
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// `platform users rm`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(
    override_usage = "platform users rm [OPTIONS] [INVENTORY] <USER>",
    after_help = "\
Takes the user out of the inventory, of the edge hosts, and of the state folder. From then on each \
new request of the user is refused, also on connections that are open. A request that is being \
answered may go on for at most ten minutes. The last user cannot be removed.

EXAMPLES
  Bob leaves:
    platform users rm lab.yaml bob"
)]
pub struct UsersRm {
    /// Who.
    #[command(flatten)]
    pub who: Who,
}

/// `platform users passwd`
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[command(
    override_usage = "platform users passwd [OPTIONS] [INVENTORY] <USER>",
    after_help = "\
Makes a new random password, unless an option says where it comes from; if that is another place \
than before, the inventory is edited. The old password is refused from then on.

EXAMPLES
  A new random password:
    platform users passwd lab.yaml ann

  After the content of the variable was changed:
    platform users passwd lab.yaml ci --password-env CI_PASSWORD"
)]
pub struct UsersPasswd {
    /// Who.
    #[command(flatten)]
    pub who: Who,
    /// The password.
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// The user to change.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
pub struct Who {
    /// The inventory, a YAML file; omit it if PLATFORM_INVENTORY names it
    #[arg(value_name = "INVENTORY")]
    first: String,
    /// The user
    #[arg(value_name = "USER")]
    second: Option<String>,
    #[arg(long, hide = true, env = INVENTORY_VARIABLE)]
    inventory: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

impl Who {
    /// The inventory and the user's name. A single argument is the user.
    ///
    /// # Errors
    /// If there is one argument and the environment names no inventory.
    pub fn target(&self) -> Result<(&Path, &str), clap::Error> {
        target((&self.first, self.second.as_deref()), self.inventory.as_deref(), "USER")
    }
}

/// Where a password comes from. It is never an argument: other users of this computer would see it.
#[derive(Debug, Clone, PartialEq, Eq, ClapArgs)]
#[group(multiple = false)]
pub struct PasswordArgs {
    /// Take the password from this environment variable, in this run and in all later ones
    #[arg(long, value_name = "VARIABLE")]
    pub password_env: Option<String>,
    /// Take the password from the first line of this file, in this run and in all later ones
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Read the password from standard input, and keep it in the state folder
    #[arg(long)]
    pub password_stdin: bool,
}
