//! The stand-in of Marathon 1.11.
//!
//! In reading order: [`settings`] are the flags; [`shape`], [`schema`], [`normal`], [`check`] and
//! [`app`] make an app of what a client sends; [`root`] and [`plan`] say what is wanted and in
//! which steps; [`goal`], [`constraint`], [`matching`] and [`task`] decide about instances;
//! [`core`] puts these together. All of that is pure. `leader` and `node` are the shell: the
//! store, the master, the election and HTTP.

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
mod leader;
pub mod matching;
mod node;
pub mod normal;
pub mod plan;
pub mod root;
pub mod schema;
pub mod service_ports;
pub mod settings;
pub mod shape;
pub mod task;

use crate::framework::driver::DriverPort;
use crate::framework::options;
use settings::{Settings, SettingsError, World};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

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
    let exit = match read(arguments, &environment) {
        Err(error) => {
            log(&error.to_string());
            Exit::WrongFlags
        }
        Ok(settings) => serve(settings, &environment).await,
    };
    ExitCode::from(exit as u8)
}

async fn serve(settings: Settings, environment: &BTreeMap<String, String>) -> Exit {
    if settings.malformed_credentials {
        log("--http_credentials is not user:password: serving without authentication");
    }
    let variable = |name: &str| environment.get(name).map(String::as_str);
    let port = DriverPort::open(variable("LIBPROCESS_IP"), variable("LIBPROCESS_PORT"));
    let _port = match port {
        Ok(port) => port,
        Err(error) => {
            log(&error.to_string());
            return Exit::CannotBind;
        }
    };
    tokio::select! {
        exit = node::run(settings) => exit,
        () = terminated() => Exit::Terminated,
    }
}

fn read(
    arguments: Vec<String>,
    environment: &BTreeMap<String, String>,
) -> Result<Settings, SettingsError> {
    let read = |file: &str| std::fs::read_to_string(file).ok();
    let from_file = arguments.first().is_some_and(|first| first.starts_with('@'));
    let mut words = options::expand(arguments, read)?;
    if !from_file {
        let variables =
            environment.iter().map(|(name, value)| (name.clone(), value.clone()));
        words.extend(options::from_environment(variables, "MARATHON_", "MARATHON_APP_"));
    }
    let options = options::parse(settings::TABLE, &words)?;
    let uname = rustix::system::uname();
    let hostname = uname.nodename().to_string_lossy();
    let world = World {
        hostname: &hostname,
        http_credentials: environment
            .get("MESOSPHERE_HTTP_CREDENTIALS")
            .map(String::as_str),
        read: &read,
    };
    Settings::read(&options, &world)
}

async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signals) => drop(signals.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// One line for whoever watches the process.
fn log(line: &str) {
    // Nothing can be done when nobody reads it.
    writeln!(std::io::stderr(), "marathon: {line}").unwrap_or_default();
}
