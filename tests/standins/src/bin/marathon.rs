//! The stand-in of Marathon as a program.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect();
    standins::marathon::run(arguments, std::env::vars().collect()).await
}
