//! Where machines come from: asks a provider what exists, makes what is missing, destroys.
//!
//! [`ssh`] has machines that exist, [`local`] makes containers of this computer that behave
//! like machines, [`aws`] instances of AWS EC2. A provider knows machines and nothing of what runs on them. Machines are
//! found again by what the provider itself keeps (names, labels, addresses), never by a file
//! of ours.

pub mod aws;
pub mod local;
pub mod ssh;

pub use crate::topology::Machine;
