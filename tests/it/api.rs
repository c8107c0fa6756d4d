//! The clients of Mesos and Marathon against servers that answer by a script.

mod http;
mod marathon;
mod mesos;
mod net;
mod recordings;
