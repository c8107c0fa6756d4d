//! The client of Mesos parses answers of a real Mesos 1.11, and sends the same requests.

use super::net::{Act, Net, says};
use super::recordings::{recorded, recorded_body, recorded_request};
use crate::api::http::{ApiError, Reason};
use crate::api::mesos::{
    Agent, AgentInfo, Begin, DrainState, Found, Master, Reader, Resources, TaskRun,
};

const LEADER: &str = "127.0.1.11:5050";
const FOLLOWER: &str = "127.0.1.12:5050";
const AGENT: &str = "127.0.1.21:5051";
const S0: &str = "74dd9245-bb92-4e38-9208-cf9b6a9ce41d-S0";
const S1: &str = "74dd9245-bb92-4e38-9208-cf9b6a9ce41d-S1";

/// The result for a recorded answer; the request must equal the recorded one.
async fn ask<T>(
    name: &str,
    call: impl AsyncFnOnce(Master) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let net = Net::with(LEADER, [recorded(name)]).await;
    let answer = call(Master::new(net.access(LEADER, &[]))).await;
    let seen = net.seen(LEADER).remove(0);
    assert_eq!((seen.asked, seen.body), recorded_request(name), "{name}");
    answer
}

async fn agents(name: &str) -> Vec<AgentInfo> {
    ask(name, async |master| master.get_agents().await).await.unwrap()
}

async fn agent(name: &str, id: &str) -> AgentInfo {
    agents(name).await.into_iter().find(|agent| agent.id == id).unwrap()
}

#[tokio::test]
async fn a_leader_with_a_quorum_answers() {
    ask("v1-GET_MASTER", async |master| master.get_master().await).await.unwrap();
}

#[tokio::test]
async fn a_leader_without_a_quorum_is_told_apart() {
    let name = "noquorum-v1-GET_MASTER";
    let twice = [recorded(name), recorded(name), recorded(name)];
    let net = Net::with(LEADER, twice).await;
    let error = Master::new(net.access(LEADER, &[])).get_master().await.unwrap_err();
    assert!(matches!(error.reason, Reason::NotRecovered), "{error:?}");
    assert_eq!(net.seen(LEADER).len(), 3, "it is a question, and is repeated");
}

#[tokio::test]
async fn agents_are_read_with_what_they_have_and_use() {
    let idle = agent("v1-GET_AGENTS", S0).await;
    assert!(idle.active && !idle.deactivated && idle.drain.is_none());
    assert_eq!(idle.hostname, "127.0.1.22");
    assert_eq!(idle.address, Some("127.0.1.22:5051".parse().unwrap()));
    assert_eq!(idle.attributes["rack"], "r2");
    let amounts = |of: &Resources| [of.cpus, of.mem_mib];
    assert_eq!(amounts(&idle.total), [1.0, 512.0]);
    assert_eq!(amounts(&idle.allocated), [0.0, 0.0]);
    assert_eq!(
        (idle.total.disk_mib, &idle.total.ports[..]),
        (1000.0, &[(31000, 31100)][..])
    );

    let busy = agent("running-v1-GET_AGENTS", S1).await;
    assert!(busy.allocated.cpus > 0.0 && busy.allocated.mem_mib >= 64.0);
}

#[tokio::test]
async fn each_state_of_an_agent_is_told_apart() {
    let deactivated = agent("deactivated-v1-GET_AGENTS", S1).await;
    assert!(deactivated.deactivated && !deactivated.active);
    assert_eq!(deactivated.drain, None);

    let draining = agent("draining-v1-GET_AGENTS", S1).await;
    assert!(draining.deactivated);
    assert_eq!(draining.drain, Some(DrainState::Draining));

    let gone = agents("gone-v1-GET_AGENTS").await;
    assert!(gone.iter().all(|agent| agent.id != S0));
    let unreachable = agents("unreachable-v1-GET_AGENTS").await;
    assert!(unreachable.iter().all(|agent| agent.hostname != "127.0.1.22"));
    assert_eq!(unreachable.len(), 1);
    assert_eq!(agents("auth-ok-v1").await.len(), 1);
}

#[tokio::test]
async fn an_agent_counts_as_drained_only_when_it_says_so() {
    // The recording was made a moment too early.
    let late = recorded_body("drained3-v1-GET_AGENTS");
    for (said, expected) in [
        ("DRAINING", DrainState::Draining),
        ("DRAINED", DrainState::Drained),
        ("NEWER", DrainState::Unknown),
    ] {
        let body = late.replace(r#""DRAINING""#, &format!(r#""{said}""#));
        let net = Net::with(LEADER, [says("200 OK", &body)]).await;
        let agents = Master::new(net.access(LEADER, &[])).get_agents().await.unwrap();
        let agent = agents.into_iter().find(|agent| agent.id == S0).unwrap();
        assert_eq!(agent.drain, Some(expected));
    }
}

#[tokio::test]
async fn a_framework_that_has_ended_is_not_registered() {
    let name = "v1-GET_FRAMEWORKS";
    let all = ask(name, async |master| master.get_frameworks().await).await.unwrap();
    assert!(recorded_body(name).contains("completed_frameworks"));
    assert!(all.is_empty(), "{all:?}");
}

#[tokio::test]
async fn a_registered_framework_is_read_with_who_it_is() {
    let body = r#"{"type":"GET_FRAMEWORKS","get_frameworks":{"frameworks":[{
        "framework_info":{"id":{"value":"f-1"},"name":"marathon","principal":"marathon",
        "hostname":"control-1","webui_url":"http://control-1:8080","new":{}},
        "active":true,"connected":true}]}}"#;
    let net = Net::with(LEADER, [says("200 OK", body)]).await;
    let all = Master::new(net.access(LEADER, &[])).get_frameworks().await.unwrap();
    let [marathon] = &all[..] else { panic!("{all:?}") };
    assert!(marathon.active && marathon.connected);
    assert_eq!(marathon.name, "marathon");
    assert_eq!(marathon.hostname.as_deref(), Some("control-1"));
    assert_eq!(marathon.webui_url.as_deref(), Some("http://control-1:8080"));
}

