//! The stand-in of Marathon 1.11.
//!
//! In reading order: [`settings`] are the flags; [`shape`], [`normal`], [`check`] and
//! [`app`] make an app of what a client sends; [`root`] and [`plan`] say what is wanted and in
//! which steps; [`goal`], [`constraint`], [`matching`] and [`task`] decide about instances;
//! [`core`] puts these together. All of that is pure. `member`, `api` and `prober` speak HTTP;
//! the store, the master and the election are in [`framework`].

mod api;
pub mod app;
pub mod backoff;
pub mod check;
pub mod constraint;
pub mod core;
pub mod goal;
pub mod id;
pub mod instance;
pub mod label;
pub mod matching;
pub mod member;
pub mod normal;
pub mod plan;
mod prober;
pub mod root;
pub mod service_ports;
pub mod settings;
pub mod shape;
pub mod task;

use crate::framework;

/// The name in the log.
const NAME: &str = "marathon";

/// The leader's side of a Marathon.
type Leader = framework::leader::Leader<core::Core>;
