//! The life of a master: join the election, win the registry, lead until something ends it.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use super::config::Config;
use super::ensemble::{self, Ensemble};
use super::registry::{Change, Registry};
use super::replica::{Replica, Rules};
use super::shared::{Master, Recorder, master_info};
use super::{operate, server};
use crate::mesos::now;
use crate::zk::{Candidate, Lists, Session, Standing, ZkError};

/// How long one master waits for another.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

/// Why a master ends.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// It led, and does no more.
    #[error("Lost leadership... committing suicide!")]
    LostLeadership,
    /// ZooKeeper cannot be used.
    #[error("Failed to participate in the election: {0}")]
    Zk(#[from] ZkError),
    /// The registry cannot be read.
    #[error(
        "Recovery failed: Failed to recover registrar: Failed to perform fetch within {0}"
    )]
    Recovery(String),
    /// The registry cannot be written.
    #[error("Failed to update registry: {0}")]
    Registry(String),
    /// The work folder or a port cannot be used.
    #[error("{what}: {source}")]
    Io {
        /// What was to be done.
        what: String,
        /// Why it was not.
        source: std::io::Error,
    },
    /// The HTTP client cannot be set up.
    #[error("Failed to set up an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

fn io_fatal(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Fatal {
    let what = what.into();
    move |source| Fatal::Io { what, source }
}

/// Runs a master until something ends it.
///
/// # Errors
/// Always: a master has no other way to end than one that its supervisor should answer.
pub async fn run(config: Config) -> Result<std::convert::Infallible, Fatal> {
    let place = config.place.clone();
    let listener = TcpListener::bind(place.listen)
        .await
        .map_err(io_fatal(format!("Failed to bind on {}", place.listen)))?;
    let id = uuid::Uuid::new_v4().to_string();
    let (fatal, mut ends) = mpsc::unbounded_channel();
    let session = match &config.zk {
        Some(url) => {
            let session = Session::connect(url, config.zk_session_timeout).await?;
            Some(session.with(Lists::EveryoneReads))
        }
        None => None,
    };
    let ensemble = join_registry(&config, session.as_ref()).await?;
    let (standing, candidate) = join_election(&config, &id, session.as_ref()).await?;
    let master = Arc::new(Master::new(config, id, standing, ensemble, fatal));
    let lead = lead(Arc::clone(&master));
    let served = server::serve(listener, Arc::clone(&master));
    let expired = async {
        match &session {
            Some(session) => session.expired().await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        Err(end) = lead => end,
        served = served => match served {
            Ok(()) => return Err(Fatal::LostLeadership),
            Err(source) => Fatal::Io { what: "Failed to serve HTTP".into(), source },
        },
        Some(end) = ends.recv() => end,
        () = expired => Fatal::LostLeadership,
    };
    drop(candidate);
    Err(end)
}

async fn join_registry(
    config: &Config,
    session: Option<&Session>,
) -> Result<Option<Ensemble>, Fatal> {
    let Some(settings) = &config.registry else { return Ok(None) };
    let replica = Replica::open(&settings.work_dir).map_err(io_fatal(format!(
        "Failed to recover the replicated log in {}",
        settings.work_dir.display()
    )))?;
    let client = crate::http::client(DEADLINE)?;
    let ensemble = match (session, &config.zk) {
        (Some(session), Some(zk)) => {
            let rules =
                Rules { quorum: settings.quorum, initialises: settings.initialises };
            let address = config.place.address();
            let place = (session, zk.path(), address.as_str());
            Ensemble::join(replica, rules, client, place).await?
        }
        _ => Ensemble::alone(replica, client),
    };
    Ok(Some(ensemble))
}

async fn join_election(
    config: &Config,
    id: &str,
    session: Option<&Session>,
) -> Result<(watch::Receiver<Standing>, Option<Candidate>), Fatal> {
    let data = master_info(config, id).to_string().into_bytes();
    match (session, &config.zk) {
        (Some(session), Some(zk)) => {
            let candidate =
                Candidate::join(session, zk.path(), "json.info_", &data).await?;
            Ok((candidate.standing(), Some(candidate)))
        }
        _ => {
            let standing = Standing { leader_data: Some(data), leads: true };
            // The receiver keeps the value when the sender is gone: this never changes.
            Ok((watch::channel(standing).1, None))
        }
    }
}

/// Waits for leadership, takes the registry over, and leads; ends when it leads no more.
async fn lead(master: Arc<Master>) -> Result<std::convert::Infallible, Fatal> {
    let mut standing = master.standing.clone();
    let settle = settle(&master);
    tokio::pin!(settle);
    let mut is_settled = false;
    while !master.leads() {
        tokio::select! {
            settled = &mut settle, if !is_settled => {
                settled?;
                is_settled = true;
            }
            changed = standing.changed() => if changed.is_err() {
                return Err(Fatal::LostLeadership);
            },
        }
    }
    // The flag is set once: an election is won at most once in a run.
    let _ = master.elected.set(now());
    let recovered = async {
        if !is_settled {
            settle.await?;
        }
        recover(&master).await
    };
    let limit = master.config.registry.as_ref().map(|registry| registry.fetch_timeout);
    let limit = limit.unwrap_or(DEADLINE);
    let recovered = tokio::time::timeout(limit, recovered);
    tokio::select! {
        recovered = recovered => recovered
            .unwrap_or_else(|_| Err(no_quorum(&master)))?,
        () = lost(&mut standing) => return Err(Fatal::LostLeadership),
    }
    let mut standing = master.standing.clone();
    tokio::select! {
        () = lost(&mut standing) => Err(Fatal::LostLeadership),
        never = govern(&master) => match never {},
    }
}

/// The end of a leader whom no quorum let lead in time, in the words of its flag.
fn no_quorum(master: &Master) -> Fatal {
    let limit = master.config.flags.get("registry_fetch_timeout").unwrap_or_default();
    Fatal::Recovery(limit.to_owned())
}

async fn lost(standing: &mut watch::Receiver<Standing>) {
    while standing.borrow_and_update().leads {
        if standing.changed().await.is_err() {
            if standing.borrow().leads {
                // A master without ZooKeeper: nothing can take its leadership.
                std::future::pending::<()>().await;
            }
            return;
        }
    }
}

async fn settle(master: &Master) -> Result<(), Fatal> {
    match &master.ensemble {
        Some(ensemble) => ensemble
            .settle()
            .await
            .map_err(io_fatal("Failed to write the replicated log")),
        None => Ok(()),
    }
}

async fn recover(master: &Master) -> Result<(), Fatal> {
    let recorder = match (&master.ensemble, &master.config.registry) {
        (Some(ensemble), Some(settings)) => {
            let limit = settings.fetch_timeout;
            let registrar = ensemble.lead(limit).await;
            Recorder::Registrar(registrar.map_err(|_| no_quorum(master))?)
        }
        _ => Recorder::Memory(Mutex::new(Registry::default())),
    };
    // Set once: leadership is won at most once in a run.
    let _ = master.registrar.set(recorder);
    Ok(())
}

/// All that a leader does by the clock.
async fn govern(master: &Master) -> std::convert::Infallible {
    let config = &master.config;
    let mut allocation = interval(config.allocation_period);
    let mut pings = interval_at(Instant::now() + config.ping_period, config.ping_period);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heartbeats = interval(scheduler_heartbeat());
    let absent = tokio::time::sleep(config.reregister_timeout);
    tokio::pin!(absent);
    let mut all_are_back = false;
    loop {
        tokio::select! {
            _ = allocation.tick() => operate::allocate(master),
            () = master.wake.notified() => operate::allocate(master),
            _ = pings.tick() => operate::ping(master).await,
            _ = heartbeats.tick() => heartbeat(master),
            () = &mut absent, if !all_are_back => {
                all_are_back = true;
                give_up_absent(master).await;
            }
        }
    }
}

fn scheduler_heartbeat() -> std::time::Duration {
    std::time::Duration::from_secs(15)
}

fn heartbeat(master: &Master) {
    let event = json!({"type": "HEARTBEAT"});
    master
        .cluster()
        .frameworks
        .values()
        .for_each(|framework| framework.send(event.clone()));
}

/// Agents of an earlier master that have not come back are unreachable.
async fn give_up_absent(master: &Master) {
    let registry = master.registry();
    let absent: Vec<Change> = {
        let cluster = master.cluster();
        let ids = registry.admitted.keys().filter(|id| !cluster.agents.contains_key(*id));
        ids.map(|id| Change::MarkUnreachable(id.clone(), now())).collect()
    };
    if !absent.is_empty() {
        // When it cannot be written the master ends, and the next one tries.
        let _ = master.record(&absent).await;
    }
}

/// Whether a path is for masters among themselves, and for what.
pub(super) fn replica_verb(path: &str) -> Option<&str> {
    path.strip_prefix(ensemble::PATH)?.strip_prefix('/')
}
