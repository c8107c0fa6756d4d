//! The scheduler client against a master of a few lines.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use futures::StreamExt as _;
use serde_json::{Value, json};
use standins::framework::credentials::Credentials;
use standins::framework::effect::Call;
use standins::framework::setup::MasterAt;
use standins::http::record;
use standins::scheduler::{Event, Registration, start};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);

type Asked = (HeaderMap, Value);

/// Admits `p` with `s`, subscribes everyone as `F1` and tells of one update, then is silent.
async fn answer(
    State(asked): State<mpsc::UnboundedSender<Asked>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call: Value = serde_json::from_slice(&body).unwrap_or_default();
    let admitted = headers
        .get("authorization")
        .is_some_and(|h| *h == *Credentials::new("p", "s").header());
    let is_subscribe = call["type"] == "SUBSCRIBE";
    asked.send((headers, call)).unwrap_or_default();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = match (admitted, is_subscribe) {
        (false, _) => StatusCode::UNAUTHORIZED,
        (true, true) => StatusCode::OK,
        (true, false) => StatusCode::ACCEPTED,
    };
    if admitted && is_subscribe {
        let subscribed = json!({"type": "SUBSCRIBED", "subscribed": {
            "framework_id": {"value": "F1"}, "heartbeat_interval_seconds": 0.1}});
        let update = json!({"type": "UPDATE", "update": {"status": {
            "task_id": {"value": "t"}, "state": "TASK_RUNNING", "uuid": "dQ=="}}});
        let records = [record(&subscribed), record(&update)].concat();
        let (head, tail) = records.split_at(records.len() / 2);
        let pieces = [head.to_vec(), tail.to_vec()].map(Ok::<_, std::io::Error>);
        let stream = futures::stream::iter(pieces).chain(futures::stream::pending());
        *response.body_mut() = Body::from_stream(stream);
        response
            .headers_mut()
            .insert("Mesos-Stream-Id", "stream-1".parse().expect("a header"));
    }
    response
}

async fn master() -> (SocketAddr, mpsc::UnboundedReceiver<Asked>) {
    let (sender, asked) = mpsc::unbounded_channel();
    let listener =
        tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let router =
        Router::new().route("/api/v1/scheduler", post(answer)).with_state(sender);
    tokio::spawn(axum::serve(listener, router).into_future());
    (address, asked)
}

async fn leader(address: SocketAddr) -> watch::Receiver<Option<Vec<u8>>> {
    MasterAt::Fixed(address.to_string()).follow(DEADLINE).await.expect("it is known")
}

fn registration(secret: &str) -> Registration {
    Registration {
        framework: json!({"name": "test", "user": "root"}),
        framework_id: None,
        credentials: Some(Credentials::new("p", secret)),
    }
}

#[tokio::test]
async fn a_silent_master_is_subscribed_to_again_with_the_same_id() {
    let (address, mut asked) = master().await;
    let (_driver, caller, mut events) = start(leader(address).await, registration("s"));
    let mut next = async || timeout(DEADLINE, events.recv()).await.unwrap().unwrap();

    assert!(
        matches!(next().await, Event::Subscribed { framework_id, again: false } if framework_id == "F1")
    );
    let Event::Update(status) = next().await else { panic!("no update") };
    caller.call(&Call::Acknowledge(status), 0.0).await.unwrap();
    assert!(matches!(next().await, Event::Disconnected));
    assert!(matches!(next().await, Event::Subscribed { again: true, .. }));

    let first = asked.recv().await.unwrap().1;
    assert_eq!(first["subscribe"]["framework_info"]["id"], Value::Null);
    let (headers, acknowledge) = asked.recv().await.unwrap();
    assert_eq!(headers["Mesos-Stream-Id"], "stream-1");
    assert_eq!(acknowledge["framework_id"]["value"], "F1");
    assert_eq!(acknowledge["acknowledge"]["uuid"], "dQ==");
    let second = asked.recv().await.unwrap().1;
    assert_eq!(second["subscribe"]["framework_info"]["id"]["value"], "F1");
}

#[tokio::test]
async fn a_wrong_secret_is_refused_for_good() {
    let (address, _asked) = master().await;
    let (_driver, _, mut events) = start(leader(address).await, registration("wrong"));
    let told = timeout(DEADLINE, events.recv()).await.unwrap();
    assert!(
        matches!(told, Some(Event::Error(reason)) if reason == "Master refused authentication")
    );
    assert!(timeout(DEADLINE, events.recv()).await.unwrap().is_none());
}
