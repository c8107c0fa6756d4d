//! What all clients share: redirects, passwords, lengths, retries, deadlines. Marathon is the
//! example.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::net::{Act, Net, says, sends_to};
use crate::api::http::{ApiError, Reason, ThroughHost};
use crate::api::marathon::Marathon;
use crate::remote::{Exec, Output, Remote, RemoteError, Stream};

const ONE: &str = "10.0.0.1:8080";
const TWO: &str = "10.0.0.2:8080";
const STRANGER: &str = "203.0.113.9:8080";
/// `ops:hunter2`.
const BASIC: &str = "Basic b3BzOmh1bnRlcjI=";

fn pong() -> Act {
    says("200 OK", "pong")
}

/// A host that cannot open any connection.
struct Unconnected;

impl Remote for Unconnected {
    fn exec<'a>(&'a self, _: Exec<'a>) -> BoxFuture<'a, Result<Output, RemoteError>> {
        unreachable!("a dialer runs no command")
    }

    fn dial<'a>(
        &'a self,
        address: &'a str,
        port: u16,
        _: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>> {
        let (host, address) = ("edge-1".parse().unwrap(), address.to_owned());
        async move { Err(RemoteError::Dial { host, address, port }) }.boxed()
    }

    fn renew(&self) -> BoxFuture<'_, Result<(), RemoteError>> {
        unreachable!("a dialer renews no connection")
    }
}

/// An error as text, with its sources.
fn told(error: &ApiError) -> String {
    let mut told = format!("{error} | {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        told = format!("{told} | {cause}");
        source = cause.source();
    }
    assert!(!told.contains("hunter2") && !told.contains(BASIC), "{told}");
    told
}

#[tokio::test]
async fn the_password_follows_a_redirect_to_one_of_our_own() {
    for (status, location) in [
        ("307 Temporary Redirect", "//10.0.0.2:8080/ping"),
        ("302 Found", "http://10.0.0.2:8080/ping"),
    ] {
        let mut net = Net::with(ONE, [sends_to(status, location)]).await;
        net.serve(TWO, [pong()]).await;
        Marathon::new(net.access(ONE, &[TWO])).ping().await.unwrap();
        for at in [ONE, TWO] {
            let seen = net.only(at);
            assert_eq!(seen.asked, "GET /ping");
            assert_eq!(seen.headers["authorization"], BASIC);
            assert_eq!(seen.headers["host"], at);
        }
    }
}

#[tokio::test]
async fn a_stranger_is_not_even_connected_to_and_is_named() {
    for location in ["//203.0.113.9:8080/ping", "http://203.0.113.9:8080/"] {
        let mut net =
            Net::with(ONE, [sends_to("307 Temporary Redirect", location)]).await;
        net.serve(STRANGER, [pong()]).await;
        let error = Marathon::new(net.access(ONE, &[TWO])).ping().await.unwrap_err();
        assert!(matches!(error.reason, Reason::OtherService(_)), "{error:?}");
        assert!(told(&error).contains(location), "{error}");
        assert!(net.seen(STRANGER).is_empty());
    }
}

#[tokio::test]
async fn another_port_of_an_own_host_is_a_stranger_too() {
    let to = sends_to("307 Temporary Redirect", "//10.0.0.2:31000/ping");
    let net = Net::with(ONE, [to]).await;
    let error = Marathon::new(net.access(ONE, &[TWO])).ping().await.unwrap_err();
    assert!(matches!(error.reason, Reason::OtherService(_)), "{error:?}");
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let to_two = || sends_to("307 Temporary Redirect", "//10.0.0.2:8080/ping");
    let to_one = || sends_to("307 Temporary Redirect", "//10.0.0.1:8080/ping");
    let mut net = Net::with(ONE, [to_two(), to_two(), to_two()]).await;
    net.serve(TWO, [to_one(), to_one(), to_one()]).await;
    let error = Marathon::new(net.access(ONE, &[TWO])).ping().await.unwrap_err();
    assert!(matches!(error.reason, Reason::Redirects(5)), "{error:?}");
    assert_eq!((net.seen(ONE).len(), net.seen(TWO).len()), (3, 3));
}

#[tokio::test]
async fn an_order_stays_an_order_over_307_and_does_not_follow_302() {
    let body = json!({"id": "/web"});
    let app = says("201 Created", r#"{"id":"/web","deployments":[{"id":"d1"}]}"#);
    let to = sends_to("307 Temporary Redirect", "//10.0.0.2:8080/v2/apps?force=false");
    let mut net = Net::with(ONE, [to]).await;
    net.serve(TWO, [app]).await;
    Marathon::new(net.access(ONE, &[TWO])).create(&body).await.unwrap();
    let seen = net.only(TWO);
    assert_eq!(
        (seen.asked.as_str(), seen.body),
        ("POST /v2/apps?force=false", body.to_string())
    );

    let mut net = Net::with(ONE, [sends_to("302 Found", "//10.0.0.2:8080/")]).await;
    net.serve(TWO, [pong()]).await;
    let error = Marathon::new(net.access(ONE, &[TWO])).create(&body).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Status { status: 302, .. }), "{error:?}");
    assert!(net.seen(TWO).is_empty());
}

