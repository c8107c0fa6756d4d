//! Follows the leading Marathon: its event stream in one thread, its lists in another. Both send
//! news to the loop and decide nothing.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{self, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use jiff::Timestamp;
use platform_daemon::journal::chain;
use platform_daemon::settings::{Login, NoPassword};

use crate::http::{self, Answer, HttpError, Limit, Request};
use crate::marathon::{Event, NotApps, Reading};
use crate::settings::Settings;
use crate::wanted::{Names, named_hosts};

const EVENTS: &str = "/v2/events?event_type=status_update_event\
    &event_type=instance_changed_event&event_type=instance_health_changed_event\
    &event_type=health_status_changed_event&event_type=unhealthy_instance_kill_event\
    &event_type=api_post_event&event_type=group_change_success\
    &event_type=deployment_info&event_type=deployment_success\
    &event_type=deployment_failed&event_type=deployment_step_success\
    &event_type=app_terminated_event&event_type=unknown_instance_terminated_event";
const APPS: &str = "/v2/apps?embed=apps.tasks&embed=apps.deployments";
/// Marathon sends an empty line each 10 s.
const SILENCE: Duration = Duration::from_secs(25);
const WHOLE_LIST: Duration = Duration::from_secs(10);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long the address of a name is used.
const NAME_LIFE: Duration = Duration::from_secs(60);

/// What the loop is told.
#[derive(Debug)]
pub enum News {
    /// The stream of this Marathon, which leads, is open.
    Connected(String),
    /// The stream is not, for this reason.
    Disconnected(String),
    /// Something has happened in Marathon.
    Event(Event),
    /// A list was read, or not, for this reason.
    List(Result<List, String>),
}

/// A list that was read.
#[derive(Debug)]
pub struct List {
    /// The list.
    pub reading: Reading,
    /// Marathon's time.
    pub date: Timestamp,
    /// When it was asked for.
    pub asked: Instant,
    /// The addresses of hosts that are named.
    pub names: Names,
}

/// Why a Marathon or a master does not say what it is asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    #[error("{address}")]
    Http { address: String, source: HttpError },
    #[error("{address} answers {status}{hint}")]
    Status { address: String, status: u16, hint: &'static str },
    #[error("{address} names no leader that can be reached by HTTP")]
    NoLeader { address: String },
    #[error("the stream of {address} ended")]
    Ended { address: String },
    #[error("{address} was silent for {} s", SILENCE.as_secs())]
    Silent { address: String, source: io::Error },
    #[error("{address}")]
    NotApps { address: String, source: NotApps },
    #[error(transparent)]
    Password(#[from] NoPassword),
    #[error("the answer of {address} is not one of Mesos")]
    NotMesos { address: String, source: serde_json::Error },
}

/// The Marathon that leads, as far as is known.
pub type Leader = Arc<Mutex<Option<String>>>;

fn get_leader(leader: &Leader) -> Option<String> {
    leader.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn set_leader(leader: &Leader, address: Option<String>) {
    *leader.lock().unwrap_or_else(PoisonError::into_inner) = address;
}

/// The leader first, if it is known, and then all.
fn candidates(leader: &Leader, settings: &Settings) -> Vec<String> {
    let leader = get_leader(leader);
    let others = settings.marathons.iter().filter(|at| Some(*at) != leader.as_ref());
    leader.iter().chain(others).cloned().collect()
}

/// Follows the event stream for ever, in a thread.
pub fn follow_events(settings: Arc<Settings>, leader: Leader, news: Sender<News>) {
    thread::spawn(move || {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let mut reasons = Vec::new();
            for candidate in candidates(&leader, &settings) {
                let Err(error) = stream(&candidate, &settings, &leader, &news) else {
                    return;
                };
                reasons.push(chain(&error));
                if get_leader(&leader).is_some() {
                    // There was a stream, and it has ended: all begins anew.
                    set_leader(&leader, None);
                    pause = SHORTEST_PAUSE;
                    break;
                }
            }
            if news.send(News::Disconnected(reasons.join("; "))).is_err() {
                return;
            }
            thread::park_timeout(pause);
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    });
}

/// Reads a stream until it ends. `Ok` means that nobody listens to the news any more.
fn stream(
    candidate: &str,
    settings: &Settings,
    leader: &Leader,
    news: &Sender<News>,
) -> Result<(), FollowError> {
    let limit = Limit::Silence(SILENCE);
    let login = settings.login.as_ref();
    let asked =
        Asked { path: EVENTS, json: None, accept: "text/event-stream", limit, login };
    let (address, answer) = asked.of_leader(candidate)?;
    set_leader(leader, Some(address.clone()));
    if news.send(News::Connected(address.clone())).is_err() {
        return Ok(());
    }
    for line in answer.lines() {
        let failed = |source| FollowError::Silent { address: address.clone(), source };
        let line = line.map_err(failed)?;
        // Every event has its data on one line, which also names its type.
        let Some(data) = line.strip_prefix("data:") else { continue };
        if news.send(News::Event(Event::parse(data.trim()))).is_err() {
            return Ok(());
        }
    }
    Err(FollowError::Ended { address })
}

/// What is asked of a Marathon or a master.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'at> {
    pub(crate) path: &'static str,
    pub(crate) json: Option<&'static str>,
    pub(crate) accept: &'static str,
    pub(crate) limit: Limit,
    pub(crate) login: Option<&'at Login>,
}

impl Asked<'_> {
    /// Asks this member, and the leader if the member names another one. Returns the address of
    /// the one that answered.
    pub(crate) fn of_leader(self, member: &str) -> Result<(String, Answer), FollowError> {
        let mut address = member.to_owned();
        let mut answer = self.of(&address)?;
        if matches!(answer.status, 302 | 307) {
            address = location(&answer).ok_or(FollowError::NoLeader { address })?;
            answer = self.of(&address)?;
        }
        let answer = expect_ok(answer, &address)?;
        Ok((address, answer))
    }

    /// What this member answers; `None` if it names another one, or knows none that leads.
    pub(crate) fn of_leader_only(
        self,
        member: &str,
    ) -> Result<Option<Vec<u8>>, FollowError> {
        let answer = self.of(member)?;
        if matches!(answer.status, 302 | 307 | 503) {
            return Ok(None);
        }
        let failed = |source| FollowError::Http { address: member.to_owned(), source };
        expect_ok(answer, member)?.bytes().map(Some).map_err(failed)
    }

    /// Asks with the login, which is sent to each member anew.
    fn of(self, address: &str) -> Result<Answer, FollowError> {
        let Self { path, json, accept, limit, login } = self;
        let login = login.map(Login::authorization).transpose()?;
        let request = Request {
            address,
            path,
            json,
            accept,
            authorization: login.as_deref(),
            limit,
        };
        let failed = |source| FollowError::Http { address: address.to_owned(), source };
        http::send(request).map_err(failed)
    }
}

