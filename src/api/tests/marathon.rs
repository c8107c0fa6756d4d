//! The client of Marathon: its paths, its answers, both conflicts, and how it waits.

use std::time::Duration;

use serde_json::json;

use super::net::{Act, Net, says};
use crate::api::http::Reason;
use crate::api::marathon::Marathon;

const AT: &str = "10.0.0.1:8080";
const CHANGE: &str = r#"{"version":"2020-10-29T10:00:00.000Z","deploymentId":"d1"}"#;

/// An app with two instances, as Marathon 1.11 returns it.
fn app(running: u32, healthy: u32, deployments: &str) -> String {
    let task = r#"{"id":"web.instance-1._app.1","appId":"/web","host":"w1","slaveId":"S3",
        "state":"TASK_RUNNING","startedAt":"2020-10-29T10:00:01.000Z",
        "version":"2020-10-29T10:00:00.000Z","ports":[31876],"servicePorts":[10056],
        "ipAddresses":[{"ipAddress":"172.17.0.3","protocol":"IPv4"}],
        "healthCheckResults":[{"instanceId":"i","alive":true,"consecutiveFailures":0,
            "lastSuccess":"2020-10-29T10:00:02.000Z"}]}"#;
    // As many tasks as are healthy, but at least one.
    let tasks = vec![task; healthy.max(1) as usize].join(",");
    let failure = r#"{"appId":"/web","host":"w2","message":"exit status 1",
        "state":"TASK_FAILED","taskId":"t","timestamp":"2020-10-29T10:00:00.000Z"}"#;
    format!(
        r#"{{"app":{{"id":"/web","instances":2,"cpus":0.5,"version":"2020-10-29T10:00:00.000Z",
        "versionInfo":{{"lastScalingAt":"2020-10-29T10:00:00.000Z",
                        "lastConfigChangeAt":"2020-10-29T10:00:00.000Z"}},
        "container":{{"type":"DOCKER","volumes":[],"portMappings":[{{"containerPort":5672,
            "hostPort":0,"servicePort":10056,"protocol":"tcp","labels":{{}}}}]}},
        "networks":[{{"mode":"container/bridge"}}],"labels":{{"a":"b"}},
        "constraints":[["hostname","UNIQUE"]],"healthChecks":[{{"protocol":"MESOS_TCP"}}],
        "upgradeStrategy":{{"minimumHealthCapacity":1,"maximumOverCapacity":0.5}},
        "tasksStaged":0,"tasksRunning":{running},"tasksHealthy":{healthy},"tasksUnhealthy":0,
        "deployments":[{deployments}],"tasks":[{tasks}],"lastTaskFailure":{failure}}}}}"#
    )
}

fn ok(body: &str) -> Act {
    says("200 OK", body)
}

fn asked(net: &Net) -> Vec<String> {
    net.seen(AT).into_iter().map(|seen| seen.asked).collect()
}

