//! What the programs of this project share that run on edge hosts.
//!
//! - [`mod@start`]: the arguments, the settings and the exit codes. [`settings`]: reads a file of
//!   settings.
//! - [`journal`]: the log. [`pages`]: answers those who ask how it goes, also in the format of
//!   Prometheus.

pub mod journal;
pub mod pages;
pub mod settings;
pub mod start;
