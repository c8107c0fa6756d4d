//! What will happen to jobs, in words, before it does. Pure.

use serde_json::Value;

use super::graph::JobGraph;
use crate::api::chronos::JobSummary;

/// What the children of a removed job lose, if it has a schedule.
const LOST: &str = "runAsUser, environmentVariables, container, constraints, arguments, \
                    description and concurrent";

/// Why a job is not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRun {
    /// It is disabled.
    #[error(
        "{0} is disabled: Chronos would say yes and not run it; add it again without `disabled`"
    )]
    Disabled(String),
    /// It will run soon anyway.
    #[error("{0} waits for an agent already: Chronos would drop a second run")]
    Queued(String),
}

/// What running a job now uses up, if anything is to be said; it is asked for then.
///
/// # Errors
/// When Chronos would not run it.
pub(super) fn foresee_run(job: &JobSummary) -> Result<Option<String>, NotRun> {
    let name = &job.name;
    if job.disabled {
        return Err(NotRun::Disabled(name.clone()));
    }
    if job.state == "queued" {
        return Err(NotRun::Queued(name.clone()));
    }
    let repeat =
        job.schedule.split('/').next().and_then(|repeat| repeat.strip_prefix('R'));
    Ok(match repeat.filter(|n| !n.is_empty()).map(str::parse::<u64>) {
        Some(Ok(0)) => Some(format!(
            "{name} has no run left. Chronos makes it a job that runs for ever then.\n"
        )),
        Some(Ok(1)) => Some(format!(
            "This uses up the last run of {name}. If that run fails and is tried again, or \
             anyone runs it again, Chronos makes it a job that runs for ever.\n"
        )),
        Some(Ok(n)) => {
            Some(format!("This uses up one of the {n} runs that {name} has left.\n"))
        }
        _ => None,
    })
}

/// What removing a job does.
pub(super) fn foresee_removal(job: &JobSummary, graph: &JobGraph) -> String {
    let name = &job.name;
    let running = match job.state.as_str() {
        "idle" | "queued" => String::new(),
        state => format!(" What it runs now ({state}) will be killed."),
    };
    let mut text = format!("{name} will be removed.{running}\n");
    let children: Vec<&str> = graph.children(name).collect();
    if children.is_empty() {
        return text;
    }
    let (are, them, get) = match children.len() {
        1 => ("is a child", "it", "gets"),
        _ => ("are children", "them", "get"),
    };
    let children = children.join(", ");
    match job.parents.as_slice() {
        [] => text.push_str(&format!(
            "{children} {are} of it. Chronos gives {them} the schedule of {name}, also where \
             there are other parents, and drops {LOST}.\n"
        )),
        parents => text.push_str(&format!(
            "{children} {are} of it, and {get} its parents in its place: {}.\n",
            parents.join(", ")
        )),
    }
    text
}

/// What replacing a job does.
pub(super) fn foresee_replacement(name: &str) -> String {
    format!(
        "{name} is there already and will be replaced as a whole; its counters begin anew, \
         unless the file has them.\n"
    )
}

/// Whether Chronos shows a job as it was sent.
pub(super) fn is_shown(sent: &Value, shown: &Value) -> bool {
    ["command", "parents", "disabled", "description"]
        .into_iter()
        .all(|name| sent.get(name).is_none_or(|value| shown.get(name) == Some(value)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(schedule: &str, state: &str) -> JobSummary {
        JobSummary {
            name: "load".to_owned(),
            schedule: schedule.to_owned(),
            state: state.to_owned(),
            ..JobSummary::default()
        }
    }

    #[test]
    fn a_run_says_what_it_uses_up() {
        let said = |repeat: &str| {
            let schedule = format!("{repeat}/2030-01-01T00:00:00Z/PT1H");
            foresee_run(&job(&schedule, "idle")).unwrap().unwrap_or_default()
        };
        assert_eq!(said("R"), "");
        assert!(said("R3").contains("one of the 3 runs"));
        assert!(said("R1").contains("the last run") && said("R1").contains("for ever"));
        assert!(said("R0").contains("no run left"));
        assert_eq!(foresee_run(&job("", "idle")), Ok(None));
        let queued = foresee_run(&job("", "queued"));
        assert_eq!(queued, Err(NotRun::Queued("load".to_owned())));
        let disabled = JobSummary { disabled: true, ..job("", "idle") };
        assert!(matches!(foresee_run(&disabled), Err(NotRun::Disabled(_))));
    }

    #[test]
    fn a_removal_says_what_the_children_lose() {
        let graph = |jobs| JobGraph { jobs: serde_json::from_value(jobs).unwrap() };
        let alone = graph(json!({"load": []}));
        let said = |job: &JobSummary, graph: &JobGraph| foresee_removal(job, graph);
        assert_eq!(said(&job("R//PT1H", "idle"), &alone), "load will be removed.\n");
        let running = said(&job("R//PT1H", "1 running"), &alone);
        assert!(running.contains("(1 running) will be killed"), "{running}");
        let two = graph(json!({"load": [], "a": ["load"], "b": ["load", "x"]}));
        let scheduled = said(&job("R//PT1H", "idle"), &two);
        assert!(
            scheduled.contains("a, b are children of it. Chronos gives them"),
            "{scheduled}"
        );
        assert!(scheduled.contains("runAsUser, environmentVariables"), "{scheduled}");
        let one = graph(json!({"load": ["p"], "a": ["load"]}));
        let middle = JobSummary { parents: vec!["p".to_owned()], ..job("", "idle") };
        let text = said(&middle, &one);
        assert!(
            text.contains("a is a child of it, and gets its parents in its place: p."),
            "{text}"
        );
        assert!(!text.contains("runAsUser"), "{text}");
    }

    #[test]
    fn a_job_is_shown_when_what_was_sent_is_there() {
        let shown =
            json!({"name": "a", "command": "new", "retries": 2, "disabled": false});
        assert!(is_shown(&json!({"name": "a", "command": "new"}), &shown));
        assert!(!is_shown(&json!({"name": "a", "command": "old"}), &shown));
        assert!(!is_shown(&json!({"name": "a", "parents": ["b"]}), &shown));
    }
}
