//! Runs this computer's own programs, such as `docker` and `ssh`, with a deadline, and keeps
//! their output.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Argv, Output};
use crate::reason;

/// Why a program on this computer failed.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// It could not be started.
    #[error("cannot start `{program}` on this computer")]
    Start {
        /// The program.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// Its input or output failed.
    #[error("lost the connection to `{program}` on this computer")]
    Pipe {
        /// The program.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("`{program}` did not end within {}s on this computer, and was killed", deadline.as_secs())]
    TimedOut {
        /// The program.
        program: String,
        /// The longest that it was allowed to take.
        deadline: Duration,
    },
    /// It exited with a failure.
    #[error("`{command}` failed on this computer with status {status}: {stderr}")]
    Failed {
        /// The program and its first argument.
        command: String,
        /// Its exit status.
        status: u32,
        /// The last lines of its standard error.
        stderr: String,
    },
}

/// Runs a program on this computer until it exits, whatever its status.
///
/// # Errors
/// If it cannot be started, or does not exit before the deadline.
pub async fn run(
    argv: &Argv,
    input: &[u8],
    deadline: Duration,
) -> Result<Output, LocalError> {
    let (program, arguments) =
        argv.words().split_first().expect("a command has at least a program");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| LocalError::Start { program: program.clone(), source })?;
    let mut stdin = child.stdin.take();
    let write = async move {
        if let Some(pipe) = &mut stdin {
            // A program may exit without reading all of its input; its status shows whether it
            // failed.
            let _ = pipe.write_all(input).await;
        }
        drop(stdin);
    };
    let both = async { tokio::join!(write, child.wait_with_output()).1 };
    let ended = tokio::time::timeout(deadline, both)
        .await
        .map_err(|_| LocalError::TimedOut { program: program.clone(), deadline })?
        .map_err(|source| LocalError::Pipe { program: program.clone(), source })?;
    let status =
        ended.status.code().and_then(|code| u32::try_from(code).ok()).unwrap_or(255);
    let (stdout, stderr) = (ended.stdout, ended.stderr);
    Ok(Output { status, stdout, stderr, greeting: Vec::new() })
}

/// Runs a program on this computer that must succeed, and returns its standard output as text.
///
/// # Errors
/// As [`run`], and if it exits with a status other than 0.
pub async fn expect(argv: &Argv, deadline: Duration) -> Result<String, LocalError> {
    let output = run(argv, &[], deadline).await?;
    if output.status == 0 {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = argv.words();
    Err(LocalError::Failed {
        command: words[..words.len().min(2)].join(" "),
        status: output.status,
        stderr: reason::decisive_first(&String::from_utf8_lossy(&output.stderr)),
    })
}
