//! The client of Marathon against servers that answer by a script.

mod http;
mod marathon;
mod net;
