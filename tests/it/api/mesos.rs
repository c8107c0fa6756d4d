//! The client of Mesos parses answers of a real Mesos 1.11, and sends the same requests.

use std::time::Duration;

use platform::api::http::{ApiError, Reason};
use platform::api::mesos::{Agent, AgentInfo, DrainState, Draining, Master, Resources};

use super::net::{Act, Net, says};
use super::recordings::{recorded, recorded_body, recorded_request};

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
async fn the_leader_says_who_it_is() {
    let master = ask("v1-GET_MASTER", async |master| master.get_master().await).await;
    let master = master.unwrap();
    assert_eq!(master.address, Some(LEADER.parse().unwrap()));
    assert_eq!(
        (master.hostname.as_str(), master.version.as_str()),
        ("127.0.1.11", "1.11.0")
    );
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
    assert_eq!(idle.registered.unwrap().as_second(), 1_795_331_868);
    let (cpus, mem_mib, disk_mib) = (1.0, 512.0, 1000.0);
    let total = Resources { cpus, mem_mib, disk_mib, ports: vec![31000..=31100] };
    assert_eq!((idle.total, idle.allocated), (total, Resources::default()));

    let busy = agent("running-v1-GET_AGENTS", S1).await;
    assert!(busy.allocated.cpus > 0.0 && busy.allocated.mem_mib >= 64.0);
    assert_eq!(busy.allocated.ports, [31000..=31100]);
}

#[tokio::test]
async fn each_state_of_an_agent_is_told_apart() {
    let deactivated = agent("deactivated-v1-GET_AGENTS", S1).await;
    assert!(deactivated.deactivated && !deactivated.active);
    assert_eq!(deactivated.drain, None);

    let draining = agent("draining-v1-GET_AGENTS", S1).await;
    let drain = draining.drain.unwrap();
    assert!(draining.deactivated && !drain.mark_gone);
    assert_eq!(drain.state, DrainState::Draining);
    assert_eq!(drain.started.unwrap().as_second(), 1_795_332_596);

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
        assert_eq!(agent.drain.unwrap().state, expected);
    }
}

#[tokio::test]
async fn frameworks_and_tasks_are_read() {
    let name = "v1-GET_FRAMEWORKS";
    let all = ask(name, async |master| master.get_frameworks().await).await.unwrap();
    assert!(all.current.is_empty());
    let ended = &all.completed[0];
    assert_eq!(ended.name, "mesos-execute instance");
    assert!(ended.id.ends_with("-0000") && !ended.active && !ended.connected);

    let name = "running-v1-GET_TASKS";
    let tasks = ask(name, async |master| master.get_tasks().await).await.unwrap();
    assert_eq!((tasks.unreachable.len(), tasks.completed.len()), (0, 0));
    let [task] = &tasks.current[..] else { panic!("{tasks:?}") };
    assert_eq!((task.id.as_str(), task.agent_id.as_str()), ("t2", S1));
    assert_eq!(task.state, "TASK_RUNNING");
    assert!((task.resources.cpus - 0.9).abs() < 1e-9);
}

#[tokio::test]
async fn a_registered_framework_is_read_with_who_it_is() {
    let body = r#"{"type":"GET_FRAMEWORKS","get_frameworks":{"frameworks":[{
        "framework_info":{"id":{"value":"f-1"},"name":"marathon","principal":"marathon",
        "hostname":"control-1","webui_url":"http://control-1:8080","new":{}},
        "active":true,"connected":true}]}}"#;
    let net = Net::with(LEADER, [says("200 OK", body)]).await;
    let all = Master::new(net.access(LEADER, &[])).get_frameworks().await.unwrap();
    let [marathon] = &all.current[..] else { panic!("{all:?}") };
    assert!(marathon.active && marathon.connected);
    assert_eq!(marathon.principal.as_deref(), Some("marathon"));
    assert_eq!(marathon.hostname.as_deref(), Some("control-1"));
    assert_eq!(marathon.webui_url.as_deref(), Some("http://control-1:8080"));
}

#[tokio::test]
async fn a_members_own_words_are_read() {
    let name = "metrics-snapshot";
    let metrics = ask(name, async |master| master.metrics().await).await.unwrap();
    assert!((metrics["master/elected"] - 1.0).abs() < 1e-9);
    assert!((metrics["registrar/log/recovered"] - 1.0).abs() < 1e-9);
    let flags = ask("flags", async |master| master.flags().await).await.unwrap();
    assert_eq!(flags["quorum"], "2");
    let version = ask("version", async |master| master.version().await).await.unwrap();
    assert_eq!(version.version, "1.11.0");
    ask("health-leader", async |master| master.health().await).await.unwrap();
}

#[tokio::test]
async fn a_follower_names_the_leader_and_sends_questions_there() {
    let name = "master-redirect-nonleader";
    let net = Net::with(FOLLOWER, [recorded(name)]).await;
    let leader = Master::new(net.access(FOLLOWER, &[LEADER])).leader().await.unwrap();
    assert_eq!(leader, Some(LEADER.parse().unwrap()));
    assert_eq!(net.only(FOLLOWER).asked, recorded_request(name).0);

    let mut net = Net::with(FOLLOWER, [recorded("v1-nonleader-GET_AGENTS")]).await;
    net.serve(LEADER, [recorded("v1-GET_AGENTS")]).await;
    let master = Master::new(net.access(FOLLOWER, &[LEADER]));
    assert_eq!(master.get_agents().await.unwrap().len(), 2);
    let seen = net.only(LEADER);
    assert_eq!(seen.asked, "POST /master/api/v1");
    assert_eq!(seen.body, net.only(FOLLOWER).body);
}

