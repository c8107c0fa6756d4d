//! Tests that look at the program from outside its modules.

mod help;
mod layers;
mod report;
mod snapshot;
