//! What an `add-node` that is under way was asked for.
//!
//! The note is written before the inventory is, and goes once each new machine is proved. So
//! the same words given again, after a run that was cut off, are known to mean the same
//! machines and not further ones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::State;
use super::files::{self, StateError};
use crate::host::HostName;

/// An `add-node` that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addition {
    /// When.
    pub since: Timestamp,
    /// The group that gets more machines.
    pub group: String,
    /// How many machines it had before.
    pub n_before: usize,
    /// Which machines it gets.
    pub asked: Asked,
    /// All machines of the cluster that ran before.
    pub known: BTreeSet<HostName>,
}

/// Which machines were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// So many that the provider makes.
    Machines(u16),
    /// These, which exist.
    Hosts(Vec<AskedHost>),
}

/// A machine that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedHost {
    /// Its address.
    pub address: IpAddr,
    /// Its name.
    pub name: HostName,
    /// What its agent says of itself.
    pub attributes: BTreeMap<String, String>,
}

impl State {
    /// The `add-node` that is under way; none where there is none, or the note makes no sense,
    /// as one of another version of this program may.
    ///
    /// # Errors
    /// When the note cannot be read.
    pub fn addition(&self) -> Result<Option<Addition>, StateError> {
        let bytes = files::read(&self.addition_note())?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Notes that an `add-node` is under way.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn note_addition(&self, addition: &Addition) -> Result<(), StateError> {
        let bytes = serde_json::to_vec(addition).expect("names and numbers are JSON");
        files::write(&self.addition_note(), &bytes)
    }

    /// Forgets the `add-node` that was under way. Repeated, it changes nothing.
    ///
    /// # Errors
    /// When the note cannot be removed.
    pub fn forget_addition(&self) -> Result<(), StateError> {
        files::remove(&self.addition_note())
    }

    fn addition_note(&self) -> PathBuf {
        self.folder.join("add-node.json")
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::state;
    use super::*;

    #[test]
    fn an_addition_is_known_until_it_is_forgotten() {
        let (_dir, state) = state();
        assert_eq!(state.addition().unwrap(), None);
        state.forget_addition().unwrap();
        let host = AskedHost {
            address: [10, 0, 0, 9].into(),
            name: "w9".parse().unwrap(),
            attributes: [("rack".to_owned(), "a".to_owned())].into(),
        };
        let addition = Addition {
            since: Timestamp::UNIX_EPOCH,
            group: "workers".to_owned(),
            n_before: 3,
            asked: Asked::Hosts(vec![host]),
            known: ["control-1".parse().unwrap()].into(),
        };
        state.note_addition(&addition).unwrap();
        assert_eq!(state.addition().unwrap(), Some(addition));
        std::fs::write(state.addition_note(), b"{\"since\": 1}").unwrap();
        assert_eq!(state.addition().unwrap(), None);
        state.forget_addition().unwrap();
        assert!(!state.addition_note().exists());
    }
}
