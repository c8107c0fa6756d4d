//! Where the stand-ins knowingly differ from the real ones.

use super::known::Known;

const QUOTA: &str =
    "`/quota` and `/weights` are answered `404`, and `GET_QUOTA` is refused";
const INVERSE_OFFERS: &str = "inverse offers";
const METRICS: &str =
    "Metrics beyond those that say how agents, frameworks, tasks and the registry are.";
const RESTARTED: &str =
    "An agent that starts again still shows the frameworks that were over before.";

/// All that is known.
pub(crate) const KNOWN: &[Known] = &[
    Known("quota", "*", QUOTA),
    Known("weights", "*", QUOTA),
    Known("v1-GET_QUOTA", "*", QUOTA),
    Known("maint-status-GET", "draining_machines[].statuses is missing", INVERSE_OFFERS),
    Known(
        "maint-v1-GET_MAINTENANCE_STATUS",
        "get_maintenance_status.status.draining_machines[].statuses is missing",
        INVERSE_OFFERS,
    ),
    Known(
        "drained3-agent-state",
        "completed_frameworks is list, not empty list",
        RESTARTED,
    ),
    Known("*metrics*", "allocator/* is missing", METRICS),
    Known("*metrics*", "master/*_revocable_* is missing", METRICS),
    Known("*metrics*", "master/*valid_* is missing", METRICS),
    Known("*metrics*", "master/dropped_messages is missing", METRICS),
    Known("*metrics*", "master/event_queue_* is missing", METRICS),
    Known("*metrics*", "master/frameworks/* is missing", METRICS),
    Known("*metrics*", "master/http_cache_hits is missing", METRICS),
    Known("*metrics*", "master/messages_* is missing", METRICS),
    Known("*metrics*", "master/operations/* is missing", METRICS),
    Known("*metrics*", "master/operator_event_stream_subscribers is missing", METRICS),
    Known("*metrics*", "master/recovery_slave_removals is missing", METRICS),
    Known("*metrics*", "master/slave_* is missing", METRICS),
    Known("*metrics*", "master/tasks_dropped is missing", METRICS),
    Known("*metrics*", "master/tasks_error is missing", METRICS),
    Known("*metrics*", "master/tasks_failed is missing", METRICS),
    Known("*metrics*", "master/tasks_finished is missing", METRICS),
    Known("*metrics*", "master/tasks_gone* is missing", METRICS),
    Known("*metrics*", "master/tasks_killed is missing", METRICS),
    Known("*metrics*", "master/tasks_lost is missing", METRICS),
    Known("*metrics*", "registrar/registry_size_bytes is missing", METRICS),
    Known("*metrics*", "registrar/state_* is missing", METRICS),
    Known("*metrics*", "system/* is missing", METRICS),
    Known("agent-metrics", "containerizer/* is missing", METRICS),
    Known("agent-metrics", "gc/* is missing", METRICS),
    Known("agent-metrics", "resource_provider_manager/* is missing", METRICS),
    Known("agent-metrics", "slave/*valid_framework_messages is missing", METRICS),
    Known("agent-metrics", "slave/executor_directory_max_* is missing", METRICS),
    Known("agent-metrics", "slave/recovery_time_secs is missing", METRICS),
];
