//! Why machines cannot be added to a cluster.

use std::path::PathBuf;

use crate::inventory::edit::{self, NoGroup};

/// Why machines cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum CannotAdd {
    /// No group can be told.
    #[error(transparent)]
    NoGroup(#[from] NoGroup),
    /// Machines of this provider come another way.
    #[error("{0}")]
    OtherWay(&'static str),
    /// The inventory cannot be edited.
    #[error("{} cannot be edited", path.display())]
    Edit {
        /// The inventory.
        path: PathBuf,
        /// Why.
        source: edit::Refused,
    },
    /// Members of a quorum.
    #[error(
        "group `{0}` decides by a majority: its members change one at a time, in an order of \
         its own, which `add-node` is not made for; nothing was changed"
    )]
    Quorum(String),
    /// An earlier one has not ended.
    #[error(
        "the add-node of {what} that was begun at {since} is not finished: give the same \
         words again, or run `platform up`, and then add more"
    )]
    Unfinished {
        /// What was asked for.
        what: String,
        /// When.
        since: String,
    },
    /// Machines that do not run.
    #[error(
        "these machines of the inventory do not run: {}; `platform up` brings them back; \
         nothing was changed",
        .0.join(", ")
    )]
    NotRunning(Vec<String>),
    /// The cluster does not work.
    #[error(
        "no machine can join: {0}; see `platform status`, and let `platform up` finish first; \
         nothing was changed"
    )]
    NotUp(String),
    /// The operator said no to changes on hosts that are not new.
    #[error("not agreed to: no host was changed")]
    Declined,
    /// The inventory is not what was edited.
    #[error("{} was changed while this ran: nothing was written to it", .0.display())]
    ChangedMeanwhile(PathBuf),
}
