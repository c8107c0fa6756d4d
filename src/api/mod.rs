//! Clients for the APIs of the components: the registry, ZooKeeper, Mesos, Marathon, Chronos.
//!
//! Each API is reached through a [`tunnel`] or a connection that a host opens, so nothing has to
//! listen on an address that the operator's computer can reach. Every call has a deadline.

pub mod chronos;
pub mod http;
pub mod marathon;
pub mod mesos;
pub mod registry;
pub mod tunnel;
pub mod zookeeper;
