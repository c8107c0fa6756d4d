//! Deployments that last longer than the tasks of their apps need.
//!
//! A task is healthy, or is killed, once its checks have had their time. A deployment that lasts
//! longer waits for tasks that cannot start, or replaces tasks that fail or never become healthy,
//! or Marathon no longer works on it.

use jiff::{SignedDuration, Timestamp};

use super::super::RunContext;
use crate::api::marathon::{App, Deployment, Marathon, Queued};
use crate::component::marathon::UNIT;
use crate::host::HostName;

/// The time that each task may take besides its checks: Marathon waits for an offer, and the agent
/// fetches what the task needs.
const START: SignedDuration = SignedDuration::from_mins(3);

/// A sentence for each deployment that lasts too long. Apps and the launch queue are only fetched
/// if one might.
pub(super) async fn overdue(
    marathon: &Marathon,
    leader: &HostName,
    ctx: &RunContext<'_>,
) -> Vec<String> {
    found(marathon, leader, (ctx.clock)()).await.unwrap_or_default()
}

async fn found(
    marathon: &Marathon,
    leader: &HostName,
    now: Timestamp,
) -> Option<Vec<String>> {
    let mut old = marathon.deployments().await.ok()?;
    old.retain(|it| it.version.is_some_and(|begun| now.duration_since(begun) > START));
    if old.is_empty() {
        return None;
    }
    let apps = marathon.apps().await.ok()?;
    let queue = marathon.queue().await.ok()?;
    Some(sentences(&old, &Apps { apps, queue }, leader, now))
}

/// The apps, and what waits to be launched.
struct Apps {
    apps: Vec<App>,
    queue: Vec<Queued>,
}

/// What a deployment waits for.
#[derive(Debug, PartialEq)]
enum Cause<'a> {
    /// No offer fits a task.
    Offer { app: &'a str, declined: Vec<&'a str> },
    /// Marathon delays the next launch, because tasks ended or were killed.
    Delay { app: &'a str },
    /// Tasks run and do not pass their health checks.
    Health { app: &'a str },
    /// Tasks were launched and do not run yet.
    Launch { app: &'a str },
    /// Nothing of this.
    Unknown,
}

fn sentences(
    deployments: &[Deployment],
    apps: &Apps,
    leader: &HostName,
    now: Timestamp,
) -> Vec<String> {
    let is_late = |deployment: &&Deployment| {
        let allowed = apps.of(deployment).map(allowed).max().unwrap_or(START);
        deployment.version.is_some_and(|begun| now.duration_since(begun) > allowed)
    };
    let sentence = |deployment: &Deployment| {
        let what = deployment.affected_apps.join(", ");
        let since = deployment.version.map(|begun| format!("{begun:.0}"));
        let since = since.unwrap_or_default();
        let why = apps.cause(deployment).in_words(leader);
        format!("a deployment of {what} has run since {since}: {why}")
    };
    deployments.iter().filter(is_late).map(sentence).collect()
}

impl Apps {
    fn of(&self, deployment: &Deployment) -> impl Iterator<Item = &App> {
        self.apps.iter().filter(|app| deployment.affected_apps.contains(&app.id))
    }

    /// The cause that is certain is looked for first: an app with too few tasks may only wait for
    /// another app of the same deployment.
    fn cause(&self, deployment: &Deployment) -> Cause<'_> {
        let queued = self.queue.iter().find(|entry| {
            entry.count > 0 && deployment.affected_apps.contains(&entry.app.id)
        });
        if let Some(entry) = queued {
            let app = entry.app.id.as_str();
            let declined =
                entry.offers.rejected.iter().filter(|reason| reason.declined > 0);
            return match entry.delay.overdue {
                true => Cause::Offer {
                    app,
                    declined: declined.map(|it| it.reason.as_str()).collect(),
                },
                false => Cause::Delay { app },
            };
        }
        let found = |is: fn(&App) -> bool| {
            self.of(deployment).find(|app| is(app)).map(|app| app.id.as_str())
        };
        let unhealthy = |app: &App| {
            !app.health_checks.is_empty()
                && app.tasks_running > 0
                && app.tasks_healthy < app.instances
        };
        let unstarted = |app: &App| app.tasks_running + app.tasks_staged < app.instances;
        found(unhealthy)
            .map(|app| Cause::Health { app })
            .or_else(|| {
                found(|app| app.tasks_staged > 0).map(|app| Cause::Launch { app })
            })
            .or_else(|| {
                found(unstarted).map(|app| Cause::Offer { app, declined: Vec::new() })
            })
            .unwrap_or(Cause::Unknown)
    }
}

impl Cause<'_> {
    fn in_words(&self, leader: &HostName) -> String {
        match self {
            Self::Offer { app, declined } => {
                let declined = match declined.as_slice() {
                    [] => String::new(),
                    reasons => format!(" (offers were declined: {})", reasons.join(", ")),
                };
                format!(
                    "tasks of {app} wait to start{declined}; compare what the app asks for \
                     (cpus, memory, disk, ports, constraints) with what the agents have free"
                )
            }
            Self::Delay { app } => format!(
                "tasks of {app} end or are killed, and Marathon waits longer before each new \
                 start; see their logs"
            ),
            Self::Health { app } => {
                format!("tasks of {app} run and do not become healthy; see their logs")
            }
            Self::Launch { app } => format!(
                "tasks of {app} were launched and do not run yet; see the logs of their agents, \
                 which may still fetch an image or a file"
            ),
            Self::Unknown => format!(
                "no task waits to start or is unhealthy; see Marathon's log on {leader}; if it \
                 shows no reason, make another Marathon the leader: run `systemctl restart \
                 {UNIT}` on {leader}"
            ),
        }
    }
}

