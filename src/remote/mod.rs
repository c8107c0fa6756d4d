//! Another machine: the one narrow door through which the program touches a host.
//!
//! [`Remote`] runs commands and opens TCP connections as the host sees them. [`ssh`] is the
//! real one; tests have a scripted one. Every call has a deadline, and a connection that dies
//! in the middle of a call is an error: silence is never taken for success.

pub mod local;

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::host::HostName;

/// Bytes both ways: a TCP connection opened from a host.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A command for a host, as words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argv(Vec<String>);

impl Argv {
    /// A command from its words; the first is the program.
    pub fn new<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }

    /// The words.
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

/// The only place where a command becomes text for a shell.
pub fn to_shell(argv: &Argv) -> String {
    let quote = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    argv.0.iter().map(quote).collect::<Vec<String>>().join(" ")
}

/// As whom a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// The user that logs in.
    Login,
    /// The superuser: by sudo where the login user is another.
    Root,
}

/// What a command reads on its standard input.
pub enum Input {
    /// Nothing: it reads the end at once.
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// A stream of unknown length; sent as the host takes it.
    Stream(Box<dyn AsyncRead + Send + Unpin>),
}

/// Receives each line of a command's standard output as it arrives, without its newline.
pub type OnLine<'a> = &'a mut (dyn FnMut(&str) + Send);

/// One command to run on a host.
pub struct Exec<'a> {
    /// What for, as events tell it: `probe`.
    pub purpose: String,
    /// The command.
    pub argv: Argv,
    /// As whom.
    pub user: As,
    /// Its standard input.
    pub input: Input,
    /// Gets each line of standard output; with one, [`Output::stdout`] stays empty.
    pub on_line: Option<OnLine<'a>>,
    /// The longest it may take, input and output included.
    pub deadline: Duration,
}

/// How a command ended. A non-zero status is not an error of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit status; 128 + the signal's number where one ended it.
    pub status: u32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, at most its last 64 KiB.
    pub stderr: Vec<u8>,
}

/// A host that can be reached.
pub trait Remote: Send + Sync {
    /// Runs a command to its end.
    ///
    /// # Errors
    /// When the connection fails or dies, or the deadline passes. The command may then have
    /// run, in part or whole.
    fn exec<'a>(&'a self, exec: Exec<'a>) -> BoxFuture<'a, Result<Output, RemoteError>>;

    /// Opens a TCP connection from the host to `address` and `port`.
    ///
    /// # Errors
    /// When nothing listens there, the host forbids forwarding, or the deadline passes.
    fn dial<'a>(
        &'a self,
        address: &'a str,
        port: u16,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>>;
}

/// What went wrong between here and a host.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// No connection could be made.
    #[error("cannot reach {host}")]
    Unreachable {
        /// The host.
        host: HostName,
        /// What the network said.
        source: std::io::Error,
    },
    /// The connection died, or was cut, while something was under way.
    #[error("lost the connection to {host} during {during}")]
    Lost {
        /// The host.
        host: HostName,
        /// What was under way.
        during: String,
    },
    /// A call took longer than its deadline.
    #[error("{host} did not finish {during} within {}s", deadline.as_secs())]
    TimedOut {
        /// The host.
        host: HostName,
        /// What was under way.
        during: String,
        /// The longest it was allowed to take.
        deadline: Duration,
    },
}
