//! The program: it reads its settings and runs until it is stopped.
//!
//! Exit codes: 2 if the arguments or the settings cannot be used, 1 if the status address is in use, 101 if a
//! thread has failed.

use std::path::PathBuf;
use std::process::ExitCode;

use platform_balancer::journal::{chain, say};
use platform_balancer::run;
use platform_balancer::settings::Settings;

const USAGE: &str = "usage: platform-balancer --config FILE";

fn main() -> ExitCode {
    let Some(path) = config(std::env::args().skip(1)) else {
        say(USAGE);
        return ExitCode::from(2);
    };
    let settings = match Settings::read(&path) {
        Ok(settings) => settings,
        Err(error) => {
            say(chain(&error));
            return ExitCode::from(2);
        }
    };
    end_with_any_thread();
    let listen = settings.listen;
    match run::run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!(
                "the status cannot be shown at {listen}: {}",
                chain(&error)
            ));
            ExitCode::FAILURE
        }
    }
}

/// A balancer that has lost a thread would go on with what it knew. systemd starts it again, and
/// meanwhile HAProxy serves on.
fn end_with_any_thread() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(101);
    }));
}

fn config(arguments: impl Iterator<Item = String>) -> Option<PathBuf> {
    let words: Vec<String> = arguments.collect();
    match &words[..] {
        [option, path] if option == "--config" => Some(path.into()),
        [both] => both.strip_prefix("--config=").map(PathBuf::from),
        _ => None,
    }
}
