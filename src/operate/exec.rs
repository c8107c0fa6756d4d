//! `platform exec`: one command on many hosts.

use std::time::Duration;

use futures::stream::{self, StreamExt};

use super::cluster_files::ClusterFiles;
use super::error::{Error, ExitKind, gravest};
use super::{RunContext, connect, machines};
use crate::event::in_words;
use crate::host::HostName;
use crate::remote::{Argv, As, ErrorKind, Exec, Input, Remote, RemoteError};

/// The longest that a command may run.
const DEADLINE: Duration = Duration::from_secs(3600);

/// What a command did on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The host.
    pub host: HostName,
    /// Its exit status, or why there is none.
    pub status: Result<u32, NoStatus>,
    /// What the host printed before the command began, and then the command's standard output.
    pub stdout: Vec<u8>,
    /// The end of its standard error.
    pub stderr: Vec<u8>,
}

/// Why a command has no exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoStatus {
    /// The reason in words.
    pub why: String,
    kind: ErrorKind,
}

impl Said {
    fn not_at_all(host: HostName, error: Option<&RemoteError>) -> Self {
        let why = error.map(|error| in_words(error)).unwrap_or_default();
        let kind = error.map_or(ErrorKind::Failed, RemoteError::kind);
        let status = Err(NoStatus { why, kind });
        Self { host, status, stdout: vec![], stderr: vec![] }
    }
}

/// The kind of failure if the command did not succeed on all hosts; `None` if it did. Hosts on
/// which it did not run decide before hosts on which it failed.
pub fn failure(said: &[Said]) -> Option<ExitKind> {
    let not_run = || said.iter().filter_map(|said| said.status.as_ref().err());
    match not_run().next() {
        Some(_) => Some(gravest(not_run().map(|none| none.kind))),
        None => said.iter().any(|said| said.status != Ok(0)).then_some(ExitKind::Failed),
    }
}

/// Runs a command in parallel on the hosts with these names and in these groups, or on all if no
/// names are given; returns the output of each, in the order of the inventory.
///
/// # Errors
/// When a name is unknown, no machine runs, or the provider cannot be asked. A host that cannot be
/// reached is reported like a command that failed.
pub async fn exec(
    files: &ClusterFiles,
    limit: &[String],
    (user, argv): (As, Argv),
    ctx: &RunContext<'_>,
) -> Result<Vec<Said>, Error> {
    let running = machines::running(files, ctx).await?;
    if running.is_empty() {
        return Err(Error::NoMachine(files.path.clone()));
    }
    let machines = machines::limited(running, limit)?;
    let (fleet, unreachable) = connect::connect(files, &machines, ctx).await?;
    files.state.keep_pins()?;
    let running: Vec<_> = machines
        .iter()
        .map(|machine| {
            let (argv, host) = (argv.clone(), machine.host.clone());
            let remote = fleet.get(&host);
            let lost = unreachable.iter().find(|(other, _)| *other == host);
            async move {
                match (remote, lost) {
                    (Some(remote), _) => on_one(host, remote.as_ref(), user, argv).await,
                    (None, lost) => Said::not_at_all(host, lost.map(|(_, error)| error)),
                }
            }
        })
        .collect();
    Ok(stream::iter(running).buffered(ctx.parallel.max(1)).collect().await)
}

async fn on_one(host: HostName, remote: &dyn Remote, user: As, argv: Argv) -> Said {
    let exec = Exec {
        purpose: "exec".to_owned(),
        argv,
        user,
        input: Input::Empty,
        on_line: None,
        deadline: DEADLINE,
    };
    match remote.exec(exec).await {
        Ok(output) => Said {
            host,
            status: Ok(output.status),
            stdout: [output.greeting, output.stdout].concat(),
            stderr: output.stderr,
        },
        Err(error) => Said::not_at_all(host, Some(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: Result<u32, RemoteError>) -> Said {
        let host: HostName = "h1".parse().unwrap();
        match status {
            Ok(status) => {
                Said { host, status: Ok(status), stdout: vec![], stderr: vec![] }
            }
            Err(error) => Said::not_at_all(host, Some(&error)),
        }
    }

    #[test]
    fn a_host_that_is_not_safe_or_not_there_says_more_than_a_command_that_failed() {
        let host = || "h1".parse().unwrap();
        let refused =
            || Err(RemoteError::HostKeyRefused { host: host(), key: "k".into() });
        let lost = || Err(RemoteError::Lost { host: host(), during: "exec".into() });
        let check = |all: Vec<Result<u32, RemoteError>>, expected| {
            let all: Vec<Said> = all.into_iter().map(said).collect();
            assert_eq!(failure(&all), expected);
        };
        check(vec![Ok(0), Ok(0)], None);
        check(vec![Ok(0), Ok(3)], Some(ExitKind::Failed));
        check(vec![Ok(3), lost()], Some(ExitKind::Unreachable));
        check(vec![lost(), refused(), Ok(0)], Some(ExitKind::Refused));
    }
}
