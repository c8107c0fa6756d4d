//! The shell around [`Core`]: carries out what it decides and tells it what happens.

use super::core::{Call, Core, Effect, Probe};
use super::settings::{MasterAt, Settings};
use crate::framework::store::Store;
use crate::scheduler::{self, CallError, Caller, Event, Registration};
use crate::zk::{Session, ZkError, watch_leader};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{interval, timeout};

/// How long a request waits for what it changed to be kept.
const KEPT_WITHIN: Duration = Duration::from_secs(20);
/// How many events a slow listener may miss before it is cut off.
const OUTSTANDING_EVENTS: usize = 1024;

/// Why a leader ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeaderEnd {
    /// The store failed.
    #[error("the state in ZooKeeper is out of reach")]
    Store(#[from] ZkError),
    /// The store holds what cannot be read.
    #[error(transparent)]
    Unreadable(#[from] super::core::Unreadable),
    /// The master wants nothing of us.
    #[error("the master refused this framework: {0}")]
    Refused(String),
}

/// An event: its type, and what it says.
pub(super) type Told = (&'static str, Value);

type Work = (Vec<Effect>, oneshot::Sender<()>);

/// The leader's side of a node.
#[derive(Debug)]
pub(super) struct Leader {
    core: Mutex<Core>,
    work: mpsc::UnboundedSender<Work>,
    events: broadcast::Sender<Told>,
}

/// What runs beside requests while leading.
pub(super) struct Duties {
    leader: Arc<Leader>,
    store: Store,
    work: mpsc::UnboundedReceiver<Work>,
    caller: Caller,
    heard: mpsc::UnboundedReceiver<Event>,
    decline_seconds: f64,
    reconcile_every: Duration,
    _driver: scheduler::Driver,
}

impl Leader {
    /// Takes up what is kept and begins to talk to the master.
    ///
    /// # Errors
    /// When the store is out of reach or cannot be read.
    pub(super) async fn begin(
        settings: &Settings,
        session: &Session,
    ) -> Result<(Arc<Self>, Duties), LeaderEnd> {
        let store = Store::new(session, format!("{}/state", settings.zk.path()));
        let mut core = Core::new(settings.rules.clone());
        core.recover(&store.load().await?)?;
        let registration = Registration {
            framework: settings.framework.clone(),
            framework_id: core.framework_id().map(str::to_owned),
            credentials: settings.mesos_credentials.clone(),
        };
        let (driver, caller, heard) =
            scheduler::start(master(settings).await?, registration);
        let (work, to_do) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(OUTSTANDING_EVENTS);
        let leader = Arc::new(Self { core: Mutex::new(core), work, events });
        let duties = Duties {
            leader: leader.clone(),
            store,
            work: to_do,
            caller,
            heard,
            decline_seconds: settings.rules.decline_seconds,
            reconcile_every: settings.reconcile_every,
            _driver: driver,
        };
        Ok((leader, duties))
    }

    /// Looks at what is known.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.core.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what is known; returns when that is kept.
    pub(super) async fn change<T>(
        &self,
        change: impl FnOnce(&mut Core, Timestamp) -> T,
    ) -> T {
        let (result, kept) = self.begin_change(change);
        // When it is not kept the process is about to end, and the client sees that.
        timeout(KEPT_WITHIN, kept).await.ok();
        result
    }

    /// Those who listen from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Told> {
        self.events.subscribe()
    }

    fn begin_change<T>(
        &self,
        change: impl FnOnce(&mut Core, Timestamp) -> T,
    ) -> (T, oneshot::Receiver<()>) {
        let (done, kept) = oneshot::channel();
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut core, Timestamp::now());
        // Sent while the lock is held, so that effects keep the order of changes.
        self.work.send((core.effects(), done)).unwrap_or_default();
        (result, kept)
    }
}

impl Duties {
    /// Does what there is to do until that is no longer possible.
    pub(super) async fn run(self) -> LeaderEnd {
        let Self { leader, store, work, caller, heard, .. } = self;
        let hands = Hands {
            store,
            caller,
            decline_seconds: self.decline_seconds,
            leader: leader.clone(),
        };
        tokio::select! {
            end = hands.work(work) => end,
            end = hear(&leader, heard) => end,
            () = watch_time(&leader, self.reconcile_every) => LeaderEnd::Refused("time stopped".into()),
        }
    }
}

/// Carries out effects, one after another.
struct Hands {
    store: Store,
    caller: Caller,
    decline_seconds: f64,
    leader: Arc<Leader>,
}

impl Hands {
    async fn work(self, mut work: mpsc::UnboundedReceiver<Work>) -> LeaderEnd {
        while let Some((effects, done)) = work.recv().await {
            for effect in effects {
                if let Err(error) = self.carry_out(effect).await {
                    return error.into();
                }
            }
            // Whoever waited may have gone.
            done.send(()).unwrap_or_default();
        }
        LeaderEnd::Refused("nothing is left to do".into())
    }

