//! `platform exec`: one command on many hosts.

use std::time::Duration;

use futures::stream::{self, StreamExt};

use super::lab::Lab;
use super::trouble::Trouble;
use super::{Ambient, connect, machines};
use crate::event::in_words;
use crate::host::HostName;
use crate::remote::{Argv, As, Exec, Input};

/// The longest that a command may run.
const DEADLINE: Duration = Duration::from_secs(3600);

/// What a command did on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The host.
    pub host: HostName,
    /// Its exit status, or why there is none.
    pub status: Result<u32, String>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// The end of its standard error.
    pub stderr: Vec<u8>,
}

/// Runs a command on the hosts of these names and groups, all where there is none, side by
/// side; gives what each said, in the order of the inventory.
///
/// # Errors
/// When a name is unknown or the provider cannot be asked. A host that cannot be reached is
/// told like a command that failed.
pub async fn exec(
    lab: &Lab,
    limit: &[String],
    (user, argv): (As, Argv),
    ambient: &Ambient<'_>,
) -> Result<Vec<Said>, Trouble> {
    let machines = machines::limited(machines::running(lab, ambient).await?, limit)?;
    let (fleet, unreachable) = connect::connect(lab, &machines, ambient).await?;
    let running: Vec<_> = machines
        .iter()
        .map(|machine| {
            let (argv, fleet, unreachable) = (argv.clone(), &fleet, &unreachable);
            async move {
                let host = machine.host.clone();
                let Some(remote) = fleet.get(&host) else {
                    let why = unreachable.iter().find(|(other, _)| *other == host);
                    let why = why.map(|(_, error)| in_words(error)).unwrap_or_default();
                    return Said {
                        host,
                        status: Err(why),
                        stdout: vec![],
                        stderr: vec![],
                    };
                };
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
                        stdout: output.stdout,
                        stderr: output.stderr,
                    },
                    Err(error) => Said {
                        host,
                        status: Err(in_words(&error)),
                        stdout: vec![],
                        stderr: vec![],
                    },
                }
            }
        })
        .collect();
    Ok(stream::iter(running).buffered(ambient.parallel.max(1)).collect().await)
}
