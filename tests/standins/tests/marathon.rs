//! The stand-in of Marathon as a process: what it refuses, with the codes of the real one.

use std::process::Command;

/// Runs it with nothing in its environment but what is given: it ends with this code and text.
fn check(arguments: &[&str], environment: &[(&str, &str)], code: i32, text: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_marathon"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("the program was built for this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(text), "{said}");
}

const MASTER: [&str; 2] = ["--master", "zk://127.0.0.1:9/mesos"];

#[test]
fn wrong_flags_end_with_112() {
    check(&[], &[], 112, "required option 'master' not found");
    check(&["--event_subscriber", "http_callback"], &[], 112, "event_subscriber");
    check(
        &MASTER,
        &[("MARATHON_PORT", "tcp://1.2.3.4:8080")],
        112,
        "unknown option 'port'",
    );
    check(
        &MASTER,
        &[("MARATHON_MASTER", "zk://other:2181/mesos")],
        112,
        "more than once",
    );
}

#[test]
fn variables_of_tasks_are_no_settings() {
    let zk = ["--zk", "zk://127.0.0.1:9/marathon", "--zk_session_timeout", "200"];
    let at = ["--http_address", "127.0.0.1", "--http_port", "0"];
    let arguments = [&MASTER[..], &zk[..], &at[..]].concat();
    check(&arguments, &[("MARATHON_APP_ID", "/x")], 100, "cannot connect to ZooKeeper");
}

#[test]
fn a_file_of_arguments_replaces_all_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("arguments");
    std::fs::write(&file, "--master zk://127.0.0.1:9/mesos\n--nope").unwrap();
    let word = format!("@{}", file.display());
    check(&[&word, "--other"], &[], 112, "unknown option 'nope'");
}

#[test]
fn a_port_that_is_taken_ends_with_111() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let driver = [("LIBPROCESS_IP", "127.0.0.1"), ("LIBPROCESS_PORT", port.as_str())];
    check(&MASTER, &driver, 111, "LIBPROCESS_PORT");
    let at = ["--http_address", "127.0.0.1", "--http_port", &port];
    check(&[&MASTER[..], &at[..]].concat(), &[], 111, "cannot listen");
}
