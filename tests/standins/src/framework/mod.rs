//! What Marathon and Chronos have in common.
//!
//! Both are Scala services: one option parser, one way to ask for a password, one kind of
//! election, one habit of answering through the leader. What only one of them does stays there.

pub mod credentials;
pub mod driver;
pub mod offer;
pub mod options;
pub mod proxy;
pub mod store;
