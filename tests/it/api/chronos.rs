//! The client of Chronos: its paths, its answers, which requests it repeats.

use platform::api::chronos::Chronos;
use platform::api::http::Reason;
use serde_json::json;

use super::net::{Act, Net, says};

const AT: &str = "10.0.0.1:4400";

fn done() -> Act {
    Act::Says("HTTP/1.1 204 No Content\r\n\r\n".to_owned())
}

#[tokio::test]
async fn jobs_are_read_and_the_leader_is_named() {
    let jobs = r#"[{"name":"backup","command":"sh b.sh","schedule":"R/2030-01-01T00:00:00Z/P1D",
        "successCount":3,"errorCount":1,"lastSuccess":"2026-01-01T00:00:00Z","lastError":"",
        "cpus":0.1,"disabled":false,"new":[]},{"name":"after","parents":["backup"]}]"#;
    let leader = r#"{"leader":"10.0.0.2:4400"}"#;
    let net =
        Net::with(AT, [jobs, leader, "pong"].map(|body| says("200 OK", body))).await;
    let chronos = Chronos::new(net.access(AT, &[]));
    let jobs = chronos.jobs().await.unwrap();
    assert_eq!((jobs[0].name.as_str(), jobs[0].success_count), ("backup", 3));
    assert_eq!(jobs[0].schedule.as_deref(), Some("R/2030-01-01T00:00:00Z/P1D"));
    assert_eq!(
        (jobs[1].parents.as_slice(), &jobs[1].schedule),
        (&["backup".to_owned()][..], &None)
    );
    let leader = chronos.leader().await.unwrap();
    assert_eq!(leader, Some("10.0.0.2:4400".parse().unwrap()));
    chronos.ping().await.unwrap();
    let asked: Vec<String> = net.seen(AT).into_iter().map(|seen| seen.asked).collect();
    assert_eq!(
        asked,
        ["GET /v1/scheduler/jobs", "GET /v1/scheduler/leader", "GET /ping"]
    );
}

#[tokio::test]
async fn orders_go_to_their_paths_and_none_is_sent_twice() {
    let script = [Act::Drops, done(), done(), done(), done(), Act::Drops, done()];
    let net = Net::with(AT, script).await;
    let chronos = Chronos::new(net.access(AT, &[]));
    let definition = json!({"name": "a", "schedule": "R/P1D"});
    let error = chronos.put(&definition).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Broken(_)), "{error:?}");
    chronos.put(&definition).await.unwrap();
    chronos.put(&json!({"name": "b", "parents": ["a"]})).await.unwrap();
    chronos.run("a").await.unwrap();
    chronos.delete("a b").await.unwrap();
    let error = chronos.run("a").await.unwrap_err();
    assert!(matches!(error.reason, Reason::Broken(_)), "{error:?}");
    let asked: Vec<String> = net.seen(AT).into_iter().map(|seen| seen.asked).collect();
    assert_eq!(
        asked,
        [
            "POST /v1/scheduler/iso8601",
            "POST /v1/scheduler/iso8601",
            "POST /v1/scheduler/dependency",
            "PUT /v1/scheduler/job/a",
            "DELETE /v1/scheduler/job/a%20b",
            "PUT /v1/scheduler/job/a",
        ]
    );
}

#[tokio::test]
async fn a_stack_trace_becomes_one_line() {
    let trace =
        r#"{"message":"Unable to parse schedule\n\tat org.a.B(C.scala:1)","status":400}"#;
    let net = Net::with(AT, [says("400 Bad Request", trace)]).await;
    let error = Chronos::new(net.access(AT, &[])).put(&json!({})).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the component at 10.0.0.1:4400 answered 400: Unable to parse schedule \
         (asked: POST /v1/scheduler/iso8601)"
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
