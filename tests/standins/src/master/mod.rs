//! A stand-in of `mesos-master`.
//!
//! Takes part in the election in ZooKeeper, keeps the registry with the other masters, admits
//! agents and frameworks, offers resources, and answers operators with the shapes of the real
//! one. A master that loses its leadership ends: whoever runs it starts it again.

mod agent_api;
mod calls;
mod cluster;
mod config;
mod ensemble;
mod maintenance;
mod metrics;
mod operate;
mod registry;
mod replica;
mod run;
mod scheduler;
mod server;
mod shared;
mod views;

pub use config::{Config, ConfigError};
pub use run::{Fatal, run};
