//! One master's copy of the registry, on disk, and the rules by which copies agree.
//!
//! It stands for Mesos' replicated log and keeps what matters of it: a copy that is empty takes no
//! part until all 2·quorum−1 are there and empty, or until a quorum can tell it what it missed;
//! a leader first wins the promise of a quorum, and every write is on disk at a quorum.
//! Invariant: nothing is answered before it is on disk.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::registry::Registry;
use crate::mesos::durable::write_durably;

/// Whether a copy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Status {
    /// It has never held anything, or has lost it.
    Empty,
    /// It has seen that all are empty.
    Starting,
    /// It counts.
    Voting,
}

/// Which of two registries is the later: by the leader's epoch, then by its writes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
pub(super) struct Version {
    /// The leader's epoch.
    pub(super) epoch: u64,
    /// The write of that leader.
    pub(super) position: u64,
}

/// All that a replica holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Copy {
    /// Whether it counts.
    pub(super) status: Status,
    /// The epoch below which no leader is obeyed.
    pub(super) promised: u64,
    /// The version of the registry.
    pub(super) version: Version,
    /// The registry.
    pub(super) registry: Registry,
}

/// A leader's wish to write.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Proposal {
    /// The version to write.
    pub(super) version: Version,
    /// The registry to write.
    pub(super) registry: Registry,
}

/// A copy on disk.
#[derive(Debug)]
pub(super) struct Replica {
    path: PathBuf,
    copy: Copy,
}

impl Replica {
    /// Reads the copy below a master's work folder, or begins an empty one.
    ///
    /// # Errors
    /// When the folder cannot be used, or holds something else.
    pub(super) fn open(work_dir: &Path) -> io::Result<Self> {
        let folder = work_dir.join("replicated_log");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("registry.json");
        let copy = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Copy {
                status: Status::Empty,
                promised: 0,
                version: Version::default(),
                registry: Registry::default(),
            },
            Err(error) => return Err(error),
        };
        Ok(Self { path, copy })
    }

    /// What it holds.
    pub(super) fn copy(&self) -> &Copy {
        &self.copy
    }

    /// Promises to obey no leader before this epoch; `None` when it has promised more.
    ///
    /// # Errors
    /// When the disk fails; then nothing is promised.
    pub(super) fn promise(&mut self, epoch: u64) -> io::Result<Option<&Copy>> {
        if self.copy.status != Status::Voting || epoch <= self.copy.promised {
            return Ok(None);
        }
        self.store(Copy { promised: epoch, ..self.copy.clone() })?;
        Ok(Some(&self.copy))
    }

    /// Takes a leader's write; `false` when another leader has the promise.
    ///
    /// # Errors
    /// When the disk fails; then nothing is written.
    pub(super) fn write(&mut self, proposal: Proposal) -> io::Result<bool> {
        let Proposal { version, registry } = proposal;
        let obeyed = self.copy.status == Status::Voting
            && version.epoch >= self.copy.promised
            && version >= self.copy.version;
        if obeyed {
            let promised = version.epoch;
            self.store(Copy { status: Status::Voting, promised, version, registry })?;
        }
        Ok(obeyed)
    }

    /// Moves one step towards counting, given the copies of all that answer, itself included.
    ///
    /// # Errors
    /// When the disk fails; then nothing has changed.
    pub(super) fn settle(&mut self, all: &[Copy], rules: Rules) -> io::Result<()> {
        let of = |status: Status| all.iter().filter(move |copy| copy.status == status);
        let n_voting = of(Status::Voting).count();
        let (n_empty, n_starting) =
            (of(Status::Empty).count(), of(Status::Starting).count());
        let next = match self.copy.status {
            Status::Voting => return Ok(()),
            _ if n_voting >= rules.quorum => caught_up(of(Status::Voting)),
            Status::Empty
                if rules.initialises && n_empty + n_starting >= rules.n_all() =>
            {
                Copy { status: Status::Starting, ..self.copy.clone() }
            }
            Status::Starting if n_starting + n_voting >= rules.n_all() => {
                Copy { status: Status::Voting, ..self.copy.clone() }
            }
            _ => return Ok(()),
        };
        self.store(next)
    }

    fn store(&mut self, copy: Copy) -> io::Result<()> {
        write_durably(&self.path, &serde_json::to_vec(&copy)?)?;
        self.copy = copy;
        Ok(())
    }
}

