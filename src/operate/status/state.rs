//! The state of a service: a value first, and a text only where it is shown.

use std::fmt;

use serde::{Serialize, Serializer};

/// The state of a service on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceState {
    /// It serves. The text says how: `leads`, `registered`, ….
    Serves(&'static str),
    /// It cannot be asked, which is a problem of another service.
    NotKnown(&'static str),
    /// It does not serve. The text says why.
    Faulty(String),
}

impl ServiceState {
    /// A service that does not serve, and why.
    pub(super) fn faulty(why: impl Into<String>) -> Self {
        Self::Faulty(why.into())
    }

    /// Whether it is a problem of this service.
    pub fn is_faulty(&self) -> bool {
        matches!(self, Self::Faulty(_))
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serves(text) | Self::NotKnown(text) => text,
            Self::Faulty(text) => text,
        })
    }
}

impl Serialize for ServiceState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
