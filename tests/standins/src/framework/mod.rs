//! What Marathon and Chronos have in common.
//!
//! Both are Scala services: one option parser, one way to ask for a password, one kind of
//! election, one habit of answering through the leader. What only one of them does stays there:
//! a program brings its table of flags, a [`Service`](node::Service) that answers requests and a
//! [`Core`](leader::Core) that decides.

pub mod credentials;
pub mod driver;
pub mod effect;
pub mod leader;
pub mod link;
pub mod node;
pub mod offer;
pub mod options;
pub mod proxy;
pub mod setup;
pub mod store;

use std::io::Write as _;

/// One line for whoever watches the process.
pub(crate) fn log(name: &str, line: &str) {
    // Nothing can be done when nobody reads it.
    writeln!(std::io::stderr(), "{name}: {line}").unwrap_or_default();
}

/// A time as both write it.
pub(crate) fn stamp(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
