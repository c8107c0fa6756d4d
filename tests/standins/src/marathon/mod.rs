//! The stand-in of Marathon 1.11.
//!
//! What it makes of the apps and groups that a client sends is in [`marathon_rules`]. In reading
//! order: [`settings`] are the flags; [`plan`] says in which steps what is wanted comes about;
//! [`goal`], [`constraint`], [`matching`] and [`task`] decide about instances;
//! [`core`] puts these together. All of that is pure. `member`, `api` and `prober` speak HTTP;
//! the store, the master and the election are in [`framework`].

mod api;
pub mod backoff;
pub mod constraint;
pub mod core;
pub mod goal;
pub mod instance;
pub mod label;
pub mod matching;
pub mod member;
pub mod plan;
mod prober;
pub mod settings;
pub mod task;

use crate::framework;

/// The name in the log.
const NAME: &str = "marathon";

/// The leader's side of a Marathon.
type Leader = framework::leader::Leader<core::Core>;
