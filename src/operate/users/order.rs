//! What has to be done for a user: in the inventory, in the state folder, and what has to be true
//! afterwards.

use super::super::RunContext;
use super::super::cluster_files::ClusterFiles;
use super::super::error::Error;
use super::super::gather::{password_of, secret_of};
use super::super::run::{Ended, shown};
use super::logins::{Expected, Right};
use super::{NewPassword, Request, UserChange, UserError};
use crate::event::RunResult;
use crate::inventory::edit::{self, Edited, NoUser, UserEdit, change_users};
use crate::inventory::{Account, SecretSource};
use crate::plan::Plan;
use crate::secret::Secret;

/// What has to be done, decided from the operator's files alone.
pub(super) struct Order {
    /// The cluster as it has to be.
    files: ClusterFiles,
    user: String,
    change: UserChange,
    /// The inventory's text before the edit, and the edit; `None` if it says the right thing
    /// already.
    edit: Option<(String, Edited)>,
    /// The password with which the user was let in until now, if it is known and has to be refused.
    old: Option<Secret>,
}

impl Order {
    /// Decides what has to be done; writes nothing. A new password is made, and not kept yet.
    ///
    /// # Errors
    /// When the change makes no sense, or the inventory cannot be edited.
    pub(super) fn of(
        files: &ClusterFiles,
        Request { user, change }: &Request,
        ctx: &RunContext<'_>,
    ) -> Result<Self, Error> {
        let account = edit::user(&files.inventory, user);
        let edit = match change {
            UserChange::Add { password, push } => {
                let new = Account {
                    name: user.clone(),
                    password: password.source(),
                    push: *push,
                };
                add(files, account.ok(), new, password)?
            }
            UserChange::Remove => remove(files, user, account)?,
            UserChange::Password(password) => {
                let source = password.source();
                let is_new = account.map_err(UserError::from)?.password != source;
                is_new.then(|| UserEdit::Password(user.clone(), source))
            }
        };
        let old = match change {
            UserChange::Add { .. } => None,
            UserChange::Remove | UserChange::Password(_) => known(files, user, ctx)?,
        };
        let edit = edit.map(|edit| {
            files.edited("with this change in it", |text, exists| {
                change_users(text, &edit, exists)
            })
        });
        let edit = edit.transpose()?;
        let now = edit.as_ref().map_or(&files.inventory, |(_, edited)| &edited.inventory);
        let files = files.with(now.clone());
        let secret = secret_of(user);
        match (change, &edit) {
            (UserChange::Password(NewPassword::Random), _) => {
                files.state.renew_secret(&secret, None);
            }
            (UserChange::Password(NewPassword::Given(new)), _)
            | (UserChange::Add { password: NewPassword::Given(new), .. }, Some(_)) => {
                files.state.renew_secret(&secret, Some(new));
            }
            _ => {}
        }
        Ok(Self { files, user: user.clone(), change: change.clone(), edit, old })
    }

    /// The cluster as it has to be.
    pub(super) fn files(&self) -> &ClusterFiles {
        &self.files
    }

    /// Whether the inventory is edited.
    pub(super) fn edits(&self) -> bool {
        self.edit.is_some()
    }

    /// Makes the user's password if there is none, and checks that it can be used.
    ///
    /// # Errors
    /// When it cannot be read, or is too long.
    pub(super) fn check_password(&self, ctx: &RunContext<'_>) -> Result<(), Error> {
        if let Ok(account) = edit::user(&self.files.inventory, &self.user) {
            let password = password_of(&self.files, account, ctx)?;
            self.files.state.htpasswd_line(&self.user, &password)?;
        }
        Ok(())
    }

    /// What the operator is asked to agree to. `plan` is what is done on the hosts, if there are
    /// any.
    pub(super) fn show(&self, plan: Option<&Plan>) -> String {
        let edit = self.edit.as_ref().map(|(before, edited)| {
            edited.diff(before, &self.files.path.display().to_string())
        });
        let plan = plan.map(shown);
        edit.into_iter().chain(plan).collect::<Vec<String>>().join("\n")
    }

    /// Writes the inventory, which has to be as it was read.
    ///
    /// # Errors
    /// When it cannot be written, or was changed meanwhile.
    pub(super) fn write(&self, ctx: &RunContext<'_>) -> Result<(), Error> {
        let Some((before, edited)) = &self.edit else { return Ok(()) };
        let step = format!("write {}: {}", self.files.path.display(), self.what());
        self.files.write_edited((before, edited), &step, || Ok(()), ctx)
    }

    fn what(&self) -> String {
        let user = &self.user;
        match self.change {
            UserChange::Add { .. } => format!("add user {user}"),
            UserChange::Remove => format!("remove user {user}"),
            UserChange::Password(_) => {
                format!("take the password of {user} from elsewhere")
            }
        }
    }

