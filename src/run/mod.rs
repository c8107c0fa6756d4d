//! Carries out decisions: asks hosts, changes them, and waits for the health that components
//! report.
//!
//! Nothing in here decides what should be done; it carries out a [`Plan`](crate::plan::Plan).

pub mod apply;
pub(crate) mod booted;
mod confirm;
pub mod gate;
pub(crate) mod health;
pub mod listener;
pub mod lock;
pub mod probe;
pub(crate) mod reach;
pub(crate) mod reboot;
pub(crate) mod registries;
mod steps;
pub mod units;
pub mod znodes;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::host::HostName;
use crate::remote::Remote;

/// The hosts that can be reached, each over its one connection.
pub type Fleet = BTreeMap<HostName, Arc<dyn Remote>>;
