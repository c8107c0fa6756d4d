//! Another machine: the only interface through which the program accesses a host.
//!
//! [`Remote`] runs commands and opens TCP connections from the host. [`ssh`] is the real
//! implementation; tests use a scripted one. Every call has a deadline, and a connection that
//! fails during a call is an error: silence never counts as success.

pub mod config;
pub mod known_hosts;
pub mod local;
pub mod ssh;
mod words;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::host::HostName;

use self::config::ConfigError;
use self::known_hosts::KeyLocation;
use self::ssh::{KeyFileError, SudoProblem};

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

/// A command as text for a POSIX shell. Commands become text only here and in [`to_script`] and
/// [`to_login_shell`], which use this function.
pub fn to_shell(argv: &Argv) -> String {
    let quote = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    argv.0.iter().map(quote).collect::<Vec<String>>().join(" ")
}

/// What a shell runs itself: there is no program that could replace the shell for these.
const BUILTINS: [&str; 19] = [
    ".", ":", "alias", "cd", "command", "eval", "exec", "exit", "export", "hash", "read",
    "return", "set", "times", "trap", "type", "ulimit", "umask", "wait",
];

/// The end of a script for a POSIX shell: the command replaces the shell, as if it had been
/// started directly.
pub fn to_script(argv: &Argv) -> String {
    let is_builtin = |word: &String| BUILTINS.contains(&word.as_str());
    let run = if argv.0.first().is_some_and(is_builtin) { "" } else { "exec " };
    format!("{run}{}", to_shell(argv))
}

/// A script for a POSIX shell as text for any login shell: sshd passes a command line to the
/// user's own shell, and fish and csh read quotes, backslashes, `!` and newlines differently. So
/// the text starts a POSIX shell, in words that all of them read the same. All other bytes are
/// written as octal numbers, which the POSIX shell decodes.
pub fn to_login_shell(script: &str) -> String {
    let mut encoded = String::new();
    for byte in script.bytes() {
        match byte {
            b'\'' | b'\\' | b'!' => encoded.push_str(&format!("\\0{byte:03o}")),
            b' '..=b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("\\0{byte:03o}")),
        }
    }
    format!(r#"sh -c 'eval "$(printf %b "$1")"' sh '{encoded}'"#)
}

/// The user that runs a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// The user that logs in.
    Login,
    /// The superuser: through sudo if the login user is another.
    Root,
}

/// The standard input of a command.
pub enum Input {
    /// Nothing: it reads end of file at once.
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// A stream of unknown length; sent as fast as the host reads it.
    Stream(Box<dyn AsyncRead + Send + Unpin>),
}

/// Receives each line of a command's standard output as it arrives, without its newline.
pub type OnLine<'a> = &'a mut (dyn FnMut(&str) + Send);

/// One command to run on a host.
pub struct Exec<'a> {
    /// The purpose, such as `probe`: named in events and errors.
    pub purpose: String,
    /// The command.
    pub argv: Argv,
    /// The user that runs it.
    pub user: As,
    /// Its standard input.
    pub input: Input,
    /// Receives each line of standard output; if set, [`Output::stdout`] stays empty.
    pub on_line: Option<OnLine<'a>>,
    /// The longest that it may take, input and output included.
    pub deadline: Duration,
}

/// How a command ended. A non-zero status is not an error of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit status; 128 + the signal's number if a signal ended it.
    pub status: u32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, at most its last 64 KiB.
    pub stderr: Vec<u8>,
    /// The host's own output before the command began, at most its last 64 KiB: a greeting of the
    /// login shell, for example. It is not part of `stdout` or `stderr`.
    pub greeting: Vec<u8>,
}

/// A host that can be reached.
pub trait Remote: Send + Sync {
    /// Runs a command until it exits.
    ///
    /// # Errors
    /// If the connection fails, or the deadline passes. The command may then have run, in part or
    /// whole.
    fn exec<'a>(&'a self, exec: Exec<'a>) -> BoxFuture<'a, Result<Output, RemoteError>>;

