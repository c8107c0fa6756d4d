//! A client of Mesos' v1 scheduler API: how Marathon and Chronos talk to the leading master.
//!
//! It finds the leader, subscribes, subscribes again with its framework id when the leader
//! changes or falls silent, and turns what the master says into values. It decides nothing: what
//! to do with an offer or an update is its user's affair, acknowledging included.

use crate::framework::credentials::Credentials;
use crate::framework::effect::Call;
use crate::framework::offer::Offer;
use crate::http::{NotRecordIo, Records};
use crate::mesos::{id, text, wrapped};
use futures::StreamExt as _;
use reqwest::{Client, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a call or a connection may take.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait for another leader before the same one is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Silence of this many heartbeats means that the master is gone.
const HEARTBEATS_MISSED: u32 = 4;

/// What the master says.
#[derive(Debug)]
pub enum Event {
    /// The master knows us.
    Subscribed {
        /// Ours from now on.
        framework_id: String,
        /// Whether we had an id before.
        again: bool,
    },
    /// The master is gone; calls are lost until the next `Subscribed`.
    Disconnected,
    /// Resources to use or decline.
    Offers(Vec<Offer>),
    /// A task's state; to be acknowledged when it carries a `uuid`.
    Update(Box<Status>),
    /// The master refused us for good: no further event follows.
    Error(String),
}

/// A task's state.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The task.
    pub task_id: Id,
    /// `TASK_RUNNING` and so on.
    pub state: String,
    /// Where it runs.
    pub agent_id: Id,
    /// What happened, in words.
    pub message: String,
    /// The verdict of the agent's health check, when there is one.
    pub healthy: Option<bool>,
    /// Names the update for its acknowledgement.
    pub uuid: Option<String>,
    /// Addresses of its container.
    pub container_status: Value,
}

/// An id, as Mesos wraps them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Id {
    /// The id itself.
    pub value: String,
}

impl Status {
    /// The addresses of the task's container.
    pub fn addresses(&self) -> Vec<String> {
        let infos = self.container_status["network_infos"].as_array();
        infos
            .into_iter()
            .flatten()
            .flat_map(|info| info["ip_addresses"].as_array().cloned().unwrap_or_default())
            .filter_map(|address| address["ip_address"].as_str().map(str::to_owned))
            .collect()
    }
}

/// Who we are to the master.
#[derive(Clone)]
pub struct Registration {
    /// `FrameworkInfo`, without an id.
    pub framework: Value,
    /// The id of an earlier registration.
    pub framework_id: Option<String>,
    /// The principal and its secret.
    pub credentials: Option<Credentials>,
}

/// A call that the master did not take.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No master to call.
    #[error("no master is subscribed to")]
    Disconnected,
    /// A call of this kind was not answered there.
    #[error("the master at {0} did not answer {1}")]
    Send(String, &'static str, #[source] reqwest::Error),
    /// A call of this kind was refused with this status, in these words.
    #[error("the master refused {0} with {1}: {2}")]
    Refused(&'static str, StatusCode, String),
}

/// Makes calls to the master that we are subscribed to.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    authorization: Option<String>,
    subscription: Arc<Mutex<Option<Subscription>>>,
}

#[derive(Clone)]
struct Subscription {
    url: String,
    stream_id: String,
    framework_id: String,
}

/// Keeps a subscription alive until dropped.
pub type Driver = JoinSet<()>;

/// Begins to follow the leader, whose `MasterInfo` comes by `leader`.
pub fn start(
    leader: watch::Receiver<Option<Vec<u8>>>,
    registration: Registration,
) -> (Driver, Caller, mpsc::UnboundedReceiver<Event>) {
    let caller = Caller {
        client: crate::framework::proxy::plain_client(),
        authorization: registration.credentials.as_ref().map(Credentials::header),
        subscription: Arc::default(),
    };
    let (events, received) = mpsc::unbounded_channel();
    let follower = Follower {
        caller: caller.clone(),
        framework_id: registration.framework_id,
        framework: registration.framework,
        events,
    };
    let mut driver = Driver::new();
    driver.spawn(follower.follow(leader));
    (driver, caller, received)
}

