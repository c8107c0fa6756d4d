//! The stand-in of Chronos as a program.

use standins::chronos::member::Chronos;
use standins::framework::node;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    node::start::<Chronos>().await
}
