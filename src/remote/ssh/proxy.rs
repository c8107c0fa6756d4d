//! The operator's `ProxyCommand`: a program on this computer whose input and output are the
//! connection to a server. Its standard error gives the reason if the connection fails.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::remote::words::last_words;

/// A program that has closed its output exits within this time, or keeps running for other
/// reasons.
const END: Duration = Duration::from_secs(1);
const KEPT: usize = 8 * 1024;

/// A running `ProxyCommand`; killed when dropped.
pub(super) struct Proxy {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    listening: JoinHandle<()>,
}

/// How a `ProxyCommand` ended.
pub(super) struct End {
    /// Whether the program reported a failure itself.
    pub failed: bool,
    /// How it ended, as text.
    pub told: String,
}

impl Proxy {
    /// Starts a command as OpenSSH does: in the operator's own shell, which the command replaces.
    pub(super) fn start(
        command: &OsStr,
    ) -> io::Result<(Self, impl AsyncRead + AsyncWrite + Unpin + Send + use<>)> {
        let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
        let mut line = OsString::from("exec ");
        line.push(command);
        let mut child = Command::new(shell.unwrap_or_else(|| "/bin/sh".into()))
            .arg("-c")
            .arg(line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pipes = (child.stdout.take(), child.stdin.take(), child.stderr.take());
        let (Some(from), Some(to), Some(stderr)) = pipes else {
            return Err(io::Error::other("the ProxyCommand has no pipes"));
        };
        let said = Arc::default();
        let listening = tokio::spawn(listen(stderr, Arc::clone(&said)));
        Ok((Self { child, said, listening }, tokio::io::join(from, to)))
    }

    /// How it ended, after its output ended.
    pub(super) async fn end(&mut self) -> End {
        let status = timeout(END, self.child.wait()).await;
        // A program that it started may keep its standard error open for longer.
        let _ = timeout(END, &mut self.listening).await;
        let (failed, how) = match status {
            Ok(Ok(status)) => (!status.success(), tell_status(status)),
            Ok(Err(_)) | Err(_) => (false, "closed the connection".to_owned()),
        };
        let told = match self.last_words() {
            words if words.is_empty() => format!("its ProxyCommand {how}"),
            words => format!("its ProxyCommand {how}: {words}"),
        };
        End { failed, told }
    }

    /// The last lines of its standard error; empty if it printed nothing.
    pub(super) fn last_words(&self) -> String {
        last_words(&self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn tell_status(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

async fn listen(mut stderr: ChildStderr, said: Arc<Mutex<Vec<u8>>>) {
    let mut piece = [0; 1024];
    while let Ok(n @ 1..) = stderr.read(&mut piece).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(&piece[..n]);
        let excess = said.len().saturating_sub(KEPT);
        said.drain(..excess);
    }
}
