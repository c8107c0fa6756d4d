//! The master's part of the agents' protocol, for the tests of agents.

use std::cell::RefCell;
use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde_json::Value;
use standins::http;
use standins::protocol::{REGISTER, Register, ToAgent, Word};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::cluster::DEADLINE;

/// Where updates come.
const UPDATE: &str = "/standin/agent/update";

/// The id that the master gives.
const AGENT_ID: &str = "agent-S0";

type Lines = mpsc::UnboundedReceiver<ToAgent>;

#[derive(Clone)]
struct Shared {
    refusal: Option<u16>,
    registrations: mpsc::UnboundedSender<(Register, mpsc::UnboundedSender<ToAgent>)>,
    words: mpsc::UnboundedSender<Word>,
}

/// A master that does nothing by itself.
pub(crate) struct Master {
    address: String,
    registrations: mpsc::UnboundedReceiver<(Register, mpsc::UnboundedSender<ToAgent>)>,
    words: mpsc::UnboundedReceiver<Word>,
    line: Option<mpsc::UnboundedSender<ToAgent>>,
    acknowledged: RefCell<Vec<Value>>,
    last_uuid: Option<Value>,
}

impl Master {
    pub(crate) async fn listen(ip: &str) -> Self {
        Self::start(ip, None).await
    }

    /// A master that answers every registration with this status.
    pub(crate) async fn refuse(ip: &str, status: u16) -> Self {
        Self::start(ip, Some(status)).await
    }

    async fn start(ip: &str, refusal: Option<u16>) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (registrations, registered) = mpsc::unbounded_channel();
        let (words, said) = mpsc::unbounded_channel();
        let router = Router::new()
            .route(REGISTER, post(register))
            .route(Word::Pong.path(), post(hear_pong))
            .route(Word::Unregister.path(), post(hear_unregister))
            .route(UPDATE, post(hear_update))
            .with_state(Shared { refusal, registrations, words });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            registrations: registered,
            words: said,
            line: None,
            acknowledged: RefCell::default(),
            last_uuid: None,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The next registration, after which `say` speaks to that agent.
    pub(crate) async fn registered(&mut self) -> Register {
        let next = tokio::time::timeout(DEADLINE, self.registrations.recv()).await;
        let (registration, line) = next.expect("no agent registers").unwrap();
        line.send(ToAgent::Registered { agent_id: AGENT_ID.into() }).unwrap();
        self.line = Some(line);
        self.last_uuid = None;
        registration
    }

    pub(crate) fn say(&self, message: ToAgent) {
        self.line.as_ref().unwrap().send(message).unwrap();
    }

    pub(crate) async fn next_word(&mut self) -> Word {
        let next = tokio::time::timeout(DEADLINE, self.words.recv()).await;
        next.expect("the agent says nothing").unwrap()
    }

    /// The next update of this task that is not the last one again. An agent that died before it
    /// heard an acknowledgement repeats its update, and is told again.
    pub(crate) async fn next_update(&mut self, task_id: &str) -> Value {
        loop {
            let Word::Update { status, .. } = self.next_word().await else { continue };
            if self.acknowledged.borrow().contains(&status["uuid"]) {
                self.acknowledge(&status);
            } else if status["task_id"]["value"] == task_id
                && self.last_uuid.as_ref() != Some(&status["uuid"])
            {
                self.last_uuid = Some(status["uuid"].clone());
                return status;
            }
        }
    }

    pub(crate) fn acknowledge(&self, status: &Value) {
        self.acknowledged.borrow_mut().push(status["uuid"].clone());
        self.say(ToAgent::Acknowledge {
            framework_id: "fw".into(),
            task_id: status["task_id"]["value"].as_str().unwrap().into(),
            uuid: status["uuid"].as_str().unwrap().into(),
        });
    }
}

async fn register(State(shared): State<Shared>, body: Bytes) -> Response {
    if let Some(status) = shared.refusal {
        return http::text(StatusCode::from_u16(status).unwrap(), "refused");
    }
    let registration = serde_json::from_slice(&body).unwrap();
    let (line, lines) = mpsc::unbounded_channel();
    let _ = shared.registrations.send((registration, line));
    let stream = futures::stream::unfold(lines, async |mut lines: Lines| {
        let message = lines.recv().await?;
        let record = http::record(&serde_json::to_value(message).unwrap());
        Some((Ok::<_, Infallible>(record), lines))
    });
    Response::new(Body::from_stream(stream))
}

async fn hear_pong(State(shared): State<Shared>) -> Response {
    hear(&shared, Word::Pong)
}

async fn hear_unregister(State(shared): State<Shared>) -> Response {
    hear(&shared, Word::Unregister)
}

async fn hear_update(State(shared): State<Shared>, body: Bytes) -> Response {
    let said: Value = serde_json::from_slice(&body).unwrap();
    let framework_id = said["framework_id"]["value"].as_str().unwrap().to_owned();
    hear(&shared, Word::Update { framework_id, status: said["status"].clone() })
}

fn hear(shared: &Shared, word: Word) -> Response {
    let _ = shared.words.send(word);
    http::empty()
}
