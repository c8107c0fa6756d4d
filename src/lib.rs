//! `platform` stands up and runs a fault-tolerant container platform from one YAML inventory.

pub mod event;
pub mod host;
pub mod secret;
pub mod unit;

pub mod inventory;

pub mod provider;
pub mod remote;

pub mod state;

pub mod report;

pub mod cli;
