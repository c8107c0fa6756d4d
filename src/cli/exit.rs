//! What the program's exit codes mean. The help text is made from this table.

use std::process::ExitCode;

/// How the program ended, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything is as requested.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// The command line is wrong; `clap` uses the same code.
    Usage = 2,
    /// The inventory, a file that it names, or the file of an app is wrong.
    InvalidInventory = 3,
    /// It was not safe, or the operator did not agree, so nothing was done.
    Refused = 4,
    /// A connection to a host failed.
    Unreachable = 5,
    /// A wait reached its deadline.
    TimedOut = 6,
    /// `plan`, `app diff` or `group diff` found changes to make.
    Pending = 10,
    /// The operator stopped it; the number that shells give to Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::InvalidInventory,
        Self::Refused,
        Self::Unreachable,
        Self::TimedOut,
        Self::Pending,
        Self::Interrupted,
    ];

    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What it means, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done: everything is as requested",
            Self::Failed => "failed: the last lines say where, and what to do next",
            Self::Usage => "usage: the command line is wrong",
            Self::InvalidInventory => {
                "invalid inventory, or file of an app: nothing was touched"
            }
            Self::Refused => "refused (not safe, or not agreed to): nothing was changed",
            Self::Unreachable => "unreachable: a connection to a host failed",
            Self::TimedOut => "timed out: a wait reached its deadline",
            Self::Pending => "changes are pending (`plan` and `diff` only)",
            Self::Interrupted => "stopped by Ctrl-C: the last lines say what is left",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