#[tokio::test]
async fn an_app_is_read_with_what_callers_need() {
    let net = Net::with(AT, [ok(&app(2, 1, r#"{"id":"d1"}"#))]).await;
    let app = Marathon::new(net.access(AT, &[])).app("/web").await.unwrap();
    assert_eq!(asked(&net), ["GET /v2/apps/web"]);
    assert_eq!((app.instances, app.tasks_running, app.tasks_healthy), (2, 2, 1));
    assert_eq!(app.deployments[0].id, "d1");
    assert_eq!(app.constraints, [["hostname", "UNIQUE"]]);
    assert_eq!(app.health_checks.len(), 1);
    let task = &app.tasks[0];
    assert_eq!((task.host.as_str(), &task.ports[..]), ("w1", &[31876][..]));
    assert!(task.health_check_results[0].alive && task.started_at.is_some());
    assert_eq!(app.last_task_failure.unwrap().message, "exit status 1");
}

#[tokio::test]
async fn the_leader_is_named_where_there_is_one() {
    let none = says("404 Not Found", r#"{"message":"There is no leader"}"#);
    let script = [ok(r#"{"leader":"c1:8080"}"#), none, ok("pong")];
    let net = Net::with(AT, script).await;
    let marathon = Marathon::new(net.access(AT, &[]));
    assert_eq!(marathon.leader().await.unwrap(), Some("c1:8080".parse().unwrap()));
    assert_eq!(marathon.leader().await.unwrap(), None);
    marathon.ping().await.unwrap();
    assert_eq!(asked(&net), ["GET /v2/leader", "GET /v2/leader", "GET /ping"]);
}

#[tokio::test]
async fn lists_are_read() {
    let deployment = r#"[{"id":"d1","version":"2026-11-29T15:12:38.887Z","affectedApps":["/web"],
        "currentActions":[{"action":"ScaleApplication","app":"/web","readinessCheckResults":[]}],
        "currentStep":1,"totalSteps":2}]"#;
    let queue = r#"{"queue":[{"app":{"id":"/web"},"count":2,
        "delay":{"timeLeftSeconds":5,"overdue":false},"processedOffersSummary":
        {"processedOffersCount":3,"unusedOffersCount":2,"rejectSummaryLastOffers":
        [{"reason":"InsufficientCpus","declined":2,"processed":3}]}}]}"#;
    let apps = r#"{"apps":[{"id":"/web"}]}"#;
    let net = Net::with(AT, [apps, deployment, queue].map(ok)).await;
    let marathon = Marathon::new(net.access(AT, &[]));
    assert_eq!(marathon.apps().await.unwrap()[0].id, "/web");
    let deployments = marathon.deployments().await.unwrap();
    assert_eq!(deployments[0].affected_apps, ["/web"]);
    assert_eq!((deployments[0].current_step, deployments[0].total_steps), (1, 2));
    let queue = marathon.queue().await.unwrap();
    assert_eq!(queue[0].offers.rejected[0].reason, "InsufficientCpus");
    assert!((queue[0].delay.time_left_seconds - 5.0).abs() < 1e-9);
    assert_eq!(asked(&net), ["GET /v2/apps", "GET /v2/deployments", "GET /v2/queue"]);
}

#[tokio::test]
async fn changes_say_always_whether_they_force() {
    let created = r#"{"id":"/web","version":"v","deployments":[{"id":"d0"}]}"#;
    let killed = r#"{"task":{"id":"t1","appId":"/web"}}"#;
    let script = [says("201 Created", created), ok(killed), ok(CHANGE)];
    let net = Net::with(AT, script).await;
    let marathon = Marathon::new(net.access(AT, &[]));
    let definition = json!({"id": "/web", "cmd": "sleep 1"});
    marathon.create(&definition).await.unwrap();
    marathon.kill_task("/web", "t1").await.unwrap();
    assert_eq!(marathon.delete("/web").await.unwrap().deployment, "d1");
    assert_eq!(
        asked(&net),
        [
            "POST /v2/apps?force=false",
            "DELETE /v2/apps/web/tasks/t1?scale=false&wipe=false",
            "DELETE /v2/apps/web?force=true",
        ]
    );
    assert_eq!(net.seen(AT)[0].body, definition.to_string());
}

/// Marathon refuses a group below the top level in any other way.
#[tokio::test]
async fn a_group_is_changed_by_its_own_path_and_without_its_id() {
    let group = r#"{"id":"/shop/back","apps":[{"id":"/shop/back/db","instances":2}],"groups":[],
        "pods":[],"dependencies":["/x"],"version":"2020-10-29T10:00:00.000Z"}"#;
    let net = Net::with(AT, [group, CHANGE, CHANGE].map(ok)).await;
    let marathon = Marathon::new(net.access(AT, &[]));
    let found = marathon.group("/shop/back").await.unwrap();
    assert_eq!((found.apps[0].app.instances, &found.dependencies[0][..]), (2, "/x"));
    let members = json!({"dependencies": []});
    let changed = marathon.put_group("/shop/back", &members).await.unwrap();
    assert_eq!(changed.deployment, "d1");
    marathon.delete_group("shop").await.unwrap();
    assert_eq!(
        asked(&net),
        [
            "GET /v2/groups/shop/back?embed=group.groups&embed=group.apps&embed=group.pods\
             &embed=group.apps.counts&embed=group.apps.deployments",
            "PUT /v2/groups/shop/back?force=false",
            "DELETE /v2/groups/shop?force=true",
        ]
    );
    assert_eq!(net.seen(AT)[1].body, members.to_string());
}

#[tokio::test]
async fn both_conflicts_and_faults_are_told_apart() {
    let exists = r#"{"message":"An app with id [/web] already exists."}"#;
    let locked = r#"{"message":"App is locked by one or more deployments. Override with the option '?force=true'.","deployments":[{"id":"d7"}]}"#;
    let faults = r#"{"message":"Object is not valid","details":[{"path":"/id","errors":["error.path.missing"]}]}"#;
    let unknown = r#"{"message":"App '/web' does not exist"}"#;
    let script = [
        says("409 Conflict", exists),
        says("409 Conflict", locked),
        says("422 Unprocessable Entity", faults),
        says("404 Not Found", unknown),
    ];
    let net = Net::with(AT, script).await;
    let marathon = Marathon::new(net.access(AT, &[]));
    let body = json!({"id": "/web"});
    let error = marathon.create(&body).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Exists(said) if said.contains("[/web]")));
    let error = marathon.create(&body).await.unwrap_err();
    assert!(matches!(&error.reason, Reason::Locked(ids) if *ids == ["d7"]), "{error:?}");
    let error = marathon.create(&body).await.unwrap_err();
    let Reason::Invalid { faults, .. } = &error.reason else { panic!("{error:?}") };
    let [fault] = &faults[..] else { panic!("{faults:?}") };
    assert_eq!(
        (fault.path.as_str(), &fault.errors[..]),
        ("/id", &["error.path.missing".to_owned()][..])
    );
    let error = marathon.app("/web").await.unwrap_err();
    assert!(matches!(error.reason, Reason::NotFound(_)), "{error:?}");
}

