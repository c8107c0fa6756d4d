//! The stand-in of Marathon 1.11.

pub mod app;
pub mod backoff;
pub mod check;
pub mod constraint;
pub mod core;
pub mod goal;
pub mod id;
pub mod instance;
pub mod matching;
pub mod normal;
pub mod plan;
pub mod root;
pub mod schema;
pub mod service_ports;
pub mod shape;
pub mod task;
