//! Tests that look at the program from outside its modules.
#![cfg(test)]

mod fixture;
mod help;
mod images;
mod layers;
mod local;
mod registry;
mod remote;
mod report;
mod resource;
mod snapshot;
mod state;
