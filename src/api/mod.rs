//! Clients for the APIs of the components: the registry, ZooKeeper, Mesos, Marathon, Chronos, the
//! edge with its balancer and copier.
//!
//! Each API is reached through a [`tunnel`] or a connection that a host opens, so nothing has to
//! listen on an address that the operator's computer can reach. Only verbs that users have for
//! their apps and jobs go to the edge as everyone does. Every call has a deadline.
//!
//! A client has the calls that this program makes, and no others: the compiler reports a method
//! without a caller.

pub(crate) mod balancer;
pub(crate) mod chronos;
pub(crate) mod copier;
pub(crate) mod direct;
pub mod edge;
pub(crate) mod http;
pub(crate) mod marathon;
pub(crate) mod mesos;
pub mod registry;
pub mod tunnel;
pub(crate) mod zookeeper;

#[cfg(test)]
mod tests;
