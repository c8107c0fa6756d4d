//! What a run began and has not ended: a removal, or a proof.
//!
//! A note is written before each of them begins, and removed once it has ended well. So if a run
//! is killed, the next run finds the note and continues.

use std::path::PathBuf;

use super::State;
use super::files::{self, StateError};

const REMOVAL: &[u8] =
    b"A `platform down` has begun to remove this cluster and its data, and has \
                         not ended.\nThe next `platform down` or `platform up` continues it.\n";

const PROOF: &[u8] =
    b"A `platform up` has changed this cluster, and has not yet proved that it \
                       works.\nThe next `platform up` proves it.\n";

impl State {
    /// Whether a removal of the whole cluster with its data has begun and not ended.
    pub fn removal_is_open(&self) -> bool {
        self.removal_note().exists()
    }

    /// Notes that such a removal begins, and removes the notes about what it removes: so this
    /// folder never describes what no longer exists. Repeated, it changes nothing.
    ///
    /// # Errors
    /// When the note cannot be written, or another note cannot be removed.
    pub fn begin_removal(&self) -> Result<(), StateError> {
        files::keep(&self.removal_note(), || REMOVAL.to_vec())?;
        self.forget_ensemble()?;
        self.forget_addition()?;
        self.end_proof()
    }

    /// Notes that the removal has ended, or that the rest of the cluster has to stay. Repeated,
    /// it changes nothing.
    ///
    /// # Errors
    /// When the note cannot be removed.
    pub fn end_removal(&self) -> Result<(), StateError> {
        files::remove(&self.removal_note())
    }

    /// Whether the cluster was changed and no proof has shown yet that it works.
    pub fn proof_is_open(&self) -> bool {
        self.proof_note().exists()
    }

    /// Notes that the cluster has to be proved. Repeated, it changes nothing.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn begin_proof(&self) -> Result<(), StateError> {
        files::keep(&self.proof_note(), || PROOF.to_vec()).map(drop)
    }

    /// Notes that the cluster is proved. Repeated, it changes nothing.
    ///
    /// # Errors
    /// When the note cannot be removed.
    pub fn end_proof(&self) -> Result<(), StateError> {
        files::remove(&self.proof_note())
    }

    fn removal_note(&self) -> PathBuf {
        self.folder.join("removal-begun")
    }

    fn proof_note(&self) -> PathBuf {
        self.folder.join("proof-due")
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::state;

    #[test]
    fn a_removal_that_begins_leaves_nothing_known_of_what_it_takes_away() {
        let (_dir, state) = state();
        state.note_ensemble().unwrap();
        state.begin_proof().unwrap();
        for _ in 0..2 {
            state.begin_removal().unwrap();
            assert!(state.removal_is_open());
            assert!(!state.ensemble_served() && !state.proof_is_open());
        }
        for _ in 0..2 {
            state.end_removal().unwrap();
            assert!(!state.removal_is_open());
        }
    }

    #[test]
    fn a_proof_is_due_until_it_has_ended() {
        let (_dir, state) = state();
        assert!(!state.proof_is_open());
        state.end_proof().unwrap();
        for _ in 0..2 {
            state.begin_proof().unwrap();
            assert!(state.proof_is_open());
        }
        state.end_proof().unwrap();
        assert!(!state.proof_is_open());
    }
}
