//! The stand-in of Marathon as a program.

use standins::framework::node;
use standins::marathon::member::Marathon;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    node::start::<Marathon>().await
}
