//! Why an app has fewer tasks than it should have, in words. Pure.

use jiff::Timestamp;
use serde::Serialize;

use super::super::columns::amount;
use super::details::failed;
use super::last_words::LastWords;
use super::list::AppState;
use crate::api::marathon::{App, Queued, Rejected};
use crate::event::count;

/// Why an app is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The app.
    pub app: String,
    /// The reasons, in sentences.
    pub reasons: Vec<String>,
    /// What the last task that failed wrote to standard error.
    pub last_words: Option<LastWords>,
}

impl Why {
    /// What the app itself and the launch queue say.
    pub(super) fn of(app: &App, queue: &[Queued]) -> Self {
        let mut reasons = vec![now(app)];
        if let Some(entry) = queue.iter().find(|entry| entry.app.id == app.id) {
            reasons.push(waits(entry));
            let rejected = &entry.offers.rejected;
            let declined = rejected.iter().filter(|reason| reason.declined > 0);
            reasons.extend(declined.map(|reason| in_words(reason, app)));
        }
        if let Some(failure) = &app.last_task_failure {
            reasons.push(format!("the last task that failed: {}", failed(failure)));
        }
        Self { app: app.id.clone(), reasons, last_words: None }
    }

    /// The reasons, one each line, and then the last words.
    pub fn show(&self) -> String {
        let line = |reason: &String| format!("{}: {reason}\n", self.app);
        let last_words = self.last_words.as_ref().map(|words| words.show(&self.app));
        self.reasons.iter().map(line).chain(last_words).collect()
    }
}

fn now(app: &App) -> String {
    let App { tasks_running, instances, .. } = app;
    let does = match AppState::of(app) {
        AppState::Running => "nothing is missing",
        AppState::Deploying => "a deployment changes it",
        AppState::Waiting => "the others wait to start",
        AppState::Suspended => "it is suspended: `platform app scale` starts tasks",
    };
    let runs = if *instances == 1 { "runs" } else { "run" };
    format!("{tasks_running} of {} {runs}; {does}", count(*instances as usize, "task"))
}

fn waits(entry: &Queued) -> String {
    let tasks = count(entry.count as usize, "task");
    let since = |since: Timestamp| format!(" since {since:.0}");
    let since = entry.since.map(since).unwrap_or_default();
    let left = entry.delay.time_left_seconds;
    match entry.delay.overdue || left <= 0.0 {
        false => format!(
            "{tasks} to start{since}; because tasks ended or were killed, Marathon waits {} s \
             before the next start",
            amount(left)
        ),
        true => match entry.offers.processed_offers_count {
            0 => format!("{tasks} to start{since}; no agent has offered anything yet"),
            n => format!(
                "{tasks} to start{since}; of {}, {} did not fit",
                count(usize::try_from(n).unwrap_or(usize::MAX), "offer"),
                entry.offers.unused_offers_count
            ),
        },
    }
}

/// A reason why agents did not fit.
fn in_words(Rejected { reason, declined, processed }: &Rejected, app: &App) -> String {
    let why = match reason.as_str() {
        "InsufficientCpus" => {
            format!("they had less than the {} CPUs of a task free", amount(app.cpus))
        }
        "InsufficientMemory" => {
            format!(
                "they had less than the {} MB of memory of a task free",
                amount(app.mem)
            )
        }
        "InsufficientDisk" => "they had too little disk free".to_owned(),
        "InsufficientGpus" => "they had too few GPUs free".to_owned(),
        "InsufficientPorts" => {
            "a port that the app wants is taken there, or is not offered".to_owned()
        }
        "UnfulfilledConstraint" => {
            let all: Vec<String> =
                app.constraints.iter().map(|words| words.join(" ")).collect();
            format!("the constraints do not allow it: {}", all.join("; "))
        }
        "UnfulfilledRole" => {
            "they offered resources of another role than the app accepts".to_owned()
        }
        "NoCorrespondingReservationFound" => {
            "they do not have the volumes that are reserved for the app".to_owned()
        }
        "AgentMaintenance" => "they are down for maintenance, or soon will be".to_owned(),
        "DeclinedScarceResources" => {
            "they have GPUs, which are kept for apps that ask for them".to_owned()
        }
        other => other.to_owned(),
    };
    format!("{declined} of {processed} of the last offers were declined: {why}")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    fn why(app: Value, queue: Value) -> String {
        let queue: Vec<Queued> = serde_json::from_value(queue).unwrap();
        Why::of(&App::deserialize(&app).unwrap(), &queue).show()
    }

    #[test]
    fn reasons_of_offers_and_the_last_failure_are_told_in_words() {
        let app = json!({"id": "/job1", "instances": 6, "tasksRunning": 2, "cpus": 0.1,
            "constraints": [["hostname", "UNIQUE"]],
            "lastTaskFailure": {"host": "w1", "state": "TASK_FAILED", "message": "status 1",
                "timestamp": "2026-11-29T15:00:00.123Z"}});
        let queue = json!([{"app": {"id": "/job1"}, "count": 4,
            "since": "2026-11-29T15:14:04.862Z",
            "delay": {"timeLeftSeconds": 0, "overdue": true},
            "processedOffersSummary": {"processedOffersCount": 10, "unusedOffersCount": 8,
                "rejectSummaryLastOffers": [
                    {"reason": "UnfulfilledRole", "declined": 0, "processed": 2},
                    {"reason": "UnfulfilledConstraint", "declined": 2, "processed": 2}]}}]);
        assert_eq!(
            why(app, queue),
            "\
/job1: 2 of 6 tasks run; the others wait to start
/job1: 4 tasks to start since 2026-11-29T15:14:04Z; of 10 offers, 8 did not fit
/job1: 2 of 2 of the last offers were declined: the constraints do not allow it: hostname UNIQUE
/job1: the last task that failed: 2026-11-29T15:00:00Z: TASK_FAILED on w1: status 1
"
        );
    }

    #[test]
    fn a_pause_after_failures_and_a_lack_of_offers_are_told_apart() {
        let said = |entry: Value| {
            let app = json!({"id": "/a", "instances": 1});
            why(app, json!([entry]))
        };
        let delayed = said(json!({"app": {"id": "/a"}, "count": 1,
            "delay": {"timeLeftSeconds": 12.5, "overdue": false}}));
        assert!(delayed.contains("waits 12.5 s before the next start"), "{delayed}");
        let unoffered = said(json!({"app": {"id": "/a"}, "count": 1,
            "delay": {"timeLeftSeconds": 0, "overdue": true}}));
        assert!(unoffered.contains("no agent has offered anything"), "{unoffered}");
        let idle = why(json!({"id": "/a", "instances": 1, "tasksRunning": 1}), json!([]));
        assert_eq!(idle, "/a: 1 of 1 task runs; nothing is missing\n");
    }
}
