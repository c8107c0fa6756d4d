//! `platform users ls`: the users of the inventory, and whether the edge hosts let them in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use futures::future::join_all;
use serde::Serialize;

use super::super::cluster_files::ClusterFiles;
use super::super::error::Error;
use super::super::gather::{self, password_of, secret_of};
use super::super::{RunContext, connect, machines};
use super::logins::{Answer, Logins};
use crate::event::in_words;
use crate::host::{HostName, joined};
use crate::inventory::{Account, SecretSource};
use crate::run::health::services::Services;
use crate::secret::Secret;
use crate::topology::Topology;

/// The users of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Users {
    /// The cluster's name.
    pub cluster: String,
    /// The users, in the order of the inventory.
    pub users: Vec<UserStatus>,
}

/// A user of the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserStatus {
    /// The name.
    pub name: String,
    /// Where the password comes from, in words.
    pub password: String,
    /// What each edge host does with the login.
    pub hosts: BTreeMap<HostName, LoginStatus>,
}

/// What an edge host does with a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "login", content = "why", rename_all = "snake_case")]
pub enum LoginStatus {
    /// It lets the user in.
    LetIn,
    /// It refuses the user: it has another password, or none.
    Refused(String),
    /// That cannot be known.
    Unknown(String),
}

/// Lists the users, and logs in as each of them at each edge host; changes nothing.
///
/// # Errors
/// When the provider cannot be asked. A host that does not answer is no error: the list says so.
pub async fn list(files: &ClusterFiles, ctx: &RunContext<'_>) -> Result<Users, Error> {
    let machines = machines::running(files, ctx).await?;
    let topology = Topology::new(&files.inventory, &machines)?;
    let edge: BTreeSet<&HostName> = topology.registries().map(|it| &it.host).collect();
    let machines: Vec<_> =
        machines.into_iter().filter(|machine| edge.contains(&machine.host)).collect();
    let (fleet, failed) = connect::connect(files, &machines, ctx).await?;
    let failed: BTreeMap<HostName, String> =
        failed.into_iter().map(|(host, error)| (host, in_words(&error))).collect();
    let logins = gather::logins(files, ctx)?;
    let services = Services { fleet: &fleet, topology: &topology, logins: &logins };
    let logins = Logins { services, ca: &logins.edge.ca };
    let users = files.inventory.platform.users.iter().map(|account| async {
        let password = password(files, account, ctx);
        let nodes = topology.registries().map(|node| async {
            let login = match (&password, failed.get(&node.host)) {
                (Err(why), _) => LoginStatus::Unknown(why.clone()),
                (Ok(_), Some(why)) => LoginStatus::Unknown(why.clone()),
                (Ok(password), None) => {
                    let answer = logins.answer(node, (&account.name, password)).await;
                    LoginStatus::of(answer)
                }
            };
            (node.host.clone(), login)
        });
        UserStatus {
            name: account.name.clone(),
            password: source(files, account),
            hosts: join_all(nodes).await.into_iter().collect(),
        }
    });
    let users = join_all(users).await;
    Ok(Users { cluster: files.inventory.cluster.to_string(), users })
}

impl LoginStatus {
    fn of(answer: Result<Answer, String>) -> Self {
        match answer {
            Ok(answer) if answer.all(true) => Self::LetIn,
            Ok(answer) => Self::Refused(answer.to_string()),
            Err(why) => Self::Unknown(why),
        }
    }
}

/// A user's password, or why it is not known here. Makes none.
fn password(
    files: &ClusterFiles,
    account: &Account,
    ctx: &RunContext<'_>,
) -> Result<Secret, String> {
    let kept = match account.password {
        SecretSource::Generate => files.state.kept_secret(&secret_of(&account.name)),
        SecretSource::Env(_) | SecretSource::File(_) => {
            return password_of(files, account, ctx).map_err(|error| in_words(&error));
        }
    };
    let kept = kept.map_err(|error| in_words(&error))?;
    kept.ok_or_else(|| "it has no password yet: `platform up` makes one".to_owned())
}

/// Where a user's password comes from.
fn source(files: &ClusterFiles, account: &Account) -> String {
    match &account.password {
        SecretSource::Env(variable) => format!("variable {variable}"),
        SecretSource::File(path) => format!("file {}", path.display()),
        SecretSource::Generate => {
            let file = files.state.secret_file(&secret_of(&account.name));
            format!("generated: {}", file.display())
        }
    }
}

impl Users {
    /// Writes a line for each user, with its columns aligned.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn show(&self, out: &mut impl Write) -> fmt::Result {
        if self.users.is_empty() {
            return writeln!(out, "The inventory has no users.");
        }
        let width = |column: fn(&UserStatus) -> &str| {
            self.users.iter().map(|user| column(user).chars().count()).max().unwrap_or(0)
        };
        let (name, password) = (width(|user| &user.name), width(|user| &user.password));
        for user in &self.users {
            let hosts = user.hosts_in_words();
            writeln!(out, "{:name$}  {:password$}  {hosts}", user.name, user.password)?;
        }
        Ok(())
    }
}

impl UserStatus {
    /// For example `let in by edge-1; edge-2: HAProxy refuses it, the registry lets it in`.
    fn hosts_in_words(&self) -> String {
        let let_in = self.hosts.iter().filter(|(_, login)| **login == LoginStatus::LetIn);
        let let_in: Vec<&HostName> = let_in.map(|(host, _)| host).collect();
        let others = self.hosts.iter().filter_map(|(host, login)| match login {
            LoginStatus::LetIn => None,
            LoginStatus::Refused(why) => Some(format!("{host}: {why}")),
            LoginStatus::Unknown(why) => Some(format!("{host}: not known: {why}")),
        });
        let let_in =
            (!let_in.is_empty()).then(|| format!("let in by {}", joined(let_in)));
        let all: Vec<String> = let_in.into_iter().chain(others).collect();
        match all.is_empty() {
            true => "no edge host runs".to_owned(),
            false => all.join("; "),
        }
    }
}
