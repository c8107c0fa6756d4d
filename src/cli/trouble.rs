//! Tells what went wrong, and turns it into an exit code.

use std::error::Error;
use std::io::{self, IsTerminal, Write};

use super::exit::Exit;
use crate::event::in_words;
use crate::inventory::{Paint, Source, render};
use crate::operate::lab::LabError;
use crate::operate::{Kind, Trouble};
use crate::report::visible;

/// Tells an error on standard error, with its causes.
pub(super) fn tell(error: &dyn Error, exit: Exit) -> Exit {
    write(&visible(&format!("error: {}\n", in_words(error))));
    exit
}

/// Tells why a verb failed. The faults of a file are shown where they stand in it.
pub(super) fn report(trouble: &Trouble) -> Exit {
    if !show_faults(trouble) {
        tell(trouble, Exit::Failed);
    }
    exit(trouble)
}

/// The exit code for why a run failed whose last event has told it. The faults of a file, for
/// which an event has no place, are shown.
pub(super) fn conclude(trouble: &Trouble) -> Exit {
    show_faults(trouble);
    exit(trouble)
}

/// Shows the faults of a file where they stand in it, where that is the trouble.
fn show_faults(trouble: &Trouble) -> bool {
    let Trouble::Lab(LabError::Faults { path, text, faults }) = trouble else {
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
fn exit(trouble: &Trouble) -> Exit {
    of_kind(trouble.kind())
}

/// The exit code for a kind of failure.
pub(super) fn of_kind(kind: Kind) -> Exit {
    match kind {
        Kind::Failed => Exit::Failed,
        Kind::Usage => Exit::Usage,
        Kind::Invalid => Exit::InvalidInventory,
        Kind::Refused => Exit::Refused,
        Kind::Unreachable => Exit::Unreachable,
        Kind::TimedOut => Exit::TimedOut,
        Kind::Interrupted => Exit::Interrupted,
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
