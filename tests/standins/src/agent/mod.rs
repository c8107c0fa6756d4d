//! A stand-in of Mesos' agent.
//!
//! It runs tasks as real processes and Docker containers, which live on when it does not, keeps
//! what it knows of them on disk, and says what becomes of them until it is acknowledged. It makes
//! no use of cgroups, so that tasks are not held to their resources except by Docker.

pub mod core;
pub mod docker;
pub mod fetch;
pub mod files;
pub mod health;
pub mod info;
pub mod launch;
pub mod link;
pub mod metrics;
pub mod orders;
pub mod process;
pub mod record;
pub mod resources;
pub mod run;
pub mod settings;
pub mod store;
pub mod tend;
pub mod usage;
pub mod views;
pub mod web;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use self::core::{Agent, Exit};
use self::settings::{Settings, load_flags};
use self::store::Store;

/// Writes a line to the log, which is the standard error.
pub fn log(message: &str) {
    let time = jiff::Timestamp::now();
    // There is nobody to tell when the log cannot be written.
    let _ = writeln!(std::io::stderr(), "{time} {message}");
}

/// Runs an agent to its end.
pub async fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let exit = match begin(arguments) {
        Ok((agent, exits)) => work(agent, exits).await,
        Err(exit) => exit,
    };
    log(&exit.message);
    ExitCode::from(exit.code)
}

fn fatal(error: impl std::fmt::Display) -> Exit {
    Exit { code: 1, message: error.to_string() }
}

type Begun = (Arc<Agent>, mpsc::UnboundedReceiver<Exit>);

fn begin(arguments: impl Iterator<Item = String>) -> Result<Begun, Exit> {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    });
    let flags = load_flags(variables, arguments).map_err(fatal)?;
    if flags.is_on("version") {
        return Err(Exit {
            code: 0,
            message: format!("mesos {}", crate::mesos::VERSION),
        });
    }
    let settings = Settings::check(flags).map_err(fatal)?;
    let shown =
        settings.flags.all().iter().map(|(name, value)| format!("--{name}={value:?}"));
    log(&format!("Flags at startup: {}", shown.collect::<Vec<_>>().join(" ")));
    let store = Store::open(&settings.work_dir).map_err(fatal)?;
    let (agent, exits) = Agent::new(settings, store);
    Ok((Arc::new(agent), exits))
}

async fn work(agent: Arc<Agent>, mut exits: mpsc::UnboundedReceiver<Exit>) -> Exit {
    // Nothing handles SIGTERM: as the real one, the agent dies of it, and does not exit.
    let Ok(mut user) = signal(SignalKind::user_defined1()) else {
        return fatal("cannot handle signals");
    };
    // The address is taken first, so that no second agent touches the work of this one.
    let listener = match web::listen(&agent).await {
        Ok(listener) => listener,
        Err(error) => {
            let address = agent.settings.address();
            return fatal(format!(
                "Failed to initialize: Failed to bind on {address}: {error}"
            ));
        }
    };
    if let Err(exit) = orders::recover(&agent) {
        return exit;
    }
    tokio::spawn(web::serve(Arc::clone(&agent), listener));
    tend::stop_orphans(&agent).await;
    tokio::spawn(tend::remove_old(Arc::clone(&agent)));
    let leader = link::detect(&agent);
    tokio::spawn(link::keep_registered(Arc::clone(&agent), leader.clone()));
    tokio::select! {
        exit = exits.recv() => exit.unwrap_or_else(|| fatal("the agent is gone")),
        _ = user.recv() => {
            let present = leader.borrow().clone();
            link::unregister(&agent, present).await;
            orders::leave(&agent, 0, "Unregistered and ended by SIGUSR1").await;
            exits.recv().await.unwrap_or_else(|| fatal("the agent is gone"))
        }
    }
}
