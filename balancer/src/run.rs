//! The loop: takes news in, lets pure code decide, and does what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, io, mem};

use platform_daemon::journal::{chain, say};

use crate::blame::culprits;
use crate::change::{Act, Command};
use crate::decide::{
    self, Broken, Decision, Doubt, Known, Leaderless, bound_ports, decide,
};
use crate::follow::{List, News, follow_events, read_lists};
use crate::haproxy::{Control, HaproxyError, taken_ports};
use crate::hints::Hints;
use crate::leaders;
use crate::marathon::instance_of;
use crate::mesos;
use crate::render::render;
use crate::serve::serve;
use crate::servers_state::{Backends, Slot, SlotState};
use crate::services::{PortOf, Service};
use crate::settings::Settings;
use crate::status::{AppRow, Board, ServerRow, ServiceRow};
use crate::wanted::{Circumstances, Memory};

/// Lists are read at most and at least this often.
const LIST_PAUSE: Duration = Duration::from_millis(200);
const LIST_PERIOD: Duration = Duration::from_secs(5);
/// A list that is asked for is here, or has failed, within this time.
const WAIT: Duration = Duration::from_secs(1);
/// How soon to look again whether a server is up.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// HAProxy's checks have spoken so long after a worker's start.
const SETTLING: Duration = Duration::from_millis(700);
const RELOAD_PAUSE: Duration = Duration::from_secs(2);
/// When to try again what has failed.
const AFTER_FAILED_RELOAD: Duration = Duration::from_secs(10);
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Another program uses an address of this one, or this host does not have it.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address}")]
pub struct CannotListen {
    address: SocketAddr,
    source: io::Error,
}

/// Runs for ever.
///
/// # Errors
///
/// If it cannot listen at one of its addresses.
pub fn run(settings: Settings) -> Result<(), CannotListen> {
    let board = Board::default();
    serve(listener(settings.listen)?, board.clone(), settings.page.clone());
    if let (Some(mesos), true) = (&settings.mesos, settings.page.is_some()) {
        let board = board.clone();
        mesos::watch(mesos.clone(), move |answer| board.status().note_mesos(answer));
    }
    if let (Some(mesos), Some(address)) = (&settings.mesos, settings.leaders) {
        leaders::serve(listener(address)?, mesos.clone());
    }
    let settings = Arc::new(settings);
    let leader = Arc::new(Mutex::new(None));
    let (sender, news) = mpsc::channel();
    follow_events(Arc::clone(&settings), Arc::clone(&leader), sender.clone());
    let ask_list = read_lists(Arc::clone(&settings), leader, sender);
    let mut balancer = Balancer::new(settings, board, ask_list);
    loop {
        balancer.turn(&news);
    }
}

fn listener(address: SocketAddr) -> Result<TcpListener, CannotListen> {
    TcpListener::bind(address).map_err(|source| CannotListen { address, source })
}

struct Balancer {
    settings: Arc<Settings>,
    control: Control,
    board: Board,
    begun: Instant,
    // What Marathon says.
    list: Option<List>,
    had_apps: bool,
    doubt: Doubt,
    hints: Hints,
    memory: Memory,
    connected: Option<Duration>,
    // What HAProxy does.
    decision: Decision,
    leaderless: Leaderless,
    loaded: Option<Vec<Service>>,
    broken: Vec<Broken>,
    written: String,
    worker: String,
    // When to do what.
    lists: Lists,
    settled: Duration,
    next_reload: Duration,
    next_look: Option<Duration>,
}

/// When to ask for a list.
struct Lists {
    ask: SyncSender<()>,
    is_asked: bool,
    is_stale: bool,
    last: Option<Duration>,
}

impl Lists {
    fn due(&self) -> Option<Duration> {
        let pause = if self.is_stale { LIST_PAUSE } else { LIST_PERIOD };
        (!self.is_asked).then(|| self.last.map_or(Duration::ZERO, |last| last + pause))
    }

    fn ask_if_due(&mut self, now: Duration) {
        if self.due().is_some_and(|due| now >= due) && self.ask.try_send(()).is_ok() {
            (self.is_asked, self.is_stale, self.last) = (true, false, Some(now));
        }
    }
}

