//! The log: one line on standard error for each thing that happens. systemd adds the time.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;

/// Writes a line. What cannot be written is lost: there is no other place for it.
pub fn say(message: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{}", one_line(&message.to_string()));
}

/// An error with its reasons, on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        let _ = write!(text, ": {reason}");
        source = reason.source();
    }
    text
}

fn one_line(text: &str) -> String {
    text.trim_end().replace(['\n', '\r'], " | ")
}
