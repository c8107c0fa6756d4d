//! One member of several: takes part in the election, leads or passes requests on, and ends when
//! it may no longer lead, as the real ones do.

use super::driver::DriverPort;
use super::leader::{Core, Leader, LeaderEnd};
use super::log;
use super::options::{self, Options};
use super::setup::{SettingsError, Setup, World};
use crate::http::with_header;
use crate::zk::{Candidate, Session, Standing, ZkError};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

/// How long a member that ends takes to give up its place, so that the next may lead at once.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Why a member ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A port is taken, or an address is not ours.
    CannotBind,
    /// ZooKeeper does not answer.
    CannotConnect,
    /// ZooKeeper's session is over.
    StoreLost,
    /// Another leads, or shall.
    LeadershipLost,
    /// The master wants nothing of us, or the state cannot be read.
    Refused,
    /// It was told to.
    Terminated,
    /// Its flags are refused.
    WrongFlags,
}

/// What one program does of its own.
pub trait Service: Sized + Send + Sync + 'static {
    /// What it knows and decides while it leads.
    type Core: Core;
    /// Its name in its log.
    const NAME: &'static str;
    /// Its flags, as a table of [`options`].
    const TABLE: &'static str;
    /// How variables begin that are flags as well, and those among them that are not.
    const VARIABLES: Option<(&'static str, &'static str)> = None;

    /// A member by its options.
    ///
    /// # Errors
    /// The first option that cannot be.
    fn read(options: &Options, world: &World<'_>) -> Result<Self, SettingsError>;

    /// The exit code of a process that ends so, which is logged as the real one logs it.
    fn exit_code(end: End) -> u8;

    /// Says what the real one says of the environment as it starts.
    fn log_environment(_environment: &BTreeMap<String, String>) {}

    /// What its flags say.
    fn setup(&self) -> &Setup;

    /// A leader that knows nothing yet.
    fn core(&self) -> Self::Core;

    /// Answers a request as the leader.
    fn answer(
        &self,
        leader: &Arc<Leader<Self::Core>>,
        request: Request,
    ) -> impl Future<Output = Response> + Send;

    /// Answers a request while another leads, who is named when known.
    fn pass_on(
        &self,
        request: Request,
        leader: Option<&str>,
    ) -> impl Future<Output = Response> + Send;

    /// An answer that says no more than its status.
    fn bare(status: StatusCode) -> Response;

    /// Answers while the leader has not taken up its state.
    fn not_ready(&self) -> Response;

    /// Does what else there is to do while leading; never ends.
    fn beside(
        &self,
        _leader: &Arc<Leader<Self::Core>>,
    ) -> impl Future<Output = ()> + Send {
        pending()
    }

    /// Ends when the member gives up the lead by itself.
    fn abdicated(&self) -> impl Future<Output = ()> + Send {
        pending()
    }
}

/// What requests need.
struct Node<S: Service> {
    service: S,
    standing: watch::Receiver<Standing>,
    leader: Mutex<Option<Arc<Leader<S::Core>>>>,
}

/// The requests that a member answers that has a leader of its own, or none while it stands by.
pub fn answers<S: Service>(
    service: S,
    leader: Option<Arc<Leader<S::Core>>>,
    standing: watch::Receiver<Standing>,
) -> Router {
    router(&Arc::new(Node { service, standing, leader: Mutex::new(leader) }))
}

fn router<S: Service>(node: &Arc<Node<S>>) -> Router {
    Router::new().fallback(handle::<S>).with_state(node.clone())
}

/// Runs as the program of this process until something ends it.
pub async fn start<S: Service>() -> ExitCode {
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let end = match load::<S>(std::env::args().skip(1).collect(), &environment) {
        Ok(service) => {
            S::log_environment(&environment);
            run(service, &environment).await
        }
        Err(error) => {
            log(S::NAME, &error.to_string());
            End::WrongFlags
        }
    };
    ExitCode::from(S::exit_code(end))
}

/// A member by the arguments and the environment of a process. A file of arguments stands for all
/// of them, and for the variables.
fn load<S: Service>(
    arguments: Vec<String>,
    environment: &BTreeMap<String, String>,
) -> Result<S, SettingsError> {
    let read = |file: &str| std::fs::read_to_string(file).ok();
    let from_file = arguments.first().is_some_and(|first| first.starts_with('@'));
    let mut words = options::expand(arguments, read)?;
    if let Some((prefix, ignored)) = S::VARIABLES.filter(|_| !from_file) {
        words.extend(options::from_environment(environment, prefix, ignored));
    }
    let options = options::parse(S::TABLE, &words)?;
    let credentials = environment.get("MESOSPHERE_HTTP_CREDENTIALS");
    let http_credentials = credentials.map(String::as_str);
    let host = rustix::system::uname();
    let hostname = &host.nodename().to_string_lossy();
    S::read(&options, &World { hostname, http_credentials, read: &read })
}

