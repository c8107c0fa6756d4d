//! The copier: it copies to the image registry of its host what the registries of the other edge
//! hosts have. One instance runs on each edge host, and writes only to the registry there.
//!
//! A registry checks a password for every request, which takes it a tenth of a second of a
//! processor. So the copier does not ask registries what they have: it reads the folder of its own
//! registry, and asks the other copiers what they read. Only what is copied goes through registries.
//!
//! # The modules, in reading order
//!
//! **Modules that decide**: pure, without I/O and clock.
//!
//! - [`names`]: repositories, tags and digests that are safe in an address. [`holdings`]: what a
//!   registry has.
//! - [`book`]: when each tag was pushed (only keeping it in a file is I/O). [`lacking`]: what is to
//!   be copied. [`manifest`]: the parts of an image.
//! - [`settings`]: what the copier is told (only reading the file is I/O).
//!
//! **Modules that act**, with a deadline on every call.
//!
//! - [`folder`]: reads the folder of the registry. [`registry`]: asks a registry. [`copy`]: copies
//!   one image.
//! - [`run`]: the loop. [`status`]: what the copier tells, to other copiers too.
//!
//! # Rules
//!
//! - The parts of an image come first, then its manifest, then its tag. So nothing that is half
//!   copied is ever taken for whole, and everything is checked against its digest.
//! - Of two pushes of one tag, the later one wins, on all hosts: see [`book`].
//! - An image that cannot be copied is tried again later, and holds no other image up.
//! - Nothing is ever removed.

pub mod book;
pub mod copy;
pub mod folder;
pub mod holdings;
pub mod lacking;
pub mod manifest;
pub mod names;
pub mod registry;
pub mod run;
pub mod settings;
pub mod status;
