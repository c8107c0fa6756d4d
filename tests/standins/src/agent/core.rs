//! What the parts of a running agent share: its tasks, and the way of every change to disk.
//!
//! Invariant: a change of a record is on disk before anybody else is told of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use base64::Engine;
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};

use super::docker::Docker;
use super::record::{Details, Key, Record, Stamp};
use super::settings::Settings;
use super::store::{Store, StoreError};
pub use crate::mesos::now;

/// How the agent's process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The exit status.
    pub code: u8,
    /// The last line of the log.
    pub message: String,
}

/// What is known while the agent runs.
#[derive(Debug, Default)]
pub struct State {
    /// The agent's id, once it has one.
    pub agent_id: Option<String>,
    /// The leading master's host name, while the agent is registered.
    pub master_hostname: Option<String>,
    /// `FrameworkInfo` by id.
    pub frameworks: BTreeMap<String, Value>,
    /// The tasks that run, or whose last update is not acknowledged.
    pub tasks: BTreeMap<Key, Task>,
    /// The tasks that are over.
    pub completed: Vec<Record>,
    /// The drain under way, or the last one, until the master takes it back.
    pub drain: Option<Drain>,
}

/// A drain, as the master orders it.
#[derive(Debug, Clone)]
pub struct Drain {
    /// `DrainConfig` of the v1 API.
    pub config: Value,
    /// When it began, in seconds since 1970.
    pub since: f64,
}

impl Drain {
    /// Whether the agent is to be marked gone when it is empty.
    pub fn marks_gone(&self) -> bool {
        self.config["mark_gone"] == true
    }
}

/// A task and the way to the one that runs it.
#[derive(Debug)]
pub struct Task {
    /// What is kept of it.
    pub record: Record,
    /// Told when the record's kill has changed.
    pub killed: watch::Sender<()>,
}

/// The agent.
#[derive(Debug)]
pub struct Agent {
    /// The flags.
    pub settings: Settings,
    /// The work folder.
    pub store: Store,
    /// Docker, where there is one.
    pub docker: Option<Docker>,
    /// When the agent began, in seconds since 1970.
    pub started: f64,
    /// Told when there are updates to send.
    pub outbox: Notify,
    exits: mpsc::UnboundedSender<Exit>,
    state: Mutex<State>,
}

impl Agent {
    /// An agent without tasks, and the receiver of its end.
    pub fn new(
        settings: Settings,
        store: Store,
    ) -> (Self, mpsc::UnboundedReceiver<Exit>) {
        let (exits, receiver) = mpsc::unbounded_channel();
        let docker = settings.docker.clone().map(Docker::new);
        let agent = Self {
            settings,
            store,
            docker,
            started: now(),
            outbox: Notify::new(),
            exits,
            state: Mutex::default(),
        };
        (agent, receiver)
    }

    /// The state. Never held across an `await`.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Ends the process.
    pub fn exit(&self, code: u8, message: impl Into<String>) {
        let exit = Exit { code, message: message.into() };
        // Nobody listens any more when the process is ending already.
        let _ = self.exits.send(exit);
    }

    /// Ends the process when a file cannot be written: what is not kept must not be told.
    pub fn kept(&self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            self.exit(1, format!("Failed to checkpoint: {error}"));
        }
    }

    /// A stamp for a new status.
    pub fn stamp(&self) -> Stamp {
        let uuid = uuid::Uuid::new_v4();
        Stamp {
            now: now(),
            uuid: base64::engine::general_purpose::STANDARD.encode(uuid.as_bytes()),
            ip: self.settings.ip.to_string(),
        }
    }

    /// Adds a task, on disk first.
    pub fn add(&self, record: Record) -> watch::Receiver<()> {
        self.kept(self.store.save(&record));
        let (killed, receiver) = watch::channel(());
        self.state().tasks.insert(record.key(), Task { record, killed });
        receiver
    }

    /// A task's record as it is now.
    pub fn record(&self, key: &Key) -> Option<Record> {
        self.state().tasks.get(key).map(|task| task.record.clone())
    }

    /// Changes a record, on disk and then here.
    pub fn change<T>(&self, key: &Key, how: impl FnOnce(&mut Record) -> T) -> Option<T> {
        let mut state = self.state();
        let task = state.tasks.get_mut(key)?;
        let mut record = task.record.clone();
        let answer = how(&mut record);
        self.kept(self.store.save(&record));
        task.record = record;
        Some(answer)
    }

    /// Adds an update to a task, and has it sent.
    pub fn update(&self, key: &Key, state: &str, details: Details) {
        let stamp = self.stamp();
        let said = details.message.clone().unwrap_or_default();
        if self.change(key, |record| record.update(state, details, &stamp)) == Some(true)
        {
            super::log(&format!("Task {} is {state} {said}", key.task_id));
            self.outbox.notify_one();
        }
    }

    /// Takes an acknowledgement, and lets go of a task that is over.
    pub fn acknowledge(&self, key: &Key, uuid: &str) {
        if self.change(key, |record| record.acknowledge(uuid)) == Some(true) {
            self.outbox.notify_one();
        }
        self.let_go(key);
    }

    /// Moves a task of which nobody has to hear any more to the completed ones.
    pub fn let_go(&self, key: &Key) {
        let mut state = self.state();
        if state.tasks.get(key).is_some_and(|task| !task.record.is_of_interest())
            && let Some(task) = state.tasks.remove(key)
        {
            state.completed.push(task.record);
        }
    }

    /// The framework of this id.
    pub fn framework(&self, id: &str) -> Value {
        self.state().frameworks.get(id).cloned().unwrap_or_default()
    }
}
