//! What was asked of a real Mesos 1.11, and what it answered.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

const FOLDER: &str = "../recordings/mesos-1.11.0";

/// The headers that a client acts upon. Others differ from server to server.
pub(crate) const HEADERS: [&str; 4] =
    ["content-type", "location", "www-authenticate", "allow"];

/// A request, as the table of recordings has it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Such as `127.0.1.11`.
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) content_type: String,
    /// User and password.
    pub(crate) user: Option<(String, String)>,
}

/// An answer, with those of its headers that matter.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Body,
}

/// The body of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Json(Value),
    Text(String),
}

impl Body {
    /// Reads what came with this type.
    pub(crate) fn read(content_type: Option<&str>, text: String) -> Self {
        match content_type {
            Some("application/json") => Self::Json(serde_json::from_str(&text).unwrap()),
            _ => Self::Text(text),
        }
    }
}

/// A file of the recordings, where it is there.
pub(crate) fn file(name: &str) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    std::fs::read_to_string(folder.join(name)).ok()
}

/// All requests by the names of their recordings.
pub(crate) fn requests() -> BTreeMap<String, Request> {
    let table = file("README.md").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    rows.map(request).collect()
}

/// `| NAME.json | `METHOD http://HOST:PORT/PATH` body `BODY` as TYPE user NAME:PASSWORD | …`
fn request(row: &str) -> (String, Request) {
    let (name, rest) = row.trim_start_matches("| ").split_once('.').unwrap();
    let quoted: Vec<&str> = rest.split('`').collect();
    let (method, url) = quoted[1].split_once(' ').unwrap();
    let (address, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let has_body = quoted.len() > 3;
    let more = quoted[if has_body { 4 } else { 2 }].split(" | ").next().unwrap();
    let word_after = |key: &str| {
        let mut words = more.split_whitespace().skip_while(|word| *word != key);
        words.nth(1)
    };
    let request = Request {
        method: method.to_owned(),
        host: address.split(':').next().unwrap().to_owned(),
        path: format!("/{path}"),
        body: if has_body { quoted[3].to_owned() } else { String::new() },
        content_type: word_after("as").unwrap_or("application/json").to_owned(),
        user: word_after("user")
            .and_then(|user| user.split_once(':'))
            .map(|(user, password)| (user.to_owned(), password.to_owned())),
    };
    (name.to_owned(), request)
}

/// What the real one answered.
pub(crate) fn answer(name: &str) -> Answer {
    let head = file(&format!("{name}.headers")).unwrap();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .filter(|(name, _)| HEADERS.contains(&name.as_str()))
        .collect();
    let body = match file(&format!("{name}.json")) {
        Some(json) => Body::Json(serde_json::from_str(&json).unwrap()),
        None => Body::Text(file(&format!("{name}.txt")).unwrap_or_default()),
    };
    Answer { status: status.parse().unwrap(), headers, body }
}
