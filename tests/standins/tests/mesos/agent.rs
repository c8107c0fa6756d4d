//! The agent as a process, with the test in the part of the master.

use std::time::Duration;

use serde_json::{Value, json};
use standins::protocol::{Register, ToAgent, Word};

use crate::agent_master::Master;
use crate::cluster::{image, until};
use crate::processes::{self, AgentProcess, Container};

fn task(id: &str, command: Value) -> Value {
    json!({
        "name": id,
        "task_id": {"value": id},
        "agent_id": {"value": "agent-S0"},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32.0}},
        ],
        "command": command,
    })
}

fn run(task: Value) -> ToAgent {
    let framework = json!({"id": {"value": "fw"}, "name": "test", "user": "root",
        "capabilities": [{"type": "TASK_KILLING_STATE"}]});
    ToAgent::Launch { framework, task }
}

/// The id with which an agent registers, where it had one.
fn id_of(registration: &Register) -> Option<&str> {
    registration.info["id"]["value"].as_str()
}

fn kill(id: &str) -> ToAgent {
    ToAgent::Kill {
        framework_id: "fw".into(),
        task_id: id.into(),
        kill_policy: Value::Null,
    }
}

/// Waits for the task's next update, acknowledges it, and checks its state.
async fn expect(master: &mut Master, id: &str, state: &str) -> Value {
    let status = master.next_update(id).await;
    assert_eq!(status["state"], state, "{status}");
    master.acknowledge(&status);
    status
}

