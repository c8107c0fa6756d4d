//! The stand-in of Chronos 3.0.2.
//!
//! In reading order: [`settings`] are the flags; [`schedule`] says when, [`job`] what, [`graph`]
//! after which others; [`task`] is one run of a job; [`core`] puts these together. All of that
//! is pure. `member` and `api` speak HTTP; the store, the master and the election are in
//! [`framework`].

mod answer;
mod api;
pub mod core;
pub mod graph;
pub mod job;
pub mod member;
pub mod schedule;
pub mod settings;
pub mod task;

use crate::framework;

/// The name in the log.
const NAME: &str = "chronos";

/// The leader's side of a Chronos.
type Leader = framework::leader::Leader<core::Core>;
