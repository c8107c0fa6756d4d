//! The stand-in of Chronos as a program.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect();
    standins::chronos::run(arguments, &std::env::vars().collect()).await
}