#[tokio::test]
async fn a_marathon_that_lets_everyone_in_is_noticed() {
    let page = "<html><head><title>Error 401 Unauthorized</title></head></html>";
    let net = Net::with(AT, [says("401 Unauthorized", page), ok("pong")]).await;
    let marathon = Marathon::new(net.access(AT, &[]));
    assert!(marathon.is_guarded().await.unwrap());
    assert!(!marathon.is_guarded().await.unwrap());
    let seen = net.seen(AT);
    assert!(seen.iter().all(|seen| !seen.headers.contains_key("authorization")));
}

#[tokio::test]
async fn a_wait_goes_on_over_an_election_and_ends_when_the_app_is_settled() {
    let away = || says("502 Bad Gateway", "no leader");
    let under_way = r#"[{"id":"d1","affectedApps":["/web"]}]"#;
    let script = [
        away(),
        away(),
        away(),
        ok(under_way),
        ok(&app(1, 1, r#"{"id":"d1"}"#)),
        ok("[]"),
        ok(&app(2, 2, "")),
    ];
    let net = Net::with(AT, script).await;
    let marathon = Marathon::new(net.access(AT, &[]));
    marathon.wait_settled("/web", Duration::from_secs(30)).await.unwrap();
    assert_eq!(net.seen(AT).len(), 7);
}

#[tokio::test]
async fn a_wait_that_ends_in_vain_says_what_is_missing_and_why() {
    let net = Net::with(AT, [ok("[]"), ok(&app(2, 1, "")), Act::Holds]).await;
    let marathon = Marathon::new(net.access(AT, &[]));
    let error = marathon.wait_settled("/web", Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the component has not finished after 2s: 1 of 2 tasks are healthy; its last failure: \
         TASK_FAILED on w2: exit status 1 (asked: wait for /web)"
    );
}

#[tokio::test]
async fn a_wait_for_an_app_that_is_gone_ends_at_once() {
    let gone = says("404 Not Found", r#"{"message":"App '/web' does not exist"}"#);
    let net = Net::with(AT, [ok("[]"), gone]).await;
    let marathon = Marathon::new(net.access(AT, &[]));
    let error = marathon.wait_settled("/web", Duration::from_secs(30)).await.unwrap_err();
    assert!(matches!(error.reason, Reason::NotFound(_)), "{error:?}");
}

#[tokio::test]
async fn a_deployment_is_waited_for_until_it_is_no_longer_listed() {
    let listed = r#"[{"id":"d1","currentStep":1,"totalSteps":2},{"id":"d2"}]"#;
    let net = Net::with(AT, [ok(listed), ok(r#"[{"id":"d2"}]"#)]).await;
    let marathon = Marathon::new(net.access(AT, &[]));
    marathon.wait_deployment("d1", Duration::from_secs(30)).await.unwrap();
    assert_eq!(asked(&net), ["GET /v2/deployments", "GET /v2/deployments"]);
}

#[tokio::test]
async fn versions_are_given_by_their_time() {
    let unsorted = r#"["2026-11-29T15:12:46.738Z","2026-11-29T15:03:23.394Z"]"#;
    let of_app = format!(r#"{{"versions":{unsorted}}}"#);
    let net = Net::with(AT, [ok(&of_app), ok(unsorted), ok("{}"), ok("{}")]).await;
    let marathon = Marathon::new(net.access(AT, &[]));
    let sorted = marathon.versions("/shop/web").await.unwrap();
    assert!(sorted.is_sorted() && sorted.len() == 2, "{sorted:?}");
    assert_eq!(marathon.history().await.unwrap(), sorted);
    marathon.document_at("/shop/web", sorted[0]).await.unwrap();
    marathon.root_at(sorted[1]).await.unwrap();
    assert_eq!(
        asked(&net),
        [
            "GET /v2/apps/shop/web/versions",
            "GET /v2/groups/versions",
            "GET /v2/apps/shop/web/versions/2026-11-29T15:03:23.394Z",
            "GET /v2/groups/versions/2026-11-29T15:12:46.738Z\
             ?embed=group.groups&embed=group.apps",
        ]
    );
}

#[tokio::test]
async fn changes_of_apps_and_deployments_are_sent_once_and_without_force() {
    let gone = Act::Drops;
    let script = [ok(CHANGE), ok(CHANGE), ok(CHANGE), says("202 Accepted", ""), gone];
    let net = Net::with(AT, script).await;
    let marathon = Marathon::new(net.access(AT, &[]));
    let body = json!({"instances": 2, "resourceLimits": {"cpus": 1.0}});
    assert_eq!(marathon.update("/web", &body).await.unwrap().deployment, "d1");
    marathon.restart("/web").await.unwrap();
    marathon.take_back("d1").await.unwrap();
    marathon.abandon("d1").await.unwrap();
    let error = marathon.restart("/web").await.unwrap_err();
    assert!(matches!(error.reason, Reason::Broken(_)), "{error:?}");
    assert_eq!(
        asked(&net),
        [
            "PUT /v2/apps/web?force=false",
            "POST /v2/apps/web/restart?force=false",
            "DELETE /v2/deployments/d1?force=false",
            "DELETE /v2/deployments/d1?force=true",
            "POST /v2/apps/web/restart?force=false",
        ]
    );
    assert_eq!(net.seen(AT)[0].body, body.to_string());
}

#[tokio::test]
async fn a_wait_tells_each_change_of_what_is_missing() {
    let script = [
        ok("[]"),
        ok(&app(1, 1, "")),
        ok("[]"),
        ok(&app(1, 1, "")),
        ok("[]"),
        ok(&app(2, 2, "")),
    ];
    let net = Net::with(AT, script).await;
    let marathon = Marathon::new(net.access(AT, &[]));
    let seen = std::sync::Mutex::new(Vec::new());
    let on_seen = |what: &str| seen.lock().unwrap().push(what.to_owned());
    marathon.follow_app("/web", Duration::from_secs(30), &on_seen).await.unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].starts_with("1 of 2 tasks run"), "{seen:?}");
}

/// A leader that goes may have taken the definition, or not.
#[tokio::test]
async fn a_definition_that_a_lost_leader_had_taken_is_not_sent_again() {
    let put = "PUT /v2/apps/web?partialUpdate=false&force=false";
    let shown = |cmd: &str| {
        ok(&json!({"app": {"cmd": cmd, "deployments": [{"id": "d9"}]}}).to_string())
    };
    let body = json!({"id": "/web", "cmd": "new"});
    let long = Duration::from_secs(60);
    for (script, expected, deployment) in [
        (
            vec![says("502 Bad Gateway", ""), shown("new")],
            vec![put, "GET /v2/apps/web"],
            "d9",
        ),
        (
            vec![says("502 Bad Gateway", ""), shown("old"), ok(CHANGE)],
            vec![put, "GET /v2/apps/web", put],
            "d1",
        ),
    ] {
        let net = Net::with(AT, script).await;
        let marathon = Marathon::new(net.access(AT, &[]));
        let is_new = |document: &serde_json::Value| document["cmd"] == "new";
        let change = marathon.replace_surely("/web", &body, long, is_new).await.unwrap();
        assert_eq!(change.deployment, deployment);
        assert_eq!(asked(&net), expected);
        assert_eq!(net.seen(AT)[0].body, body.to_string());
    }
}