impl Balancer {
    fn new(settings: Arc<Settings>, board: Board, ask: SyncSender<()>) -> Self {
        // What an earlier run has left: it is not taken away by one empty list.
        let written = fs::read_to_string(&settings.haproxy.apps).unwrap_or_default();
        Self {
            control: Control::new(settings.haproxy.clone()),
            settings,
            board,
            begun: Instant::now(),
            list: None,
            had_apps: written.contains("\nbackend "),
            doubt: Doubt::default(),
            hints: Hints::default(),
            memory: Memory::default(),
            connected: None,
            decision: Decision::default(),
            leaderless: Leaderless::default(),
            loaded: None,
            broken: Vec::new(),
            written,
            worker: String::new(),
            lists: Lists { ask, is_asked: false, is_stale: true, last: None },
            settled: Duration::ZERO,
            next_reload: Duration::ZERO,
            next_look: None,
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Takes one piece of news in, or waits for it, and does what is due.
    fn turn(&mut self, news: &Receiver<News>) {
        self.lists.ask_if_due(self.now());
        let dues = [self.lists.due(), self.next_look].into_iter().flatten();
        let patience = dues.min().map_or(WAIT, |due| due.saturating_sub(self.now()));
        if let Ok(news) = news.recv_timeout(patience.min(WAIT)) {
            self.on_news(news);
        }
        if self.next_look.is_some_and(|due| self.now() >= due) {
            self.look();
        }
    }

    fn on_news(&mut self, news: News) {
        match news {
            News::Connected(leader) => self.on_connected(leader),
            News::Disconnected(reason) => self.on_disconnected(reason),
            News::List(Ok(list)) => self.on_list(list),
            News::List(Err(reason)) => self.on_no_list(reason),
            News::Event(event) => {
                self.board.status().counts.events += 1;
                self.lists.is_stale = true;
                if let Some(instance) = self.hints.on_event(&event, self.now()) {
                    self.hurry(&instance);
                }
            }
        }
    }

    fn on_connected(&mut self, leader: String) {
        say(format_args!("Marathon at {leader} leads; its events are followed"));
        self.connected = Some(self.now());
        self.lists.is_stale = true;
        let mut status = self.board.status();
        status.leader = Some(leader);
        status.stream_error = None;
        status.counts.connections += 1;
    }

    fn on_disconnected(&mut self, reason: String) {
        self.connected = None;
        let mut status = self.board.status();
        status.leader = None;
        if status.stream_error.as_ref() != Some(&reason) {
            say(format_args!("events are not followed: {reason}"));
            status.stream_error = Some(reason);
        }
    }

    fn on_list(&mut self, list: List) {
        self.lists.is_asked = false;
        let asked = list.asked.saturating_duration_since(self.begun);
        let is_empty = list.reading.apps.is_empty() && list.reading.unreadable.is_empty();
        if !self.doubt.believes(is_empty, self.had_apps, asked) {
            return self
                .no_list("Marathon lists no app at all, which is not believed yet");
        }
        self.had_apps = !is_empty;
        self.hints.on_reading(&list.reading, list.date, asked);
        let mut status = self.board.status();
        status.counts.lists += 1;
        status.last_list = Some(list.asked);
        if status.list_error.take().is_some() {
            say("lists of apps can be read again");
        }
        drop(status);
        self.list = Some(list);
        self.look_in(Duration::ZERO);
    }

    fn on_no_list(&mut self, reason: String) {
        self.lists.is_asked = false;
        self.board.status().counts.failed_lists += 1;
        self.no_list(&reason);
    }

    /// Nothing changes: HAProxy goes on with what the last good list said.
    fn no_list(&mut self, reason: &str) {
        let mut status = self.board.status();
        if status.list_error.as_deref() != Some(reason) {
            say(format_args!("no list of apps: {reason}"));
            status.list_error = Some(reason.to_owned());
        }
        drop(status);
        if self.is_new() {
            self.look_in(Duration::ZERO);
        }
    }

    fn look_in(&mut self, pause: Duration) {
        let due = self.now() + pause;
        self.next_look = Some(self.next_look.map_or(due, |look| look.min(due)));
    }

    /// Compares HAProxy with what is wanted and makes it so.
    fn look(&mut self) {
        self.next_look = None;
        match self.converge() {
            // While a reload is put off, its last error still holds.
            Ok(()) if self.needs_reload() => {}
            Ok(()) => self.board.status().haproxy_error = None,
            Err(error) => {
                let reason = chain(&error);
                let mut status = self.board.status();
                if status.haproxy_error.as_ref() != Some(&reason) {
                    say(format_args!("HAProxy keeps what it has: {reason}"));
                    status.haproxy_error = Some(reason);
                }
                drop(status);
                self.look_in(AFTER_ERROR);
            }
        }
    }

    fn converge(&mut self) -> Result<(), HaproxyError> {
        let now = self.now();
        if self.list.is_none() {
            return self.begin(now);
        }
        self.broken.retain(|broken| broken.until.is_none_or(|until| now < until));
        self.notice_worker()?;
        let backends = self.control.state(None)?;
        self.decide(&backends);
        if self.command()? {
            // For the status, and to see whether it was done.
            self.look_in(SETTLING);
        }
        let done = self.settle_file(&backends, now);
        self.publish(&backends);
        if self.decision.is_waiting() {
            self.look_in(LOOK_AGAIN);
        }
        done
    }

    /// If there is no first list on a new host, the common ports are opened all the same, so that
    /// the page can say what is missing. What an earlier run has left stays as it is.
    fn begin(&mut self, now: Duration) -> Result<(), HaproxyError> {
        match self.is_new() {
            true => self.settle_file(&Backends::default(), now),
            false => Ok(()),
        }
    }

    /// Whether the common ports have never been open.
    fn is_new(&self) -> bool {
        self.settings.vhosts && self.written.is_empty()
    }

    /// Makes the file, and what HAProxy has loaded of it, agree with the decision.
    fn settle_file(
        &mut self,
        backends: &Backends,
        now: Duration,
    ) -> Result<(), HaproxyError> {
        let is_put_off = self.leaderless.puts_off_reload(backends, now);
        if !self.needs_reload() {
            return self.write();
        }
        if is_put_off && !self.is_new() {
            self.look_in(LOOK_AGAIN);
        } else if now < self.next_reload {
            self.look_in(self.next_reload - now);
        } else {
            return self.reload(backends);
        }
        Ok(())
    }

    /// A new worker, however it came, takes all servers for up at first.
    fn notice_worker(&mut self) -> Result<(), HaproxyError> {
        let worker = self.control.worker()?;
        if worker != self.worker {
            self.worker = worker;
            self.settled = self.now() + SETTLING;
        }
        Ok(())
    }

    fn known<'at>(&'at self, list: &'at List, backends: &'at Backends) -> Known<'at> {
        let since = self.connected.map(|since| self.now().saturating_sub(since));
        Known {
            settings: &self.settings,
            at: Circumstances {
                reading: &list.reading,
                names: &list.names,
                hints: &self.hints,
                seconds_with_leader: since.unwrap_or_default().as_secs(),
            },
            backends,
            loaded: self.loaded.as_deref().unwrap_or_default(),
            broken: &self.broken,
            is_settled: self.now() >= self.settled,
        }
    }

