//! The client of Chronos: its paths and its answers.

use serde_json::json;

use super::net::{Act, Net, says};
use crate::api::chronos::Chronos;
use crate::api::http::Reason;

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

#[tokio::test]
async fn jobs_are_sent_to_the_path_of_their_kind_and_never_twice() {
    let done = || says("204 No Content", "");
    let script = [done(), done(), done(), done(), done(), Act::Drops];
    let net = Net::with(AT, script).await;
    let chronos = Chronos::new(net.access(AT, &[]));
    let scheduled = json!({"name": "a", "schedule": "R//PT1H"});
    chronos.put(&scheduled).await.unwrap();
    chronos.put(&json!({"name": "b", "parents": ["a"]})).await.unwrap();
    chronos.run("a").await.unwrap();
    chronos.kill("a").await.unwrap();
    chronos.delete("a").await.unwrap();
    let error = chronos.run("a").await.unwrap_err();
    assert!(matches!(error.reason, Reason::Broken(_)), "{error:?}");
    let asked: Vec<String> = net.seen(AT).into_iter().map(|seen| seen.asked).collect();
    assert_eq!(
        asked,
        [
            "POST /v1/scheduler/iso8601",
            "POST /v1/scheduler/dependency",
            "PUT /v1/scheduler/job/a",
            "DELETE /v1/scheduler/task/kill/a",
            "DELETE /v1/scheduler/job/a",
            "PUT /v1/scheduler/job/a",
        ]
    );
    let seen = &net.seen(AT)[0];
    assert_eq!(seen.body, scheduled.to_string());
    assert_eq!(seen.headers["content-type"], "application/json");
}

#[tokio::test]
async fn a_job_and_its_times_are_read() {
    let stat = r#"{"histogram":{"75thPercentile":2.0,"95thPercentile":3.0,"98thPercentile":4.0,
        "99thPercentile":5.0,"median":1.0,"mean":1.0,"count":7.0},"taskStatHistory":[]}"#;
    let script = [says("200 OK", r#"{"name":"a b"}"#), says("200 OK", stat)];
    let net = Net::with(AT, script).await;
    let chronos = Chronos::new(net.access(AT, &[]));
    assert_eq!(chronos.job("a b").await.unwrap()["name"], "a b");
    let took = chronos.histogram("a").await.unwrap();
    assert_eq!([took.count, took.p99].map(|it| it.to_string()), ["7", "5"]);
    let asked: Vec<String> = net.seen(AT).into_iter().map(|seen| seen.asked).collect();
    assert_eq!(asked, ["GET /v1/scheduler/job/a%20b", "GET /v1/scheduler/job/stat/a"]);
}
