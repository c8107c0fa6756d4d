//! What all parts of a running master share.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, watch};

use super::cluster::Cluster;
use super::config::Config;
use super::ensemble::{Ensemble, Registrar};
use super::registry::{Change, Registry};
use super::run::Fatal;
use crate::mesos::{VERSION, now};
use crate::zk::Standing;

/// A running master.
pub(super) struct Master {
    pub(super) config: Config,
    /// The id of this run.
    pub(super) id: String,
    pub(super) started: f64,
    pub(super) elected: OnceLock<f64>,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) ensemble: Option<Ensemble>,
    /// The registry, once a quorum has let this master lead.
    pub(super) registrar: OnceLock<Recorder>,
    /// Wakes the allocation.
    pub(super) wake: Notify,
    cluster: Mutex<Cluster>,
    fatal: mpsc::UnboundedSender<Fatal>,
}

/// Where changes of the registry go.
pub(super) enum Recorder {
    /// To a quorum of masters.
    Registrar(Registrar),
    /// To memory alone.
    Memory(Mutex<Registry>),
}

/// The registry could not be written: the master is about to end.
#[derive(Debug)]
pub(super) struct Ending;

impl Master {
    pub(super) fn new(
        config: Config,
        id: String,
        standing: watch::Receiver<Standing>,
        ensemble: Option<Ensemble>,
        fatal: mpsc::UnboundedSender<Fatal>,
    ) -> Self {
        let master_info = master_info(&config, &id);
        let cluster = Cluster::new(id.clone(), master_info);
        Self {
            config,
            id,
            started: now(),
            elected: OnceLock::new(),
            standing,
            ensemble,
            registrar: OnceLock::new(),
            wake: Notify::new(),
            cluster: Mutex::new(cluster),
            fatal,
        }
    }

    pub(super) fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The registry as it is now; empty while there is none.
    pub(super) fn registry(&self) -> Registry {
        match self.registrar.get() {
            Some(Recorder::Registrar(registrar)) => registrar.registry(),
            Some(Recorder::Memory(registry)) => {
                registry.lock().unwrap_or_else(PoisonError::into_inner).clone()
            }
            None => Registry::default(),
        }
    }

    /// Writes changes, then lets the cluster know; a master that cannot write ends.
    pub(super) async fn record(&self, changes: &[Change]) -> Result<(), Ending> {
        let done = match self.registrar.get() {
            Some(Recorder::Registrar(registrar)) => registrar.apply(changes).await,
            Some(Recorder::Memory(registry)) => {
                let mut registry =
                    registry.lock().unwrap_or_else(PoisonError::into_inner);
                changes.iter().for_each(|change| registry.apply(change));
                Ok(())
            }
            None => return Err(Ending),
        };
        if let Err(error) = done {
            self.end(Fatal::Registry(error.to_string()));
            return Err(Ending);
        }
        let registry = self.registry();
        self.cluster().refresh(&registry);
        self.wake.notify_one();
        Ok(())
    }

    /// Ends the process for a reason.
    pub(super) fn end(&self, reason: Fatal) {
        // Without a receiver the process is ending already.
        let _ = self.fatal.send(reason);
    }

    /// Whether this master leads.
    pub(super) fn leads(&self) -> bool {
        self.standing.borrow().leads
    }

    /// Whether it leads and has the registry.
    pub(super) fn is_recovered(&self) -> bool {
        self.registrar.get().is_some()
    }

    /// The `MasterInfo` of the leader.
    pub(super) fn leader(&self) -> Option<Value> {
        let standing = self.standing.borrow();
        serde_json::from_slice(standing.leader_data.as_deref()?).ok()
    }

    /// The address of the leader, as `ip:port`.
    pub(super) fn leader_address(&self) -> Option<String> {
        let info = self.leader()?;
        Some(format!("{}:{}", info["address"]["ip"].as_str()?, info["address"]["port"]))
    }

    /// This master's address, as Mesos writes it.
    pub(super) fn pid(&self) -> String {
        format!("master@{}", self.config.place.address())
    }
}

/// The `MasterInfo` of a master: what it puts into ZooKeeper.
pub(super) fn master_info(config: &Config, id: &str) -> Value {
    let place = &config.place;
    let mut info = json!({
        "id": id,
        "ip": place.ip_number(),
        "port": place.port,
        "pid": format!("master@{}", place.address()),
        "hostname": place.hostname,
        "version": VERSION,
        "address": {"hostname": place.hostname, "ip": place.ip, "port": place.port},
        "capabilities": [{"type": "AGENT_UPDATE"}, {"type": "AGENT_DRAINING"}, {}],
    });
    if let Some(domain) = &config.domain {
        info["domain"] = domain.clone();
    }
    info
}
