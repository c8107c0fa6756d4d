//! Waits until components themselves say that they work.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::units::{Stuck, UnitRun, Watch};
use crate::event::{Event, Events};
use crate::plan::Gate;

/// The longest that a gate may stay closed. A ZooKeeper member that fetches a large database
/// over a slow line takes longest.
const DEADLINE: Duration = Duration::from_secs(180);

/// The longest that a machine may take to boot. The firmware of a large one counts its memory.
const BOOT: Duration = Duration::from_secs(15 * 60);

/// How long to rest between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// How long to rest between two looks at the units of a gate that stays closed. Most gates open
/// before the first.
const UNITS: Duration = Duration::from_secs(4);

/// Asks components how they are.
pub trait HealthCheck: Send + Sync {
    /// What the components of a gate say now.
    fn look<'a>(&'a self, gate: &'a Gate) -> BoxFuture<'a, GateState>;

    /// How the units are that a gate waits for, of hosts that answer.
    fn units<'a>(&'a self, _: &'a Gate) -> BoxFuture<'a, Vec<UnitRun>> {
        async { Vec::new() }.boxed()
    }

    /// The ways between hosts that a gate needs and that are barred, in sentences.
    fn barred<'a>(&'a self, _: &'a Gate) -> BoxFuture<'a, Vec<String>> {
        async { Vec::new() }.boxed()
    }

    /// The last that a unit said, the decisive line first; empty where nobody can tell.
    fn last_words<'a>(&'a self, _: &'a Stuck) -> BoxFuture<'a, String> {
        async { String::new() }.boxed()
    }
}

/// What the components of a gate said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateState {
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
         and plans from what it finds{}",
        deadline.as_secs(),
        below(words)
    )]
    TimedOut {
        /// What was waited for.
        gate: String,
        /// What was seen last.
        seen: String,
        /// What was found to be wrong: ways that are barred, and what units said that ended.
        words: String,
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
        /// Why, in whole lines, the decisive one first.
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

impl Closed {
    /// Why it did not open, without what it is; none where nobody waits for it any longer.
    fn why(&self) -> Option<String> {
        match self {
            Self::TimedOut { seen, advice, words, .. } => {
                let end = advice.trim_end_matches("; ");
                let end = if end.is_empty() { "" } else { &format!("; {end}") };
                Some(format!("seen last: {seen}{end}{}", below(words)))
            }
            Self::Never { why, .. } => Some(why.clone()),
            Self::Stopped { .. } => None,
        }
    }
}

fn below(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!("\n{words}") }
}

/// Waits for a gate, unless the operator wants to stop. It is looked at once in any case.
///
/// # Errors
/// When it is not open before the deadline, or a unit that it waits for ends at each start.
pub async fn wait(
    gate: &Gate,
    health: &dyn HealthCheck,
    events: &Events,
    stopped: &(dyn Fn() -> bool + Send + Sync),
) -> Result<(), Closed> {
    let begun = Instant::now();
    let ended = until_open(gate, health, events, stopped).await;
    if let Some(reason) = ended.as_ref().err().and_then(Closed::why) {
        let (gate, took) = (gate.to_string(), begun.elapsed());
        events.emit(&Event::GateFailed { gate, reason, took });
    }
    ended
}

async fn until_open(
    gate: &Gate,
    health: &dyn HealthCheck,
    events: &Events,
    stopped: &(dyn Fn() -> bool + Send + Sync),
) -> Result<(), Closed> {
    let begun = Instant::now();
    let name = gate.to_string();
    let mut last = String::new();
    let (mut watch, mut looked) = (Watch::default(), begun);
    loop {
        match health.look(gate).await {
            GateState::Open(seen) => {
                let took = begun.elapsed();
                events.emit(&Event::GatePassed { gate: name, seen, took });
                return Ok(());
            }
            GateState::Closed(seen) => {
                if seen != last {
                    let gate = name.clone();
                    events.emit(&Event::Waiting { gate, seen: seen.clone() });
                }
                last = seen;
            }
            GateState::Never(why) => return Err(Closed::Never { gate: name, why }),
        }
        if stopped() {
            return Err(Closed::Stopped { gate: name, seen: last });
        }
        if looked.elapsed() >= UNITS {
            let stuck = watch.take(&health.units(gate).await);
            if !stuck.is_empty() {
                let why = tell(&stuck, health).await.join("\n");
                return Err(Closed::Never { gate: name, why });
            }
            looked = Instant::now();
        }
        let (deadline, advice) = limit(gate);
        if begun.elapsed() > deadline {
            let mut words = health.barred(gate).await;
            words.extend(tell(&watch.suspects(), health).await);
            let words = words.join("\n");
            return Err(Closed::TimedOut {
                gate: name,
                seen: last,
                words,
                deadline,
                advice,
            });
        }
        // A pause between two looks at a condition that has a deadline.
        tokio::time::sleep(PAUSE).await;
    }
}

/// What units do that do not serve, and their own last words.
async fn tell(stuck: &[Stuck], health: &dyn HealthCheck) -> Vec<String> {
    let mut told = Vec::new();
    for unit in stuck {
        let Stuck { host, unit: name, does } = unit;
        let words = health.last_words(unit).await;
        let mut lines = words.lines();
        let said = match lines.next() {
            Some(decisive) => format!("it says: {decisive}"),
            None => "its journal says nothing".to_owned(),
        };
        told.push(format!("{name} on {host} {does}: {said}"));
        told.extend(lines.map(str::to_owned));
        told.push(format!(
            "mend that on {host} (all that it says: `journalctl -u {name}` there), then run \
             this again"
        ));
    }
    told
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
