//! Another machine: the one narrow door through which the program touches a host.
//!
//! [`Remote`] runs commands and opens TCP connections as the host sees them. [`ssh`] is the
//! real one; tests have a scripted one. Every call has a deadline, and a connection that dies
//! in the middle of a call is an error: silence is never taken for success.

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

/// A command as text for a POSIX shell. With [`to_script`] and [`to_login_shell`], which build on
/// it, the only place where a command becomes text.
pub fn to_shell(argv: &Argv) -> String {
    let quote = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    argv.0.iter().map(quote).collect::<Vec<String>>().join(" ")
}

/// What a shell runs itself: of these there is no program that could take the shell's place.
const BUILTINS: [&str; 19] = [
    ".", ":", "alias", "cd", "command", "eval", "exec", "exit", "export", "hash", "read",
    "return", "set", "times", "trap", "type", "ulimit", "umask", "wait",
];

/// The end of a script for a POSIX shell: a command in place of the shell, as if it had been
/// started at once.
pub fn to_script(argv: &Argv) -> String {
    let is_builtin = |word: &String| BUILTINS.contains(&word.as_str());
    let run = if argv.0.first().is_some_and(is_builtin) { "" } else { "exec " };
    format!("{run}{}", to_shell(argv))
}

/// A script for a POSIX shell as text for a login shell, whichever that is: sshd hands a command
/// line to the user's own shell, and fish and csh read quotes, backslashes, `!` and newlines in
/// ways of their own. So the text starts a POSIX shell, in words that all of them read alike,
/// and whatever they do not is written as the octal numbers of its bytes, for that shell to
/// decode.
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
    /// What for, such as `probe`: named in events and errors.
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
    /// What the host itself said before the command began, at most the last 64 KiB of it: a
    /// greeting of the login shell, say. None of it is in `stdout` or `stderr`.
    pub greeting: Vec<u8>,
}

/// A host that can be reached.
pub trait Remote: Send + Sync {
    /// Runs a command to its end.
    ///
    /// # Errors
    /// When the connection fails or dies, or the deadline passes. The command may then have
    /// run, in part or whole.
    fn exec<'a>(&'a self, exec: Exec<'a>) -> BoxFuture<'a, Result<Output, RemoteError>>;

    /// Opens a TCP connection from the host to `address` and `port`. Where the connection to the
    /// host itself has ended, it may be over a new one.
    ///
    /// # Errors
    /// When the host cannot be reached, nothing listens there, the host forbids forwarding, or
    /// the deadline passes.
    fn dial<'a>(
        &'a self,
        address: &'a str,
        port: u16,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>>;

