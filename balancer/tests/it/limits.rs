//! HAProxy's own limits.

use platform_balancer::render::render;
use serde_json::json;

use crate::cases::decided;
use crate::serving::{app, running};
use crate::support::{Edge, loads};

#[test]
fn an_app_may_have_more_virtual_hosts_than_a_line_has_words() {
    let edge = Edge::new();
    let hosts: Vec<String> = (0..300).map(|n| format!("h{n}.example")).collect();
    let mut web = app("/web", 10_001, &[]);
    web["labels"]["HAPROXY_0_VHOST"] = json!(hosts.join(","));
    web["labels"]["HAPROXY_0_PATH"] = json!(format!("/{}", "x".repeat(1000)));
    let decision = decided(&json!([web]), &edge.read_settings());
    let checked = edge.check(&render(&decision.reloaded(), &edge.read_settings()));
    assert!(loads(&checked), "{checked:?}");
}

#[test]
fn an_app_may_have_many_tasks() {
    let edge = Edge::new();
    let tasks: Vec<_> = (1..=250)
        .map(|n| running(&format!("web.instance-{n}"), ([127, 7, 7, n], 31_000).into()))
        .collect();
    let decision = decided(&json!([app("/web", 10_001, &tasks)]), &edge.read_settings());
    let checked = edge.check(&render(&decision.reloaded(), &edge.read_settings()));
    assert!(loads(&checked), "{checked:?}");
}

#[test]
fn an_address_may_be_of_ipv6() {
    let edge = Edge::new();
    let apps = json!([app(
        "/web",
        10_001,
        &[running("web.instance-1", ([0, 0, 0, 0, 0, 0, 0, 1], 31_000).into())]
    )]);
    let text =
        render(&decided(&apps, &edge.read_settings()).reloaded(), &edge.read_settings());
    assert!(text.contains("server s1 [::1]:31000"), "{text}");
    assert!(loads(&edge.check(&text)));
}
