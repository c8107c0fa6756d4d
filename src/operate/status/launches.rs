//! Whether Marathon still starts tasks.
//!
//! Its launch queue can die while everything else still answers: an app with the constraint
//! `GROUP_BY` and no number stops the queue at the first offer, and so does a persistent volume
//! if Marathon has no principal (seen on Marathon 1.11.24). Nothing is started then until that
//! app is deleted and another Marathon leads.

use std::ops::ControlFlow;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::super::RunContext;
use crate::api::http::ApiError;
use crate::api::marathon::{App, Marathon, Queued};
use crate::api::mesos::AgentInfo;
use crate::component::marathon::UNIT;
use crate::event::Event;
use crate::host::HostName;
use crate::progress;

/// A Marathon that needs offers gets one well within this time: after it refuses an offer, it does
/// not get that offer again for 120 s, and while something waits it asks for all offers again
/// every few seconds.
const LONG: SignedDuration = SignedDuration::from_mins(3);

/// How long the queue is watched before it is called dead: after a delay has ended, Marathon may
/// take up to 5 s to ask for offers.
const WATCH: Duration = Duration::from_secs(10);

/// How often the queue is checked meanwhile.
const EVERY: Duration = Duration::from_secs(1);

/// An agent with less free CPU and memory (MiB) is ignored: Mesos' own limits are lower.
const ROOM: (f64, f64) = (0.1, 32.0);

/// A sentence if Marathon no longer starts tasks. A queue that has not moved for long is watched
/// for some seconds; any other queue is checked once.
pub(super) async fn problem(
    marathon: &Marathon,
    leader: &HostName,
    agents: &[AgentInfo],
    ctx: &RunContext<'_>,
) -> Option<String> {
    if !agents.iter().any(has_room) {
        return None;
    }
    let first = marathon.queue().await.ok()?;
    let since = waiting_since(&first, (ctx.clock)())?;
    let on_seen = |seen: &str| {
        let gate = "Marathon considers an offer".to_owned();
        ctx.events.emit(&Event::Waiting { gate, seen: seen.to_owned() });
    };
    let look = async || -> Result<_, ApiError> {
        Ok(match marathon.queue().await? == first {
            true => {
                let seen = format!("it has considered none since {since:.0}");
                ControlFlow::Continue(seen)
            }
            false => ControlFlow::Break(()),
        })
    };
    match progress::poll(WATCH, || EVERY, on_seen, look).await.ok()? {
        Ok(()) => None,
        Err(_) => {
            let apps = marathon.apps().await.ok()?;
            Some(sentence(&first, &apps, leader, since))
        }
    }
}

/// Whether an agent has free CPU and memory to offer.
fn has_room(agent: &AgentInfo) -> bool {
    let (cpus, mem_mib) = ROOM;
    agent.active
        && agent.total.cpus - agent.allocated.cpus >= cpus
        && agent.total.mem_mib - agent.allocated.mem_mib >= mem_mib
}

/// The time since which Marathon has considered no offer; `None` if nothing waits for one, or
/// that time is recent.
fn waiting_since(queue: &[Queued], now: Timestamp) -> Option<Timestamp> {
    let waits = |entry: &&Queued| entry.count > 0 && entry.delay.overdue;
    let begun = queue.iter().filter(waits).filter_map(|entry| entry.since).min()?;
    let offers = queue.iter().flat_map(|entry| {
        [entry.offers.last_used_offer_at, entry.offers.last_unused_offer_at]
    });
    let since = offers.flatten().fold(begun, Timestamp::max);
    (now.duration_since(since) >= LONG).then_some(since)
}

/// Whether an app is one of those that stop the launch queue: Marathon divides by the number.
fn groups_by_nothing(app: &App) -> bool {
    app.constraints.iter().any(|constraint| {
        let mut words = constraint.iter().skip(1).map(String::as_str);
        words.next() == Some("GROUP_BY")
            && words.next().is_none_or(|number| number.parse() == Ok(0))
    })
}

