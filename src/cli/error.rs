//! Prints errors and turns them into exit codes.

use std::io::{self, IsTerminal, Write};

use super::exit::Exit;
use crate::event::in_words;
use crate::inventory::{Paint, Source, render};
use crate::operate::cluster_files::ClusterFilesError;
use crate::operate::{Error, ExitKind};
use crate::report::visible;

/// Prints an error on standard error, with its causes.
pub(super) fn tell(error: &dyn std::error::Error, exit: Exit) -> Exit {
    write(&visible(&format!("error: {}\n", in_words(error))));
    exit
}

/// Prints a text on standard error.
pub(super) fn note(text: &str) {
    write(&visible(text));
}

/// Prints why a verb failed. Faults of a file are shown with their lines.
pub(super) fn report(error: &Error) -> Exit {
    if !show_faults(error) {
        tell(error, Exit::Failed);
    }
    exit(error)
}

/// The exit code of a failed run. The run's last event has printed the reason already; only the
/// faults of a file, which do not fit into an event, are printed here.
pub(super) fn conclude(error: &Error) -> Exit {
    show_faults(error);
    exit(error)
}

/// Shows the faults of a file with their lines, if the error is about these.
fn show_faults(error: &Error) -> bool {
    let Error::ClusterFiles(ClusterFilesError::Faults { path, text, faults }) = error
    else {
        return false;
    };
    let name = path.display().to_string();
    let mut shown = String::new();
    // Writing to a string does not fail.
    let _ = render(Source { name: &name, text }, faults, paint(), &mut shown);
    write(&shown);
    true
}

/// The exit code for why a verb failed.
fn exit(error: &Error) -> Exit {
    of_kind(error.kind())
}

/// The exit code for a kind of failure.
pub(super) fn of_kind(kind: ExitKind) -> Exit {
    match kind {
        ExitKind::Failed => Exit::Failed,
        ExitKind::Usage => Exit::Usage,
        ExitKind::Invalid => Exit::InvalidInventory,
        ExitKind::Refused => Exit::Refused,
        ExitKind::Unreachable => Exit::Unreachable,
        ExitKind::TimedOut => Exit::TimedOut,
        ExitKind::Interrupted => Exit::Interrupted,
    }
}

/// How faults are shown on standard error.
fn paint() -> Paint {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stderr().is_terminal() && !plain { Paint::Colour } else { Paint::Plain }
}

fn write(text: &str) {
    // If standard error is closed, there is nowhere to report it.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
