//! A system user.

use serde::Deserialize;

use super::questions::Questions;
use super::{Action, Change, Facts, Key, Unknown};

/// A system user that a host should have, with a group of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its login shell.
    pub shell: String,
}

/// A user's state on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserState {
    /// There is no user of that name.
    Missing,
    /// There is one, with this login shell.
    Present {
        /// The login shell.
        shell: String,
    },
}

impl User {
    pub(super) fn ask(&self, questions: &mut Questions) {
        questions.user(&self.name);
    }

    pub(super) fn diff(&self, facts: &Facts) -> Result<Option<Change>, Unknown> {
        let (verb, reason) = match facts.user(&self.name)? {
            UserState::Missing => ("add", "is missing".to_owned()),
            UserState::Present { shell } if *shell != self.shell => {
                ("set shell of", format!("shell is {shell}, not {}", self.shell))
            }
            UserState::Present { .. } => return Ok(None),
        };
        Ok(Some(Change {
            key: Key::User(self.name.clone()),
            verb,
            reason,
            diff: None,
            action: Action::AddUser(self.clone()),
        }))
    }
}

/// The part of the probe about users. Users that are not in the host's own file are looked up with
/// `getent`, which uses the host's other sources and ends with 2 if there is no such user.
pub(super) fn script(questions: &Questions) -> Option<String> {
    let names: Vec<String> = questions.users().map(|name| format!("'{name}'")).collect();
    (!names.is_empty()).then(|| {
        format!(
            r#"for name in {names}; do
  entry=
  while IFS= read -r line; do
    case $line in "$name":*) entry=$line && break ;; esac
  done </etc/passwd
  [ "$entry" ] || entry=$(getent passwd "$name")
  case $? in
    0) printf '{{"q":"user","name":"%s","shell":"%s"}}\n' "$name" "${{entry##*:}}" ;;
    2) printf '{{"q":"user","name":"%s"}}\n' "$name" ;;
  esac
done
"#,
            names = names.join(" ")
        )
    })
}

/// A user; without a shell if the user does not exist.
#[derive(Debug, Deserialize)]
pub(super) struct UserLine {
    name: String,
    shell: Option<String>,
}

impl UserLine {
    pub(super) fn add_to(self, facts: &mut Facts) -> Option<()> {
        let state = match self.shell {
            Some(shell) => UserState::Present { shell },
            None => UserState::Missing,
        };
        facts.users.insert(self.name, state);
        Some(())
    }
}
