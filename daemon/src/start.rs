//! How a program starts: it reads its settings and runs until it is stopped.
//!
//! Exit codes: 2 if the arguments or the settings cannot be used, 1 if the program cannot run, such
//! as when its address is in use, 101 if a thread has failed.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::journal::{chain, say};
use crate::settings::SettingsError;

/// Reads the settings that the arguments name, and runs with them.
pub fn start<S, E: Error>(
    program: &str,
    read: impl FnOnce(&Path) -> Result<S, SettingsError>,
    run: impl FnOnce(S) -> Result<(), E>,
) -> ExitCode {
    let Some(path) = config(std::env::args().skip(1)) else {
        say(format_args!("usage: {program} --config FILE"));
        return ExitCode::from(2);
    };
    let settings = match read(&path) {
        Ok(settings) => settings,
        Err(error) => {
            say(chain(&error));
            return ExitCode::from(2);
        }
    };
    end_with_any_thread();
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// A program that has lost a thread would go on with what it knew. systemd starts it again.
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
