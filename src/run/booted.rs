//! Waits until a machine that boots has started its units. A machine accepts logins before that,
//! and a unit that is about to start looks like one that does not run.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::event::{Event, Events};
use crate::host::HostName;
use crate::progress;
use crate::remote::{Argv, As, Exec, Input, Remote, RemoteError};

/// The longest that a machine that accepts logins may take to start its units.
const UNITS: Duration = Duration::from_secs(120);
/// How long a machine may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// The pause between two checks.
const PAUSE: Duration = Duration::from_millis(250);

/// Waits until systemd has tried to start all units, also if some failed: checks report these. A
/// machine that is still starting them at the deadline is reported with a warning.
///
/// # Errors
/// When the machine does not answer any more.
pub(crate) async fn until_units_started(
    (host, remote): (&HostName, &dyn Remote),
    events: &Events,
    stopped: &(dyn Fn() -> bool + Sync),
) -> Result<(), RemoteError> {
    let gate = format!("{host} has started its units");
    let on_seen = |seen: &str| {
        events.emit(&Event::Waiting { gate: gate.clone(), seen: seen.to_owned() })
    };
    let look = async || -> Result<_, RemoteError> {
        if stopped() {
            return Ok(ControlFlow::Break(()));
        }
        let output = remote.exec(question()).await?;
        Ok(boot_progress(&String::from_utf8_lossy(&output.stdout)))
    };
    if let Err(seen) = progress::poll(UNITS, || PAUSE, on_seen, look).await? {
        let seconds = UNITS.as_secs();
        let message = format!(
            "{host} has not started all its units after {seconds} s ({seen}), and is checked \
             as it is; see `systemctl list-jobs` there"
        );
        events.emit(&Event::Warned { message });
    }
    Ok(())
}

fn question<'a>() -> Exec<'a> {
    Exec {
        purpose: "check whether the units were started".to_owned(),
        argv: Argv::new(["systemctl", "is-system-running"]),
        user: As::Login,
        input: Input::Empty,
        on_line: None,
        deadline: ANSWER,
    }
}

/// Whether systemd has ended its start, by its own word for its state. It has no word while it
/// cannot be asked yet.
fn boot_progress(stdout: &str) -> ControlFlow<(), String> {
    match stdout.trim() {
        state @ ("initializing" | "starting") => {
            ControlFlow::Continue(format!("systemd is {state}"))
        }
        "" | "unknown" => ControlFlow::Continue("systemd does not answer".to_owned()),
        _ => ControlFlow::Break(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_has_ended_also_if_units_failed() {
        for ended in ["running\n", "degraded\n", "maintenance\n", "offline\n"] {
            assert_eq!(boot_progress(ended), ControlFlow::Break(()));
        }
    }

    #[test]
    fn systemd_that_starts_units_or_does_not_answer_is_waited_for() {
        let seen = |stdout: &str| boot_progress(stdout).continue_value();
        assert_eq!(seen("starting\n").as_deref(), Some("systemd is starting"));
        assert_eq!(seen("initializing\n").as_deref(), Some("systemd is initializing"));
        assert_eq!(seen("unknown\n").as_deref(), Some("systemd does not answer"));
        assert_eq!(seen("").as_deref(), Some("systemd does not answer"));
    }
}
