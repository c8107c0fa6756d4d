//! Which machines an unfinished `add-node` has to add.
//!
//! The note is written before the inventory is changed, and removed once each new machine is
//! proved. So if a run is cut off and the same command is given again, it means the same machines
//! and not more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::State;
use super::files::{self, StateError};
use crate::host::HostName;

/// An unfinished `add-node`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addition {
    /// When it began.
    pub since: Timestamp,
    /// The group that gets more machines.
    pub group: String,
    /// How many machines it had before.
    pub n_before: usize,
    /// Which machines were asked for.
    pub asked: Asked,
    /// All machines that the cluster had before.
    pub known: BTreeSet<HostName>,
}

/// Which machines were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// This number of machines, which the provider makes.
    Machines(u16),
    /// These machines, which exist already.
    Hosts(Vec<AskedHost>),
}

/// A machine that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedHost {
    /// Its address.
    pub address: IpAddr,
    /// Its name.
    pub name: HostName,
    /// The attributes of its agent.
    pub attributes: BTreeMap<String, String>,
}

impl State {
    /// The unfinished `add-node`; `None` if there is none, or if the note cannot be understood,
    /// such as one of another version of this program.
    ///
    /// # Errors
    /// When the note cannot be read.
    pub fn addition(&self) -> Result<Option<Addition>, StateError> {
        let bytes = files::read(&self.addition_note())?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Notes that an `add-node` has begun.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn note_addition(&self, addition: &Addition) -> Result<(), StateError> {
        let bytes = serde_json::to_vec(addition).expect("names and numbers are JSON");
        files::write(&self.addition_note(), &bytes)
    }

    /// Forgets the unfinished `add-node`. Repeated, it changes nothing.
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
