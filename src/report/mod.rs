//! What people and programs see of a run: screen, plain lines, JSON lines.
//!
//! Everything in here is a [`Sink`](crate::event::Sink): it is told events and writes text,
//! anywhere. It decides nothing about the run, asks nothing, and knows no other part of the
//! program, so a scripted list of events is all that a test of it needs.

mod choose;
mod fanout;
mod json;
mod live;
mod out;
mod plain;
mod recorder;
mod summary;
mod terminal;
mod text;

pub use choose::{
    Choice, Clock, Display, Purpose, Screen, Settings, Stream, TerminalInfo,
};
pub use fanout::Fanout;
pub use json::Json;
pub use plain::{Detail, Plain};
pub use recorder::Recorder;
pub use summary::{Failure, StageAccount, Summary};
pub use terminal::Terminal;
pub use text::{visible, visible_json};
