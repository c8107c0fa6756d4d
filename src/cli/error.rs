//! Tells what went wrong, and turns it into an exit code.

use std::io::{self, IsTerminal, Write};

use super::exit::Exit;
use crate::event::in_words;
use crate::inventory::{Paint, Source, render};
use crate::operate::cluster_files::ClusterFilesError;
use crate::operate::{Error, ExitKind};
use crate::report::visible;

/// Tells an error on standard error, with its causes.
pub(super) fn tell(error: &dyn std::error::Error, exit: Exit) -> Exit {
    write(&visible(&format!("error: {}\n", in_words(error))));
    exit
}

/// Tells why a verb failed. The faults of a file are shown where they stand in it.
pub(super) fn report(error: &Error) -> Exit {
    if !show_faults(error) {
        tell(error, Exit::Failed);
    }
    exit(error)
}

/// The exit code for why a run failed whose last event has told it. The faults of a file, for
/// which an event has no place, are shown.
pub(super) fn conclude(error: &Error) -> Exit {
    show_faults(error);
    exit(error)
}

/// Shows the faults of a file where they stand in it, where that is the trouble.
fn show_faults(error: &Error) -> bool {
    let Error::ClusterFiles(ClusterFilesError::Faults { path, text, faults }) = error
    else {
        return false;
    };
    let name = path.display().to_string();
    let mut shown = String::new();
    // Writing to a text does not fail.
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

fn paint() -> Paint {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stderr().is_terminal() && !plain { Paint::Colour } else { Paint::Plain }
}

fn write(text: &str) {
    // Nobody can be told that standard error is closed.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