    /// Asks whether the host runs a second command while one is under way: the cluster's lock
    /// is held by a command.
    ///
    /// # Errors
    /// When its SSH server forbids that, or the connection is lost.
    fn has_room(&self) -> BoxFuture<'_, Result<(), RemoteError>> {
        async { Ok(()) }.boxed()
    }

    /// Makes a new connection in place of one that has ended, as after a reboot on purpose; one
    /// that stands is kept.
    ///
    /// # Errors
    /// When the host cannot be reached, or lets nobody in.
    fn renew(&self) -> BoxFuture<'_, Result<(), RemoteError>>;
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
        source: io::Error,
    },
    /// The connection died, or was cut, while something was under way.
    #[error("lost the connection to {host} during {during}")]
    Lost {
        /// The host.
        host: HostName,
        /// What was under way, and why the connection ended where that is known.
        during: String,
    },
    /// A call took longer than its deadline.
    #[error("{host} did not finish {during} within {}s", deadline.as_secs_f32())]
    TimedOut {
        /// The host.
        host: HostName,
        /// What was under way.
        during: String,
        /// The longest it was allowed to take.
        deadline: Duration,
    },
    /// A host that must be passed on the way failed.
    #[error("cannot reach {host} through the jump host `{jump}`")]
    Jump {
        /// The host behind it.
        host: HostName,
        /// The jump host, as `user@host:port`.
        jump: String,
        /// What went wrong there.
        source: Arc<RemoteError>,
    },
    /// The address cannot be one.
    #[error(
        "`{address}` cannot be the SSH address of {host}: write a name or an IP address"
    )]
    BadAddress {
        /// The host.
        host: HostName,
        /// What was given as its address.
        address: String,
    },
    /// The user cannot be one.
    #[error(
        "`{user}` cannot be the SSH user of {host}: write a name without quotes, brackets, \
         blanks and other signs that a shell takes for a command"
    )]
    BadUser {
        /// The host.
        host: HostName,
        /// What was given as its user.
        user: String,
    },
    /// The operator's SSH configuration could not be had.
    #[error("the SSH settings of {host} cannot be read")]
    Config {
        /// The host.
        host: HostName,
        /// Why.
        source: ConfigError,
    },
    /// The two sides found no common language.
    #[error("{host} answers, but no SSH connection comes about: {said}")]
    Protocol {
        /// The host.
        host: HostName,
        /// What went wrong.
        said: String,
    },
    /// The host shows another key than the one it is known by.
    #[error(
        "the host key of {host} has changed: it shows {key}, but {place} says otherwise; \
         someone may be in between, or the host was installed anew: if you know that it was, \
         delete that line"
    )]
    HostKeyChanged {
        /// The host.
        host: HostName,
        /// The type and fingerprint of the key that it shows.
        key: String,
        /// The line with the key that it is known by.
        place: KeyLocation,
    },
    /// The host no longer offers the key it is known by, but one of another type.
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
    /// The host shows a key that its own provider does not know.
    #[error("{host} shows {key}, which is not the key that its provider gave it")]
    HostKeyNotVouched {
        /// The host.
        host: HostName,
        /// The type and fingerprint of the key that it shows.
        key: String,
    },
    /// Nobody said yes to the key of a host that was never seen.
    #[error(
        "the key of {host} is not known and was not accepted: {key}; run again and say yes, \
         or set `host_keys: accept-new` in the inventory"
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
        /// Why.
        source: io::Error,
    },
    /// The operator's list of revoked keys could not be read.
    #[error(
        "cannot use the list of revoked keys {} (`RevokedHostKeys`), so that no key passes",
        file.display()
    )]
    RevokedKeys {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key named in the inventory cannot be used.
    #[error("cannot log in to {host} with the key of the inventory")]
    Key {
        /// The host.
        host: HostName,
        /// Why.
        source: KeyFileError,
    },
    /// The host accepted no key.
    #[error("{host} does not let `{user}` in: {}", tell_tried(tried, *passwords_only))]
    Auth {
        /// The host.
        host: HostName,
        /// The user that tried to log in.
        user: String,
        /// What was tried, in order, each with its outcome.
        tried: Vec<String>,
        /// Whether the server lets people in by passwords alone.
        passwords_only: bool,
    },
    /// The host let the user in, but runs nothing.
    #[error("{host} refused {during}: {said}")]
    Refused {
        /// The host.
        host: HostName,
        /// What was refused.
        during: String,
        /// What it said.
        said: String,
    },
    /// A command wrote more than is taken.
    #[error(
        "{host} wrote more than {most_mib} MiB{what} to standard output during {during}, and it \
         was cut off; have it write to a file there, or less"
    )]
    TooMuch {
        /// The host.
        host: HostName,
        /// The command.
        during: String,
        /// What of it was too much: begins with a blank, or is empty where it is all.
        what: &'static str,
        /// The most that is taken.
        most_mib: usize,
    },
    /// The SSH server runs one command at a time.
    #[error(
        "{host} runs only one command at a time on a connection: set `MaxSessions 10` in its \
         /etc/ssh/sshd_config, or in the `Match` block there that holds for this user, and \
         reload sshd"
    )]
    OneSession {
        /// The host.
        host: HostName,
    },
    /// The host let the user in, but something else took the place of the command.
    #[error(
        "{host} lets `{user}` in but does not run {during}: {said}; set `user` in the inventory \
         to one who may run commands there"
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
    /// The command could not become root's.
    #[error("cannot become root on {host} for {during}")]
    Sudo {
        /// The host.
        host: HostName,
        /// What for.
        during: String,
        /// Why.
        source: SudoProblem,
    },
    /// The SSH server forbids connections through it.
    #[error(
        "{host} forbids connections through it: set `AllowTcpForwarding yes` in its \
         /etc/ssh/sshd_config, and let neither `PermitOpen` nor `DisableForwarding` there, nor \
         options before the key in authorized_keys, forbid them"
    )]
    Forwarding {
        /// The host.
        host: HostName,
    },
    /// The host could not connect to the address.
    #[error(
        "{host} cannot connect to {address}:{port}: nothing listens there, or the way is barred"
    )]
    Dial {
        /// The host.
        host: HostName,
        /// Where it should have connected to.
        address: String,
        /// The port there.
        port: u16,
    },
    /// What should have been sent to a command could not be read here.
    #[error("the input for {during} on {host} cannot be read")]
    Input {
        /// The host.
        host: HostName,
        /// What was under way.
        during: String,
        /// Why.
        source: io::Error,
    },
}

/// What an error means for the one who must act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The host is not there, or went away.
    Unreachable,
    /// Something took too long.
    TimedOut,
    /// The host is there, and lets this user in with no key that was tried, or not as root.
    NotLetIn,
    /// Going on would not be safe.
    Unsafe,
    /// Anything else: trying again without a change will not help.
    Failed,
}

impl RemoteError {
    /// What the error means for the one who must act on it.
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
            "it asks for a password alone, which this program does not answer; tried {}; let \
             its sshd accept keys (PubkeyAuthentication), and add the public half of one to \
             ~/.ssh/authorized_keys there",
            tried.join(", ")
        );
    }
    match tried {
        [] => {
            "there is no key to try, and passwords are not supported; set `key` in the \
               inventory, or load one into the agent"
                .to_owned()
        }
        tried => format!(
            "tried {}; set `user` and `key` in the inventory to what it knows, or add the \
             key's public half to ~/.ssh/authorized_keys there (logins by password are not \
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
