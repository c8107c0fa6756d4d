//! The client of Chronos: its paths and its answers.

use super::net::{Net, says};
use crate::api::chronos::Chronos;

const AT: &str = "10.0.0.1:4400";

#[tokio::test]
async fn the_leader_is_named() {
    let leader = r#"{"leader":"10.0.0.2:4400"}"#;
    let none = r#"{"leader":""}"#;
    let net =
        Net::with(AT, [leader, none, "pong"].map(|body| says("200 OK", body))).await;
    let chronos = Chronos::new(net.access(AT, &[]));
    let leader = chronos.leader().await.unwrap();
    assert_eq!(leader, Some("10.0.0.2:4400".parse().unwrap()));
    assert_eq!(chronos.leader().await.unwrap(), None);
    chronos.ping().await.unwrap();
    let asked: Vec<String> = net.seen(AT).into_iter().map(|seen| seen.asked).collect();
    assert_eq!(
        asked,
        ["GET /v1/scheduler/leader", "GET /v1/scheduler/leader", "GET /ping"]
    );
}

#[tokio::test]
async fn a_chronos_that_lets_everyone_in_is_noticed() {
    let closed = says("401 Unauthorized", "<title>Error 401</title>");
    let net = Net::with(AT, [closed, says("200 OK", "pong")]).await;
    let chronos = Chronos::new(net.access(AT, &[]));
    assert!(chronos.is_guarded().await.unwrap());
    assert!(!chronos.is_guarded().await.unwrap());
}

#[tokio::test]
async fn a_list_that_is_cut_is_asked_for_again() {
    let whole = r#"{"jobs":[{"name":"a","status":"fresh","state":"idle","schedule":"",
        "parents":["b"],"disabled":false}]}"#;
    let script = [says("200 OK", &whole[..20]), says("200 OK", whole)];
    let net = Net::with(AT, script).await;
    let jobs = Chronos::new(net.access(AT, &[])).summary().await.unwrap();
    assert_eq!(
        (jobs[0].name.as_str(), &jobs[0].parents[..]),
        ("a", &["b".to_owned()][..])
    );
    assert_eq!(net.seen(AT).len(), 2);
}
