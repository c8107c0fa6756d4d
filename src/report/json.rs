//! Writes each event as one line of JSON, for programs.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use super::out::Out;
use crate::event::{Event, Sink};

/// Writes each event as an object on its own line, flushed at once.
///
/// In addition to the event's own fields it has `at`, the time of the event in UTC. If the reader
/// goes away, the rest is not written and the run goes on.
pub struct Json<W, C> {
    out: Mutex<Out<W>>,
    clock: C,
}

#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    #[serde(flatten)]
    event: &'a Event,
}

impl<W: Write, C: Fn() -> Timestamp> Json<W, C> {
    /// Writes to `writer`, with the time from `clock`.
    pub fn new(writer: W, clock: C) -> Self {
        Self { out: Mutex::new(Out::new(writer)), clock }
    }
}

impl<W, C> Sink for Json<W, C>
where
    W: Write + Send,
    C: Fn() -> Timestamp + Send + Sync,
{
    fn take(&self, event: &Event) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that times never run backwards from line to line.
        let line = Line { at: (self.clock)(), event };
        let text = serde_json::to_string(&line).expect("an event is text and numbers");
        out.line(&text);
    }
}
