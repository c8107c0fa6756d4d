//! One Marathon of several: takes part in the election, leads or passes requests on, and ends
//! when it may no longer lead, as the real one does.

use super::api::{self, answer};
use super::leader::{Leader, LeaderEnd};
use super::settings::Settings;
use super::{Exit, log};
use crate::framework::proxy::{forward, plain_client};
use crate::zk::{Candidate, Session, Standing};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

const VIA: HeaderName = HeaderName::from_static("x-marathon-via");
const LEADER: HeaderName = HeaderName::from_static("x-marathon-leader");

/// What requests need.
#[derive(Debug)]
struct Node {
    settings: Settings,
    standing: watch::Receiver<Standing>,
    leader: Mutex<Option<Arc<Leader>>>,
    client: reqwest::Client,
    abdicated: Notify,
}

/// Runs until something ends it.
pub(super) async fn run(settings: Settings) -> Exit {
    let address = (settings.http_address.as_str(), settings.http_port);
    let Ok(listener) = TcpListener::bind(address).await else {
        log(&format!("cannot listen at {}:{}", address.0, address.1));
        return Exit::CannotBind;
    };
    let session = match Session::connect(&settings.zk, settings.zk_timeout).await {
        Ok(session) => session,
        Err(error) => {
            log(&error.to_string());
            return Exit::CannotConnect;
        }
    };
    let candidate = match join(&settings, &session).await {
        Ok(candidate) => candidate,
        Err(error) => {
            log(&error.to_string());
            return Exit::CannotConnect;
        }
    };
    let node = Arc::new(Node {
        standing: candidate.standing(),
        settings,
        leader: Mutex::default(),
        client: plain_client(),
        abdicated: Notify::new(),
    });
    let router = Router::new().fallback(handle).with_state(node.clone());
    tokio::select! {
        served = axum::serve(listener, router).into_future() => {
            log(&format!("the server ended: {served:?}"));
            Exit::CannotBind
        }
        () = session.expired() => Exit::StoreLost,
        exit = lead(&node, &session) => exit,
        () = node.abdicated.notified() => {
            // When the node cannot be taken away the end of the session does it.
            candidate.leave().await.ok();
            Exit::LeadershipLost
        }
    }
}

async fn join(
    settings: &Settings,
    session: &Session,
) -> Result<Candidate, crate::zk::ZkError> {
    let parent = format!("{}/leader", settings.zk.path());
    let prefix = format!("_c_{}-latch-", Uuid::new_v4());
    Candidate::join(session, &parent, &prefix, settings.id().as_bytes()).await
}

/// Waits to lead, leads, and says why that ended.
async fn lead(node: &Node, session: &Session) -> Exit {
    let mut standing = node.standing.clone();
    if standing.wait_for(|standing| standing.leads).await.is_err() {
        return Exit::StoreLost;
    }
    let (leader, duties) = match Leader::begin(&node.settings, session).await {
        Ok(begun) => begun,
        Err(end) => return exit_of(&end),
    };
    *node.leader.lock().unwrap_or_else(PoisonError::into_inner) = Some(leader);
    tokio::select! {
        end = duties.run() => exit_of(&end),
        lost = standing.wait_for(|standing| !standing.leads) => match lost {
            Ok(_) => Exit::LeadershipLost,
            Err(_) => Exit::StoreLost,
        },
    }
}

fn exit_of(end: &LeaderEnd) -> Exit {
    log(&end.to_string());
    match end {
        LeaderEnd::Store(_) => Exit::StoreLost,
        LeaderEnd::Unreadable(_) | LeaderEnd::Refused(_) => Exit::SchedulerError,
    }
}

async fn handle(State(node): State<Arc<Node>>, request: Request) -> Response {
    let given =
        request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    if node.settings.credentials.as_ref().is_some_and(|c| !c.admit(given)) {
        return answer::unauthorized(&node.settings.realm);
    }
    let leader = node.leader.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let standing = node.standing.borrow().clone();
    if !standing.leads {
        return node.pass_on(request, &standing).await;
    }
    let Some(leader) = leader else {
        let text = "The leader has not taken up its state yet.";
        return answer::message(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    let mut response = node.answer(&leader, request).await;
    let own = format!("http://{}", node.settings.id());
    if let Ok(value) = HeaderValue::from_str(&own) {
        response.headers_mut().insert(LEADER, value);
    }
    response
}

impl Node {
    async fn answer(&self, leader: &Arc<Leader>, request: Request) -> Response {
        match (request.method(), request.uri().path().trim_end_matches('/')) {
            (&Method::GET, "/ping") => answer::plain(StatusCode::OK, "pong"),
            (&Method::GET, "/v2/info") => self.info(leader),
            (&Method::GET, "/v2/leader") => {
                answer::json_ok(&json!({"leader": self.settings.id()}))
            }
            (&Method::DELETE, "/v2/leader") => {
                self.abdicated.notify_one();
                answer::json_ok(&json!({"message": "Leadership abdicated"}))
            }
            _ => api::answer(leader, request).await,
        }
    }

    fn info(&self, leader: &Leader) -> Response {
        let mut info = json!({
            "name": "marathon", "version": "1.11.24", "buildref": "stand-in",
            "elected": true, "leader": self.settings.id(),
            "frameworkId": leader.look(|core| core.framework_id().map(str::to_owned)),
        });
        if let (Some(info), Some(shown)) =
            (info.as_object_mut(), self.settings.shown.as_object())
        {
            info.extend(shown.clone());
        }
        answer::json_ok(&info)
    }

    async fn pass_on(&self, mut request: Request, standing: &Standing) -> Response {
        let leader =
            standing.leader_data.clone().and_then(|data| String::from_utf8(data).ok());
        let Some(leader) = leader.filter(|leader| *leader != self.settings.id()) else {
            return answer::message(
                StatusCode::BAD_GATEWAY,
                "Could not determine the current leader",
            );
        };
        if request.headers().contains_key(VIA) {
            return answer::message(StatusCode::BAD_GATEWAY, "Detected proxying loop.");
        }
        if request.uri().path() == "/v2/events" {
            return to_leader(&leader, &request);
        }
        if !request.headers().contains_key(header::CONTENT_LENGTH) {
            *request.body_mut() = Body::empty();
        }
        let via = HeaderValue::from_str(&format!("1.1 {}", self.settings.id())).ok();
        let via = via.map(|via| (VIA, via));
        let deadline = self.settings.proxy_deadline;
        match forward(&self.client, request, &leader, deadline, via).await {
            Ok(response) => response,
            Err(error) => answer::message(StatusCode::BAD_GATEWAY, &error.to_string()),
        }
    }
}

fn to_leader(leader: &str, request: &Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut response = answer::plain(StatusCode::FOUND, "");
    if let Ok(location) = HeaderValue::from_str(&format!("http://{leader}{path}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
