//! What Marathon 1.11 makes of the JSON of apps and groups: what it refuses, what it drops without
//! a word, what it fills in, and when two apps are the same.
//!
//! Pure: no I/O, no clock. The rules stand here alone: the program uses them to say all that is
//! wrong with a file before it sends it, and its test double of Marathon to answer like the real
//! one. The tests check them against what a real Marathon 1.11.24 did.
//!
//! # The modules, in reading order
//!
//! - [`path`], [`finding`]: where something is in a body, and what is to be said of it.
//! - [`id`]: ids of apps and groups.
//! - [`shape`]: which members there are, and of which kind. [`normal`]: the old form becomes the
//!   new one, and what is missing gets its default. [`app`]: the result, as types. [`check`]: what
//!   Marathon's validation refuses. [`service_ports`]: the ports that it gives.
//! - [`root`]: all apps and groups of a Marathon. [`change`], [`group`]: one app, or a group, of
//!   what a client sends.
//! - [`compare`]: the differences of two apps.
//! - [`mod@file`]: what a file says, with [`advice`] on what Marathon takes.

pub mod advice;
pub mod app;
pub mod change;
pub mod check;
pub mod compare;
pub mod file;
pub mod finding;
pub mod group;
pub mod id;
pub mod normal;
pub mod path;
pub mod root;
pub mod service_ports;
pub mod shape;

pub use change::{Change, Rules};
pub use finding::{Finding, Kind};
pub use path::{Path, Step};

/// The members of an app or of a group.
pub type Spec = serde_json::Map<String, serde_json::Value>;
