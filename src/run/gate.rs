//! Waits until components themselves say that they work.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;

use crate::event::{Event, Events};
use crate::plan::Gate;

/// The longest that a gate may stay closed. A ZooKeeper member that fetches a large database
/// over a slow line takes longest.
const DEADLINE: Duration = Duration::from_secs(180);

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
}

/// A gate that did not open in time.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not so within {}s; seen last: {seen}", DEADLINE.as_secs())]
pub struct Closed {
    /// What was waited for.
    pub gate: String,
    /// What was seen last.
    pub seen: String,
}

/// Waits for a gate.
///
/// # Errors
/// When it is not open before the deadline.
pub async fn wait(
    gate: &Gate,
    witness: &dyn Witness,
    events: &Events,
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
        }
        if begun.elapsed() > DEADLINE {
            return Err(Closed { gate: name, seen: last });
        }
        // A pause between two looks at a condition that has a deadline.
        tokio::time::sleep(PAUSE).await;
    }
}
