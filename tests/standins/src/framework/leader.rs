//! The shell around what a leader knows and decides: carries out what it decides and tells it
//! what happens. It decides nothing itself.

use super::effect::{Call, Effect};
use super::link::Link;
use super::log;
use super::offer::{Offer, Pool};
use super::setup::Setup;
use super::store::{Store, Unreadable};
use crate::scheduler::{self, Caller, Event, Registration, Status};
use crate::zk::{Session, ZkError};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{interval, timeout};

/// How long a request waits for what it changed to be kept.
const KEPT_WITHIN: Duration = Duration::from_secs(20);
/// How many events a slow listener may miss before it is cut off.
const OUTSTANDING_EVENTS: usize = 1024;

/// What a leader knows and decides. Pure: the time is passed in, and what is to be done comes
/// out as [`Effect`]s.
pub trait Core: Send + 'static {
    /// Takes up all that is in the store, by path.
    ///
    /// # Errors
    /// When something cannot be read: then nothing should be done on its account.
    fn recover(&mut self, kept: &BTreeMap<String, Vec<u8>>) -> Result<(), Unreadable>;
    /// Its link to the master and to the store.
    fn link(&mut self) -> &mut Link;
    /// The master knows us.
    fn subscribed(&mut self, framework_id: &str, again: bool, now: Timestamp);
    /// The master is gone.
    fn disconnected(&mut self, _now: Timestamp) {
        self.link().is_subscribed = false;
    }
    /// Resources to use or decline.
    fn offers(&mut self, offers: Vec<Offer>, now: Timestamp);
    /// A task's state.
    fn update(&mut self, status: &Status, now: Timestamp);
    /// Asks for the states of all tasks.
    fn reconcile(&mut self);
    /// A second has passed.
    fn tick(&mut self, now: Timestamp);

    /// What is to be done since the last time that this was asked.
    fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.link().effects)
    }

    /// Launches on each offer the tasks that `launch` makes of it, and declines those for which it
    /// makes none.
    fn use_offers(
        &mut self,
        offers: Vec<Offer>,
        launch: impl Fn(&mut Self, &Offer, &mut Pool) -> Vec<Value>,
    ) where
        Self: Sized,
    {
        let mut unused = Vec::new();
        for offer in offers {
            let tasks = launch(self, &offer, &mut offer.pool());
            let id = offer.id().to_owned();
            match tasks.is_empty() {
                true => unused.push(id),
                false => self.link().call(Call::Launch { offer: id, tasks }),
            }
        }
        if !unused.is_empty() {
            self.link().call(Call::Decline(unused));
        }
    }
}

/// Why a leader ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeaderEnd {
    /// The store failed.
    #[error("the state in ZooKeeper is out of reach")]
    Store(#[from] ZkError),
    /// The store holds what cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The master is gone, and this one does not wait for the next.
    #[error("the connection to the master is lost")]
    MasterLost,
    /// It cannot go on.
    #[error("{0}")]
    Broken(String),
    /// The master wants nothing of us.
    #[error("the master refused this framework: {0}")]
    Refused(String),
}

