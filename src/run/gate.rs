//! Waits until components themselves say that they work.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::event::{Event, Events};
use crate::plan::Gate;

/// The longest that a gate may stay closed. A ZooKeeper member that fetches a large database
/// over a slow line takes longest.
const DEADLINE: Duration = Duration::from_secs(180);

/// The longest that a machine may take to boot. The firmware of a large one counts its memory.
const BOOT: Duration = Duration::from_secs(15 * 60);

/// How long to rest between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// Asks components how they are.
pub trait Witness: Send + Sync {
    /// What the components of a gate say now.
    fn look<'a>(&'a self, gate: &'a Gate) -> BoxFuture<'a, Look>;
}

/// What the components of a gate said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// All is well: what they said.
    Open(String),
    /// Not yet: what they said.
    Closed(String),
    /// It will not open, and why.
    Never(String),
}

/// A gate that did not open.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Closed {
    /// It stayed closed for too long.
    #[error(
        "waited {}s in vain until {gate}; seen last: {seen}; {advice}another run looks anew \
         and plans from what it finds",
        deadline.as_secs()
    )]
    TimedOut {
        /// What was waited for.
        gate: String,
        /// What was seen last.
        seen: String,
        /// The longest that it was waited for.
        deadline: Duration,
        /// What to do before another run; ends with a separator, or is empty.
        advice: &'static str,
    },
    /// It cannot open any more.
    #[error("waited in vain until {gate}: {why}")]
    Never {
        /// What was waited for.
        gate: String,
        /// Why.
        why: String,
    },
    /// The operator did not want to wait any longer.
    #[error("stopped while waiting until {gate}; seen last: {seen}")]
    Stopped {
        /// What was waited for.
        gate: String,
        /// What was seen last.
        seen: String,
    },
}

/// Waits for a gate, unless the operator wants to stop. It is looked at once in any case.
///
/// # Errors
/// When it is not open before the deadline.
pub async fn wait(
    gate: &Gate,
    witness: &dyn Witness,
    events: &Events,
    stopped: &(dyn Fn() -> bool + Send + Sync),
) -> Result<(), Closed> {
    let begun = Instant::now();
    let name = gate.to_string();
    let mut last = String::new();
    loop {
        match witness.look(gate).await {
            Look::Open(seen) => {
                let took = begun.elapsed();
                events.emit(&Event::GatePassed { gate: name, seen, took });
                return Ok(());
            }
            Look::Closed(seen) => {
                if seen != last {
                    let gate = name.clone();
                    events.emit(&Event::Waiting { gate, seen: seen.clone() });
                }
                last = seen;
            }
            Look::Never(why) => return Err(Closed::Never { gate: name, why }),
        }
        if stopped() {
            return Err(Closed::Stopped { gate: name, seen: last });
        }
        let (deadline, advice) = limit(gate);
        if begun.elapsed() > deadline {
            return Err(Closed::TimedOut { gate: name, seen: last, deadline, advice });
        }
        // A pause between two looks at a condition that has a deadline.
        tokio::time::sleep(PAUSE).await;
    }
}

/// The longest that a gate may stay closed, and what to do then.
fn limit(gate: &Gate) -> (Duration, &'static str) {
    match gate {
        Gate::Booted(_) => (
            BOOT,
            "look at the machine's console, and have it boot; what was set is in \
             /etc/default/grub.d/99-platform.cfg; ",
        ),
        _ => (DEADLINE, ""),
    }
}