#[tokio::test]
async fn a_leader_that_is_a_stranger_or_unknown_is_not_named() {
    let net = Net::with(FOLLOWER, [recorded("noquorum-redirect")]).await;
    let error = Master::new(net.access(FOLLOWER, &[])).leader().await.unwrap_err();
    assert!(matches!(error.reason, Reason::OtherService(_)), "{error:?}");
    let none = || says("503 Service Unavailable", "No leader elected");
    let net = Net::with(FOLLOWER, [none(), none(), none()]).await;
    let leader = Master::new(net.access(FOLLOWER, &[])).leader().await.unwrap();
    assert_eq!(leader, None);
}

#[tokio::test]
async fn orders_for_agents_are_given_as_mesos_reads_them() {
    ask("DEACTIVATE_AGENT", async |master| master.deactivate_agent(S1).await)
        .await
        .unwrap();
    ask("REACTIVATE_AGENT", async |master| master.reactivate_agent(S1).await)
        .await
        .unwrap();
    ask("MARK_AGENT_GONE", async |master| master.mark_agent_gone(S1).await)
        .await
        .unwrap();
    // Rounds half a second up: a shorter time than requested would kill tasks too early.
    let max_grace = Some(Duration::from_millis(5500));
    let stay = Draining { max_grace, mark_gone: false };
    ask("drain2-DRAIN_AGENT", async |master| master.drain_agent(S1, stay).await)
        .await
        .unwrap();
    let gone = Draining { max_grace, mark_gone: true };
    ask("drain4-DRAIN_AGENT-mark_gone", async |master| {
        master.drain_agent(S0, gone).await
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn refusals_of_orders_are_told_apart() {
    let (nosuch, plain) = ("nosuch", Draining::default());
    let error = ask("MARK_AGENT_GONE-unknown", async |master| {
        master.mark_agent_gone(nosuch).await
    });
    let error = error.await.unwrap_err();
    assert!(matches!(&error.reason, Reason::NotFound(said) if said.contains(nosuch)));
    let error = ask("err-drain-unknown-agent", async |master| {
        master.drain_agent(nosuch, plain).await
    });
    let error = error.await.unwrap_err();
    assert!(error.to_string().contains("answered 400: Unknown agent"), "{error}");
    let error =
        ask("err-reactivate-active", async |master| master.reactivate_agent(S1).await);
    let error = error.await.unwrap_err();
    assert!(error.to_string().contains("Agent is not deactivated"), "{error}");
    let watched = "3594596d-43a0-46ca-8e81-77a7e0ec2b93-S0";
    let error =
        ask("auth-403-ro-drain", async |master| master.drain_agent(watched, plain).await);
    let error = error.await.unwrap_err();
    assert!(matches!(error.reason, Reason::Forbidden { .. }), "{error:?}");
}

#[tokio::test]
async fn only_orders_that_change_nothing_twice_are_given_twice() {
    let net = Net::with(LEADER, [Act::Drops, recorded("DEACTIVATE_AGENT")]).await;
    Master::new(net.access(LEADER, &[])).deactivate_agent(S1).await.unwrap();
    assert_eq!(net.seen(LEADER).len(), 2);
    let net = Net::with(LEADER, [Act::Drops, recorded("REACTIVATE_AGENT")]).await;
    let error =
        Master::new(net.access(LEADER, &[])).reactivate_agent(S1).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Broken(_)), "{error:?}");
    assert_eq!(net.seen(LEADER).len(), 1);
}

#[tokio::test]
async fn a_door_counts_as_guarded_only_when_it_refuses_one_without_a_password() {
    let net =
        Net::with(LEADER, [recorded("auth-401-v1"), recorded("v1-GET_AGENTS")]).await;
    let master = Master::new(net.access(LEADER, &[]));
    assert!(master.is_guarded().await.unwrap());
    assert!(!master.is_guarded().await.unwrap());
    let seen = net.seen(LEADER);
    assert_eq!(
        (seen[0].asked.clone(), seen[0].body.clone()),
        recorded_request("auth-401-v1")
    );
    assert!(seen.iter().all(|seen| !seen.headers.contains_key("authorization")));

    let net = Net::with(AGENT, [recorded("auth-agent-401")]).await;
    assert!(Agent::new(net.access(AGENT, &[])).is_guarded().await.unwrap());
    assert_eq!(net.only(AGENT).asked, recorded_request("auth-agent-401").0);
}

#[tokio::test]
async fn an_agent_tells_its_master_flags_and_tasks() {
    let names = ["agent-health", "agent-flags", "running-agent-state"];
    let net = Net::with(AGENT, names.map(recorded)).await;
    let agent = Agent::new(net.access(AGENT, &[]));
    agent.health().await.unwrap();
    assert_eq!(agent.flags().await.unwrap()["port"], "5051");
    let state = agent.state().await.unwrap();
    assert_eq!((state.id.as_str(), state.hostname.as_str()), (S1, "127.0.1.21"));
    assert_eq!(state.master_hostname.as_deref(), Some("127.0.1.13"));
    assert_eq!(state.flags["containerizers"], "docker,mesos");
    let [task] = &state.tasks[..] else { panic!("{state:?}") };
    assert_eq!((task.id.as_str(), task.state.as_str()), ("t2", "TASK_RUNNING"));
    let asked: Vec<String> = net.seen(AGENT).into_iter().map(|seen| seen.asked).collect();
    assert_eq!(asked, names.map(|name| recorded_request(name).0));
}