/// The longest that a deployment of an app may take if it replaces one task after the other.
fn allowed(app: &App) -> SignedDuration {
    let checked = app.health_checks.iter().map(|check| {
        let failing =
            check.interval_seconds.saturating_mul(check.max_consecutive_failures);
        SignedDuration::from_secs(
            check.grace_period_seconds.saturating_add(failing).into(),
        )
    });
    let each = checked.max().unwrap_or_default() + START;
    each.saturating_mul(app.instances.max(1).try_into().unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        format!("2026-11-29T{time}Z").parse().unwrap()
    }

    fn said(app: &str, queue: &str, now: &str) -> Vec<String> {
        let app = format!(r#"[{{"id": "/web", {app}}}]"#);
        let apps = Apps {
            apps: serde_json::from_str(&app).unwrap(),
            queue: serde_json::from_str(queue).unwrap(),
        };
        let deployments: Vec<Deployment> = serde_json::from_str(
            r#"[{"id": "d", "version": "2026-11-29T15:00:00.000Z", "affectedApps": ["/web"]}]"#,
        )
        .unwrap();
        sentences(&deployments, &apps, &"control-1".parse().unwrap(), at(now))
    }

    fn late(instances: u32, checks: &str, now: &str) -> Vec<String> {
        let app = format!(r#""instances": {instances}, "healthChecks": [{checks}]"#);
        said(&app, "[]", now)
    }

    /// 300 s of grace, then three failures in a row at 60 s each.
    const CHECK: &str = r#"{"protocol": "MESOS_HTTP", "gracePeriodSeconds": 300,
        "intervalSeconds": 60, "maxConsecutiveFailures": 3}"#;

    #[test]
    fn a_deployment_has_the_time_of_its_checks_for_each_task() {
        assert_eq!(late(1, CHECK, "15:11:00"), [""; 0]);
        assert_eq!(late(1, CHECK, "15:11:01").len(), 1);
        assert_eq!(late(3, CHECK, "15:33:00"), [""; 0]);
        assert_eq!(late(3, CHECK, "15:33:01").len(), 1);
    }

    #[test]
    fn without_checks_only_the_start_of_each_task_counts() {
        assert_eq!(late(2, "", "15:06:00"), [""; 0]);
        assert_eq!(late(0, "", "15:03:01").len(), 1, "it is being suspended or deleted");
    }

    /// Checks the reason that is given for a deployment that is late.
    fn check(app: &str, queue: &str, expected: &str) {
        let [said] = &said(app, queue, "18:00:00")[..] else { panic!("one is late") };
        let head = "a deployment of /web has run since 2026-11-29T15:00:00Z: ";
        assert_eq!(said.strip_prefix(head), Some(expected));
        assert!(!said.contains("delete"), "a correct app may only wait: {said}");
    }

    fn queued(overdue: bool, rejected: &str) -> String {
        format!(
            r#"[{{"count": 1, "app": {{"id": "/web"}}, "delay": {{"overdue": {overdue}}},
                "processedOffersSummary": {{"rejectSummaryLastOffers": [{rejected}]}}}}]"#
        )
    }

    #[test]
    fn a_task_that_no_offer_fits_waits_to_start() {
        let rejected = r#"{"reason": "UnfulfilledRole", "declined": 0, "processed": 3},
            {"reason": "InsufficientCpus", "declined": 3, "processed": 3}"#;
        check(
            r#""instances": 1, "tasksRunning": 0"#,
            &queued(true, rejected),
            "tasks of /web wait to start (offers were declined: InsufficientCpus); compare what \
             the app asks for (cpus, memory, disk, ports, constraints) with what the agents have \
             free",
        );
        let waits = "tasks of /web wait to start; compare what the app asks for (cpus, memory, \
                     disk, ports, constraints) with what the agents have free";
        check(r#""instances": 1, "tasksRunning": 0"#, "[]", waits);
        let with_checks = format!(r#""instances": 1, "healthChecks": [{CHECK}]"#);
        check(&with_checks, "[]", waits);
        let replaced =
            format!(r#""instances": 1, "tasksRunning": 1, "healthChecks": [{CHECK}]"#);
        check(&replaced, &queued(true, ""), waits);
    }

    #[test]
    fn tasks_that_do_not_become_healthy_are_distinguished_from_those_that_end() {
        let unhealthy = format!(
            r#""instances": 2, "tasksRunning": 2, "tasksHealthy": 1, "healthChecks": [{CHECK}]"#
        );
        check(
            &unhealthy,
            "[]",
            "tasks of /web run and do not become healthy; see their logs",
        );
        check(
            &unhealthy,
            &queued(false, ""),
            "tasks of /web end or are killed, and Marathon waits longer before each new start; \
             see their logs",
        );
    }

    #[test]
    fn tasks_that_were_launched_and_do_not_run_are_still_fetched() {
        check(
            r#""instances": 1, "tasksStaged": 1"#,
            "[]",
            "tasks of /web were launched and do not run yet; see the logs of their agents, which \
             may still fetch an image or a file",
        );
    }

    #[test]
    fn if_all_tasks_are_as_they_should_be_marathon_itself_is_suspected() {
        check(
            r#""instances": 1, "tasksRunning": 1"#,
            "[]",
            "no task waits to start or is unhealthy; see Marathon's log on control-1; if it shows \
             no reason, make another Marathon the leader: run `systemctl restart \
             platform-marathon.service` on control-1",
        );
    }
}
