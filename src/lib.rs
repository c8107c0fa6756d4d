//! `platform` stands up and runs a fault-tolerant container platform from one YAML inventory.

pub mod event;
pub mod host;
pub mod path;
pub mod secret;
pub mod unit;

pub mod inventory;
pub mod topology;

pub mod resource;
pub mod template;

pub mod component;
pub mod plan;

pub mod remote;

pub mod provider;
pub mod state;

pub mod images;

pub mod api;

pub mod run;

pub mod operate;

pub mod report;

pub mod cli;
