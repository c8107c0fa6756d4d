//! The scripts of resources, run for real on hosts that are folders.

mod absent;
mod apply;
mod crash;
mod host;
mod played;
mod probe;
mod property;
mod tree;
