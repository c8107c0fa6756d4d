//! The stand-in of `mesos-master`: reads its flags, runs, and says why it ended.

use std::io::Write;
use std::process::ExitCode;

use standins::master::{Config, ConfigError, run};

#[tokio::main]
async fn main() -> ExitCode {
    let end = match Config::load(std::env::vars(), std::env::args().skip(1)) {
        Ok(config) => match run(config).await {
            Ok(never) => match never {},
            Err(fatal) => fatal.to_string(),
        },
        Err(error @ ConfigError::Flag(_)) => {
            format!(
                "{error}\n\nUsage: mesos-master [options]\n\nSee `mesos-master --help`"
            )
        }
        Err(error) => error.to_string(),
    };
    // Where nobody reads the reason, the exit code has to do.
    let _ = writeln!(std::io::stderr(), "{end}");
    ExitCode::FAILURE
}
