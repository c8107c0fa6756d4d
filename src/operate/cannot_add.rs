//! Why machines cannot be added to a cluster.

use crate::inventory::edit::NoGroup;

/// Why machines cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum CannotAdd {
    /// It is not clear which group is meant.
    #[error(transparent)]
    NoGroup(#[from] NoGroup),
    /// Machines of this provider are added in another way.
    #[error("{0}")]
    OtherWay(&'static str),
    /// The group is a quorum.
    #[error(
        "group `{0}` decides by a majority: its members must change one at a time in a safe \
         order, and `add-node` cannot do that; nothing was changed"
    )]
    Quorum(String),
    /// An earlier `add-node` is not finished.
    #[error(
        "the add-node of {what} that began at {since} is not finished: run that same command \
         again, or run `platform up`, and then add more"
    )]
    Unfinished {
        /// The machines, and the group that they are added to.
        what: String,
        /// When it began.
        since: String,
    },
    /// Some machines do not run.
    #[error(
        "these machines of the inventory do not run: {}; run `platform up` to start them; \
         nothing was changed",
        .0.join(", ")
    )]
    NotRunning(Vec<String>),
    /// The cluster does not work.
    #[error(
        "no machine can join: {0}; see `platform status`, and run `platform up` first; \
         nothing was changed"
    )]
    NotUp(String),
}