    fn decide(&mut self, backends: &Backends) {
        let Some(list) = &self.list else { return };
        let mut memory = mem::take(&mut self.memory);
        let decision = decide(self.known(list, backends), &mut memory);
        self.memory = memory;
        self.report_refusals(&decision);
        self.decision = decision;
    }

    fn report_refusals(&self, decision: &Decision) {
        let before = &self.decision.services;
        for at in &decision.services.quarantined {
            if !before.quarantined.contains(at) {
                let port = at.index.map(|index| format!(" port {index}"));
                let port = port.unwrap_or_default();
                say(format_args!("{}{port} is not served: {}", at.app, at.reason));
            }
        }
        for clash in &decision.services.clashes {
            if !before.clashes.contains(clash) {
                let refused: Vec<String> =
                    clash.refused.iter().map(ToString::to_string).collect();
                let (port, kept_by) = (clash.port, &clash.kept_by);
                let refused = refused.join(" and ");
                say(format_args!(
                    "service port {port} is wanted twice: {kept_by} has it, {refused} not"
                ));
            }
        }
    }

    fn needs_reload(&self) -> bool {
        self.loaded.as_ref().is_none_or(|loaded| self.decision.needs_reload(loaded))
    }

    /// Sends the commands for the services that HAProxy has loaded; all additions come first.
    /// Returns whether there were any.
    fn command(&self) -> Result<bool, HaproxyError> {
        let loaded = self.decision.backends.iter().filter(|backend| backend.is_loaded);
        let changes: Vec<_> = loaded.map(|backend| &backend.change).collect();
        let additions = changes.iter().flat_map(|change| &change.additions);
        let removals = changes.iter().flat_map(|change| &change.removals);
        let commands: Vec<Command> = additions.chain(removals).cloned().collect();
        self.send(&commands)?;
        Ok(!commands.is_empty())
    }

