//! Parses the command line, runs the verb and turns the result into an exit code.

use std::process::ExitCode;

use clap::Parser;
use platform::cli;
use platform::cli::args::Args;

fn main() -> ExitCode {
    cli::run(Args::parse()).into()
}
