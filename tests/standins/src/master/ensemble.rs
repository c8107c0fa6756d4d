//! The copies of the registry on all masters, as one that a leader reads and writes.
//!
//! Finds the others in ZooKeeper, where the real replicated log does, and speaks to them over a
//! path of its own. What a copy may do is decided in `replica`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::registry::{Change, Registry};
use super::replica::{Copy, Proposal, Replica, Rules, Status, Version};
use crate::http;
use crate::zk::{Candidate, Session, ZkError};

/// The path that masters speak to one another at.
pub(super) const PATH: &str = "/standin/replica";

/// How often the others are looked for, and asked again.
const PERIOD: Duration = Duration::from_millis(500);

/// How long one master may take to answer another.
const DEADLINE: Duration = Duration::from_secs(3);

/// Why the registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnsembleError {
    /// Too few copies answered in time.
    #[error("no quorum of {quorum} masters holds the registry after {seconds} s")]
    NoQuorum {
        /// How many are needed.
        quorum: usize,
        /// How long was waited.
        seconds: u64,
    },
    /// Another master leads.
    #[error("another master has written to the registry")]
    Demoted,
}

/// This master's copy and its ways to the others.
#[derive(Clone)]
pub(super) struct Ensemble {
    replica: Arc<Mutex<Replica>>,
    peers: watch::Receiver<Vec<String>>,
    client: reqwest::Client,
    rules: Rules,
}

impl Ensemble {
    /// Joins the others through ZooKeeper at `<path>/log_replicas`; `own` is `ip:port`.
    ///
    /// # Errors
    /// When ZooKeeper refuses.
    pub(super) async fn join(
        replica: Replica,
        rules: Rules,
        client: reqwest::Client,
        place: (&Session, &str, &str),
    ) -> Result<Self, ZkError> {
        let (session, zk_path, own) = place;
        let parent = format!("{}/log_replicas", zk_path.trim_end_matches('/'));
        let pid = format!("log-replica(1)@{own}");
        let membership = Candidate::join(session, &parent, "", pid.as_bytes()).await?;
        let peers = follow_peers(session.clone(), parent, own.to_owned(), membership);
        Ok(Self { replica: Arc::new(Mutex::new(replica)), peers, client, rules })
    }

    /// A registry of one master without others.
    pub(super) fn alone(replica: Replica, client: reqwest::Client) -> Self {
        let (_, peers) = watch::channel(Vec::new());
        let rules = Rules { quorum: 1, initialises: true };
        Self { replica: Arc::new(Mutex::new(replica)), peers, client, rules }
    }

    fn replica(&self) -> MutexGuard<'_, Replica> {
        self.replica.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this master's own copy counts.
    pub(super) fn is_voting(&self) -> bool {
        self.replica().copy().status == Status::Voting
    }

    /// How many masters are known, this one included.
    pub(super) fn size(&self) -> usize {
        self.peers.borrow().len() + 1
    }

