//! What the copier tells: `/holdings.json` to the other copiers, `/status.json` with what is not
//! copied yet and why, and `/metrics` for Prometheus.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use platform_daemon::pages::{self, Page, age};
use serde::Serialize;
use serde_json::Value;

use crate::lacking::Lacking;

/// Where copiers tell each other what their registries have.
pub const HOLDINGS: &str = "/holdings.json";

/// Everything that is told.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Status {
    /// Why the folder of the registry, or the book, cannot be used; nothing is copied then.
    pub fault: Option<String>,
    /// The other hosts.
    pub others: Vec<OtherRow>,
    /// The images that the registry of this host lacks.
    pub lacking: Vec<LackingRow>,
    /// What is counted.
    pub counts: Counts,
    /// When everything was last looked at.
    #[serde(skip)]
    pub looked: Option<Instant>,
    /// What the registry has.
    #[serde(skip)]
    pub holdings: String,
}

/// Another host.
#[derive(Debug, Clone, Serialize)]
pub struct OtherRow {
    /// Its name.
    pub host: String,
    /// Why its copier does not tell what its registry has.
    pub fault: Option<String>,
}

/// An image that the registry of this host lacks.
#[derive(Debug, Clone, Serialize)]
pub struct LackingRow {
    /// Its repository with its tag, or its digest if it has no tag.
    pub image: String,
    /// The hosts that have it.
    pub from: Vec<String>,
    /// Why it could not be copied the last time, if it could not.
    pub fault: Option<String>,
}

/// What is counted since the start.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Counts {
    /// Looks.
    pub looks: u64,
    /// Images that were copied, or given a tag.
    pub copied: u64,
    /// Copies that failed.
    pub failed: u64,
    /// Bytes that were copied.
    pub bytes: u64,
}

impl Status {
    fn json(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(members) = &mut value {
            members.insert("looked_seconds_ago".to_owned(), age(self.looked));
        }
        value.to_string()
    }

    fn metrics(&self) -> String {
        let silent = self.others.iter().filter(|other| other.fault.is_some()).count();
        let failing = self.lacking.iter().filter(|image| image.fault.is_some()).count();
        let number = |n: usize| Value::from(n);
        let Counts { looks, copied, failed, bytes } = self.counts;
        let mut out = String::new();
        for (kind, name, help, value) in [
            ("gauge", "look_age_seconds", "Time since the last look", age(self.looked)),
            (
                "gauge",
                "lacking",
                "Images that this registry lacks",
                number(self.lacking.len()),
            ),
            ("gauge", "failing", "Images that could not be copied", number(failing)),
            ("gauge", "silent", "Other copiers that do not answer", number(silent)),
            ("counter", "looks_total", "Looks", Value::from(looks)),
            ("counter", "copied_total", "Images that were copied", Value::from(copied)),
            ("counter", "failed_total", "Copies that failed", Value::from(failed)),
            ("counter", "bytes_total", "Bytes that were copied", Value::from(bytes)),
        ] {
            pages::metric(
                &mut out,
                kind,
                &format!("platform_copier_{name}"),
                help,
                &value,
            );
        }
        out
    }
}

/// The words for an image in the log and the status.
pub(crate) fn words(lacking: &Lacking) -> String {
    let image = &lacking.image;
    match &lacking.tags[..] {
        [] => format!("{}@{}", image.repository, image.digest),
        tags => {
            let tags: Vec<&str> = tags.iter().map(|retag| retag.tag.as_str()).collect();
            format!("{}:{}", image.repository, tags.join(","))
        }
    }
}

/// The status, which the loop changes and the server shows.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Status>>);

impl Board {
    /// The status, until the guard is dropped.
    pub fn status(&self) -> MutexGuard<'_, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows it for ever. What the registry has is told once it is known.
    pub(crate) fn serve(&self, listener: TcpListener) {
        let board = self.clone();
        pages::serve(listener, move |path| {
            let status = board.status();
            match path {
                HOLDINGS if status.holdings.is_empty() => None,
                HOLDINGS => Some(Page::json(status.holdings.clone())),
                "/status.json" => Some(Page::json(status.json())),
                "/metrics" => Some(Page::metrics(status.metrics())),
                _ => None,
            }
        });
    }
}