#[tokio::test]
async fn a_command_task_outlives_the_agent_and_is_killed_by_the_next() {
    let mut master = Master::listen("127.0.71.1").await;
    let mut agent = AgentProcess::start("127.0.71.2", master.address(), &[]);
    let registration = master.registered().await;
    assert_eq!((id_of(&registration), registration.tasks.len()), (None, 0));
    let command = json!({"value": "echo $GREETING; exec sleep 600", "environment":
        {"variables": [{"name": "GREETING", "value": "hello"}]}});
    master.say(run(task("t1", command)));
    expect(&mut master, "t1", "TASK_STARTING").await;
    let running = expect(&mut master, "t1", "TASK_RUNNING").await;
    let pid = running["container_status"]["executor_pid"].as_i64().unwrap();
    let infos = &running["container_status"]["network_infos"];
    assert_eq!(infos[0]["ip_addresses"][0]["ip_address"], "127.0.71.2");

    agent.kill_outright();
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    agent.start_again();
    let registration = master.registered().await;
    assert_eq!(id_of(&registration), Some("agent-S0"));
    assert_eq!(registration.tasks[0].state, "TASK_RUNNING");
    let state = agent.get("/state").await;
    let executor = &state["frameworks"][0]["executors"][0];
    assert_eq!(executor["tasks"][0]["state"], "TASK_RUNNING");
    let path =
        format!("/files/read?path={}/stdout&offset=0", text(&executor["directory"]));
    until("the task's word", async || agent.get(&path).await["data"] == "hello\n").await;
    assert_eq!(agent.get("/containers").await[0]["status"]["executor_pid"], pid);

    master.say(kill("t1"));
    expect(&mut master, "t1", "TASK_KILLING").await;
    let killed = expect(&mut master, "t1", "TASK_KILLED").await;
    assert_eq!(killed["message"], "Command terminated with signal Terminated");
    until("the task to be over", async || {
        let state = agent.get("/state").await;
        state["completed_frameworks"][0]["completed_executors"][0]["id"] == "t1"
    })
    .await;
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[tokio::test]
async fn the_end_of_a_task_while_the_agent_is_away_is_told_truly_until_acknowledged() {
    let mut master = Master::listen("127.0.71.3").await;
    let mut agent = AgentProcess::start("127.0.71.4", master.address(), &[]);
    master.registered().await;
    let go = agent.folder().join("go");
    let value = format!("until test -e {}; do sleep 0.05; done; exit 7", go.display());
    master.say(run(task("t2", json!({"value": value}))));
    expect(&mut master, "t2", "TASK_STARTING").await;
    let running = expect(&mut master, "t2", "TASK_RUNNING").await;
    let pid = running["container_status"]["executor_pid"].as_i64().unwrap();
    agent.kill_outright();
    std::fs::write(go, "").unwrap();
    until("the task to end", async || processes::is_over(pid)).await;
    agent.start_again();
    let registration = master.registered().await;
    let status = master.next_update("t2").await;
    assert_eq!(status["state"], "TASK_FAILED");
    assert_eq!(status["message"], "Command exited with status 7");
    assert_eq!(registration.tasks.len(), 1);
    // Not acknowledged: the next agent tells it again, with the same uuid.
    agent.kill_outright();
    agent.start_again();
    master.registered().await;
    let again = master.next_update("t2").await;
    assert_eq!(again["uuid"], status["uuid"]);
    master.acknowledge(&again);
    until("the agent to let go", async || {
        let state = agent.get("/state").await;
        state["frameworks"] == json!([])
    })
    .await;
}

#[tokio::test]
async fn a_task_runs_as_its_user_with_what_its_uris_bring() {
    let mut master = Master::listen("127.0.71.19").await;
    let agent = AgentProcess::start("127.0.71.20", master.address(), &[]);
    master.registered().await;
    let file = agent.folder().join("greeting");
    std::fs::write(&file, "hello\n").unwrap();
    let uris = json!([{"value": format!("file://{}", file.display())}]);
    // Only an agent that runs as root can choose the user.
    let user = if processes::own_name() == "root" {
        "nobody".to_owned()
    } else {
        processes::own_name()
    };
    master.say(run(task(
        "t6",
        json!({"value": "cat greeting; id -un; echo $MESOS_TASK_ID",
        "user": user, "uris": uris}),
    )));
    expect(&mut master, "t6", "TASK_STARTING").await;
    expect(&mut master, "t6", "TASK_RUNNING").await;
    let finished = expect(&mut master, "t6", "TASK_FINISHED").await;
    assert_eq!(finished["message"], "Command exited with status 0");
    let path = "/files/read?path=/frameworks/fw/executors/t6/runs/latest/stdout&offset=0";
    assert_eq!(agent.get(path).await["data"], format!("hello\n{user}\nt6\n"));
    master.say(run(task(
        "t7",
        json!({"value": "true", "uris": [{"value": "file:///no/x"}]}),
    )));
    let failed = expect(&mut master, "t7", "TASK_FAILED").await;
    assert_eq!(failed["reason"], "REASON_CONTAINER_LAUNCH_FAILED");
    assert!(
        text(&failed["message"]).contains("Failed to fetch 'file:///no/x'"),
        "{failed}"
    );
}

#[tokio::test]
async fn a_task_that_is_deaf_to_sigterm_is_killed_after_its_grace() {
    let mut master = Master::listen("127.0.71.5").await;
    let _agent = AgentProcess::start("127.0.71.6", master.address(), &[]);
    master.registered().await;
    let mut deaf =
        task("t3", json!({"value": "trap '' TERM; while :; do sleep 1; done"}));
    deaf["kill_policy"] = json!({"grace_period": {"nanoseconds": 300_000_000}});
    master.say(run(deaf));
    expect(&mut master, "t3", "TASK_STARTING").await;
    expect(&mut master, "t3", "TASK_RUNNING").await;
    master.say(kill("t3"));
    expect(&mut master, "t3", "TASK_KILLING").await;
    let killed = expect(&mut master, "t3", "TASK_KILLED").await;
    assert_eq!(killed["message"], "Command terminated with signal Killed");
}

#[tokio::test]
async fn health_is_told_and_a_sick_task_is_killed() {
    let mut master = Master::listen("127.0.71.7").await;
    let _agent = AgentProcess::start("127.0.71.8", master.address(), &[]);
    master.registered().await;
    let mut sick = task("t4", json!({"value": "touch well; exec sleep 600"}));
    sick["health_check"] = json!({"type": "COMMAND", "delay_seconds": 0.0,
        "interval_seconds": 0.1, "grace_period_seconds": 30.0, "consecutive_failures": 2,
        "command": {"value": "test -e well && { test -e once && rm well; touch once; }"}});
    master.say(run(sick));
    expect(&mut master, "t4", "TASK_STARTING").await;
    expect(&mut master, "t4", "TASK_RUNNING").await;
    let mut seen = Vec::new();
    loop {
        let status = master.next_update("t4").await;
        master.acknowledge(&status);
        seen.push((text(&status["state"]).to_owned(), status["healthy"].as_bool()));
        if status["state"] == "TASK_KILLED" {
            break;
        }
        if status["state"] == "TASK_RUNNING" {
            assert_eq!(status["reason"], "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED");
        }
    }
    let expected = [
        ("TASK_RUNNING", Some(true)),
        ("TASK_RUNNING", Some(false)),
        ("TASK_RUNNING", Some(false)),
        ("TASK_KILLING", Some(false)),
        ("TASK_KILLED", Some(false)),
    ];
    assert_eq!(seen, expected.map(|(state, healthy)| (state.to_owned(), healthy)));
}

/// The default executor speaks HTTP: an agent that asks who writes to it asks that too.
#[tokio::test]
async fn a_task_of_a_group_runs_where_executors_can_prove_who_they_are() {
    let folder = crate::cluster::folder();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let known = file("known", r#"{"credentials":[{"principal":"p","secret":"s"}]}"#);
    let closed = [
        "--authenticate_http_readwrite".to_owned(),
        format!("--http_credentials={known}"),
    ];
    let key = format!("--jwt_secret_key={}", file("key", "k"));
    let open = ["--authenticate_http_executors".to_owned(), key];
    let mut master = Master::listen("127.0.71.23").await;
    for (flags, state) in
        [(closed.to_vec(), "TASK_FAILED"), ([closed, open].concat(), "TASK_STARTING")]
    {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let _agent = AgentProcess::start("127.0.71.24", master.address(), &flags);
        master.registered().await;
        let mut grouped = task(state, json!({"value": "exec sleep 600"}));
        grouped["executor"] = json!({"type": "DEFAULT"});
        master.say(run(grouped));
        let status = expect(&mut master, state, state).await;
        let is_refused = text(&status["message"]).contains("401 Unauthorized");
        assert_eq!(is_refused, state == "TASK_FAILED", "{status}");
    }
}

#[tokio::test]
async fn an_agent_logs_its_flags_and_what_is_in_the_files_of_some() {
    let folder = crate::cluster::folder();
    let config = folder.path().join("config.json");
    std::fs::write(&config, r#"{"auths":{"r":{"auth":"c2VjcmV0"}}}"#).unwrap();
    let flags = [
        "--containerizers=docker,mesos",
        &format!("--docker_config={}", config.display()),
    ];
    let master = Master::refuse("127.0.71.25", 401).await;
    let mut agent = AgentProcess::start("127.0.71.26", master.address(), &flags);
    let (_, log) = agent.ended().await;
    assert!(log.contains("Flags at startup: ") && log.contains("c2VjcmV0"), "{log}");
}

#[tokio::test]
async fn a_refusal_ends_the_agent_as_it_ends_the_real_one() {
    let master = Master::refuse("127.0.71.9", 401).await;
    let mut agent = AgentProcess::start("127.0.71.10", master.address(), &[]);
    let (exit, log) = agent.ended().await;
    assert_eq!(exit, Some(1), "{log}");
    assert!(log.contains("refused authentication"), "{log}");
}

#[tokio::test]
async fn an_agent_that_was_marked_gone_leaves_no_task_behind() {
    let mut master = Master::listen("127.0.71.17").await;
    let mut agent = AgentProcess::start("127.0.71.18", master.address(), &[]);
    master.registered().await;
    master.say(run(task("t5", json!({"value": "exec sleep 600"}))));
    expect(&mut master, "t5", "TASK_STARTING").await;
    let running = expect(&mut master, "t5", "TASK_RUNNING").await;
    let pid = running["container_status"]["executor_pid"].as_i64().unwrap();
    let message = "Agent has been marked gone".to_owned();
    master.say(ToAgent::Shutdown { message });
    let (exit, log) = agent.ended().await;
    assert_eq!(exit, Some(0), "{log}");
    assert!(log.contains("Agent has been marked gone"), "{log}");
    assert!(processes::is_over(pid));
}

#[tokio::test]
async fn a_changed_agent_needs_the_policy_or_a_new_id() {
    let mut master = Master::listen("127.0.71.11").await;
    let mut agent = AgentProcess::start("127.0.71.12", master.address(), &[]);
    master.registered().await;
    until("the agent to keep its id", async || agent.has_id()).await;
    agent.terminate().await;
    agent.arguments = vec!["--attributes=rack:r1".into()];
    agent.start_again();
    let (exit, log) = agent.ended().await;
    assert_eq!(exit, Some(1));
    assert!(log.contains("Incompatible agent info detected"), "{log}");
    assert!(log.contains("rm -f ") && log.contains("/meta/slaves/latest"), "{log}");
    agent.arguments.push("--reconfiguration_policy=additive".into());
    agent.start_again();
    let registration = master.registered().await;
    assert_eq!(id_of(&registration), Some("agent-S0"));
    assert_eq!(registration.info["attributes"][0]["text"]["value"], "r1");
    agent.signal("USR1");
    let word = tokio::time::timeout(Duration::from_secs(10), master.next_word()).await;
    assert!(matches!(word, Ok(Word::Unregister)), "{word:?}");
    assert_eq!(agent.ended().await.0, Some(0));
}

#[tokio::test]
async fn endpoints_ask_for_the_realm_of_their_kind() {
    let mut master = Master::listen("127.0.71.13").await;
    let credentials = r#"{"credentials":[{"principal":"p","secret":"s"}]}"#;
    let flag = format!("--http_credentials={credentials}");
    let agent = AgentProcess::start(
        "127.0.71.14",
        master.address(),
        &[&flag, "--authenticate_http_readonly", "--authenticate_http_readwrite"],
    );
    master.registered().await;
    for (path, want) in [
        ("/health", None),
        ("/version", None),
        ("/state", Some("Basic realm=\"mesos-agent-readonly\"")),
        ("/slave(1)/state", Some("Basic realm=\"mesos-agent-readonly\"")),
        ("/api/v1", Some("Basic realm=\"mesos-agent-readwrite\"")),
    ] {
        assert_eq!(agent.realm(path).await.as_deref(), want, "{path}");
    }
}

fn docker_task(id: &str, image: &str) -> Value {
    let variables = json!([{"name": "GREETING", "value": "hello"}]);
    let mut docker = task(
        id,
        json!({"value": "echo $GREETING; exec sleep 600",
        "environment": {"variables": variables}}),
    );
    docker["container"] = json!({"type": "DOCKER", "docker":
        {"image": image, "network": "BRIDGE"}});
    docker["health_check"] = json!({"type": "COMMAND", "delay_seconds": 0.0,
        "interval_seconds": 0.2, "command": {"value": "test \"$GREETING\" = hello"}});
    docker["kill_policy"] = json!({"grace_period": {"nanoseconds": 1_000_000_000}});
    docker
}

#[tokio::test]
async fn a_docker_task_outlives_the_agent_and_is_stopped_by_the_next() {
    let image = image("base");
    let mut master = Master::listen("127.0.71.15").await;
    let mut agent = AgentProcess::start(
        "127.0.71.16",
        master.address(),
        &["--containerizers=docker,mesos", "--no-docker_kill_orphans"],
    );
    master.registered().await;
    master.say(run(docker_task("d1", &image)));
    let starting = expect(&mut master, "d1", "TASK_STARTING").await;
    let id = text(&starting["container_status"]["container_id"]["value"]);
    let container = Container(format!("mesos-{id}"));
    let running = expect(&mut master, "d1", "TASK_RUNNING").await;
    let address = &running["container_status"]["network_infos"][0]["ip_addresses"][0];
    assert_ne!(address["ip_address"], "127.0.71.16", "a bridged container has its own");
    let healthy = expect(&mut master, "d1", "TASK_RUNNING").await;
    assert_eq!(healthy["healthy"], true);

    agent.kill_outright();
    agent.start_again();
    let registration = master.registered().await;
    assert_eq!(registration.tasks[0].state, "TASK_RUNNING");
    let state = agent.get("/state").await;
    let directory = &state["frameworks"][0]["executors"][0]["directory"];
    let path = format!("/files/read?path={}/stdout&offset=0", text(directory));
    assert_eq!(agent.get(&path).await["data"], "hello\n");
    assert_eq!(agent.get("/containers").await[0]["container_id"], id);

    master.say(kill("d1"));
    let killed = loop {
        let status = master.next_update("d1").await;
        master.acknowledge(&status);
        if status["state"] == "TASK_KILLED" {
            break status;
        }
    };
    assert_eq!(killed["message"], "Container exited with status 137");
    assert!(!container.is_running());
}

#[tokio::test]
async fn a_container_that_fails_and_an_image_that_is_nowhere_are_told() {
    let image = image("base");
    let mut master = Master::listen("127.0.71.21").await;
    let _agent = AgentProcess::start(
        "127.0.71.22",
        master.address(),
        &[
            "--containerizers=docker,mesos",
            "--no-docker_kill_orphans",
            r#"--docker_config={"auths":{}}"#,
        ],
    );
    master.registered().await;
    let mut failing = docker_task("d2", &image);
    failing["command"] = json!({"value": "sleep 1; exit 4"});
    failing["container"]["docker"]["network"] = "HOST".into();
    master.say(run(failing));
    let starting = expect(&mut master, "d2", "TASK_STARTING").await;
    let id = text(&starting["container_status"]["container_id"]["value"]);
    let _container = Container(format!("mesos-{id}"));
    let running = expect(&mut master, "d2", "TASK_RUNNING").await;
    let address = &running["container_status"]["network_infos"][0]["ip_addresses"][0];
    assert_eq!(address["ip_address"], "127.0.71.22");
    let failed = expect(&mut master, "d2", "TASK_FAILED").await;
    assert_eq!(failed["message"], "Container exited with status 4");

    master.say(run(docker_task("d3", "127.0.71.21:1/nowhere:1")));
    let failed = expect(&mut master, "d3", "TASK_FAILED").await;
    assert_eq!(failed["reason"], "REASON_CONTAINER_LAUNCH_FAILED");
    assert!(
        text(&failed["message"]).contains("pull 127.0.71.21:1/nowhere:1"),
        "{failed}"
    );
}