#[tokio::test]
async fn every_body_is_sent_with_its_length() {
    let change = || says("200 OK", r#"{"version":"v","deploymentId":"d"}"#);
    let net = Net::with(ONE, [change(), change()]).await;
    let marathon = Marathon::new(net.access(ONE, &[]));
    marathon.create(&json!({"cmd": "é"})).await.unwrap();
    marathon.delete("/web").await.unwrap();
    let bodies: Vec<(String, String)> = net
        .seen(ONE)
        .into_iter()
        .map(|seen| {
            assert!(!seen.headers.contains_key("transfer-encoding"), "{seen:?}");
            (seen.headers["content-length"].clone(), seen.body)
        })
        .collect();
    let expected = [("12", r#"{"cmd":"é"}"#), ("0", "")];
    assert_eq!(bodies, expected.map(|(n, body)| (n.to_owned(), body.to_owned())));
}

#[tokio::test]
async fn a_question_is_asked_again_when_the_connection_breaks_or_nobody_leads() {
    let busy = says("503 Service Unavailable", "busy");
    let net = Net::with(ONE, [Act::Drops, busy, pong()]).await;
    Marathon::new(net.access(ONE, &[])).ping().await.unwrap();
    assert_eq!(net.seen(ONE).len(), 3);
}

#[tokio::test]
async fn an_order_that_may_have_been_carried_out_is_not_given_again() {
    let busy = || says("503 Service Unavailable", "busy");
    for act in [Act::Drops, busy()] {
        let net = Net::with(ONE, [act, busy()]).await;
        let marathon = Marathon::new(net.access(ONE, &[]));
        let error = marathon.delete("/web").await.unwrap_err();
        assert!(error.is_transient(), "{}", told(&error));
        assert_eq!(net.only(ONE).asked, "DELETE /v2/apps/web?force=true");
    }
}

#[tokio::test]
async fn a_member_that_is_meant_itself_and_away_is_said_with_the_reason() {
    let net = Net::with(TWO, [pong()]).await;
    let error = Marathon::new(net.access(ONE, &[TWO])).ping().await.unwrap_err();
    let told = told(&error);
    assert!(
        told.starts_with("the component at 10.0.0.1:8080 cannot be reached"),
        "{told}"
    );
    assert!(
        told.contains("GET /ping") && told.contains("nothing listens there"),
        "{told}"
    );
    assert!(net.seen(TWO).is_empty());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_at_the_deadline() {
    let net = Net::with(ONE, [Act::Holds]).await;
    let mut access = net.access(ONE, &[]);
    access.deadline = Duration::from_millis(100);
    let began = Instant::now();
    let error = Marathon::new(access).ping().await.unwrap_err();
    assert!(matches!(error.reason, Reason::TimedOut(_)), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let net = Net::with(ONE, [Act::Floods]).await;
    let error = Marathon::new(net.access(ONE, &[])).queue().await.unwrap_err();
    assert!(matches!(error.reason, Reason::TooLarge(_)), "{error:?}");
}

#[tokio::test]
async fn half_an_answer_is_not_taken_for_a_whole() {
    let half = || Act::Says("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}".to_owned());
    let net = Net::with(ONE, [half(), half(), half()]).await;
    let error = Marathon::new(net.access(ONE, &[])).queue().await.unwrap_err();
    assert!(matches!(error.reason, Reason::Broken(_)), "{error:?}");
}

#[tokio::test]
async fn another_program_at_the_port_is_not_understood() {
    let net = Net::with(ONE, [says("200 OK", "<html>hello</html>")]).await;
    let error = Marathon::new(net.access(ONE, &[])).queue().await.unwrap_err();
    assert!(matches!(error.reason, Reason::NotUnderstood(_)), "{error:?}");
}

#[tokio::test]
async fn refusals_of_users_are_told_with_the_user_and_in_one_line() {
    let page = "<html><head><title>Error 401 Unauthorized</title></head></html>";
    let forbids = says("403 Forbidden", r#"{"message":"Not Authorized to view"}"#);
    let net = Net::with(ONE, [says("401 Unauthorized", page), forbids]).await;
    let marathon = Marathon::new(net.access(ONE, &[]));
    let error = marathon.queue().await.unwrap_err();
    assert!(matches!(error.reason, Reason::Unauthorized { .. }), "{error:?}");
    assert!(told(&error).contains("rejects the password of `ops`"), "{error}");
    let error = marathon.apps().await.unwrap_err();
    assert!(matches!(error.reason, Reason::Forbidden { .. }), "{error:?}");
    assert!(told(&error).contains("`ops`: Not Authorized to view"), "{error}");
}

#[tokio::test]
async fn a_host_that_opens_all_connections_is_a_dialer() {
    let net = Net::default();
    let mut access = net.access(ONE, &[]);
    access.dialer = Arc::new(ThroughHost(Arc::new(Unconnected)));
    let error = Marathon::new(access).ping().await.unwrap_err();
    assert!(told(&error).contains("edge-1 cannot connect to 10.0.0.1:8080"), "{error}");
}
