//! Waits until components report that they work.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::units::{Stuck, UnitRun, Watch};
use crate::component::Spec;
use crate::event::{Event, Events};
use crate::plan::Gate;

/// The longest that a gate may stay closed. A ZooKeeper member that fetches a large database over
/// a slow connection takes longest.
const DEADLINE: Duration = Duration::from_secs(180);

/// The longest that a machine may take to boot. The firmware of a large machine tests its memory.
const BOOT: Duration = Duration::from_secs(15 * 60);

/// The pause between two checks.
const PAUSE: Duration = Duration::from_millis(250);

/// The pause between two checks of the units of a gate that stays closed. Most gates open before
/// the first check.
const UNITS: Duration = Duration::from_secs(4);

/// Asks components about their health.
pub trait HealthCheck: Send + Sync {
    /// What the components of a gate report now.
    fn look<'a>(&'a self, gate: &'a Gate) -> BoxFuture<'a, GateState>;

    /// The state of the units that a gate waits for, on hosts that answer.
    fn units<'a>(&'a self, _: &'a Gate) -> BoxFuture<'a, Vec<UnitRun>> {
        async { Vec::new() }.boxed()
    }

    /// The blocked connections between hosts that a gate needs, as sentences.
    fn blocked<'a>(&'a self, _: &'a Gate) -> BoxFuture<'a, Vec<String>> {
        async { Vec::new() }.boxed()
    }

    /// The last log lines of a unit, the decisive line first; empty if they cannot be read.
    fn last_words<'a>(&'a self, _: &'a Stuck) -> BoxFuture<'a, String> {
        async { String::new() }.boxed()
    }
}

/// What the components of a gate reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateState {
    /// The gate is open: what they reported.
    Open(String),
    /// Not yet: what they reported.
    Closed(String),
    /// It will not open, with the reason.
    Never(String),
}

/// A gate that did not open.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Closed {
    /// It stayed closed for too long.
    #[error(
        "gave up after waiting {}s until {gate}; last seen: {seen}; {advice}the next run \
         checks again and plans from what it finds{}",
        deadline.as_secs(),
        below(words)
    )]
    TimedOut {
        /// What was waited for.
        gate: String,
        /// What was seen last.
        seen: String,
        /// The problems that were found: blocked connections, and the log lines of units that
        /// ended.
        words: String,
        /// How long it was waited for at most.
        deadline: Duration,
        /// What to do before the next run; ends with a separator, or is empty.
        advice: &'static str,
    },
    /// It cannot open any more.
    #[error("gave up waiting until {gate}: {why}")]
    Never {
        /// What was waited for.
        gate: String,
        /// The reason, as whole lines, the decisive line first.
        why: String,
    },
    /// The operator did not want to wait any longer.
    #[error("stopped while waiting until {gate}; last seen: {seen}")]
    Stopped {
        /// What was waited for.
        gate: String,
        /// What was seen last.
        seen: String,
    },
}

impl Closed {
    /// Why it did not open, without its name; `None` if the operator stopped the wait.
    fn why(&self) -> Option<String> {
        match self {
            Self::TimedOut { seen, advice, words, .. } => {
                let end = advice.trim_end_matches("; ");
                let end = if end.is_empty() { "" } else { &format!("; {end}") };
                Some(format!("last seen: {seen}{end}{}", below(words)))
            }
            Self::Never { why, .. } => Some(why.clone()),
            Self::Stopped { .. } => None,
        }
    }
}

fn below(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!("\n{words}") }
}

/// Waits for a gate, unless the operator wants to stop. The gate is always checked at least once.
///
/// # Errors
/// When it is not open before the deadline, or a unit that it waits for ends after each start.
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
    let limit = Limit::of(gate);
    let mut last = String::new();
    let (mut watch, mut looked, mut since) = (Watch::default(), begun, begun);
    loop {
        match health.look(gate).await {
            GateState::Open(seen) => {
                let took = begun.elapsed();
                events.emit(&Event::GatePassed { gate: name, seen, took });
                return Ok(());
            }
            GateState::Closed(seen) => {
                if seen != last {
                    let name = name.clone();
                    events.emit(&Event::Waiting { gate: name, seen: seen.clone() });
                    if limit.begins_anew {
                        since = Instant::now();
                    }
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
        if since.elapsed() > limit.deadline {
            let mut words = health.blocked(gate).await;
            words.extend(tell(&watch.suspects(), health).await);
            let words = words.join("\n");
            return Err(Closed::TimedOut {
                gate: name,
                seen: last,
                words,
                deadline: limit.deadline,
                advice: limit.advice,
            });
        }
        // A pause between two checks of a condition that has a deadline.
        tokio::time::sleep(PAUSE).await;
    }
}

/// The state of units that do not serve, with their last log lines.
async fn tell(stuck: &[Stuck], health: &dyn HealthCheck) -> Vec<String> {
    let mut told = Vec::new();
    for unit in stuck {
        let Stuck { host, unit: name, does } = unit;
        let words = health.last_words(unit).await;
        let mut lines = words.lines();
        let said = match lines.next() {
            Some(decisive) => format!("its log says: {decisive}"),
            None => "its log is empty".to_owned(),
        };
        told.push(format!("{name} on {host} {does}: {said}"));
        told.extend(lines.map(str::to_owned));
        told.push(format!(
            "repair that on {host} (full log: `journalctl -u {name}` there), then run the \
             command again"
        ));
    }
    told
}

/// The longest that a gate may stay closed, and what to do after that.
struct Limit {
    deadline: Duration,
    /// Whether the time begins anew with each change of what is reported.
    begins_anew: bool,
    advice: &'static str,
}

impl Limit {
    fn of(gate: &Gate) -> Self {
        match gate {
            Gate::Booted(_) => Self {
                deadline: BOOT,
                begins_anew: false,
                advice: "look at the machine's console, and make it boot; the boot setting is in \
                         /etc/default/grub.d/99-platform.cfg; ",
            },
            Gate::Serves { component, .. } => {
                let of_work = Spec::of(*component).health.stopped_work();
                Self {
                    deadline: DEADLINE,
                    begins_anew: of_work.is_some(),
                    advice: of_work.unwrap_or_default(),
                }
            }
        }
    }
}
