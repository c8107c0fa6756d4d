//! Whatever the labels of one app say, every other app gets the same, and the configuration has no
//! line that this program did not mean.

use platform_balancer::decide::Decision;
use platform_balancer::render::render;
use platform_balancer::services::Service;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cases::decided;
use crate::support::{Edge, loads};

const NAMES: [&str; 15] = [
    "HAPROXY_0_VHOST",
    "HAPROXY_0_PATH",
    "HAPROXY_0_PORT",
    "HAPROXY_0_MODE",
    "HAPROXY_0_BALANCE",
    "HAPROXY_0_STICKY",
    "HAPROXY_0_REDIRECT_TO_HTTPS",
    "HAPROXY_0_USE_HSTS",
    "HAPROXY_0_ENABLED",
    "HAPROXY_0_BACKEND_WEIGHT",
    "HAPROXY_0_AUTH",
    "HAPROXY_0_GROUP",
    "HAPROXY_0_BACKEND_HEAD",
    "HAPROXY_0_COLOUR",
    "HAPROXY_1_VHOST",
];

/// Values that are right, nearly right, or nothing at all.
fn value() -> impl Strategy<Value = String> {
    let good = prop::sample::select(vec![
        "odd.example",
        "/odd",
        "15000",
        "http",
        "tcp",
        "leastconn",
        "uri",
        "true",
        "no",
        "7",
        "realm:user:$5$salt$hash",
        "external",
    ]);
    let bad = prop::sample::select(vec![
        "\n",
        "\r\n",
        "\0",
        " ",
        "\t",
        "'",
        "\"",
        "\\",
        "{",
        "}",
        "#",
        "%[src]",
        "$HOME",
        "\u{a0}",
        "\u{2028}",
        "é",
        "\n    server evil 10.9.9.9:80",
        "\nbackend evil",
    ]);
    prop_oneof![
        good.clone().prop_map(str::to_owned),
        (good.clone(), bad, good).prop_map(|(one, bad, two)| format!("{one}{bad}{two}")),
        ".{0,20}",
    ]
}

fn app(id: &str, port: u16, labels: &Value) -> Value {
    let task = json!({"id": format!("{id}.instance-1._app.1"), "host": "10.20.0.11",
        "ports": [port + 20_000], "state": "TASK_RUNNING"});
    json!({"id": id, "instances": 1, "labels": labels, "tasks": [task],
        "portDefinitions": [{"port": port, "protocol": "tcp"}]})
}

fn others() -> Vec<Value> {
    let labels = json!({"HAPROXY_GROUP": "external", "HAPROXY_0_VHOST": "good.example"});
    vec![
        app("/good", 10_002, &labels),
        app("/zz", 10_003, &json!({"HAPROXY_GROUP": "external"})),
    ]
}

fn of_others(decision: &Decision) -> Vec<(Service, Vec<String>)> {
    let addresses = |place: usize| {
        let servers = &decision.backends[place].servers;
        servers.iter().map(|server| server.address.to_string()).collect()
    };
    let all = decision.services.services.iter().enumerate();
    all.filter(|(_, service)| service.of.app != "/odd")
        .map(|(place, service)| (service.clone(), addresses(place)))
        .collect()
}

/// Every line begins with one of the words that this program writes.
fn strange_line(text: &str) -> Option<&str> {
    const WORDS: [&str; 22] = [
        "#",
        "defaults",
        "frontend",
        "backend",
        "userlist",
        "user",
        "log",
        "option",
        "retries",
        "timeout",
        "default-server",
        "mode",
        "retry-on",
        "bind",
        "http-request",
        "http-response",
        "use_backend",
        "default_backend",
        "balance",
        "cookie",
        "server",
        "",
    ];
    text.lines().find(|line| {
        let word = line.trim_start_matches(' ').split(' ').next().unwrap_or_default();
        !WORDS.contains(&word) || line.contains("evil") || !line.is_ascii()
    })
}

fn runs(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(runs(300))]

    #[test]
    fn no_label_changes_what_others_get_or_adds_a_line(
        labels in prop::collection::btree_map(prop::sample::select(&NAMES[..]), value(), 0..5)
    ) {
        let settings = Edge::new().read_settings();
        let mut labels = json!(labels);
        labels["HAPROXY_GROUP"] = json!("external");
        let mut apps = others();
        let alone = decided(&json!(apps), &settings);
        apps.push(app("/odd", 10_001, &labels));
        let together = decided(&json!(apps), &settings);
        prop_assert_eq!(of_others(&together), of_others(&alone));
        let text = render(&together.reloaded(), &settings);
        prop_assert_eq!(strange_line(&text), None);
    }
}

proptest! {
    #![proptest_config(runs(25))]

    #[test]
    fn what_is_accepted_loads(
        labels in prop::collection::btree_map(prop::sample::select(&NAMES[..]), value(), 0..6)
    ) {
        let edge = Edge::new();
        let settings = edge.read_settings();
        let mut labels = json!(labels);
        labels["HAPROXY_GROUP"] = json!("external");
        let decision = decided(&json!([app("/odd", 10_001, &labels)]), &settings);
        let checked = edge.check(&render(&decision.reloaded(), &settings));
        prop_assert!(loads(&checked), "{:?}", checked);
    }
}