    async fn carry_out(&self, effect: Effect) -> Result<(), ZkError> {
        match effect {
            Effect::Save(path, value) => {
                self.store.put(&path, value.to_string().as_bytes()).await
            }
            Effect::Forget(path) => self.store.forget(&path).await,
            Effect::Call(call) => {
                if let Err(error) = self.call(&call).await {
                    super::log(&format!("{error}"));
                }
                Ok(())
            }
            Effect::Publish(event, body) => {
                // Nobody may be listening.
                self.leader.events.send((event, body)).ok();
                Ok(())
            }
        }
    }

    async fn call(&self, call: &Call) -> Result<(), CallError> {
        match call {
            Call::Launch { offer, tasks } => {
                self.caller.accept(offer, tasks, self.decline_seconds).await
            }
            Call::Decline(offers) => {
                self.caller.decline(offers, self.decline_seconds).await
            }
            Call::Revive => self.caller.revive().await,
            Call::Suppress => self.caller.suppress().await,
            Call::Kill { task, agent } => self.caller.kill(task, agent.as_deref()).await,
            Call::Acknowledge(status) => self.caller.acknowledge(status).await,
            Call::Reconcile(tasks) => self.caller.reconcile(tasks).await,
        }
    }
}

async fn hear(leader: &Leader, mut heard: mpsc::UnboundedReceiver<Event>) -> LeaderEnd {
    while let Some(event) = heard.recv().await {
        match event {
            Event::Subscribed { framework_id, again } => {
                drop(leader.begin_change(|core, now| {
                    core.subscribed(&framework_id, again, now)
                }));
            }
            Event::Disconnected => {
                drop(leader.begin_change(Core::disconnected));
            }
            Event::Offers(offers) => {
                drop(leader.begin_change(|core, now| core.offers(offers, now)));
            }
            Event::Update(status) => {
                drop(leader.begin_change(|core, now| core.update(&status, now)));
            }
            // Offers are used or given back at once.
            Event::Rescind(_) => {}
            Event::Error(reason) => return LeaderEnd::Refused(reason),
        }
    }
    LeaderEnd::Refused("the connection to the master was given up".into())
}

async fn watch_time(leader: &Arc<Leader>, reconcile_every: Duration) {
    let mut seconds = interval(Duration::from_secs(1));
    let mut reconciled = tokio::time::Instant::now();
    loop {
        seconds.tick().await;
        let (probes, _) = leader.begin_change(|core, now| {
            core.tick(now);
            core.due_probes(now)
        });
        for probe in probes {
            tokio::spawn(check(leader.clone(), probe));
        }
        if reconciled.elapsed() >= reconcile_every {
            reconciled = tokio::time::Instant::now();
            drop(leader.begin_change(|core, _| core.reconcile()));
        }
    }
}

async fn check(leader: Arc<Leader>, probe: Probe) {
    let result = timeout(probe.timeout, ask(&probe)).await;
    let wrong = match result {
        Ok(Ok(())) => None,
        Ok(Err(cause)) => Some(cause),
        Err(_) => Some(format!("no answer within {} s", probe.timeout.as_secs_f64())),
    };
    drop(leader.begin_change(|core, now| core.probed(&probe, wrong, now)));
}

async fn ask(probe: &Probe) -> Result<(), String> {
    let Some(path) = &probe.path else {
        let connected =
            tokio::net::TcpStream::connect((probe.host.as_str(), probe.port)).await;
        return connected.map(|_| ()).map_err(|error| error.to_string());
    };
    let url = format!("http://{}:{}{path}", probe.host, probe.port);
    let client = crate::framework::proxy::plain_client();
    let answer = client.get(url).send().await.map_err(|error| error.to_string())?;
    match answer.status().as_u16() {
        200..=399 => Ok(()),
        status => Err(format!("HTTP {status}")),
    }
}

/// Follows who is the master.
async fn master(
    settings: &Settings,
) -> Result<watch::Receiver<Option<Vec<u8>>>, ZkError> {
    match &settings.master {
        MasterAt::Elected(url) => {
            let session = Session::connect(url, settings.zk_timeout).await?;
            Ok(watch_leader(&session, url.path(), "json.info_"))
        }
        MasterAt::Fixed(at) => {
            let (host, port) = at.rsplit_once(':').unwrap_or((at, "5050"));
            let port: u16 = port.parse().unwrap_or(5050);
            let info = json!({"address": {"hostname": host, "port": port}});
            let (sender, receiver) = watch::channel(Some(info.to_string().into_bytes()));
            tokio::spawn(async move { sender.closed().await });
            Ok(receiver)
        }
    }
}
