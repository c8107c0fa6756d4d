//! A directory with an owner and a mode.

use super::file::{FileKind, FileState, wrong_access};
use super::questions::Questions;
use super::{Action, Change, Facts, HostPath, Key, Unknown};

/// A directory that a host should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Its path.
    pub path: HostPath,
    /// Its permissions.
    pub mode: u32,
    /// Its owner, by name or number.
    pub owner: String,
    /// Its group, by name or number.
    pub group: String,
    /// Whether it contains a component's data, which outlives the component: it is kept when
    /// everything else is removed, unless the operator gives `--purge`.
    pub data: bool,
}

impl Directory {
    pub(super) fn ask(&self, questions: &mut Questions) {
        questions.file(&self.path, None);
    }

    pub(super) fn diff(&self, facts: &Facts) -> Result<Option<Change>, Unknown> {
        let (verb, reason) = match facts.file(&self.path)? {
            FileState::Missing => ("make", "is missing".to_owned()),
            FileState::Present {
                kind: FileKind::Directory, mode, owner, group, ..
            } => {
                let want = (self.mode, self.owner.as_str(), self.group.as_str());
                match wrong_access((*mode, owner, group), want) {
                    Some(reason) => ("set access of", reason),
                    None => return Ok(None),
                }
            }
            FileState::Present { .. } => ("make", "is not a directory".to_owned()),
        };
        Ok(Some(Change {
            key: Key::Directory(self.path.clone()),
            verb,
            reason,
            diff: None,
            action: Action::MakeDirectory(self.clone()),
        }))
    }
}