impl Caller {
    /// Makes a call. Offers that it gives back stay away for so many seconds.
    ///
    /// # Errors
    /// When the master does not take it; then nothing came of it.
    pub async fn call(&self, call: &Call, refuse_seconds: f64) -> Result<(), CallError> {
        let filters = json!({"refuse_seconds": refuse_seconds});
        match call {
            Call::Launch { offer, tasks } => {
                let accept = json!({
                    "offer_ids": [wrapped(offer)],
                    "operations": [{"type": "LAUNCH", "launch": {"task_infos": tasks}}],
                    "filters": filters,
                });
                self.send("ACCEPT", json!({"accept": accept})).await
            }
            Call::Decline(offers) => {
                let ids: Value = offers.iter().map(|id| wrapped(id)).collect();
                let decline = json!({"offer_ids": ids, "filters": filters});
                self.send("DECLINE", json!({"decline": decline})).await
            }
            Call::Revive => self.send("REVIVE", json!({})).await,
            Call::Suppress => self.send("SUPPRESS", json!({})).await,
            Call::Kill { task, agent } => {
                self.send("KILL", json!({"kill": at(task, agent.as_deref())})).await
            }
            Call::Acknowledge(status) => {
                let Some(uuid) = &status.uuid else { return Ok(()) };
                let mut update = at(&status.task_id.value, Some(&status.agent_id.value));
                update["uuid"] = uuid.as_str().into();
                self.send("ACKNOWLEDGE", json!({"acknowledge": update})).await
            }
            Call::Reconcile(tasks) => {
                let tasks: Value = tasks
                    .iter()
                    .map(|(task, agent)| at(task, agent.as_deref()))
                    .collect();
                self.send("RECONCILE", json!({"reconcile": {"tasks": tasks}})).await
            }
        }
    }

    async fn send(&self, kind: &'static str, mut body: Value) -> Result<(), CallError> {
        let subscription = self.subscription().ok_or(CallError::Disconnected)?;
        body["type"] = kind.into();
        body["framework_id"] = wrapped(&subscription.framework_id);
        let request = self
            .post(&subscription.url, &body)
            .header("Mesos-Stream-Id", &subscription.stream_id)
            .timeout(CALL_DEADLINE);
        let failed = |source| CallError::Send(subscription.url, kind, source);
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text = answer.text().await.unwrap_or_default();
        Err(CallError::Refused(kind, status, text))
    }

    fn post(&self, url: &str, body: &Value) -> reqwest::RequestBuilder {
        let request =
            self.client.post(url).json(body).header(header::ACCEPT, "application/json");
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        }
    }

    fn subscription(&self) -> Option<Subscription> {
        self.subscription.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, subscription: Option<Subscription>) {
        *self.subscription.lock().unwrap_or_else(PoisonError::into_inner) = subscription;
    }
}

struct Follower {
    caller: Caller,
    framework: Value,
    framework_id: Option<String>,
    events: mpsc::UnboundedSender<Event>,
}

/// Why a subscription ended.
enum End {
    /// Another try may do.
    Retry,
    /// The master wants nothing of us.
    Refused(String),
}

impl Follower {
    async fn follow(mut self, mut leader: watch::Receiver<Option<Vec<u8>>>) {
        while !self.events.is_closed() {
            let url = leader.borrow_and_update().as_deref().and_then(url_of);
            let end = match url {
                Some(url) => tokio::select! {
                    end = self.subscribe(&url) => end,
                    changed = leader.changed() => match changed {
                        Ok(()) => End::Retry,
                        Err(_) => return,
                    },
                },
                None => End::Retry,
            };
            if self.caller.subscription().is_some() {
                self.caller.set(None);
                self.tell(Event::Disconnected);
            }
            if let End::Refused(reason) = end {
                self.tell(Event::Error(reason));
                return;
            }
            if let Ok(Err(_)) = timeout(RETRY_AFTER, leader.changed()).await {
                return;
            }
            leader.mark_changed();
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more: the process is about to end.
        self.events.send(event).unwrap_or_default();
    }

    async fn subscribe(&mut self, url: &str) -> End {
        let mut framework = self.framework.clone();
        let mut body = json!({"type": "SUBSCRIBE"});
        if let Some(id) = &self.framework_id {
            framework["id"] = wrapped(id);
            body["framework_id"] = wrapped(id);
        }
        body["subscribe"] = json!({"framework_info": framework});
        let sent = timeout(CALL_DEADLINE, self.caller.post(url, &body).send()).await;
        let Ok(Ok(answer)) = sent else { return End::Retry };
        match answer.status() {
            StatusCode::OK => self.listen(url, answer).await,
            StatusCode::UNAUTHORIZED => {
                End::Refused("Master refused authentication".into())
            }
            StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                End::Refused(answer.text().await.unwrap_or_default())
            }
            _ => End::Retry,
        }
    }

