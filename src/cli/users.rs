//! `platform users`

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use super::args::{Global, Output, PasswordArgs, UsersLs, UsersVerb, Who};
use super::exit::Exit;
use super::session::{Session, SessionKind};
use super::{error, print, print_json};
use crate::inventory::SecretSource;
use crate::operate::users::{NewPassword, Request, UserChange, change, list};
use crate::secret::Secret;

/// No password is longer.
const LONGEST_BYTES: usize = 4096;

pub(super) async fn run(verb: &UsersVerb, global: &Global) -> Exit {
    match verb {
        UsersVerb::Ls(args) => ls(args, global).await,
        UsersVerb::Add(args) => {
            let add = |password| UserChange::Add { password, push: !args.no_push };
            work(&args.who, Some(&args.password), add, global).await
        }
        UsersVerb::Rm(args) => {
            work(&args.who, None, |_| UserChange::Remove, global).await
        }
        UsersVerb::Passwd(args) => {
            work(&args.who, Some(&args.password), UserChange::Password, global).await
        }
    }
}

async fn ls(args: &UsersLs, global: &Global) -> Exit {
    let inventory = &args.inventory.inventory;
    let session = match Session::open(inventory, global, SessionKind::Facts) {
        Ok(session) => session,
        Err(exit) => return exit,
    };
    let users = match list(&session.files, &session.ctx).await {
        Ok(users) => users,
        Err(error) => return error::report(&error),
    };
    match (global.output, serde_json::to_value(&users)) {
        (Output::Json, Ok(document)) => print_json(&document),
        (Output::Json, Err(error)) => error::tell(&error, Exit::Failed),
        (Output::Human, _) => {
            let mut text = String::new();
            // Writing to a string does not fail.
            let _ = users.show(&mut text);
            print(&text)
        }
    }
}

async fn work(
    who: &Who,
    password: Option<&PasswordArgs>,
    change_to: impl FnOnce(NewPassword) -> UserChange,
    global: &Global,
) -> Exit {
    let (inventory, user) = match who.target() {
        Ok(target) => target,
        Err(error) => error.exit(),
    };
    let new = match password.map(|args| args.new_password(inventory)) {
        None => NewPassword::Random,
        Some(Ok(new)) => new,
        Some(Err(error)) => return error::tell(&error, Exit::Usage),
    };
    let request = Request { user: user.to_owned(), change: change_to(new) };
    let again = format!("platform up {}", inventory.display());
    match Session::open_for(inventory, global, SessionKind::Work("users"), Some(again)) {
        Ok(session) => {
            let work = change(&session.files, &request, who.yes, &session.ctx);
            session.run(work).await
        }
        Err(exit) => exit,
    }
}

impl PasswordArgs {
    /// The new password, or where each run finds it.
    ///
    /// # Errors
    /// When standard input has none.
    fn new_password(&self, inventory: &Path) -> io::Result<NewPassword> {
        Ok(match (&self.password_env, &self.password_file) {
            (Some(variable), _) => NewPassword::At(SecretSource::Env(variable.clone())),
            (None, Some(file)) => {
                NewPassword::At(SecretSource::File(beside(inventory, file)?))
            }
            (None, None) if self.password_stdin => NewPassword::Given(typed()?),
            (None, None) => NewPassword::Random,
        })
    }
}

/// A file of the command line as an inventory names it: relative to the inventory's folder, if it
/// is in there.
fn beside(inventory: &Path, file: &Path) -> io::Result<PathBuf> {
    let (inventory, file) = (std::path::absolute(inventory)?, std::path::absolute(file)?);
    let inside = inventory.parent().and_then(|folder| file.strip_prefix(folder).ok());
    Ok(inside.map_or(file.clone(), Path::to_owned))
}

/// The password that is the first line of standard input.
fn typed() -> io::Result<Secret> {
    let refused = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why);
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        return Err(refused(
            "standard input is a terminal, which would show the password: pipe the password in, \
             or use `--password-file`",
        ));
    }
    let mut text = String::with_capacity(LONGEST_BYTES);
    stdin.by_ref().take(LONGEST_BYTES as u64).read_to_string(&mut text)?;
    let text = Secret::new(text);
    match text.expose().lines().next().unwrap_or_default() {
        "" => Err(refused("standard input has no password on its first line")),
        line => Ok(Secret::new(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beside_the_inventory_stays_there_when_both_move() {
        let of = |inventory, file| beside(Path::new(inventory), Path::new(file)).unwrap();
        assert_eq!(of("/lab/lab.yaml", "/lab/keys/pw"), Path::new("keys/pw"));
        assert_eq!(of("/lab/lab.yaml", "/etc/pw"), Path::new("/etc/pw"));
        assert_eq!(of("lab.yaml", "pw"), Path::new("pw"));
    }
}
