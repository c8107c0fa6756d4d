//! What was asked of a real Marathon or Chronos, and what it answered: one to a line of a file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// The headers of an answer that a client acts upon.
pub(crate) const HEADERS: [&str; 6] = [
    "content-type",
    "location",
    "www-authenticate",
    "allow",
    "marathon-deployment-id",
    "x-marathon-leader",
];

/// A request with its answer.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) body: String,
    pub(crate) answer: Answer,
}

/// An answer, with those of its headers that matter.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// JSON, text as a string, or nothing.
    #[serde(default)]
    pub(crate) body: Value,
}

/// All in a file.
pub(crate) fn read(file: &str) -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings");
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
