//! The clients of ZooKeeper, Mesos, Marathon and Chronos against servers with scripted answers.

mod answered;
mod chronos;
mod direct;
mod http;
mod marathon;
mod mesos;
mod net;
mod recordings;
mod zookeeper;