    /// Opens a TCP connection from the host to `address` and `port`. If the connection to the
    /// host itself has ended, a new one may be made for it.
    ///
    /// # Errors
    /// If the host cannot be reached, nothing listens at the address, the host forbids
    /// forwarding, or the deadline passes.
    fn dial<'a>(
        &'a self,
        address: &'a str,
        port: u16,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>>;

    /// Checks whether the host can run a second command at the same time as a first: a command
    /// holds the cluster's lock.
    ///
    /// # Errors
    /// If its SSH server forbids that, or the connection is lost.
    fn has_room(&self) -> BoxFuture<'_, Result<(), RemoteError>> {
        async { Ok(()) }.boxed()
    }

    /// Runs a command over a new connection, which is closed after it: whether a host lets one in
    /// cannot be seen from connections that exist.
    ///
    /// # Errors
    /// As [`Remote::exec`]; also if the host cannot be reached, or does not accept the login.
    fn exec_anew<'a>(
        &'a self,
        exec: Exec<'a>,
    ) -> BoxFuture<'a, Result<Output, RemoteError>> {
        self.exec(exec)
    }

    /// Makes a new connection if the old one has ended, as after a reboot on purpose; keeps a
    /// connection that still works.
    ///
    /// # Errors
    /// If the host cannot be reached, or does not accept the login.
    fn renew(&self) -> BoxFuture<'_, Result<(), RemoteError>>;
}