    fn send(&self, commands: &[Command]) -> Result<(), HaproxyError> {
        if commands.is_empty() {
            return Ok(());
        }
        commands.iter().for_each(report);
        let objections = self.control.run(commands)?;
        for objection in &objections {
            say(format_args!("HAProxy objects: {objection}"));
        }
        let counts = &mut self.board.status().counts;
        counts.commands += commands.len() as u64;
        counts.objections += objections.len() as u64;
        Ok(())
    }

    /// Writes the servers as they are now into the file, so that the next start agrees. Only
    /// addresses change, so no check is needed.
    fn write(&mut self) -> Result<(), HaproxyError> {
        let text = render(&self.decision.as_is(), &self.settings);
        if text != self.written {
            self.control.write(&text)?;
            self.written = text;
        }
        Ok(())
    }

    fn reload(&mut self, backends: &Backends) -> Result<(), HaproxyError> {
        self.set_aside_taken_ports(backends);
        if !self.needs_reload() {
            return self.write();
        }
        let now = self.now();
        self.next_reload = now + RELOAD_PAUSE;
        let text = self.loadable(backends)?;
        if let Err(error) = self.control.reload() {
            self.next_reload = now + AFTER_FAILED_RELOAD;
            self.board.status().counts.failed_reloads += 1;
            // A start of HAProxy needs a file that works.
            self.control.write(&self.written)?;
            return Err(error);
        }
        self.written = text;
        self.loaded = Some(self.decision.services.services.clone());
        self.board.status().counts.reloads += 1;
        say(format_args!(
            "HAProxy serves {} ports after a reload",
            self.decision.backends.len()
        ));
        self.look_in(SETTLING);
        self.notice_worker()
    }

    /// A port that another program listens on would make the whole reload fail.
    fn set_aside_taken_ports(&mut self, backends: &Backends) {
        let bound = bound_ports(backends);
        let services = &self.decision.services.services;
        let ports = services.iter().map(|service| service.port);
        let new: BTreeSet<u16> = ports.filter(|port| !bound.contains(port)).collect();
        let taken = taken_ports(&self.settings.bind, &new);
        let services = services.iter().filter(|service| taken.contains(&service.port));
        let until = Some(self.now() + AFTER_FAILED_RELOAD);
        let broken: Vec<Broken> = services
            .map(|service| Broken {
                reason: format!(
                    "another program of this host uses port {}",
                    service.port
                ),
                service: service.clone(),
                until,
            })
            .collect();
        self.set_aside(broken, backends);
    }

    fn set_aside(&mut self, broken: Vec<Broken>, backends: &Backends) {
        if broken.is_empty() {
            return;
        }
        let of: BTreeSet<PortOf> =
            broken.iter().map(|at| at.service.of.clone()).collect();
        self.broken.retain(|at| !of.contains(&at.service.of));
        self.broken.extend(broken);
        self.decide(backends);
    }