    /// Brings the own copy to where it counts; goes on until it does.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) async fn settle(&self) -> std::io::Result<()> {
        let mut tick = tokio::time::interval(PERIOD);
        while !self.is_voting() {
            tick.tick().await;
            let mut all: Vec<Copy> = self.ask("copy", &json!({})).await;
            let mut replica = self.replica();
            all.push(replica.copy().clone());
            replica.settle(&all, self.rules)?;
        }
        Ok(())
    }

    /// Wins the promise of a quorum and reads the latest registry.
    ///
    /// # Errors
    /// When there is no quorum within `limit`.
    pub(super) async fn lead(&self, limit: Duration) -> Result<Registrar, EnsembleError> {
        let end = Instant::now() + limit;
        let mut tick = tokio::time::interval(PERIOD);
        let mut epoch = self.replica().copy().promised;
        while Instant::now() < end {
            tick.tick().await;
            let seen: Vec<Copy> = self.ask("copy", &json!({})).await;
            epoch = seen.iter().map(|copy| copy.promised).fold(epoch, u64::max) + 1;
            if let Some(registry) = self.win(epoch).await {
                let version = Version { epoch, position: 0 };
                let registrar = Registrar::new(self.clone(), version, registry, limit);
                if registrar.store(&registrar.registry()).await.is_ok() {
                    return Ok(registrar);
                }
            }
        }
        let (quorum, seconds) = (self.rules.quorum, limit.as_secs());
        Err(EnsembleError::NoQuorum { quorum, seconds })
    }

    async fn win(&self, epoch: u64) -> Option<Registry> {
        let own = self.replica().promise(epoch).ok().flatten().cloned();
        let mut promised: Vec<Copy> = self.ask("promise", &json!(epoch)).await;
        promised.extend(own);
        if promised.len() < self.rules.quorum {
            return None;
        }
        promised.into_iter().max_by_key(|copy| copy.version).map(|copy| copy.registry)
    }

    /// Writes at this copy and at the others; the number of those that have it on disk.
    async fn write(&self, proposal: Proposal) -> usize {
        let own = matches!(self.replica().write(proposal.clone()), Ok(true));
        let Ok(body) = serde_json::to_value(&proposal) else { return 0 };
        let others: Vec<bool> = self.ask("write", &body).await;
        usize::from(own) + others.into_iter().filter(|written| *written).count()
    }

    /// The answers of all others that answer with something.
    async fn ask<T: DeserializeOwned>(&self, verb: &str, body: &Value) -> Vec<T> {
        let peers = self.peers.borrow().clone();
        let asked = peers.iter().map(|peer| async move {
            let url = format!("http://{peer}{PATH}/{verb}");
            let answer = self.client.post(url).timeout(DEADLINE).json(body).send().await;
            answer.ok()?.error_for_status().ok()?.json::<Option<T>>().await.ok()?
        });
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    /// Answers another master.
    pub(super) fn answer(&self, verb: &str, body: &[u8]) -> Response {
        let mut replica = self.replica();
        let answer = match verb {
            "copy" => serde_json::to_value(replica.copy()),
            "promise" => match serde_json::from_slice(body) {
                Ok(epoch) => replica
                    .promise(epoch)
                    .map_err(serde_json::Error::io)
                    .and_then(serde_json::to_value),
                Err(error) => Err(error),
            },
            "write" => match serde_json::from_slice(body) {
                Ok(proposal) => replica
                    .write(proposal)
                    .map_err(serde_json::Error::io)
                    .and_then(serde_json::to_value),
                Err(error) => Err(error),
            },
            _ => return http::not_found(),
        };
        match answer {
            Ok(value) => http::json(&value),
            Err(error) => {
                http::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
        }
    }
}

/// Keeps the list of the other masters up to date, and the own place in it.
fn follow_peers(
    session: Session,
    parent: String,
    own: String,
    membership: Candidate,
) -> watch::Receiver<Vec<String>> {
    let (sender, receiver) = watch::channel(Vec::new());
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(PERIOD);
        while !sender.is_closed() {
            tick.tick().await;
            if let Some(mut peers) = read_peers(&session, &parent).await {
                peers.retain(|peer| *peer != own);
                peers.sort();
                peers.dedup();
                sender.send_if_modified(|known| {
                    let is_new = *known != peers;
                    *known = peers;
                    is_new
                });
            }
        }
        drop(membership);
    });
    receiver
}

async fn read_peers(session: &Session, parent: &str) -> Option<Vec<String>> {
    let names = session.client().list_children(parent).await.ok()?;
    let mut peers = Vec::with_capacity(names.len());
    for name in names {
        // A node may vanish between the two requests.
        if let Ok((data, _)) =
            session.client().get_data(&format!("{parent}/{name}")).await
        {
            let pid = String::from_utf8_lossy(&data).into_owned();
            peers.extend(pid.split_once('@').map(|(_, address)| address.to_owned()));
        }
    }
    Some(peers)
}

/// The registry as its leader sees it; changes one after the other.
pub(super) struct Registrar {
    ensemble: Ensemble,
    state: Mutex<(Version, Registry)>,
    turn: tokio::sync::Mutex<()>,
    limit: Duration,
}

impl Registrar {
    fn new(
        ensemble: Ensemble,
        version: Version,
        registry: Registry,
        limit: Duration,
    ) -> Self {
        let state = Mutex::new((version, registry));
        Self { ensemble, state, turn: tokio::sync::Mutex::new(()), limit }
    }

    /// The registry as it is now.
    pub(super) fn registry(&self) -> Registry {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Applies changes and returns when a quorum has them on disk.
    ///
    /// # Errors
    /// When it cannot be written in time; then the master has to stop leading.
    pub(super) async fn apply(&self, changes: &[Change]) -> Result<(), EnsembleError> {
        let _turn = self.turn.lock().await;
        let mut registry = self.registry();
        changes.iter().for_each(|change| registry.apply(change));
        self.store(&registry).await
    }

    async fn store(&self, registry: &Registry) -> Result<(), EnsembleError> {
        let version = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.0.position += 1;
            state.0
        };
        let end = Instant::now() + self.limit;
        let mut tick = tokio::time::interval(PERIOD);
        let quorum = self.ensemble.rules.quorum;
        while Instant::now() < end {
            tick.tick().await;
            let proposal = Proposal { version, registry: registry.clone() };
            if self.ensemble.write(proposal).await >= quorum {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.1 = registry.clone();
                return Ok(());
            }
            if self.ensemble.replica().copy().promised > version.epoch {
                return Err(EnsembleError::Demoted);
            }
        }
        Err(EnsembleError::NoQuorum { quorum, seconds: self.limit.as_secs() })
    }
}