    /// Which logins have to be let in afterwards, and which not.
    ///
    /// # Errors
    /// When the user's password cannot be read.
    pub(super) fn expected(&self, ctx: &RunContext<'_>) -> Result<Vec<Expected>, Error> {
        let login =
            |password, right| Expected { user: self.user.clone(), password, right };
        let now = match edit::user(&self.files.inventory, &self.user) {
            Ok(account) => {
                Some(login(password_of(&self.files, account, ctx)?, Right::of(account)))
            }
            Err(_) => None,
        };
        let is_other = |old: &Secret| now.as_ref().is_none_or(|now| now.password != *old);
        let old = self.old.clone().filter(is_other);
        let old = old.map(|old| login(old, Right::Nothing));
        Ok(now.into_iter().chain(old).collect())
    }

    /// Removes from the state folder what is needed no longer. Repeated, it changes nothing.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub(super) fn forget(&self) -> Result<(), Error> {
        let state = &self.files.state;
        match edit::user(&self.files.inventory, &self.user) {
            Ok(Account { password: SecretSource::Generate, .. }) => {}
            Ok(_) => state.forget_secret(&secret_of(&self.user))?,
            Err(_) => {
                state.forget_secret(&secret_of(&self.user))?;
                state.forget_user(&self.user)?;
            }
        }
        Ok(())
    }

    /// What the edge hosts do then.
    pub(super) fn done(&self) -> &'static str {
        match self.change {
            UserChange::Add { .. } | UserChange::Password(_) => "let in",
            UserChange::Remove => "refused",
        }
    }

    /// The result of a run that did not fail. `done` is what else was done.
    pub(super) fn ended(&self, is_changed: bool, done: &str) -> Ended {
        let (path, user) = (self.files.path.display(), &self.user);
        let what = match self.change {
            UserChange::Add { .. } => format!("{path} has user {user}"),
            UserChange::Remove => format!("{path} has no user {user}"),
            UserChange::Password(_) => format!("{user} has the new password"),
        };
        let summary = format!("{what}; {done}{}", self.place());
        match is_changed {
            true => Ended { result: RunResult::Changed, summary },
            false => {
                let summary = format!("nothing to do: {summary}");
                Ended { result: RunResult::Unchanged, summary }
            }
        }
    }

    /// Where the password is, if this program keeps it.
    fn place(&self) -> String {
        match edit::user(&self.files.inventory, &self.user) {
            Ok(Account { password: SecretSource::Generate, .. }) => {
                let file = self.files.state.secret_file(&secret_of(&self.user));
                format!("; the password is in {}", file.display())
            }
            _ => String::new(),
        }
    }

    /// The same error, with what was changed before it.
    pub(super) fn written(&self, why: Error) -> Error {
        let path = self.files.path.display();
        let done = match (&self.change, &self.edit) {
            (UserChange::Password(_), _) => {
                format!("the new password is kept{}", self.place())
            }
            (UserChange::Add { .. } | UserChange::Remove, Some(_)) => {
                format!("{path} has the change already")
            }
            (UserChange::Add { .. } | UserChange::Remove, None) => return why,
        };
        let done = format!("{done}; to finish, run `platform up {path}`");
        Error::AfterChanges { why: Box::new(why), done }
    }
}

impl NewPassword {
    /// Where an inventory says that it comes from.
    fn source(&self) -> SecretSource {
        match self {
            Self::Random | Self::Given(_) => SecretSource::Generate,
            Self::At(source) => source.clone(),
        }
    }
}

/// How the inventory gets a new user; `None` if it has this user already, as after an interrupted
/// run.
fn add(
    files: &ClusterFiles,
    there: Option<&Account>,
    new: Account,
    password: &NewPassword,
) -> Result<Option<UserEdit>, Error> {
    let path = files.state.secret_file(&secret_of(&new.name));
    match (there, password) {
        (Some(there), NewPassword::Random | NewPassword::At(_)) if *there == new => {
            Ok(None)
        }
        (Some(_), _) => Err(UserError::Known(new.name).into()),
        (None, NewPassword::Random | NewPassword::Given(_)) if path.exists() => {
            Err(UserError::LeftOver { user: new.name, path }.into())
        }
        (None, _) => Ok(Some(UserEdit::Add(new))),
    }
}

/// How the inventory loses a user; `None` if it has lost this user already, and hosts may not.
fn remove(
    files: &ClusterFiles,
    user: &str,
    there: Result<&Account, NoUser>,
) -> Result<Option<UserEdit>, Error> {
    let secret = files.state.secret_file(&secret_of(user));
    match (there, files.inventory.platform.users.as_slice()) {
        (Ok(_), [_]) => Err(UserError::Last(user.to_owned()).into()),
        (Ok(_), _) => Ok(Some(UserEdit::Remove(user.to_owned()))),
        (Err(_), _) if files.state.knows_user(user) || secret.exists() => Ok(None),
        (Err(unknown), _) => Err(UserError::from(unknown).into()),
    }
}

/// The password that a user has until now; `None` if it is not known. Makes none.
fn known(
    files: &ClusterFiles,
    user: &str,
    ctx: &RunContext<'_>,
) -> Result<Option<Secret>, Error> {
    match edit::user(&files.inventory, user) {
        Ok(account) if account.password != SecretSource::Generate => {
            Ok(password_of(files, account, ctx).ok())
        }
        _ => Ok(files.state.kept_secret(&secret_of(user))?),
    }
}

#[cfg(test)]
mod tests;
