//! The program: see [`platform_daemon::start`] for its arguments and exit codes.

use std::process::ExitCode;

use platform_copier::run;
use platform_copier::settings::Settings;
use platform_daemon::start::start;

fn main() -> ExitCode {
    start("platform-copier", Settings::read, run::run)
}