    async fn listen(&mut self, url: &str, answer: Response) -> End {
        let stream_id = answer.headers().get("Mesos-Stream-Id");
        let stream_id = stream_id.and_then(|id| id.to_str().ok()).unwrap_or_default();
        let stream_id = stream_id.to_owned();
        let mut silence = CALL_DEADLINE;
        let mut records = Records::default();
        let mut chunks = answer.bytes_stream();
        while let Ok(Some(Ok(chunk))) = timeout(silence, chunks.next()).await {
            records.push(&chunk);
            loop {
                let value = match records.next_message() {
                    Ok(Some(value)) => value,
                    Ok(None) => break,
                    Err(NotRecordIo) => return End::Retry,
                };
                if value["type"] == "SUBSCRIBED" {
                    silence = silence_of(&value["subscribed"]);
                    self.subscribed(url, &stream_id, &value["subscribed"]);
                } else if let Some(end) = self.hear(value) {
                    return end;
                }
            }
        }
        End::Retry
    }

    fn subscribed(&mut self, url: &str, stream_id: &str, body: &Value) {
        let framework_id = id(body, "framework_id").to_owned();
        let again = self.framework_id.replace(framework_id.clone()).is_some();
        self.caller.set(Some(Subscription {
            url: url.to_owned(),
            stream_id: stream_id.to_owned(),
            framework_id: framework_id.clone(),
        }));
        self.tell(Event::Subscribed { framework_id, again });
    }

    fn hear(&self, value: Value) -> Option<End> {
        match read(value) {
            Some(Event::Error(reason)) => return Some(End::Refused(reason)),
            Some(event) => self.tell(event),
            None => {}
        }
        None
    }
}

/// Where the scheduler API of a leader is.
fn url_of(master_info: &[u8]) -> Option<String> {
    let info: Value = serde_json::from_slice(master_info).ok()?;
    let host = info["address"]["ip"].as_str().or(info["address"]["hostname"].as_str())?;
    let port = info["address"]["port"].as_u64()?;
    Some(format!("http://{host}:{port}/api/v1/scheduler"))
}

/// How long the master may be silent.
fn silence_of(subscribed: &Value) -> Duration {
    let seconds = subscribed["heartbeat_interval_seconds"].as_f64().unwrap_or(15.0);
    Duration::from_secs_f64(seconds.clamp(0.1, 600.0)) * HEARTBEATS_MISSED
}

/// One event as a value; `None` for those that say nothing to us: heartbeats, and offers that no
/// longer stand, because offers are used or given back at once.
fn read(mut value: Value) -> Option<Event> {
    let kind = value["type"].as_str()?.to_owned();
    match kind.as_str() {
        "OFFERS" => {
            let offers = serde_json::from_value(value["offers"]["offers"].take()).ok()?;
            Some(Event::Offers(offers))
        }
        "UPDATE" => serde_json::from_value(value["update"]["status"].take())
            .ok()
            .map(|status| Event::Update(Box::new(status))),
        "ERROR" => Some(Event::Error(text(&value["error"], "message").to_owned())),
        _ => None,
    }
}

/// A task, and where it is, when that is known.
fn at(task: &str, agent: Option<&str>) -> Value {
    let mut named = json!({"task_id": wrapped(task)});
    if let Some(agent) = agent {
        named["agent_id"] = wrapped(agent);
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_called_by_its_address() {
        let info = br#"{"address":{"hostname":"m1","ip":"127.0.0.1","port":5050}}"#;
        assert_eq!(
            url_of(info).as_deref(),
            Some("http://127.0.0.1:5050/api/v1/scheduler")
        );
        assert_eq!(url_of(b"{}"), None);
    }

    #[test]
    fn updates_are_read_with_their_addresses() {
        let update = json!({"type": "UPDATE", "update": {"status": {
            "task_id": {"value": "t"}, "state": "TASK_RUNNING", "uuid": "dQ==",
            "agent_id": {"value": "S0"}, "healthy": true,
            "container_status": {"network_infos": [{"ip_addresses": [
                {"protocol": "IPv4", "ip_address": "172.17.0.2"}]}]},
        }}});
        let Some(Event::Update(status)) = read(update) else { panic!("no update") };
        assert_eq!(status.addresses(), ["172.17.0.2"]);
        assert_eq!(status.healthy, Some(true));
        assert_eq!(status.uuid.as_deref(), Some("dQ=="));
    }
}
