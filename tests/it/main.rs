//! Tests that look at the program from outside its modules.

mod report;
mod snapshot;
