//! The scripts of resources, run on real folders that act as hosts.

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
