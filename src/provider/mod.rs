//! Where machines come from: asks a provider what exists, makes what is missing, destroys.
//!
//! A provider knows machines and nothing of what runs on them. Machines are found again by
//! what the provider itself keeps (names, labels, addresses), never by a local file.

pub use crate::topology::Machine;