/// What went wrong between this computer and a host.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// No connection could be made.
    #[error("cannot reach {host}")]
    Unreachable {
        /// The host.
        host: HostName,
        /// The error of the network.
        source: io::Error,
    },
    /// The connection failed, or was cut, while something was under way.
    #[error("lost the connection to {host} during {during}")]
    Lost {
        /// The host.
        host: HostName,
        /// What was under way, and why the connection ended if that is known.
        during: String,
    },
    /// A call took longer than its deadline.
    #[error("{host} did not finish {during} within {}s", deadline.as_secs_f32())]
    TimedOut {
        /// The host.
        host: HostName,
        /// What was under way.
        during: String,
        /// The longest that it was allowed to take.
        deadline: Duration,
    },
    /// A jump host on the route to the host failed.
    #[error("cannot reach {host} through the jump host `{jump}`")]
    Jump {
        /// The host behind it.
        host: HostName,
        /// The jump host, as `user@host:port`.
        jump: String,
        /// The error at the jump host.
        source: Arc<RemoteError>,
    },
    /// The address is not valid.
    #[error(
        "`{address}` is not a valid SSH address for {host}: write a name or an IP address"
    )]
    BadAddress {
        /// The host.
        host: HostName,
        /// The address as given.
        address: String,
    },
    /// The user name is not valid.
    #[error(
        "`{user}` is not a valid SSH user for {host}: write a name without quotes, brackets, \
         blanks and other characters that are special to a shell"
    )]
    BadUser {
        /// The host.
        host: HostName,
        /// The user name as given.
        user: String,
    },
    /// The operator's SSH configuration could not be read.
    #[error("the SSH settings of {host} cannot be read")]
    Config {
        /// The host.
        host: HostName,
        /// The cause.
        source: ConfigError,
    },
    /// The two sides could not agree on an SSH connection.
    #[error("{host} answers, but the SSH connection fails: {said}")]
    Protocol {
        /// The host.
        host: HostName,
        /// What went wrong.
        said: String,
    },
    /// The host shows a different key from the one it is known by.
    #[error(
        "the host key of {host} has changed: it shows {key}, but {place} has another key; \
         someone may intercept the connection, or the host was reinstalled: if you know that \
         it was, delete that line"
    )]
    HostKeyChanged {
        /// The host.
        host: HostName,
        /// The type and fingerprint of the key that it shows.
        key: String,
        /// The line with the key that it is known by.
        place: KeyLocation,
    },
    /// The host no longer offers the key it is known by, but a key of another type.
    #[error(
        "{host} shows {key}, but is known by a key of another type at {place}; compare the \
         fingerprint on the host itself, then delete that line"
    )]
    HostKeyOtherType {
        /// The host.
        host: HostName,
        /// The type and fingerprint of the key that it shows.
        key: String,
        /// The line with a key that it is known by.
        place: KeyLocation,
    },
    /// The host shows a key that was revoked.
    #[error("the host key of {host} is revoked: {key}, by {place}")]
    HostKeyRevoked {
        /// The host.
        host: HostName,
        /// The type and fingerprint of the key that it shows.
        key: String,
        /// The line that revokes it.
        place: KeyLocation,
    },
    /// The host shows a key that its provider does not know.
    #[error("{host} shows {key}, which is not the key that its provider gave it")]
    HostKeyNotVouched {
        /// The host.
        host: HostName,
        /// The type and fingerprint of the key that it shows.
        key: String,
    },
    /// Nobody accepted the key of a host that was never seen before.
    #[error(
        "the key of {host} is not known and was not accepted: {key}; run the command again \
         and answer yes, or set `host_keys: accept-new` in the inventory"
    )]
    HostKeyRefused {
        /// The host.
        host: HostName,
        /// The type and fingerprint of the key that it shows.
        key: String,
    },
    /// A file of known hosts could not be read or written.
    #[error("cannot use the file of known hosts {}", file.display())]
    KnownHosts {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The operator's list of revoked keys could not be read.
    #[error(
        "cannot use the list of revoked keys {} (`RevokedHostKeys`), so no key is accepted",
        file.display()
    )]
    RevokedKeys {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The key that the inventory names cannot be used.
    #[error("cannot log in to {host} with the key of the inventory")]
    Key {
        /// The host.
        host: HostName,
        /// The cause.
        source: KeyFileError,
    },
    /// The host accepted no key.
    #[error("{host} does not accept the login of `{user}`: {}", tell_tried(tried, *passwords_only))]
    Auth {
        /// The host.
        host: HostName,
        /// The user that tried to log in.
        user: String,
        /// What was tried, in order, each with its outcome.
        tried: Vec<String>,
        /// Whether the server accepts only passwords.
        passwords_only: bool,
    },
    /// The host accepted the login, but refuses to run something.
    #[error("{host} refused {during}: {said}")]
    Refused {
        /// The host.
        host: HostName,
        /// What was refused.
        during: String,
        /// The host's answer.
        said: String,
    },
    /// A command wrote more output than is accepted.
    #[error(
        "{host} wrote more than {most_mib} MiB{what} to standard output during {during}, so it \
         was cut off; let it write less, or to a file on the host"
    )]
    TooMuch {
        /// The host.
        host: HostName,
        /// The command.
        during: String,
        /// What was too long: begins with a blank, or is empty for the whole output.
        what: &'static str,
        /// The limit.
        most_mib: usize,
    },
    /// The SSH server runs one command at a time.
    #[error(
        "{host} runs only one command at a time on a connection: set `MaxSessions 10` in its \
         /etc/ssh/sshd_config, or in the `Match` block there that applies to this user, and \
         reload sshd"
    )]
    OneSession {
        /// The host.
        host: HostName,
    },
    /// The host accepted the login, but ran something else instead of the command.
    #[error(
        "{host} accepts the login of `{user}` but does not run {during}: {said}; set `user` in \
         the inventory to a user that may run commands there"
    )]
    NotRun {
        /// The host.
        host: HostName,
        /// The user that logged in.
        user: String,
        /// What should have run.
        during: String,
        /// What the host said instead, and how that ended.
        said: String,
    },
    /// The command could not run as root.
    #[error("cannot become root on {host} for {during}")]
    Sudo {
        /// The host.
        host: HostName,
        /// The purpose.
        during: String,
        /// The cause.
        source: SudoProblem,
    },
    /// The SSH server forbids connections through it.
    #[error(
        "{host} forbids TCP forwarding: set `AllowTcpForwarding yes` in its \
         /etc/ssh/sshd_config, and make sure that neither `PermitOpen` nor `DisableForwarding` \
         there, nor options before the key in authorized_keys, forbid it"
    )]
    Forwarding {
        /// The host.
        host: HostName,
    },
    /// The host could not connect to the address.
    #[error(
        "{host} cannot connect to {address}:{port}: nothing listens there, or a firewall \
         blocks the port"
    )]
    Dial {
        /// The host.
        host: HostName,
        /// Where it should have connected to.
        address: String,
        /// The port there.
        port: u16,
    },
    /// The input of a command could not be read on this computer.
    #[error("the input for {during} on {host} cannot be read")]
    Input {
        /// The host.
        host: HostName,
        /// What was under way.
        during: String,
        /// The cause.
        source: io::Error,
    },
}

