//! Test doubles of Mesos, Marathon and Chronos.
//!
//! They take the flags of the real ones and refuse others, take part in real ZooKeeper elections
//! at the real paths, ask for the real authentication, answer the endpoints that an operator uses
//! with the shapes of a real cluster, and run apps and jobs as real processes and containers. The
//! program that they are for cannot tell; where one knowingly differs from the real one, README.md
//! says so.

pub mod agent;
pub mod chronos;
pub mod flags;
pub mod framework;
pub mod http;
pub mod marathon;
pub mod master;
pub mod mesos;
pub mod protocol;
pub mod scheduler;
pub mod zk;