/// How many copies must agree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Enough for a write to last.
    pub(super) quorum: usize,
    /// Whether empty copies may begin by themselves.
    pub(super) initialises: bool,
}

impl Rules {
    /// How many masters there are to be.
    pub(super) fn n_all(self) -> usize {
        2 * self.quorum - 1
    }
}

/// What an empty copy becomes from a quorum that it was not part of.
fn caught_up<'a>(voting: impl Iterator<Item = &'a Copy>) -> Copy {
    let mut latest: Option<Copy> = None;
    for copy in voting {
        let promised = latest.as_ref().map_or(0, |l| l.promised).max(copy.promised);
        let newer = latest.as_ref().is_none_or(|l| l.version < copy.version);
        if newer {
            latest = Some(copy.clone());
        }
        if let Some(latest) = &mut latest {
            latest.promised = promised;
        }
    }
    latest.unwrap_or_else(|| unreachable!("a quorum has at least one copy"))
}

#[cfg(test)]
mod tests {
    use super::super::registry::Change;
    use super::*;

    const RULES: Rules = Rules { quorum: 2, initialises: true };

    struct Ensemble {
        replicas: Vec<Replica>,
        _folders: Vec<tempfile::TempDir>,
    }

    fn ensemble(n: usize) -> Ensemble {
        let folders: Vec<_> = (0..n).map(|_| tempfile::tempdir().unwrap()).collect();
        let replicas = folders.iter().map(|f| Replica::open(f.path()).unwrap()).collect();
        Ensemble { replicas, _folders: folders }
    }

    impl Ensemble {
        fn settle(&mut self, present: &[usize]) {
            for _ in 0..3 {
                for own in present {
                    let all: Vec<Copy> = present
                        .iter()
                        .map(|i| self.replicas[*i].copy().clone())
                        .collect();
                    self.replicas[*own].settle(&all, RULES).unwrap();
                }
            }
        }

        fn statuses(&self) -> Vec<Status> {
            self.replicas.iter().map(|replica| replica.copy().status).collect()
        }
    }

    fn proposal(epoch: u64, position: u64, gone: &str) -> Proposal {
        let mut registry = Registry::default();
        registry.apply(&Change::MarkGone(gone.to_owned(), 1.0));
        Proposal { version: Version { epoch, position }, registry }
    }

    #[test]
    fn copies_begin_only_when_all_are_there_and_empty() {
        let mut ensemble = ensemble(3);
        ensemble.settle(&[0, 1]);
        assert_eq!(ensemble.statuses(), [Status::Empty; 3]);
        ensemble.settle(&[0, 1, 2]);
        assert_eq!(ensemble.statuses(), [Status::Voting; 3]);
    }

    #[test]
    fn a_new_copy_learns_from_a_quorum_and_not_from_fewer() {
        let mut ensemble = ensemble(4);
        ensemble.settle(&[0, 1, 2]);
        for i in [0, 1] {
            assert!(ensemble.replicas[i].promise(1).unwrap().is_some());
            assert!(ensemble.replicas[i].write(proposal(1, 1, "S1")).unwrap());
        }
        ensemble.settle(&[0, 3]);
        assert_eq!(ensemble.replicas[3].copy().status, Status::Empty);
        ensemble.settle(&[0, 2, 3]);
        let copy = ensemble.replicas[3].copy();
        assert_eq!((copy.status, copy.promised), (Status::Voting, 1));
        assert!(copy.registry.gone.contains_key("S1"));
    }

    #[test]
    fn an_earlier_leader_is_no_longer_obeyed_even_after_a_restart() {
        let mut ensemble = ensemble(3);
        ensemble.settle(&[0, 1, 2]);
        let replica = &mut ensemble.replicas[0];
        assert!(replica.promise(1).unwrap().is_some());
        assert!(replica.write(proposal(1, 1, "S1")).unwrap());
        assert!(replica.promise(2).unwrap().is_some());
        let mut again = Replica::open(ensemble._folders[0].path()).unwrap();
        assert!(!again.write(proposal(1, 2, "S2")).unwrap());
        assert!(again.promise(2).unwrap().is_none());
        assert!(again.copy().registry.gone.contains_key("S1"));
    }
}
