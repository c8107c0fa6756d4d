//! Where the stand-ins knowingly differ from the real ones.

/// A difference, and the sentence of the stand-ins' README that tells of it.
#[derive(Debug)]
pub(crate) struct Known {
    /// Names of recordings; `*` stands for anything.
    pub(crate) recordings: &'static str,
    /// The difference as it is found; `*` stands for anything.
    pub(crate) difference: &'static str,
    /// What the README says.
    pub(crate) told: &'static str,
}

impl Known {
    pub(crate) fn covers(&self, recording: &str, difference: &str) -> bool {
        fits(self.recordings, recording) && fits(self.difference, difference)
    }
}

/// Whether a pattern with `*` fits a text.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

const QUOTA: &str =
    "`/quota` and `/weights` are answered `404`, and `GET_QUOTA` is refused";
const INVERSE_OFFERS: &str = "inverse offers";
const METRICS: &str =
    "Metrics beyond those that say how agents, frameworks, tasks and the registry are.";
const RESTARTED: &str =
    "An agent that starts again still shows the frameworks that were over before.";

const fn known(
    recordings: &'static str,
    difference: &'static str,
    told: &'static str,
) -> Known {
    Known { recordings, difference, told }
}

/// All that is known.
pub(crate) const KNOWN: &[Known] = &[
    known("quota", "*", QUOTA),
    known("weights", "*", QUOTA),
    known("v1-GET_QUOTA", "*", QUOTA),
    known("maint-status-GET", "draining_machines[].statuses is missing", INVERSE_OFFERS),
    known(
        "maint-v1-GET_MAINTENANCE_STATUS",
        "get_maintenance_status.status.draining_machines[].statuses is missing",
        INVERSE_OFFERS,
    ),
    known(
        "drained3-agent-state",
        "completed_frameworks is list, not empty list",
        RESTARTED,
    ),
    known("*metrics*", "allocator/* is missing", METRICS),
    known("*metrics*", "master/*_revocable_* is missing", METRICS),
    known("*metrics*", "master/*valid_* is missing", METRICS),
    known("*metrics*", "master/dropped_messages is missing", METRICS),
    known("*metrics*", "master/event_queue_* is missing", METRICS),
    known("*metrics*", "master/frameworks/* is missing", METRICS),
    known("*metrics*", "master/http_cache_hits is missing", METRICS),
    known("*metrics*", "master/messages_* is missing", METRICS),
    known("*metrics*", "master/operations/* is missing", METRICS),
    known("*metrics*", "master/operator_event_stream_subscribers is missing", METRICS),
    known("*metrics*", "master/recovery_slave_removals is missing", METRICS),
    known("*metrics*", "master/slave_* is missing", METRICS),
    known("*metrics*", "master/tasks_dropped is missing", METRICS),
    known("*metrics*", "master/tasks_error is missing", METRICS),
    known("*metrics*", "master/tasks_failed is missing", METRICS),
    known("*metrics*", "master/tasks_finished is missing", METRICS),
    known("*metrics*", "master/tasks_gone* is missing", METRICS),
    known("*metrics*", "master/tasks_killed is missing", METRICS),
    known("*metrics*", "master/tasks_lost is missing", METRICS),
    known("*metrics*", "registrar/registry_size_bytes is missing", METRICS),
    known("*metrics*", "registrar/state_* is missing", METRICS),
    known("*metrics*", "system/* is missing", METRICS),
    known("agent-metrics", "containerizer/* is missing", METRICS),
    known("agent-metrics", "gc/* is missing", METRICS),
    known("agent-metrics", "resource_provider_manager/* is missing", METRICS),
    known("agent-metrics", "slave/*valid_framework_messages is missing", METRICS),
    known("agent-metrics", "slave/executor_directory_max_* is missing", METRICS),
    known("agent-metrics", "slave/recovery_time_secs is missing", METRICS),
];

#[test]
fn a_star_stands_for_anything() {
    for (pattern, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "ab", true),
        ("*-state", "agent-state", true),
        ("*-state", "agent-states", false),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c", false),
    ] {
        assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
    }
}
