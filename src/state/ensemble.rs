//! Whether the cluster's ZooKeeper ensemble has ever served.
//!
//! Members that all lost their data look like members that never had any. This note, which is not
//! kept on the members, tells the two cases apart.

use std::path::PathBuf;

use super::State;
use super::files::{self, StateError};

const NOTE: &[u8] =
    b"The ZooKeeper ensemble of this cluster has served, so no run forms a new one.\n\
                      Remove this file to let the next run form a new one.\n";

impl State {
    /// The note: it exists once the ensemble has served.
    pub fn ensemble_note(&self) -> PathBuf {
        self.folder.join("ensemble-served")
    }

    /// Whether the ensemble has ever served, according to this folder.
    pub fn ensemble_served(&self) -> bool {
        self.ensemble_note().exists()
    }

    /// Notes that the ensemble serves. Repeated, it changes nothing.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn note_ensemble(&self) -> Result<(), StateError> {
        files::keep(&self.ensemble_note(), || NOTE.to_vec()).map(drop)
    }

    /// Forgets that the ensemble served, once its data was removed on purpose. Repeated, it
    /// changes nothing.
    ///
    /// # Errors
    /// When the note cannot be removed.
    pub fn forget_ensemble(&self) -> Result<(), StateError> {
        files::remove(&self.ensemble_note())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::state;

    #[test]
    fn it_is_known_that_the_ensemble_served_until_that_is_forgotten() {
        let (_dir, state) = state();
        assert!(!state.ensemble_served());
        state.forget_ensemble().unwrap();
        for _ in 0..2 {
            state.note_ensemble().unwrap();
            assert!(state.ensemble_served());
        }
        state.forget_ensemble().unwrap();
        assert!(!state.ensemble_served());
    }
}