#[tokio::test]
async fn a_members_own_metrics_are_read() {
    let name = "metrics-snapshot";
    let metrics = ask(name, async |master| master.metrics().await).await.unwrap();
    assert!((metrics["master/elected"] - 1.0).abs() < 1e-9);
    assert!((metrics["registrar/log/recovered"] - 1.0).abs() < 1e-9);
}

#[tokio::test]
async fn a_follower_sends_questions_to_the_leader() {
    let mut net = Net::with(FOLLOWER, [recorded("v1-nonleader-GET_AGENTS")]).await;
    net.serve(LEADER, [recorded("v1-GET_AGENTS")]).await;
    let master = Master::new(net.access(FOLLOWER, &[LEADER]));
    assert_eq!(master.get_agents().await.unwrap().len(), 2);
    let seen = net.only(LEADER);
    assert_eq!(seen.asked, "POST /master/api/v1");
    assert_eq!(seen.body, net.only(FOLLOWER).body);
}

/// A piece of a file, or its size, as an agent answers.
fn piece(offset: u64, data: &str) -> Act {
    says("200 OK", &serde_json::json!({"data": data, "offset": offset}).to_string())
}

async fn run_on(net: &Net) -> (Agent, TaskRun) {
    let agent = Agent::new(net.access(AGENT, &[]));
    let run = agent.run_of("t2").await.unwrap().unwrap();
    (agent, run)
}

#[tokio::test]
async fn an_agent_names_the_container_and_the_folder_of_a_task() {
    let net = Net::with(AGENT, [recorded("running-agent-state")]).await;
    let (_, run) = run_on(&net).await;
    assert_eq!(net.only(AGENT).asked, "GET /state");
    assert_eq!(run.container, "e824e985-783a-461c-9013-1fd682459ecc");
    assert!(run.directory.ends_with(&format!("/executors/t2/runs/{}", run.container)));
    let net = Net::with(AGENT, [recorded("running-agent-state")]).await;
    let agent = Agent::new(net.access(AGENT, &[]));
    assert_eq!(agent.run_of("t3").await.unwrap(), None);
}

#[tokio::test]
async fn an_agent_names_the_process_of_a_task_unless_docker_runs_it() {
    let process = async |name, container: &str| {
        let net = Net::with(AGENT, [recorded(name)]).await;
        let agent = Agent::new(net.access(AGENT, &[]));
        let run = TaskRun { container: container.to_owned(), directory: "/w".to_owned() };
        let process = agent.process_of(&run).await.unwrap();
        assert_eq!(net.only(AGENT).asked, "GET /containers");
        process
    };
    let own = "e824e985-783a-461c-9013-1fd682459ecc";
    assert_eq!(process("running-agent-containers", own).await, Some(19330));
    let docker = "f68f9cc4-b26d-4cce-bb04-901e75356a09";
    assert_eq!(process("docker-agent-containers", docker).await, None);
}

/// What a reader finds when a file is first 9, then 11, then 2 bytes long.
#[tokio::test]
async fn a_file_is_read_from_its_last_lines_on_also_when_it_is_emptied_meanwhile() {
    let script = [
        recorded("running-agent-state"),
        piece(9, ""),
        piece(0, "a\nbb\nccc\n"),
        piece(5, "ccc\n"),
        piece(9, ""),
        piece(11, ""),
        piece(9, "d\n"),
        piece(2, ""),
        piece(0, "e\n"),
        says("404 Not Found", ""),
    ];
    let net = Net::with(AGENT, script).await;
    let (agent, run) = run_on(&net).await;
    let mut reader = Reader::new(agent, &run, "stdout", Begin::Last(1));
    let bytes = |text: &str| Found::Bytes(text.into());
    for found in [
        bytes("ccc\n"),
        Found::Nothing,
        bytes("d\n"),
        Found::Shorter,
        bytes("e\n"),
        Found::NoFile,
    ] {
        assert_eq!(reader.next().await.unwrap(), found);
    }
    let asked: Vec<String> = net.seen(AGENT).into_iter().map(|seen| seen.asked).collect();
    let path = format!("GET /files/read?path={}/stdout", run.directory);
    let places = [
        "offset=-1",
        "offset=0&length=9",
        "offset=5&length=65536",
        "offset=-1",
        "offset=-1",
        "offset=9&length=65536",
        "offset=-1",
        "offset=0&length=65536",
        "offset=-1",
    ];
    assert_eq!(asked[1..], places.map(|place| format!("{path}&{place}")));
}

#[tokio::test]
async fn a_file_that_grows_too_fast_is_read_on_near_its_end() {
    let size = 300 << 20;
    let script = [
        recorded("running-agent-state"),
        piece(0, ""),
        piece(size, ""),
        piece(size - (1 << 20), "x"),
    ];
    let net = Net::with(AGENT, script).await;
    let (agent, run) = run_on(&net).await;
    let mut reader = Reader::new(agent, &run, "stdout", Begin::Start);
    assert_eq!(reader.next().await.unwrap(), Found::Nothing);
    assert_eq!(reader.next().await.unwrap(), Found::LeftOut(size - (1 << 20)));
    assert_eq!(reader.next().await.unwrap(), Found::Bytes(b"x".to_vec()));
}