fn sentence(
    queue: &[Queued],
    apps: &[App],
    leader: &HostName,
    since: Timestamp,
) -> String {
    let waiting: Vec<&str> = queue.iter().map(|entry| entry.app.id.as_str()).collect();
    let culprits: Vec<&str> = apps
        .iter()
        .filter(|app| groups_by_nothing(app))
        .map(|app| app.id.as_str())
        .collect();
    let delete = match culprits.is_empty() {
        true => format!(
            "an app has stopped it: search for `Exception` in the journal of {UNIT} on {leader}, \
             delete that app"
        ),
        false => format!(
            "an app with the constraint GROUP_BY and no number has stopped it: delete {}",
            culprits.join(", ")
        ),
    };
    format!(
        "Marathon no longer starts tasks: it has considered no offer since {since:.0}, although \
         agents have room and {} {}; {delete}, then make another Marathon the leader: run \
         `systemctl restart {UNIT}` on {leader}",
        waiting.join(", "),
        if waiting.len() == 1 { "waits" } else { "wait" },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(text: &str) -> Vec<Queued> {
        serde_json::from_str(text).unwrap()
    }

    fn at(time: &str) -> Timestamp {
        format!("2026-11-29T{time}Z").parse().unwrap()
    }

    /// The answer of a real Marathon with a dead queue.
    const DEAD: &str = r#"[{"count": 2, "delay": {"timeLeftSeconds": 0, "overdue": true},
        "since": "2026-11-29T15:23:19.444Z", "app": {"id": "/spread"},
        "processedOffersSummary": {"processedOffersCount": 0, "unusedOffersCount": 0}}]"#;

    #[test]
    fn a_queue_that_sees_no_offer_for_long_is_suspected() {
        let dead = queue(DEAD);
        assert_eq!(waiting_since(&dead, at("15:26:18")), None, "not for long");
        assert_eq!(waiting_since(&dead, at("15:26:20")), Some(at("15:23:19.444")));
        assert_eq!(waiting_since(&[], at("18:00:00")), None, "nothing waits");
    }

    #[test]
    fn an_offer_that_did_not_fit_shows_that_the_queue_lives() {
        let seen =
            r#""lastUnusedOfferAt": "2026-11-29T15:30:00Z", "processedOffersCount": 0"#;
        let lives = queue(&DEAD.replace(r#""processedOffersCount": 0"#, seen));
        assert_eq!(waiting_since(&lives, at("15:32:00")), None);
        assert_eq!(waiting_since(&lives, at("15:33:00")), Some(at("15:30:00")));
    }

    #[test]
    fn an_app_that_is_held_back_is_not_waiting_for_offers() {
        let held = DEAD.replace(r#""overdue": true"#, r#""overdue": false"#);
        assert_eq!(waiting_since(&queue(&held), at("16:00:00")), None);
    }

    #[test]
    fn the_app_that_did_it_is_named_where_it_is_known() {
        let apps = |constraint: &str| -> Vec<App> {
            let text = format!(r#"[{{"id": "/spread", "constraints": [{constraint}]}}]"#);
            serde_json::from_str(&text).unwrap()
        };
        let leader: HostName = "control-1".parse().unwrap();
        let said = |constraint: &str| {
            sentence(&queue(DEAD), &apps(constraint), &leader, at("15:23:19"))
        };
        for culprit in [r#"["hostname", "GROUP_BY"]"#, r#"["hostname", "GROUP_BY", "0"]"#]
        {
            assert!(
                said(culprit).contains("no number has stopped it: delete /spread, then")
            );
        }
        for other in [r#"["hostname", "GROUP_BY", "2"]"#, r#"["hostname", "UNIQUE"]"#] {
            assert!(said(other).contains("`Exception` in the journal of"), "{other}");
        }
        assert_eq!(
            said(r#"["hostname", "GROUP_BY"]"#),
            "Marathon no longer starts tasks: it has considered no offer since \
             2026-11-29T15:23:19Z, although agents have room and /spread waits; an app with the \
             constraint GROUP_BY and no number has stopped it: delete /spread, then make another \
             Marathon the leader: run `systemctl restart platform-marathon.service` on control-1"
        );
    }
}