/// What an error means for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The host is not there, or its connection was lost.
    Unreachable,
    /// Something took too long.
    TimedOut,
    /// The host is there, but does not accept this user with any key that was tried, or not as
    /// root.
    NotLetIn,
    /// Continuing would not be safe.
    Unsafe,
    /// Anything else: a retry without a change will not help.
    Failed,
}

impl ErrorKind {
    /// Whether the host may only be away for now: it does not answer, or not in time.
    pub fn is_away(self) -> bool {
        matches!(self, Self::Unreachable | Self::TimedOut)
    }
}

impl RemoteError {
    /// What the error means for the operator.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } => ErrorKind::Unreachable,
            Self::TimedOut { .. } => ErrorKind::TimedOut,
            Self::HostKeyChanged { .. }
            | Self::HostKeyOtherType { .. }
            | Self::HostKeyRevoked { .. }
            | Self::HostKeyNotVouched { .. }
            | Self::HostKeyRefused { .. }
            | Self::RevokedKeys { .. }
            | Self::OneSession { .. } => ErrorKind::Unsafe,
            Self::Key { .. } | Self::Auth { .. } | Self::Sudo { .. } => {
                ErrorKind::NotLetIn
            }
            Self::Jump { source, .. } => source.kind(),
            _ => ErrorKind::Failed,
        }
    }
}

fn tell_tried(tried: &[String], passwords_only: bool) -> String {
    if passwords_only {
        return format!(
            "it accepts only a password, which this program does not support; tried {}; make \
             its sshd accept keys (PubkeyAuthentication), and add your public key to \
             ~/.ssh/authorized_keys there",
            tried.join(", ")
        );
    }
    match tried {
        [] => {
            "there is no key to try, and passwords are not supported; set `key` in the \
               inventory, or load a key into the SSH agent"
                .to_owned()
        }
        tried => format!(
            "tried {}; set `user` and `key` in the inventory to ones that it accepts, or add \
             the public key to ~/.ssh/authorized_keys there (password logins are not \
             supported)",
            tried.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_login_shell_reads_a_command_alike() {
        let text = to_login_shell("printf 'it's a\\b!\n\u{e9}");
        let (start, words) = text.split_at(text.rfind(" '").unwrap());
        assert_eq!(start, r#"sh -c 'eval "$(printf %b "$1")"' sh"#);
        assert_eq!(words, r" 'printf \0047it\0047s a\0134b\0041\0012\0303\0251'");
    }

    #[test]
    fn a_command_takes_the_shells_place_unless_the_shell_itself_runs_it() {
        assert_eq!(to_script(&Argv::new(["printf", "a b"])), "exec 'printf' 'a b'");
        assert_eq!(to_script(&Argv::new(["umask"])), "'umask'");
    }
}
