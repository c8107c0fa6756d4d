//! The program's arguments and settings.

use std::process::Command;

use crate::support::{Host, Lab};

fn check(arguments: &[&str], code: i32, expected: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_platform-copier"))
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(expected), "{said}");
}

#[test]
fn what_cannot_work_ends_the_program_with_its_reason() {
    check(&[], 2, "usage: platform-copier --config FILE");
    let lab = Lab::new();
    let (one, two) = (Host::new(&lab, "edge-1"), Host::new(&lab, "edge-2"));
    let path = one.settings(&[&two]);
    let _other = std::net::TcpListener::bind(one.copier()).unwrap();
    let path = path.to_str().unwrap();
    check(&["--config", path], 1, &format!("nothing can be told at {}", one.copier()));
    std::fs::remove_file(lab.path("ca.crt")).unwrap();
    drop(_other);
    check(&["--config", path], 1, "cannot read ");
}
