//! The agent's way to the leading master: finding it, registering, hearing and saying.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::sync::watch;

use super::core::{Agent, now};
use super::orders;
use super::record::Key;
use super::settings::{Credential, MasterAddress};
use crate::http::{self, Records};
use crate::protocol::{REGISTER, Register, Running, ToAgent, Word};
use crate::zk::{Session, watch_leader};

/// How long a master may be silent, which pings every 15 s, before it is lost.
const SILENCE: Duration = Duration::from_secs(75);

/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long to wait before the next try, unless another master leads.
const RETRY: Duration = Duration::from_millis(500);

/// When an update is sent again; each time twice as long, to the longest.
const RESEND: Duration = Duration::from_secs(10);
const RESEND_LONGEST: Duration = Duration::from_secs(600);

/// A master that leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// `ip:port`.
    pub address: String,
    /// Its host name.
    pub hostname: String,
}

/// Reads the data of the leading `json.info_` node.
pub fn leader_of(data: &[u8]) -> Option<Leader> {
    let info: Value = serde_json::from_slice(data).ok()?;
    let address = &info["address"];
    let ip = address["ip"].as_str()?;
    let port = address["port"].as_u64()?;
    let hostname = info["hostname"].as_str().or(address["hostname"].as_str());
    Some(Leader {
        address: format!("{ip}:{port}"),
        hostname: hostname.unwrap_or(ip).to_owned(),
    })
}

/// Follows who leads for as long as the agent runs.
pub fn detect(agent: &Arc<Agent>) -> watch::Receiver<Option<Leader>> {
    let (sender, receiver) = watch::channel(None);
    match &agent.settings.master {
        MasterAddress::Direct(address) => {
            let hostname = address.rsplit_once(':').map_or(address.as_str(), |(h, _)| h);
            let leader =
                Leader { address: address.clone(), hostname: hostname.to_owned() };
            sender.send_replace(Some(leader));
            // The sender must live for the receiver to wait.
            tokio::spawn(async move { sender.closed().await });
        }
        MasterAddress::ZooKeeper(url) => {
            let (url, agent) = (url.clone(), Arc::clone(agent));
            tokio::spawn(async move {
                let timeout = agent
                    .settings
                    .flags
                    .duration("zk_session_timeout")
                    .unwrap_or(Duration::from_secs(10));
                let mut ticks = tokio::time::interval(Duration::from_secs(1));
                loop {
                    ticks.tick().await;
                    match Session::connect(&url, timeout).await {
                        Ok(session) => follow(&session, url.path(), &sender).await,
                        Err(error) => super::log(&error.to_string()),
                    }
                }
            });
        }
    }
    receiver
}

async fn follow(session: &Session, path: &str, sender: &watch::Sender<Option<Leader>>) {
    let mut data = watch_leader(session, path, "json.info_");
    loop {
        let leader = data.borrow_and_update().as_deref().and_then(leader_of);
        sender.send_if_modified(|known| {
            let is_new = *known != leader;
            if is_new {
                super::log(&format!("The leading master is {leader:?}"));
            }
            *known = leader;
            is_new
        });
        if data.changed().await.is_err() {
            return;
        }
    }
}

/// Keeps the agent registered with whoever leads.
pub async fn keep_registered(
    agent: Arc<Agent>,
    mut leader: watch::Receiver<Option<Leader>>,
) {
    let mut last_fault = String::new();
    loop {
        let present = leader.borrow_and_update().clone();
        let Some(present) = present else {
            if leader.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            Err(error) = attend(&agent, &present) => {
                let fault = format!("Master {}: {error}", present.address);
                // The same refusal twice a second is no news.
                if fault != last_fault {
                    super::log(&fault);
                }
                last_fault = fault;
            }
            _ = leader.changed() => super::log("Another master leads"),
        }
        agent.state().master_hostname = None;
        let _ = tokio::time::timeout(RETRY, leader.changed()).await;
    }
}

