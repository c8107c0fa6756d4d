//! Confirms a host's new firewall: by a new SSH connection that gets through.
//!
//! The host takes the firewall back by itself after a time, whatever happens here.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::steps::Why;
use crate::event::in_words;
use crate::host::HostName;
use crate::reason;
use crate::remote::{Argv, As, ErrorKind, Exec, Input, Remote, RemoteError};
use crate::resource::Firewall;

/// The pause after a connection that did not get through.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the host may take for the command, or to say where connections come from.
const ANSWER: Duration = Duration::from_secs(30);

/// How long it is tried: longer than the host waits, to see that it took its firewall back.
const PATIENCE: Duration = Firewall::TRIAL.saturating_add(Duration::from_secs(30));

/// Confirms a firewall that the host has just loaded.
///
/// # Errors
/// When no new connection got through, and so the host took it back, or will.
pub(super) async fn confirm(
    host: &HostName,
    remote: &dyn Remote,
    firewall: &Firewall,
) -> Result<(), Why> {
    let end = Instant::now() + PATIENCE;
    let mut blocked = None;
    loop {
        let words = Firewall::confirmation(&firewall.rules);
        match remote.exec_anew(exec(Argv::new(words), As::Root)).await {
            Ok(output) if output.status == 0 => return Ok(()),
            Ok(output) if output.status == Firewall::TAKEN_BACK => {
                let from = source(remote).await;
                return Err(Why::failed(taken_back(host, blocked.as_ref(), from)));
            }
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said = reason::decisive_first(&said);
                return Err(Why::failed(format!(
                    "the new firewall of {host} cannot be confirmed, so the host takes it back: \
                     {said}"
                )));
            }
            Err(error) if error.kind() == ErrorKind::Unsafe => return Err(error.into()),
            Err(error) => blocked = Some(error),
        }
        if Instant::now() >= end {
            let blocked =
                blocked.as_ref().map(|error| in_words(error)).unwrap_or_default();
            return Err(Why::failed(format!(
                "no new SSH connection gets through to {host} ({blocked}): it takes its new \
                 firewall back by itself, but does not answer yet; try again"
            )));
        }
        // A pause between two tries of what has a deadline.
        sleep(PAUSE).await;
    }
}

/// Why a firewall was taken back, and what to do.
fn taken_back(
    host: &HostName,
    blocked: Option<&RemoteError>,
    from: Option<String>,
) -> String {
    let Some(blocked) = blocked else {
        return format!(
            "the firewall of {host} was taken back: it was not confirmed in time; try again"
        );
    };
    let from = from.map_or_else(
        || "the address from which you connect".to_owned(),
        |from| format!("{from}, from which your connections reach it,"),
    );
    format!(
        "the firewall of {host} was taken back: a new SSH connection did not get through \
         ({}); add {from} to `admin_cidrs`",
        in_words(blocked)
    )
}

/// The address from which this computer's connections reach the host.
async fn source(remote: &dyn Remote) -> Option<String> {
    let argv = Argv::new(["sh", "-c", r#"printf %s "${SSH_CONNECTION%% *}""#]);
    let output = remote.exec(exec(argv, As::Login)).await.ok()?;
    let from = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!from.is_empty()).then_some(from)
}

fn exec<'a>(argv: Argv, user: As) -> Exec<'a> {
    Exec {
        purpose: "confirm the firewall".to_owned(),
        argv,
        user,
        input: Input::Empty,
        on_line: None,
        deadline: ANSWER,
    }
}
