//! The shapes of what Marathon is sent: the fields of 1.11, and those of the form before 1.5.

use super::shape::Shape::{self, Any, Env, Flag, List, Map, Number, Object, Text};

const LABELS: &Shape = &Map(&Text);
const TEXTS: &Shape = &List(&Text);

const PORT_MAPPINGS: &Shape = &List(&Object(&[
    ("containerPort", &Number),
    ("hostPort", &Number),
    ("servicePort", &Number),
    ("protocol", &Text),
    ("name", &Text),
    ("labels", LABELS),
    ("networkNames", TEXTS),
]));

const CONTAINER: &Shape = &Object(&[
    ("type", &Text),
    ("portMappings", PORT_MAPPINGS),
    (
        "docker",
        &Object(&[
            ("image", &Text),
            ("forcePullImage", &Flag),
            ("privileged", &Flag),
            ("parameters", &List(&Object(&[("key", &Text), ("value", &Text)]))),
            ("network", &Text),
            ("portMappings", PORT_MAPPINGS),
        ]),
    ),
    (
        "volumes",
        &List(&Object(&[
            ("containerPath", &Text),
            ("hostPath", &Text),
            ("mode", &Text),
            ("persistent", &Any),
            ("external", &Any),
        ])),
    ),
    ("linuxInfo", &Any),
]);

const HEALTH_CHECKS: &Shape = &List(&Object(&[
    ("protocol", &Text),
    ("path", &Text),
    ("port", &Number),
    ("portIndex", &Number),
    ("command", &Object(&[("value", &Text)])),
    ("gracePeriodSeconds", &Number),
    ("intervalSeconds", &Number),
    ("timeoutSeconds", &Number),
    ("maxConsecutiveFailures", &Number),
    ("delaySeconds", &Number),
    ("ignoreHttp1xx", &Flag),
    ("ipProtocol", &Text),
]));

/// An app, or an update of one.
pub const APP: Shape = Object(&[
    ("id", &Text),
    ("version", &Text),
    ("cmd", &Text),
    ("args", TEXTS),
    ("user", &Text),
    ("env", &Map(&Env)),
    ("instances", &Number),
    ("cpus", &Number),
    ("mem", &Number),
    ("disk", &Number),
    ("gpus", &Number),
    ("resourceLimits", &Any),
    ("executorResources", &Any),
    ("executor", &Text),
    ("constraints", &List(TEXTS)),
    ("acceptedResourceRoles", TEXTS),
    ("role", &Text),
    ("container", CONTAINER),
    ("networks", &List(&Object(&[("mode", &Text), ("name", &Text), ("labels", LABELS)]))),
    (
        "portDefinitions",
        &List(&Object(&[
            ("port", &Number),
            ("protocol", &Text),
            ("name", &Text),
            ("labels", LABELS),
        ])),
    ),
    ("requirePorts", &Flag),
    (
        "fetch",
        &List(&Object(&[
            ("uri", &Text),
            ("extract", &Flag),
            ("executable", &Flag),
            ("cache", &Flag),
            ("destPath", &Text),
        ])),
    ),
    ("healthChecks", HEALTH_CHECKS),
    (
        "readinessChecks",
        &List(&Object(&[
            ("name", &Text),
            ("protocol", &Text),
            ("path", &Text),
            ("portName", &Text),
            ("intervalSeconds", &Number),
            ("timeoutSeconds", &Number),
            ("httpStatusCodesForReady", &List(&Number)),
            ("preserveLastResponse", &Flag),
        ])),
    ),
    ("check", &Any),
    ("backoffSeconds", &Number),
    ("backoffFactor", &Number),
    ("maxLaunchDelaySeconds", &Number),
    ("taskKillGracePeriodSeconds", &Number),
    (
        "upgradeStrategy",
        &Object(&[("minimumHealthCapacity", &Number), ("maximumOverCapacity", &Number)]),
    ),
    ("unreachableStrategy", &Any),
    ("killSelection", &Text),
    ("dependencies", TEXTS),
    ("labels", LABELS),
    ("secrets", &Any),
    ("residency", &Any),
    ("tty", &Flag),
    // The form before 1.5.
    ("uris", TEXTS),
    ("ports", &List(&Number)),
    (
        "ipAddress",
        &Object(&[("networkName", &Text), ("labels", LABELS), ("groups", TEXTS)]),
    ),
]);

/// A group, or an update of one; its apps and groups are read each for itself.
pub const GROUP: Shape = Object(&[
    ("id", &Text),
    ("version", &Text),
    ("scaleBy", &Number),
    ("dependencies", TEXTS),
    ("enforceRole", &Flag),
    ("apps", &List(&Any)),
    ("groups", &List(&Any)),
]);