/// The address in `Location`: Marathon writes `http://10.0.0.2:8080/v2/events`, a master
/// `//10.0.0.2:5050/state-summary`.
fn location(answer: &Answer) -> Option<String> {
    let rest = answer.header("location")?;
    let rest = rest.strip_prefix("http:").unwrap_or(rest).strip_prefix("//")?;
    rest.split(['/', '?']).next().filter(|at| !at.is_empty()).map(str::to_owned)
}

fn expect_ok(answer: Answer, address: &str) -> Result<Answer, FollowError> {
    let hint = match answer.status {
        200 => return Ok(answer),
        401 => ": the user or the password is wrong",
        _ => "",
    };
    Err(FollowError::Status { address: address.to_owned(), status: answer.status, hint })
}

/// Reads a list each time that it is asked to, in a thread.
pub fn read_lists(
    settings: Arc<Settings>,
    leader: Leader,
    news: Sender<News>,
) -> SyncSender<()> {
    let (ask, asked) = mpsc::sync_channel::<()>(1);
    thread::spawn(move || {
        let mut names = Addresses::default();
        while asked.recv().is_ok() {
            let list = first_list(&settings, &leader, &mut names);
            if news.send(News::List(list.map_err(|error| chain(&error)))).is_err() {
                return;
            }
        }
    });
    ask
}

/// The list of the first Marathon that has one. Each of them may answer for the leader.
fn first_list(
    settings: &Settings,
    leader: &Leader,
    names: &mut Addresses,
) -> Result<List, FollowError> {
    let mut failure = None;
    for address in candidates(leader, settings) {
        match list(&address, settings, names) {
            Ok(list) => return Ok(list),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or(FollowError::NoLeader { address: "none".to_owned() }))
}

fn list(
    address: &str,
    settings: &Settings,
    names: &mut Addresses,
) -> Result<List, FollowError> {
    let asked = Instant::now();
    let (limit, login) = (Limit::Whole(WHOLE_LIST), settings.login.as_ref());
    let asked_for =
        Asked { path: APPS, json: None, accept: "application/json", limit, login };
    let answer = expect_ok(asked_for.of(address)?, address)?;
    let date = answer.header("date").and_then(parse_date).unwrap_or_else(Timestamp::now);
    let failed = |source| FollowError::Http { address: address.to_owned(), source };
    let bytes = answer.bytes().map_err(failed)?;
    let not_apps = |source| FollowError::NotApps { address: address.to_owned(), source };
    let reading = Reading::parse(&bytes).map_err(not_apps)?;
    let names = names.of(&reading);
    Ok(List { reading, date, asked, names })
}

fn parse_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|at| at.timestamp())
}

/// The addresses of hosts that are named, looked up once in a while.
#[derive(Debug, Default)]
struct Addresses {
    known: HashMap<String, (IpAddr, Instant)>,
}

impl Addresses {
    fn of(&mut self, reading: &Reading) -> Names {
        let mut names = Names::new();
        for host in named_hosts(reading) {
            let known = self.known.get(host).copied();
            let is_fresh = |at: &(IpAddr, Instant)| at.1.elapsed() < NAME_LIFE;
            let fresh = known.filter(is_fresh).map(|(ip, _)| ip);
            let found = fresh.or_else(|| ip_of(host));
            if let (Some(ip), None) = (found, fresh) {
                self.known.insert(host.to_owned(), (ip, Instant::now()));
            }
            // An address that cannot be looked up now is probably still right.
            names.extend(
                found.or(known.map(|(ip, _)| ip)).map(|ip| (host.to_owned(), ip)),
            );
        }
        names
    }
}

fn ip_of(host: &str) -> Option<IpAddr> {
    let all = http::addresses(&format!("{host}:0")).ok()?;
    all.first().map(SocketAddr::ip)
}
