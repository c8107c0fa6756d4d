//! The program's arguments and settings.

use std::process::Command;

use crate::support::Edge;

fn check(arguments: &[&str], code: i32, expected: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_platform-balancer"))
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(expected), "{said}");
}

#[test]
fn bad_arguments_and_settings_end_the_program_with_2() {
    let edge = Edge::new();
    let path = edge.path("settings.json");
    let path = path.to_str().unwrap();
    check(&[], 2, "usage: platform-balancer --config FILE");
    check(&["--config", path], 2, "cannot read");
    std::fs::write(path, edge.settings(&[]).replace("[]", "")).unwrap();
    check(&["--config", path], 2, "is not valid: expected value at line 1");
    std::fs::write(path, edge.settings(&[])).unwrap();
    check(&["--config", path], 2, "marathons must name at least one");
}

#[test]
fn an_address_in_use_ends_the_program_with_1() {
    let edge = Edge::new();
    let text = edge.settings(&[([127, 0, 0, 1], 1).into()]);
    let settings: serde_json::Value = serde_json::from_str(&text).unwrap();
    let listen = settings["listen"].as_str().unwrap();
    let _other = std::net::TcpListener::bind(listen).unwrap();
    let path = edge.path("settings.json");
    std::fs::write(&path, text).unwrap();
    check(&["--config", path.to_str().unwrap()], 1, "cannot listen at");
}
