//! The stand-in of Chronos 3.0.2.
//!
//! In reading order: [`settings`] are the flags; [`schedule`] says when, [`job`] what, [`graph`]
//! after which others; [`task`] is one run of a job; [`core`] puts these together. All of that
//! is pure. `member` and `api` speak HTTP; the store, the master and the election are in
//! [`framework`].

mod answer;
mod api;
pub mod core;
pub mod graph;
pub mod job;
pub mod member;
pub mod schedule;
pub mod settings;
pub mod task;

use crate::framework;
use crate::framework::node::{self, End};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// The name in the log.
const NAME: &str = "chronos";

/// What a shell says of a process that SIGTERM ended.
const TERMINATED: u8 = 143;

/// The leader's side of a Chronos.
type Leader = framework::leader::Leader<core::Core>;

/// Runs with these arguments and this environment until something ends it.
pub async fn run(
    arguments: Vec<String>,
    environment: &BTreeMap<String, String>,
) -> ExitCode {
    let chronos: member::Chronos = match node::load(arguments, environment) {
        Ok(chronos) => chronos,
        Err(error) => {
            framework::log(NAME, &error.to_string());
            return ExitCode::FAILURE;
        }
    };
    match node::run(chronos, environment).await {
        End::Terminated => ExitCode::from(TERMINATED),
        end => {
            framework::log(NAME, &format!("exiting: {end:?}"));
            ExitCode::FAILURE
        }
    }
}
