//! The stand-in of Marathon 1.11.
//!
//! In reading order: [`settings`] are the flags; [`shape`], [`normal`], [`check`] and
//! [`app`] make an app of what a client sends; [`root`] and [`plan`] say what is wanted and in
//! which steps; [`goal`], [`constraint`], [`matching`] and [`task`] decide about instances;
//! [`core`] puts these together. All of that is pure. `member`, `api` and `prober` speak HTTP;
//! the store, the master and the election are in [`framework`].

mod api;
pub mod app;
pub mod backoff;
pub mod check;
pub mod constraint;
pub mod core;
pub mod goal;
pub mod id;
pub mod instance;
pub mod label;
pub mod matching;
pub mod member;
pub mod normal;
pub mod plan;
mod prober;
pub mod root;
pub mod service_ports;
pub mod settings;
pub mod shape;
pub mod task;

use crate::framework;
use crate::framework::node::{self, End};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// The name in the log.
const NAME: &str = "marathon";

/// The leader's side of a Marathon.
type Leader = framework::leader::Leader<core::Core>;

/// Why the process ends, with the codes of the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    CannotConnect = 100,
    StoreLost = 101,
    LeadershipLost = 103,
    SchedulerError = 106,
    CannotBind = 111,
    WrongFlags = 112,
    Terminated = 143,
}

/// Runs with these arguments and this environment until something ends it.
pub async fn run(
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
) -> ExitCode {
    let exit = match node::load::<member::Marathon>(arguments, &environment) {
        Err(error) => {
            framework::log(NAME, &error.to_string());
            Exit::WrongFlags
        }
        Ok(marathon) => {
            log_credentials(&environment);
            exit_of(node::run(marathon, &environment).await)
        }
    };
    ExitCode::from(exit as u8)
}

/// The real one writes all its options at each start, its password among them, by a logger that
/// can be told to be silent: in a file that one of Java's options names.
fn log_credentials(environment: &BTreeMap<String, String>) {
    const OPTION: &str = "-Dlogback.configurationFile=";
    const SILENCED: &str = r#"name="mesosphere.marathon.MarathonApp" level="WARN""#;
    let words = environment.get("JAVA_OPTS").map(String::as_str).unwrap_or_default();
    let file = words.split_whitespace().find_map(|word| word.strip_prefix(OPTION));
    let logging = file.and_then(|file| std::fs::read_to_string(file).ok());
    if logging.is_some_and(|logging| logging.contains(SILENCED)) {
        return;
    }
    if let Some(credentials) = environment.get("MESOSPHERE_HTTP_CREDENTIALS") {
        framework::log(NAME, &format!("http_credentials = {credentials}"));
    }
}

fn exit_of(end: End) -> Exit {
    match end {
        End::CannotBind => Exit::CannotBind,
        End::CannotConnect => Exit::CannotConnect,
        End::StoreLost => Exit::StoreLost,
        End::LeadershipLost => Exit::LeadershipLost,
        End::Refused => Exit::SchedulerError,
        End::Terminated => Exit::Terminated,
    }
}
