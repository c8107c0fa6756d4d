//! The clients of Mesos, Marathon and Chronos against servers that answer by a script.

mod answered;
mod chronos;
mod http;
mod marathon;
mod mesos;
mod net;
mod recordings;
mod zookeeper;
