//! Deployments that last longer than the health checks of their apps allow.
//!
//! A task is healthy, or is killed, once its checks have had their time. A deployment that lasts
//! longer replaces tasks that never become healthy, or Marathon no longer works on it.

use jiff::{SignedDuration, Timestamp};

use super::super::RunContext;
use crate::api::marathon::{App, Deployment};
use crate::component::marathon::UNIT;
use crate::host::HostName;
use crate::inventory::Component;
use crate::run::health::services::Services;

/// The time that each task may take besides its checks: Marathon waits for an offer, and the agent
/// fetches what the task needs.
const START: SignedDuration = SignedDuration::from_mins(3);

/// A sentence for each deployment that lasts too long. Apps are only fetched if one might.
pub(super) async fn overdue(
    services: Services<'_>,
    leader: &HostName,
    ctx: &RunContext<'_>,
) -> Vec<String> {
    found(services, leader, (ctx.clock)()).await.unwrap_or_default()
}

async fn found(
    services: Services<'_>,
    leader: &HostName,
    now: Timestamp,
) -> Option<Vec<String>> {
    let members = services.topology.members_of(Component::Marathon);
    let member = members.iter().find(|member| member.host == *leader)?;
    let marathon = services.marathon(member).ok()?;
    let mut old = marathon.deployments().await.ok()?;
    old.retain(|it| it.version.is_some_and(|begun| now.duration_since(begun) > START));
    if old.is_empty() {
        return None;
    }
    let apps = marathon.apps().await.ok()?;
    Some(sentences(&old, &apps, leader, now))
}

fn sentences(
    deployments: &[Deployment],
    apps: &[App],
    leader: &HostName,
    now: Timestamp,
) -> Vec<String> {
    let is_late = |deployment: &&Deployment| {
        let affected =
            apps.iter().filter(|app| deployment.affected_apps.contains(&app.id));
        let allowed = affected.map(allowed).max().unwrap_or(START);
        deployment.version.is_some_and(|begun| now.duration_since(begun) > allowed)
    };
    let sentence = |deployment: &Deployment| {
        let what = deployment.affected_apps.join(", ");
        let since = deployment.version.map(|begun| format!("{begun:.0}"));
        format!(
            "a deployment of {what} has run since {}, which is longer than the health checks \
             allow: its tasks do not become healthy; if their output shows no reason, Marathon is \
             stuck: delete the app, then make another Marathon the leader: run `systemctl \
             restart {UNIT}` on {leader}",
            since.unwrap_or_default()
        )
    };
    deployments.iter().filter(is_late).map(sentence).collect()
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

    fn late(instances: u32, checks: &str, now: &str) -> Vec<String> {
        let app = format!(
            r#"[{{"id": "/web", "instances": {instances}, "healthChecks": [{checks}]}}]"#
        );
        let apps: Vec<App> = serde_json::from_str(&app).unwrap();
        let deployments: Vec<Deployment> = serde_json::from_str(
            r#"[{"id": "d", "version": "2026-11-29T15:00:00.000Z", "affectedApps": ["/web"]}]"#,
        )
        .unwrap();
        sentences(&deployments, &apps, &"control-1".parse().unwrap(), at(now))
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

    #[test]
    fn what_to_do_is_said_with_the_app_and_the_leader() {
        let [said] = &late(1, "", "16:00:00")[..] else { panic!("one is late") };
        for part in [
            "a deployment of /web has run since 2026-11-29T15:00:00Z",
            "delete the app",
            "`systemctl restart platform-marathon.service` on control-1",
        ] {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
    }
}
