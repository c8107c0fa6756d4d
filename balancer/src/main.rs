//! The program: see [`platform_daemon::start`] for its arguments and exit codes.

use std::process::ExitCode;

use platform_balancer::run;
use platform_balancer::settings::Settings;
use platform_daemon::start::start;

fn main() -> ExitCode {
    start("platform-balancer", Settings::read, run::run)
}
