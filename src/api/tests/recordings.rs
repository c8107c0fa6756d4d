//! Answers of a real Mesos 1.11, with the requests for them.

use std::path::Path;

use super::net::Act;

const RECORDINGS: &str = "tests/recordings/mesos-1.11.0";

/// Answers of a real Mesos. Its JSON was indented again, so its length is different.
pub(crate) fn recorded(name: &str) -> Act {
    let body = recorded_body(name);
    let head = recording(&format!("{name}.headers")).unwrap();
    let kept = head.lines().filter(|line| !line.starts_with("Content-Length:"));
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    Act::Says(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
}

/// The body of an answer of a real Mesos; often it is empty.
pub(crate) fn recorded_body(name: &str) -> String {
    let file = |kind: &str| recording(&format!("{name}.{kind}"));
    file("json").or_else(|| file("txt")).unwrap_or_default()
}

/// The request that a recording answers: such as `GET /ping`, and its body.
pub(crate) fn recorded_request(name: &str) -> (String, String) {
    let readme = recording("README.md").unwrap();
    let row = readme.lines().find(|line| line.starts_with(&format!("| {name}.")));
    let quoted: Vec<&str> = row.unwrap().split('`').collect();
    let (method, url) = quoted[1].split_once(' ').unwrap();
    let path = url.splitn(4, '/').nth(3).unwrap();
    let body = if quoted.len() > 3 { quoted[3] } else { "" };
    (format!("{method} /{path}"), body.to_owned())
}

fn recording(file: &str) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDINGS);
    std::fs::read_to_string(folder.join(file)).ok()
}

#[test]
fn every_recording_has_its_row_and_every_row_its_recording() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDINGS);
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut heads: Vec<String> = names
        .filter_map(|name| Some(name.strip_suffix(".headers")?.to_owned()))
        .collect();
    heads.sort();
    let readme = recording("README.md").unwrap();
    let row = |line: &str| Some(line.strip_prefix("| ")?.split_once('.')?.0.to_owned());
    let mut rows: Vec<String> = readme.lines().filter_map(row).collect();
    rows.sort();
    assert!(rows.len() > 20);
    assert_eq!(heads, rows);
}
