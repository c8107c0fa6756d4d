//! Parses the command line, runs the verb and turns the result into an exit code.

fn main() {}
