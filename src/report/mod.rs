//! What people and programs see of a run: screen, plain lines, JSON lines.
//!
//! Every type here is a [`Sink`](crate::event::Sink): it takes events and writes text. It decides
//! nothing about the run, asks nothing, and depends on no other part of the program, so a test
//! needs only a list of events.

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
