//! Edits the inventory: first in memory, and on the disk once the operator has agreed.

use std::path::Path;

use super::RunContext;
use super::cluster_files::{self, ClusterFiles, ClusterFilesError};
use super::error::Error;
use crate::component::Stage;
use crate::inventory::edit::{Edited, Refused};
use crate::progress::{StageReport, StepReport, outcome};

impl ClusterFiles {
    /// The inventory's text, and what an edit makes of it; writes nothing. `with` names what is new
    /// in it, for a message about faults: `with these machines in it`.
    ///
    /// # Errors
    /// When the text cannot be edited so that it means what was asked for and nothing else.
    pub(super) fn edited(
        &self,
        with: &str,
        edit: impl FnOnce(&str, &dyn Fn(&Path) -> bool) -> Result<Edited, Refused>,
    ) -> Result<(String, Edited), Error> {
        let before = cluster_files::read(&self.path)?;
        let folder = self.folder();
        let exists = |file: &Path| cluster_files::exists(&folder, file);
        match edit(&before, &exists) {
            Ok(edited) => Ok((before, edited)),
            Err(Refused::Faults { text, faults }) => {
                let path = format!("{}, {with},", self.path.display());
                Err(ClusterFilesError::Faults { path: path.into(), text, faults }.into())
            }
            Err(source) => Err(Error::Edit { path: self.path.clone(), source }),
        }
    }

    /// Writes an edited inventory, which has to be as it was read, and reports that as a step.
    /// `note` is called just before the writing.
    ///
    /// # Errors
    /// When a file cannot be written, or the inventory was changed meanwhile.
    pub(super) fn write_edited(
        &self,
        (before, edited): (&str, &Edited),
        step: &str,
        note: impl FnOnce() -> Result<(), Error>,
        ctx: &RunContext<'_>,
    ) -> Result<(), Error> {
        ctx.begin("writing the inventory")?;
        let write = || -> Result<(), Error> {
            if cluster_files::read(&self.path)? != before {
                return Err(ClusterFilesError::ChangedMeanwhile(self.path.clone()).into());
            }
            note()?;
            Ok(cluster_files::rewrite(&self.path, &edited.text)?)
        };
        let stage = StageReport::begin(&ctx.events, Stage::Inventory, Vec::new(), 1);
        let report = StepReport::begin(&ctx.events, stage.name(), None, step);
        let done = write();
        report.end(outcome(&done));
        stage.end(done.is_ok());
        done
    }
}
