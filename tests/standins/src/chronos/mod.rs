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

use crate::framework::node::{self, End};
use crate::framework::setup::{SettingsError, World};
use crate::framework::{self, options};
use settings::Settings;
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
    let settings = match read(arguments, environment) {
        Ok(settings) => settings,
        Err(error) => {
            framework::log(NAME, &error.to_string());
            return ExitCode::FAILURE;
        }
    };
    match node::run(member::Chronos::new(settings), environment).await {
        End::Terminated => ExitCode::from(TERMINATED),
        end => {
            framework::log(NAME, &format!("exiting: {end:?}"));
            ExitCode::FAILURE
        }
    }
}

fn read(
    arguments: Vec<String>,
    environment: &BTreeMap<String, String>,
) -> Result<Settings, SettingsError> {
    let read = |file: &str| std::fs::read_to_string(file).ok();
    let words = options::expand(arguments, read)?;
    let options = options::parse(settings::TABLE, &words)?;
    let hostname = framework::hostname();
    let world = World::of(environment, &hostname, &read);
    Settings::read(&options, &world)
}
