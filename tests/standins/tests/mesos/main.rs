//! The stand-ins of Mesos as processes: alone, with one another, and held against a real Mesos.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod agent_master;
#[cfg(test)]
#[path = "../cluster/mod.rs"]
mod cluster;
#[cfg(test)]
mod flags;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod replay;
