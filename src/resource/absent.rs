//! A path at which a host should have nothing.
//!
//! For a file that a component left behind and must not find again. The file was not installed by
//! an earlier run: what a run installed is removed by itself once it is no longer wanted.

use super::file::FileState;
use super::questions::Questions;
use super::{Action, Change, Facts, HostPath, Key, Unknown};

/// A file or a link that a host should not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Its path.
    pub path: HostPath,
    /// Why it is removed, as the plan shows it.
    pub reason: String,
}

impl Absent {
    pub(super) fn ask(&self, questions: &mut Questions) {
        questions.path(&self.path);
    }

    pub(super) fn diff(&self, facts: &Facts) -> Result<Option<Change>, Unknown> {
        let change = || Change {
            key: Key::File(self.path.clone()),
            verb: "remove",
            reason: self.reason.clone(),
            diff: None,
            action: Action::Remove(self.path.clone()),
        };
        Ok((*facts.file(&self.path)? != FileState::Missing).then(change))
    }
}
