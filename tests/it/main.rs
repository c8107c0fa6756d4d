//! Tests that use the program from outside its modules.
#![cfg(test)]

mod access;
mod any_folder;
mod calls;
mod cluster;
mod component;
mod cost;
mod edge;
mod fake;
mod firewall;
mod fixture;
mod help;
mod here;
mod images;
mod layers;
mod memory;
mod pins;
mod plan;
mod registry;
mod remote;
mod report;
mod resource;
mod run;
mod snapshot;
mod state;