/// An event: its type, and what it says.
pub(crate) type Told = (&'static str, Value);

/// What is to be done, and who waits until it is.
pub type Work = (Vec<Effect>, oneshot::Sender<()>);

/// The leader's side of a node.
#[derive(Debug)]
pub struct Leader<C> {
    core: Mutex<C>,
    work: mpsc::UnboundedSender<Work>,
    events: broadcast::Sender<Told>,
    clock: fn() -> Timestamp,
}

/// What runs beside requests while leading.
pub(super) struct Duties<C> {
    leader: Arc<Leader<C>>,
    store: Store,
    work: mpsc::UnboundedReceiver<Work>,
    caller: Caller,
    heard: mpsc::UnboundedReceiver<Event>,
    setup: Setup,
    _driver: scheduler::Driver,
}

impl<C: Core> Leader<C> {
    /// One without a world around it: what is to be done comes out, for another to do.
    pub fn alone(
        core: C,
        clock: fn() -> Timestamp,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Work>) {
        let (work, to_do) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(OUTSTANDING_EVENTS);
        (Arc::new(Self { core: Mutex::new(core), work, events, clock }), to_do)
    }

    /// Takes up what is kept and begins to talk to the master.
    ///
    /// # Errors
    /// When the store is out of reach or cannot be read.
    pub(super) async fn begin(
        mut core: C,
        setup: &Setup,
        session: &Session,
    ) -> Result<(Arc<Self>, Duties<C>), LeaderEnd> {
        let store = Store::new(session, format!("{}/state", setup.zk.path()));
        core.recover(&store.load().await?)?;
        let registration = Registration {
            framework: setup.framework.clone(),
            framework_id: core.link().framework_id.clone(),
            credentials: setup.mesos_credentials.clone(),
        };
        let master = setup.master.follow(setup.zk_timeout).await?;
        let (driver, caller, heard) = scheduler::start(master, registration);
        let (leader, to_do) = Self::alone(core, Timestamp::now);
        let duties = Duties {
            leader: leader.clone(),
            store,
            work: to_do,
            caller,
            heard,
            setup: setup.clone(),
            _driver: driver,
        };
        Ok((leader, duties))
    }

    /// Looks at what is known.
    pub fn look<T>(&self, look: impl FnOnce(&C) -> T) -> T {
        look(&self.core.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what is known; returns when that is kept.
    pub async fn change<T>(&self, change: impl FnOnce(&mut C, Timestamp) -> T) -> T {
        let (result, kept) = self.begin_change(change);
        // When it is not kept the process is about to end, and the client sees that.
        timeout(KEPT_WITHIN, kept).await.ok();
        result
    }

    /// Changes what is known; that is kept later.
    pub fn note<T>(&self, change: impl FnOnce(&mut C, Timestamp) -> T) -> T {
        self.begin_change(change).0
    }

    /// Those who listen from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Told> {
        self.events.subscribe()
    }

    fn begin_change<T>(
        &self,
        change: impl FnOnce(&mut C, Timestamp) -> T,
    ) -> (T, oneshot::Receiver<()>) {
        let (done, kept) = oneshot::channel();
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut core, (self.clock)());
        // Sent while the lock is held, so that effects keep the order of changes.
        self.work.send((core.effects(), done)).unwrap_or_default();
        (result, kept)
    }
}

impl<C: Core> Duties<C> {
    /// Does what there is to do until that is no longer possible.
    pub(super) async fn run(self) -> LeaderEnd {
        let Self { leader, store, work, caller, heard, setup, _driver } = self;
        let hands = Hands { store, caller, setup: &setup, leader: leader.clone() };
        tokio::select! {
            end = hands.work(work) => end,
            end = hear(&leader, heard, setup.ends_when_cut_off) => end,
            () = watch_time(&leader, &setup) => LeaderEnd::Refused("time stopped".into()),
        }
    }
}

/// Carries out effects, one after another.
struct Hands<'a, C> {
    store: Store,
    caller: Caller,
    setup: &'a Setup,
    leader: Arc<Leader<C>>,
}

impl<C> Hands<'_, C> {
    async fn work(self, mut work: mpsc::UnboundedReceiver<Work>) -> LeaderEnd {
        while let Some((effects, done)) = work.recv().await {
            for effect in effects {
                if let Err(error) = self.carry_out(effect).await {
                    return error;
                }
            }
            // Whoever waited may have gone.
            done.send(()).unwrap_or_default();
        }
        LeaderEnd::Refused("nothing is left to do".into())
    }

    async fn carry_out(&self, effect: Effect) -> Result<(), LeaderEnd> {
        match effect {
            Effect::Save(path, value) => {
                Ok(self.store.put(&path, value.to_string().as_bytes()).await?)
            }
            Effect::Forget(path) => Ok(self.store.forget(&path).await?),
            Effect::End(reason) => Err(LeaderEnd::Broken(reason)),
            Effect::Call(call) => {
                let decline_seconds = self.setup.decline_seconds;
                if let Err(error) = self.caller.call(&call, decline_seconds).await {
                    log(self.setup.name, &error.to_string());
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
}

async fn hear<C: Core>(
    leader: &Leader<C>,
    mut heard: mpsc::UnboundedReceiver<Event>,
    ends_with_master: bool,
) -> LeaderEnd {
    while let Some(event) = heard.recv().await {
        match event {
            Event::Subscribed { framework_id, again } => {
                leader.note(|core, now| core.subscribed(&framework_id, again, now));
            }
            Event::Disconnected if ends_with_master => return LeaderEnd::MasterLost,
            Event::Disconnected => leader.note(C::disconnected),
            Event::Offers(offers) => leader.note(|core, now| core.offers(offers, now)),
            Event::Update(status) => leader.note(|core, now| core.update(&status, now)),
            Event::Error(reason) => return LeaderEnd::Refused(reason),
        }
    }
    LeaderEnd::Refused("the connection to the master was given up".into())
}

async fn watch_time<C: Core>(leader: &Leader<C>, setup: &Setup) {
    let mut seconds = interval(Duration::from_secs(1));
    let mut next = tokio::time::Instant::now() + setup.reconcile_first;
    loop {
        seconds.tick().await;
        leader.note(C::tick);
        if tokio::time::Instant::now() >= next {
            next += setup.reconcile_every;
            leader.note(|core, _| core.reconcile());
        }
    }
}