async fn run<S: Service>(service: S, environment: &BTreeMap<String, String>) -> End {
    let variable = |name: &str| environment.get(name).map(String::as_str);
    let port = DriverPort::open(variable("LIBPROCESS_IP"), variable("LIBPROCESS_PORT"));
    let _port = match port {
        Ok(port) => port,
        Err(error) => {
            log(service.setup().name, &error.to_string());
            return End::CannotBind;
        }
    };
    serve(service, &mut Box::pin(terminated())).await
}

async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signals) => drop(signals.recv().await),
        Err(_) => pending().await,
    }
}

/// `terminated` ends when the process is told to.
async fn serve<S: Service>(
    service: S,
    terminated: &mut Pin<Box<impl Future<Output = ()>>>,
) -> End {
    let setup = service.setup().clone();
    if setup.http.malformed_credentials {
        let text = "the HTTP credentials are not user:password: serving everyone";
        log(setup.name, text);
    }
    let address = (setup.http.address.as_str(), setup.http.port);
    let Ok(listener) = TcpListener::bind(address).await else {
        log(setup.name, &format!("cannot listen at {}:{}", address.0, address.1));
        return End::CannotBind;
    };
    let stood = tokio::select! {
        stood = stand(&setup) => stood,
        () = terminated.as_mut() => return End::Terminated,
    };
    let (session, candidate) = match stood {
        Ok(stood) => stood,
        Err(error) => {
            log(setup.name, &error.to_string());
            return End::CannotConnect;
        }
    };
    let standing = candidate.standing();
    let node = Arc::new(Node { service, standing, leader: Mutex::default() });
    let end = tokio::select! {
        served = axum::serve(listener, router(&node)).into_future() => {
            log(setup.name, &format!("the server ended: {served:?}"));
            End::CannotBind
        }
        () = lost(&session, &setup) => End::StoreLost,
        end = lead(&node, &session) => end,
        () = node.service.abdicated() => End::LeadershipLost,
        () = terminated.as_mut() => End::Terminated,
    };
    if end != End::StoreLost {
        // When the place cannot be given up the end of the session does it.
        timeout(LEAVE_WITHIN, candidate.leave()).await.ok();
    }
    end
}

/// Stands for election as Curator's latch does.
async fn stand(setup: &Setup) -> Result<(Session, Candidate), ZkError> {
    let session = Session::connect(&setup.zk, setup.zk_timeout).await?.with(setup.lists);
    let prefix = format!("_c_{}-latch-", Uuid::new_v4());
    let id = setup.http.id();
    let joined = Candidate::join(&session, &setup.candidates, &prefix, id.as_bytes());
    let candidate = joined.await?;
    Ok((session, candidate))
}

/// Ends when ZooKeeper is lost to it.
async fn lost(session: &Session, setup: &Setup) {
    match setup.ends_when_cut_off {
        true => session.interrupted().await,
        false => session.expired().await,
    }
}

/// Waits to lead, leads, and says why that ended.
async fn lead<S: Service>(node: &Node<S>, session: &Session) -> End {
    let mut standing = node.standing.clone();
    if standing.wait_for(|standing| standing.leads).await.is_err() {
        return End::StoreLost;
    }
    let setup = node.service.setup();
    let begun = Leader::begin(node.service.core(), setup, session).await;
    let (leader, duties) = match begun {
        Ok(begun) => begun,
        Err(end) => return end_of(setup, &end),
    };
    *node.leader.lock().unwrap_or_else(PoisonError::into_inner) = Some(leader.clone());
    tokio::select! {
        end = duties.run() => end_of(setup, &end),
        () = node.service.beside(&leader) => End::LeadershipLost,
        lost = standing.wait_for(|standing| !standing.leads) => match lost {
            Ok(_) => End::LeadershipLost,
            Err(_) => End::StoreLost,
        },
    }
}

fn end_of(setup: &Setup, end: &LeaderEnd) -> End {
    log(setup.name, &end.to_string());
    match end {
        LeaderEnd::Store(_) => End::StoreLost,
        LeaderEnd::MasterLost => End::LeadershipLost,
        LeaderEnd::Unreadable(_) | LeaderEnd::Refused(_) | LeaderEnd::Broken(_) => {
            End::Refused
        }
    }
}

async fn handle<S: Service>(
    State(node): State<Arc<Node<S>>>,
    request: Request,
) -> Response {
    let setup = node.service.setup();
    let given =
        request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let admitted =
        setup.http.credentials.as_ref().map_or(Ok(()), |known| known.admit(given));
    if let Err(status) = admitted {
        let realm = format!("basic realm=\"{}\"", setup.http.realm);
        return match status {
            StatusCode::UNAUTHORIZED => {
                with_header(S::bare(status), header::WWW_AUTHENTICATE, &realm)
            }
            _ => S::bare(status),
        };
    }
    let leader = node.leader.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let standing = node.standing.borrow().clone();
    if !standing.leads {
        let leader = standing.leader_data.and_then(|data| String::from_utf8(data).ok());
        let leader = leader.filter(|leader| *leader != setup.http.id());
        return node.service.pass_on(request, leader.as_deref()).await;
    }
    match leader {
        Some(leader) => node.service.answer(&leader, request).await,
        None => node.service.not_ready(),
    }
}
