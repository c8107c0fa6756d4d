//! What is to be said of a body. Pure.

use crate::path::Path;

/// One thing to say of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub path: Path,
    /// What Marathon does about it.
    pub kind: Kind,
    /// What, as a fragment of a sentence.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// What Marathon does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Refuses it, as not of the right shape (422), with this word of its own.
    Shape(&'static str),
    /// Refuses it, as not valid (422).
    Invalid,
    /// Fails over it (500), without saying what is wrong.
    Fails,
    /// Takes it, and then stops working, for all apps.
    Stops,
    /// Drops it without a word.
    Dropped,
    /// Takes it, but it may not do what was meant.
    Doubtful,
    /// Works, and can be better.
    Advice,
}

impl Kind {
    /// Whether Marathon refuses what has this.
    pub fn refuses(self) -> bool {
        matches!(self, Self::Shape(_) | Self::Invalid | Self::Fails)
    }
}

impl Finding {
    /// Something to say.
    pub fn new(path: Path, kind: Kind, message: impl Into<String>) -> Self {
        Self { path, kind, message: message.into(), help: None }
    }

    /// Something that is not valid.
    pub fn invalid(path: Path, message: impl Into<String>) -> Self {
        Self::new(path, Kind::Invalid, message)
    }

    /// The same, with what to write instead.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same, in a body that is at `place` in a larger one.
    #[must_use]
    pub fn within(self, place: &Path) -> Self {
        Self { path: place.then(&self.path), ..self }
    }
}