/// Why a registration ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Request(#[from] reqwest::Error),
    #[error(transparent)]
    Stream(#[from] http::NotRecordIo),
    #[error("it said what is not understood: {0}")]
    Message(#[from] serde_json::Error),
    #[error("it answered {0}")]
    Answer(StatusCode),
    #[error("it closed the connection")]
    Closed,
}

/// Registers, and does what the master says until the connection ends.
async fn attend(agent: &Arc<Agent>, leader: &Leader) -> Result<(), LinkError> {
    let client = http::streaming_client(SILENCE)?;
    let mut address = leader.address.clone();
    let mut response = register(agent, &client, &address).await?;
    if let Some(other) = redirected(&response) {
        address = other;
        response = register(agent, &client, &address).await?;
    }
    match response.status() {
        StatusCode::OK => (),
        StatusCode::UNAUTHORIZED => {
            agent.exit(1, format!("Master master@{address} refused authentication"));
            return std::future::pending().await;
        }
        status => return Err(LinkError::Answer(status)),
    }
    let leader = Leader { address, hostname: leader.hostname.clone() };
    let mut records = Records::default();
    let mut pieces = response.bytes_stream();
    let mut sending = std::pin::pin!(send_updates(agent, &leader));
    loop {
        tokio::select! {
            piece = pieces.next() => records.push(&piece.ok_or(LinkError::Closed)??),
            () = &mut sending => return Err(LinkError::Closed),
        }
        while let Some(message) = records.next_message()? {
            let message = serde_json::from_value(message)?;
            if let ToAgent::Flush { .. } = message {
                // What was sent before went to a framework that is no more.
                sending.set(send_updates(agent, &leader));
            }
            hear(agent, &leader, message).await?;
        }
    }
}

async fn register(
    agent: &Agent,
    client: &reqwest::Client,
    address: &str,
) -> Result<Response, reqwest::Error> {
    let request = client.post(format!("http://{address}{REGISTER}"));
    let request = authenticated(request, agent.settings.credential.as_ref());
    request.json(&registration(agent)).send().await
}

fn authenticated(
    request: RequestBuilder,
    credential: Option<&Credential>,
) -> RequestBuilder {
    match credential {
        Some(known) => request.basic_auth(&known.principal, Some(&known.secret)),
        None => request,
    }
}

/// The `ip:port` that a master refers to.
fn redirected(response: &Response) -> Option<String> {
    if response.status() != StatusCode::TEMPORARY_REDIRECT {
        return None;
    }
    let location = response.headers().get(reqwest::header::LOCATION)?.to_str().ok()?;
    let rest = location.strip_prefix("http:").unwrap_or(location).strip_prefix("//")?;
    rest.split('/').next().map(str::to_owned)
}

fn registration(agent: &Agent) -> Register {
    let state = agent.state();
    let running = |task: &super::core::Task| Running {
        framework: state
            .frameworks
            .get(&task.record.framework_id)
            .cloned()
            .unwrap_or_default(),
        task: task.record.task.clone(),
        state: task.record.state().to_owned(),
        statuses: task.record.statuses.clone(),
    };
    let mut info = agent.settings.info.clone();
    if let Some(id) = &state.agent_id {
        info["id"] = serde_json::json!({ "value": id });
    }
    Register {
        info,
        pid: format!("slave(1)@{}", agent.settings.address()),
        tasks: state.tasks.values().map(running).collect(),
    }
}

async fn hear(
    agent: &Arc<Agent>,
    leader: &Leader,
    message: ToAgent,
) -> Result<(), LinkError> {
    match message {
        ToAgent::Registered { agent_id } => {
            orders::registered(agent, &agent_id.value);
            agent.state().master_hostname = Some(leader.hostname.clone());
            agent.outbox.notify_one();
        }
        ToAgent::Ping => say(agent, leader, Word::Pong).await?,
        order => orders::obey(agent, order),
    }
    Ok(())
}

async fn say(agent: &Agent, leader: &Leader, word: Word) -> Result<(), LinkError> {
    let agent_id = agent.state().agent_id.clone().unwrap_or_default();
    let client = http::client(DEADLINE)?;
    let request = client.post(format!("http://{}{}", leader.address, word.path()));
    let request = authenticated(request, agent.settings.credential.as_ref());
    let response = request.json(&word.body(&agent_id)).send().await?;
    let status = response.status();
    if status.is_success() { Ok(()) } else { Err(LinkError::Answer(status)) }
}

/// Tells the master that the agent leaves for good.
pub async fn unregister(agent: &Agent, leader: Option<Leader>) {
    if let Some(leader) = leader
        && let Err(error) = say(agent, &leader, Word::Unregister).await
    {
        super::log(&format!("cannot unregister: {error}"));
    }
}

/// An update that waits for its acknowledgement.
#[derive(Debug)]
struct Sent {
    uuid: String,
    again_at: f64,
    pause: Duration,
}

/// Sends the first pending update of each task, and again until it is acknowledged.
async fn send_updates(agent: &Agent, leader: &Leader) {
    let mut sent = std::collections::BTreeMap::<Key, Sent>::new();
    loop {
        let heads: Vec<(Key, Value)> = heads(agent);
        sent.retain(|key, _| heads.iter().any(|(head, _)| head == key));
        for (key, status) in heads {
            let uuid = status["uuid"].as_str().unwrap_or_default().to_owned();
            let pause = match sent.get(&key).filter(|known| known.uuid == uuid) {
                Some(known) if known.again_at > now() => continue,
                Some(known) => (known.pause * 2).min(RESEND_LONGEST),
                None => RESEND,
            };
            let framework_id = key.framework_id.clone();
            if let Err(error) =
                say(agent, leader, Word::Update { framework_id, status }).await
            {
                super::log(&format!("cannot send an update: {error}"));
                return;
            }
            sent.insert(key, Sent { uuid, again_at: now() + pause.as_secs_f64(), pause });
        }
        let next = sent.values().map(|sent| sent.again_at - now()).reduce(f64::min);
        let wait = next.map_or(RESEND_LONGEST, |seconds| {
            Duration::try_from_secs_f64(seconds).unwrap_or_default()
        });
        let _ = tokio::time::timeout(wait, agent.outbox.notified()).await;
    }
}

fn heads(agent: &Agent) -> Vec<(Key, Value)> {
    let state = agent.state();
    if state.master_hostname.is_none() {
        return Vec::new();
    }
    let head = |(key, task): (&Key, &super::core::Task)| {
        Some((key.clone(), task.record.pending.front()?.clone()))
    };
    state.tasks.iter().filter_map(head).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_is_read_from_its_node() {
        let data = br#"{"address":{"hostname":"m1","ip":"127.0.1.11","port":5050},
            "hostname":"m1","id":"x","ip":184614015,"port":5050}"#;
        let want = Leader { address: "127.0.1.11:5050".into(), hostname: "m1".into() };
        assert_eq!(leader_of(data), Some(want));
        assert_eq!(leader_of(b"{}"), None);
    }
}
