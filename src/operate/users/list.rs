//! `platform users ls`: the users of the inventory, and whether the edge hosts let them in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::path::PathBuf;

use futures::future::join_all;
use serde::Serialize;

use super::super::cluster_files::ClusterFiles;
use super::super::error::Error;
use super::super::gather::{self, password_of, secret_of};
use super::super::{RunContext, connect, machines};
use super::logins::{Answer, Logins, Right};
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
    /// Where the password comes from.
    pub password: PasswordPlace,
    /// Whether the user may push images.
    pub push: bool,
    /// What each edge host does with the login.
    pub hosts: BTreeMap<HostName, LoginStatus>,
}

/// Where a password comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordPlace {
    /// An environment variable.
    Variable(String),
    /// A file, relative to the inventory.
    File(PathBuf),
    /// It was made at random, or given once, and is kept in this file.
    Kept(PathBuf),
}

/// What an edge host does with a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "login", content = "why", rename_all = "snake_case")]
pub enum LoginStatus {
    /// It lets the user in, to push only if the inventory says so.
    LetIn,
    /// It refuses the user: it has another password, or none.
    Refused(String),
    /// It lets the user in, but the user may push and should not, or the other way round.
    OtherRight(String),
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
                    LoginStatus::of(answer, Right::of(account))
                }
            };
            (node.host.clone(), login)
        });
        UserStatus {
            name: account.name.clone(),
            password: PasswordPlace::of(files, account),
            push: account.push,
            hosts: join_all(nodes).await.into_iter().collect(),
        }
    });
    let users = join_all(users).await;
    Ok(Users { cluster: files.inventory.cluster.to_string(), users })
}

impl LoginStatus {
    fn of(answer: Result<Answer, String>, right: Right) -> Self {
        match answer {
            Ok(answer) if answer.is(right) => Self::LetIn,
            Ok(answer) if answer.lets_in() => Self::OtherRight(answer.to_string()),
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

impl PasswordPlace {
    fn of(files: &ClusterFiles, account: &Account) -> Self {
        match &account.password {
            SecretSource::Env(variable) => Self::Variable(variable.clone()),
            SecretSource::File(path) => Self::File(path.clone()),
            SecretSource::Generate => {
                Self::Kept(files.state.secret_file(&secret_of(&account.name)))
            }
        }
    }
}

impl fmt::Display for PasswordPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Kept(path) => write!(f, "kept in {}", path.display()),
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
        let rows: Vec<[String; 4]> = self.users.iter().map(UserStatus::row).collect();
        let [name, password, push] = [0, 1, 2].map(|column| {
            rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
        });
        for [user, place, right, hosts] in rows {
            writeln!(out, "{user:name$}  {place:password$}  {right:push$}  {hosts}")?;
        }
        Ok(())
    }
}

impl UserStatus {
    fn row(&self) -> [String; 4] {
        let right = if self.push { "may push" } else { "may not push" }.to_owned();
        [self.name.clone(), self.password.to_string(), right, self.hosts_in_words()]
    }

    /// For example `let in by edge-1; edge-2: HAProxy refuses it, the registry refuses it`.
    fn hosts_in_words(&self) -> String {
        let let_in = self.hosts.iter().filter(|(_, login)| **login == LoginStatus::LetIn);
        let let_in: Vec<&HostName> = let_in.map(|(host, _)| host).collect();
        let others = self.hosts.iter().filter_map(|(host, login)| match login {
            LoginStatus::LetIn => None,
            LoginStatus::Refused(why) | LoginStatus::OtherRight(why) => {
                Some(format!("{host}: {why}"))
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_is_a_line_that_says_what_every_edge_host_does() {
        let user = |name: &str, password, [one, two]: [LoginStatus; 2]| UserStatus {
            name: name.to_owned(),
            password,
            push: name == "ann",
            hosts: [("e1".parse().unwrap(), one), ("e2".parse().unwrap(), two)].into(),
        };
        let answer = |proxy, registry| Answer { proxy: Some(proxy), registry };
        let [full, half] = [Right::Push, Right::Nothing]
            .map(|right| LoginStatus::of(Ok(answer(true, right)), Right::Push));
        let too_much = LoginStatus::of(Ok(answer(true, Right::Push)), Right::Pull);
        let kept = PasswordPlace::Kept(".platform/lab/secrets/user-ann".into());
        let variable = PasswordPlace::Variable("B".to_owned());
        let unknown = LoginStatus::Unknown("B is not set".to_owned());
        let users = Users {
            cluster: "lab".to_owned(),
            users: vec![
                user("ann", kept, [full.clone(), full.clone()]),
                user("robert", variable.clone(), [half, unknown]),
                user("rita", variable, [too_much, full]),
            ],
        };
        let mut text = String::new();
        users.show(&mut text).unwrap();
        assert_eq!(
            text,
            "ann     kept in .platform/lab/secrets/user-ann  may push      let in by e1, e2\n\
             robert  variable B                              may not push  \
             e1: HAProxy lets it in, the registry refuses it; e2: not known: B is not set\n\
             rita    variable B                              may not push  let in by e2; \
             e1: HAProxy lets it in, the registry lets it pull and push\n"
        );
        let json = serde_json::to_value(&users.users[1]).unwrap();
        assert_eq!(json["password"], serde_json::json!({"variable": "B"}));
        assert_eq!(json["push"], false);
        assert_eq!(json["hosts"]["e1"]["login"], "refused");
        assert_eq!(json["hosts"]["e2"]["login"], "unknown");
        let json = serde_json::to_value(&users.users[2]).unwrap();
        assert_eq!(json["hosts"]["e1"]["login"], "other_right");
    }
}