    /// Writes a file that HAProxy can load, without the services that it cannot.
    fn loadable(&mut self, backends: &Backends) -> Result<String, HaproxyError> {
        let text = render(&self.decision.reloaded(), &self.settings);
        match self.control.check_and_write(&text) {
            Ok(()) => return Ok(text),
            Err(HaproxyError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        // If not even this loads, no app is to blame.
        self.control.check(&render(&[], &self.settings))?;
        let broken = self.broken_services();
        self.set_aside(broken, backends);
        let text = render(&self.decision.reloaded(), &self.settings);
        self.control.check_and_write(&text)?;
        Ok(text)
    }

    fn broken_services(&self) -> Vec<Broken> {
        let placed = self.decision.reloaded();
        let mut trial = |some: &[(&Service, &_)]| {
            let text = render(some, &self.settings);
            self.control.check(&text).map_err(|error| error.to_string())
        };
        let found = culprits(&placed, &mut trial).into_iter();
        found
            .map(|((service, _), reason)| Broken {
                service: service.clone(),
                reason,
                until: None,
            })
            .collect()
    }

    /// Acts on a hint at once: only the backends of one instance are looked at.
    fn hurry(&mut self, instance: &str) {
        if let Err(error) = self.try_hurry(instance) {
            say(format_args!("HAProxy keeps what it has: {}", chain(&error)));
        }
    }

    fn try_hurry(&mut self, instance: &str) -> Result<(), HaproxyError> {
        let Some(list) = &self.list else { return Ok(()) };
        let mut removals = Vec::new();
        let mut is_waiting = false;
        for (service, backend) in
            self.decision.services.services.iter().zip(&self.decision.backends)
        {
            let is_it = |task: &str| instance_of(task) == instance;
            if !backend.is_loaded || !backend.servers.iter().any(|at| is_it(&at.task)) {
                continue;
            }
            let app = list.reading.apps.iter().find(|app| app.id == service.of.app);
            let backends = self.control.state(Some(&service.name))?;
            let known = self.known(list, &backends);
            let change = decide::backend(service, app, known, &self.memory).change;
            is_waiting |= change.is_waiting;
            removals.extend(change.removals);
        }
        self.send(&removals)?;
        if is_waiting {
            self.look_in(LOOK_AGAIN);
        }
        Ok(())
    }

    fn publish(&self, backends: &Backends) {
        let Some(list) = &self.list else { return };
        let services: Vec<ServiceRow> = self
            .decision
            .services
            .services
            .iter()
            .zip(&self.decision.backends)
            .map(|(service, backend)| service_row(service, backend, backends))
            .collect();
        let mut apps: Vec<AppRow> = list.reading.apps.iter().map(AppRow::of).collect();
        for service in &services {
            if let Ok(place) = apps.binary_search_by(|app| app.id.cmp(&service.app)) {
                apps[place].addresses.extend(addresses(service));
            }
        }
        let mut status = self.board.status();
        status.services = services;
        status.apps = apps;
        status.quarantined.clone_from(&self.decision.services.quarantined);
        status.clashes.clone_from(&self.decision.services.clashes);
        if !self.needs_reload() {
            status.last_good = Some(Instant::now());
        }
    }
}

fn report(command: &Command) {
    let Command { backend, slot, address, act } = command;
    let what = match act {
        Act::Serve => "comes in",
        Act::ServeOnceChecked => "comes in once it answers a check",
        Act::Return => "stays after all",
        Act::Drain => "leaves",
        Act::Free => "is gone",
    };
    say(format_args!("{backend}: {address} {what} ({slot})"));
}

fn service_row(
    service: &Service,
    backend: &decide::Backend,
    backends: &Backends,
) -> ServiceRow {
    let slots = backends.get(&service.name).map_or(&[][..], Vec::as_slice);
    let states: BTreeMap<SocketAddr, SlotState> =
        slots.iter().filter_map(|slot| Some((slot.used()?, Slot::state(slot)))).collect();
    let servers = backend.servers.iter().map(|server| {
        let state = states.get(&server.address).copied();
        ServerRow::new(&server.task, server.address.to_string(), server.role, state)
    });
    ServiceRow {
        app: service.of.app.clone(),
        index: service.of.index,
        port: service.port,
        mode: service.mode.word(),
        vhosts: service.vhosts.iter().map(ToString::to_string).collect(),
        path: service.path.as_ref().map(|path| path.as_str().to_owned()),
        check: service.check.clone(),
        needs_route: backend.servers.iter().any(|server| server.is_own),
        servers: servers.collect(),
    }
}

fn addresses(service: &ServiceRow) -> Vec<String> {
    let path = service.path.as_deref().unwrap_or_default();
    let vhosts = service.vhosts.iter().map(|host| format!("{host}{path}"));
    [format!(":{}", service.port)].into_iter().chain(vhosts).collect()
}
