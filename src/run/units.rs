//! Watches the units that a gate waits for: a unit that ends after each start never opens the
//! gate.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::host::HostName;
use crate::reason;
use crate::remote::{Argv, As, Exec, Input, Remote};

/// How long a host may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// This many restarts while one gate is waited for are no accident. A component may end once or
/// twice while the services that it needs start next to it.
const CIRCLE: u64 = 3;

/// A unit that is stopped in this many checks in a row stays stopped.
const RESTS: usize = 2;

/// The end of its journal: more than one start. Before it fails, a Java program prints 60 lines.
const LAST_WORDS: &str = r#"journalctl --quiet --no-pager --output cat --lines 300 --unit "$1" | tail -c 65536"#;

/// More lines than any program prints about its end.
const LINES: usize = 60;

/// A unit of a host, as systemd shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitRun {
    /// The host.
    pub host: HostName,
    /// The unit.
    pub unit: &'static str,
    /// `active`, `activating`, `failed`, ….
    pub active: String,
    /// How often systemd has restarted it.
    pub n_restarts: u64,
}

/// A unit that will not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The host.
    pub host: HostName,
    /// The unit.
    pub unit: &'static str,
    /// What it does, such as `ended and was started again 3 times`.
    pub does: String,
}

/// What was seen of units during the wait for a gate.
#[derive(Debug, Default)]
pub struct Watch(BTreeMap<(HostName, &'static str), Seen>);

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    first: u64,
    last: u64,
    n_rests: usize,
}

impl Watch {
    /// Handles a check of the units; returns those that will not serve.
    pub fn take(&mut self, units: &[UnitRun]) -> Vec<Stuck> {
        units.iter().filter_map(|unit| self.take_one(unit)).collect()
    }

    /// The units that ended at least once since they were first seen.
    pub fn suspects(&self) -> Vec<Stuck> {
        let ended = self.0.iter().filter(|(_, seen)| seen.last > seen.first);
        let stuck = ended.map(|((host, unit), seen)| Stuck {
            host: host.clone(),
            unit,
            does: started_again(seen.last - seen.first),
        });
        stuck.collect()
    }

    fn take_one(&mut self, now: &UnitRun) -> Option<Stuck> {
        let fresh = Seen { first: now.n_restarts, last: now.n_restarts, n_rests: 0 };
        let seen = self.0.entry((now.host.clone(), now.unit)).or_insert(fresh);
        // If somebody starts a unit by hand, or boots its machine, the count restarts.
        if now.n_restarts < seen.last {
            *seen = fresh;
        }
        seen.last = now.n_restarts;
        let rests = ["failed", "inactive"].contains(&now.active.as_str());
        seen.n_rests = if rests { seen.n_rests + 1 } else { 0 };
        let n_restarts = seen.last - seen.first;
        let does = match now.active.as_str() {
            _ if n_restarts >= CIRCLE => started_again(n_restarts),
            state if seen.n_rests >= RESTS => {
                format!("is {state}, and nothing starts it again")
            }
            _ => return None,
        };
        Some(Stuck { host: now.host.clone(), unit: now.unit, does })
    }
}

fn started_again(n: u64) -> String {
    match n {
        1 => "ended and was started again once".to_owned(),
        n => format!("ended and was started again {n} times"),
    }
}

/// Asks a host for the state of a unit; `None` if it does not answer.
pub async fn look(
    host: &HostName,
    remote: &dyn Remote,
    unit: &'static str,
) -> Option<UnitRun> {
    let show = ["systemctl", "show", "-p", "ActiveState", "-p", "NRestarts", unit];
    let said = ask(remote, format!("check {unit}"), Argv::new(show), As::Login).await?;
    let value = |name: &str| {
        said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    };
    Some(UnitRun {
        host: host.clone(),
        unit,
        active: value("ActiveState")?.to_owned(),
        n_restarts: value("NRestarts")?.parse().ok()?,
    })
}

/// The last log lines of a unit before it ended, as whole lines, the decisive line first; empty
/// if the host does not answer.
pub async fn last_words(remote: &dyn Remote, unit: &str) -> String {
    let words = Argv::new(["sh", "-c", LAST_WORDS, "journal", unit]);
    let said = ask(remote, format!("read the journal of {unit}"), words, As::Root).await;
    reason::decisive_first(&before_its_end(&said.unwrap_or_default(), unit))
}

/// The log of a unit up to its last end: if it was restarted since, the log of the new start does
/// not contain the reason yet. The whole log if it has not ended.
fn before_its_end(said: &str, unit: &str) -> String {
    let ended = format!("{unit}: Main process exited");
    let lines: Vec<&str> = said.lines().collect();
    let end = lines.iter().rposition(|line| line.starts_with(&ended));
    let until = end.map_or(lines.len(), |end| end + 1);
    let text = lines[until.saturating_sub(LINES)..until].join("\n");
    let cut = text.ceil_char_boundary(text.len().saturating_sub(reason::KEPT));
    reason::whole_lines(&text[cut..], cut > 0).to_owned()
}

async fn ask(
    remote: &dyn Remote,
    purpose: String,
    argv: Argv,
    user: As,
) -> Option<String> {
    let (input, on_line, deadline) = (Input::Empty, None, DEADLINE);
    let exec = Exec { purpose, argv, user, input, on_line, deadline };
    let output = remote.exec(exec).await.ok().filter(|output| output.status == 0)?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of each check of one unit.
    fn check(looks: &[(&str, u64)], does: &[Option<&str>]) {
        let mut watch = Watch::default();
        let found: Vec<Option<String>> = looks
            .iter()
            .map(|(active, n_restarts)| {
                let unit = UnitRun {
                    host: "c1".parse().unwrap(),
                    unit: "x.service",
                    active: (*active).to_owned(),
                    n_restarts: *n_restarts,
                };
                watch.take(&[unit]).pop().map(|stuck| stuck.does)
            })
            .collect();
        let found: Vec<Option<&str>> = found.iter().map(Option::as_deref).collect();
        assert_eq!(found, does);
    }

    #[test]
    fn a_unit_that_ends_at_each_start_is_stuck() {
        check(
            &[("active", 7), ("activating", 8), ("active", 9), ("activating", 10)],
            &[None, None, None, Some("ended and was started again 3 times")],
        );
    }

    #[test]
    fn a_unit_that_ends_once_or_twice_while_others_come_up_is_not() {
        check(
            &[("active", 0), ("activating", 1), ("active", 2), ("active", 2)],
            &[None; 4],
        );
        check(&[("active", 2), ("active", 0), ("active", 2)], &[None; 3]);
    }

    #[test]
    fn of_a_unit_that_is_started_again_the_words_before_its_end_count() {
        let start = "one\n".repeat(80);
        let end = "why\nx.service: Main process exited, code=exited, status=1/FAILURE\n";
        let said = before_its_end(&format!("{start}{end}{start}"), "x.service");
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!((lines.len(), lines[LINES - 2]), (LINES, "why"));
        assert_eq!(before_its_end("still\nat it\n", "x.service"), "still\nat it");
        let long = "x".repeat(100_000);
        assert_eq!(before_its_end(&format!("{long}\nwhy"), "x.service"), "why");
    }

    #[test]
    fn a_unit_at_rest_is_stuck_once_it_stays_so() {
        check(
            &[("failed", 0), ("failed", 0)],
            &[None, Some("is failed, and nothing starts it again")],
        );
        check(&[("inactive", 0), ("active", 0), ("inactive", 0)], &[None; 3]);
    }
}
