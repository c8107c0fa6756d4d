//! Tests that look at the program from outside its modules.

mod help;
mod report;
mod snapshot;
