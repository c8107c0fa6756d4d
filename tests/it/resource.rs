//! The scripts of resources, run for real on hosts that are folders.

mod absent;
mod apply;
mod crash;
mod engine;
mod host;
mod packages;
mod played;
mod probe;
mod property;
mod tree;
