//! A path at which a host should have nothing.
//!
//! For what a component left behind and must not find again. It is nothing that an earlier run
//! brought: what nobody wants any more of that goes by itself.

use super::file::FileState;
use super::questions::Questions;
use super::{Action, Change, Facts, HostPath, Key, Unknown};

/// A file or a link that a host should not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Where.
    pub path: HostPath,
    /// Why it goes, as the plan shows it.
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
