//! What happened to the real clusters while they were recorded, done to stand-ins.

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::framework::{Framework, task};
use crate::cluster::{ZooKeeper, image, until};
use crate::processes::Container;

/// The recorded ids of the agents, by host.
const MAIN_IDS: [(u8, &str); 2] = [
    (22, "74dd9245-bb92-4e38-9208-cf9b6a9ce41d-S0"),
    (21, "74dd9245-bb92-4e38-9208-cf9b6a9ce41d-S1"),
];

/// What `mesos-execute` says that it can.
const EXECUTE: [&str; 4] = [
    "RESERVATION_REFINEMENT",
    "TASK_KILLING_STATE",
    "REVOCABLE_RESOURCES",
    "PARTITION_AWARE",
];

/// What the recorded frameworks of several roles said that they can.
const MULTI_ROLE: [&str; 3] =
    ["MULTI_ROLE", "RESERVATION_REFINEMENT", "TASK_KILLING_STATE"];

type Found = Vec<(String, Vec<String>)>;

/// Three masters, two agents: tasks, drains, maintenance, and agents marked gone.
pub(crate) async fn main(zookeeper: &ZooKeeper) -> Found {
    let zk = format!("zk://{}/mesos", zookeeper.servers());
    let mut cluster = Cluster::start("127.0.82.", zk, &[11, 13, 12]).await;
    let small = "--resources=cpus:1;mem:512;disk:1000;ports:[31000-31100]";
    let posix = ["--no-systemd_enable_support", "--launcher=posix"];
    cluster.add_agent(22, &[&posix[..], &["--attributes=rack:r2", small]].concat());
    cluster.until_active(11, 22).await;
    cluster.add_agent(21, &["--containerizers=docker,mesos", "--no-docker_kill_orphans"]);
    for (host, recorded) in MAIN_IDS {
        let id = cluster.until_active(11, host).await;
        cluster.replayer.name(recorded, &id);
    }
    idle(&mut cluster).await;
    failover(&mut cluster).await;
    running(&mut cluster).await;
    refusals(&mut cluster).await;
    draining(&mut cluster).await;
    drained_and_gone(&mut cluster).await;
    docker(&mut cluster).await;
    maintenance(&mut cluster).await;
    cluster.replayer.found
}

/// One task has run and ended.
async fn idle(cluster: &mut Cluster) {
    let leader = format!("{}:5050", cluster.replayer.ip(11));
    let agent = cluster.until_active(11, 22).await;
    let mut framework =
        Framework::subscribe(&leader, "mesos-execute instance", &EXECUTE).await;
    framework.launch(&agent, task("t1", 0.1, 32.0, "sleep 0.1")).await;
    framework.leave_unacknowledged("TASK_FINISHED").await;
    drop(framework);
    cluster.until_over(11).await;
    cluster
        .replay_all(
            "master-state master-slaves slaves master-health metrics-snapshot \
             master-redirect-leader master-redirect-nonleader state-summary version \
             flags master-state-nonleader slaves-nonleader health-nonleader \
             health-leader metrics-nonleader flags-nonleader agent-state agent-health \
             agent-containers agent-flags agent-metrics agent-version \
             agent-slave1-state maintenance-schedule maintenance-status \
             maintenance-schedule-nonleader roles quota weights frameworks tasks \
             master-state-unknown-path",
        )
        .await;
    idle_v1(cluster).await;
}

async fn idle_v1(cluster: &mut Cluster) {
    cluster
        .replay_all(
            "v1-GET_HEALTH v1-GET_VERSION v1-GET_FLAGS v1-GET_METRICS v1-GET_MASTER \
             v1-GET_AGENTS v1-GET_STATE v1-GET_MAINTENANCE_SCHEDULE \
             v1-GET_MAINTENANCE_STATUS v1-GET_LEADING_MASTER v1-GET_ROLES \
             v1-GET_QUOTA v1-GET_FRAMEWORKS v1-GET_TASKS v1-nonleader-GET_AGENTS \
             v1-nonleader-GET_HEALTH v1-nonleader-GET_MASTER v1-GET_METRICS-timeout \
             agent-v1-GET_HEALTH agent-v1-GET_VERSION agent-v1-GET_STATE \
             agent-v1-GET_CONTAINERS agent-v1-GET_AGENT agent-v1-GET_FLAGS \
             agent-v1-GET_TASKS agent-v1-GET_EXECUTORS \
             agent-v1-GET_RESOURCE_PROVIDERS",
        )
        .await;
}

/// The leader dies, and comes back as a follower.
async fn failover(cluster: &mut Cluster) {
    cluster.master(11).kill_outright();
    cluster.replay(&["failover-state-during", "failover-redirect-during"]).await;
    cluster.until_redirected(12, 13).await;
    for host in [22, 21] {
        cluster.until_active(13, host).await;
    }
    let after = ["failover-slaves-after", "failover-state-summary-after"];
    cluster.replay(&after).await;
    cluster.replay(&["failover-v1-GET_MASTER-after"]).await;
    cluster.master(11).start_again();
    cluster.until_redirected(11, 13).await;
    cluster.replay(&["master-redirect-restarted"]).await;
}

/// A task runs, and its agent is drained; the framework leaves before it hears of the end.
async fn running(cluster: &mut Cluster) {
    let leader = format!("{}:5050", cluster.replayer.ip(13));
    let agent = cluster.until_active(13, 21).await;
    let mut framework =
        Framework::subscribe(&leader, "mesos-execute instance", &EXECUTE).await;
    let mut t2 = task("t2", 0.9, 64.0, "sleep 1000");
    let ports = json!({"name": "ports", "type": "RANGES",
        "ranges": {"range": [{"begin": 31000, "end": 31100}]}});
    t2["resources"].as_array_mut().unwrap().push(ports);
    framework.launch(&agent, t2).await;
    cluster
        .replay_all(
            "running-master-slaves running-master-state running-agent-state \
             running-agent-containers running-agent-monitor-statistics \
             running-state-summary running-v1-GET_AGENTS running-v1-GET_TASKS \
             drain-DRAIN_AGENT",
        )
        .await;
    framework.leave_unacknowledged("TASK_KILLED").await;
    drop(framework);
    cluster.until_over(13).await;
    let hangs = ["drain-REACTIVATE_AGENT-while-draining", "reactivated-slaves"];
    cluster.replay(&hangs).await;
    release(cluster).await;
}

/// Ends a drain as operators do: what hangs is drained once more.
async fn release(cluster: &mut Cluster) {
    let id = cluster.shown(13, 21).await["id"].clone();
    let agent = json!({"agent_id": {"value": id}});
    let drain = json!({"type": "DRAIN_AGENT", "drain_agent": agent});
    cluster.replayer.call(13, &drain).await;
    cluster.until_drained(13, 21).await;
    let back = json!({"type": "REACTIVATE_AGENT", "reactivate_agent": agent});
    cluster.replayer.call(13, &back).await;
}

/// What is refused, and what is done to an idle agent.
async fn refusals(cluster: &mut Cluster) {
    cluster
        .replay_all(
            "err-drain-unknown-agent err-reactivate-active DEACTIVATE_AGENT \
             deactivated-slaves deactivated-v1-GET_AGENTS DEACTIVATE_AGENT-again \
             REACTIVATE_AGENT err-deactivate-unknown err-bad-type err-not-json \
             err-content-type err-get err-drain-both-missing",
        )
        .await;
}

/// A task that is deaf to SIGTERM, and has some seconds to end.
fn deaf(id: &str, seconds: u64) -> Value {
    let mut deaf = task(id, 0.1, 64.0, "trap '' TERM; while :; do sleep 1; done");
    let nanoseconds = seconds * 1_000_000_000;
    deaf["kill_policy"] = json!({"grace_period": {"nanoseconds": nanoseconds}});
    deaf
}

/// A drain that takes long, and hangs when its framework leaves.
async fn draining(cluster: &mut Cluster) {
    let leader = format!("{}:5050", cluster.replayer.ip(13));
    let agent = cluster.until_active(13, 21).await;
    let mut framework = Framework::subscribe(&leader, "grace", &MULTI_ROLE).await;
    framework.launch(&agent, deaf("grace-1", 5)).await;
    cluster.replay(&["drain2-DRAIN_AGENT"]).await;
    framework.reach("TASK_KILLING").await;
    cluster
        .replay_all(
            "draining-v1-GET_AGENTS draining-master-slaves draining-master-state \
             draining-state-summary draining-agent-state draining-agent-v1-GET_STATE",
        )
        .await;
    drop(framework);
    cluster.until_over(13).await;
    cluster.replay(&["drain-stuck-slaves", "drain-stuck-REDRAIN"]).await;
    cluster.until_drained(13, 21).await;
    let after = ["drain-stuck-after-redrain-slaves", "drained-REACTIVATE"];
    cluster.replay(&after).await;
}

/// The other agent is drained, comes back, and is drained for good.
async fn drained_and_gone(cluster: &mut Cluster) {
    let leader = format!("{}:5050", cluster.replayer.ip(13));
    cluster.agent(22).kill_outright();
    cluster.until_inactive(13, 22).await;
    cluster.agent(22).start_again();
    let agent = cluster.until_active(13, 22).await;
    let mut framework = Framework::subscribe(&leader, "grace", &MULTI_ROLE).await;
    framework.launch(&agent, deaf("grace-2", 3)).await;
    cluster.replay(&["drain3-DRAIN_AGENT"]).await;
    framework.reach("TASK_KILLING").await;
    let names =
        ["drained3-master-slaves", "drained3-v1-GET_AGENTS", "drained3-agent-state"];
    cluster.replay(&names).await;
    framework.reach("TASK_KILLED").await;
    cluster.until_drained(13, 22).await;
    cluster.replay(&["react-S0"]).await;
    drop(framework);
    cluster.until_over(13).await;

    cluster.until_active(13, 22).await;
    let mut framework =
        Framework::subscribe(&leader, "mesos-execute instance", &EXECUTE).await;
    framework.launch(&agent, task("gone-1", 0.1, 32.0, "sleep 1000")).await;
    cluster.replay(&["drain4-DRAIN_AGENT-mark_gone"]).await;
    framework.reach("TASK_GONE_BY_OPERATOR").await;
    until("the agent to be gone", async || cluster.shown(13, 22).await.is_null()).await;
    drop(framework);
    cluster.until_over(13).await;
    cluster.agent(21).kill_outright();
    cluster.until_inactive(13, 21).await;
    let names = ["gone-master-slaves", "gone-v1-GET_AGENTS", "gone-master-state"];
    cluster.replay(&names).await;
    cluster.agent(21).start_again();
}

/// A task in Docker, whose agent is drained and comes back.
async fn docker(cluster: &mut Cluster) {
    let leader = format!("{}:5050", cluster.replayer.ip(13));
    let agent = cluster.until_active(13, 21).await;
    let mut framework =
        Framework::subscribe(&leader, "mesos-execute instance", &EXECUTE).await;
    let mut dock = task("dock-1", 0.1, 64.0, "exec sleep 1000");
    dock["container"] = json!({"type": "DOCKER", "docker": {"image": image("base")}});
    framework.launch(&agent, dock).await;
    let containers = cluster.agent(21).get("/containers").await;
    let id = containers[0]["container_id"].as_str().unwrap();
    let _container = Container(format!("mesos-{id}"));
    cluster.replay(&["docker-agent-containers", "docker-DRAIN_AGENT"]).await;
    framework.reach("TASK_KILLED").await;
    cluster.until_drained(13, 21).await;
    cluster.replay(&["docker-REACTIVATE"]).await;
}

/// The machine of an agent is scheduled for maintenance, taken down and brought up; then the
/// agent is marked gone.
async fn maintenance(cluster: &mut Cluster) {
    let leader = format!("{}:5050", cluster.replayer.ip(13));
    let agent = cluster.until_active(13, 21).await;
    let mut framework =
        Framework::subscribe(&leader, "mesos-execute instance", &EXECUTE).await;
    framework.launch(&agent, task("maint-1", 0.1, 32.0, "sleep 1000")).await;
    cluster
        .replay_all(
            "maint-down-unscheduled maint-schedule-POST maint-schedule-GET \
             maint-status-GET maint-v1-GET_MAINTENANCE_SCHEDULE \
             maint-v1-GET_MAINTENANCE_STATUS maint-err-drain-scheduled \
             maint-slaves-scheduled maint-machine-down maint-status-down \
             maint-slaves-down maint-v1-GET_MAINTENANCE_STATUS-down \
             maint-schedule-clear-while-down maint-machine-up maint-schedule-after-up \
             maint-status-after-up maint-err-up-again maint-err-bad-schedule \
             maint-err-dup",
        )
        .await;
    cluster.agent(21).ended().await;
    cluster.agent(21).start_again();
    let id = cluster.until_active(13, 21).await;
    cluster.replayer.name(MAIN_IDS[1].1, &id);
    let gone = ["MARK_AGENT_GONE", "MARK_AGENT_GONE-again", "MARK_AGENT_GONE-unknown"];
    cluster.replay(&gone).await;
    cluster.replay(&["gone2-slaves"]).await;
}

/// Three masters: what two changes of the leader make of a drained agent and of dead ones.
pub(crate) async fn late(zookeeper: &ZooKeeper) -> Found {
    let zk = format!("zk://{}/late", zookeeper.servers());
    let mut cluster = Cluster::start("127.0.83.", zk, &[11, 12, 13]).await;
    // One that is dead before the first change, and never comes back.
    cluster.add_agent(23, &[]);
    cluster.until_active(11, 23).await;
    cluster.agent(23).kill_outright();
    cluster.add_agent(21, &[]);
    cluster.add_agent(22, &["--attributes=rack:r2"]);
    cluster.until_active(11, 22).await;
    let id = cluster.until_active(11, 21).await;
    let agent = json!({"agent_id": {"value": id}, "max_grace_period": {"seconds": 5}});
    let drain = json!({"type": "DRAIN_AGENT", "drain_agent": agent});
    cluster.replayer.call(11, &drain).await;
    cluster.until_drained(11, 21).await;
    cluster.master(11).kill_outright();
    cluster.until_redirected(13, 12).await;
    cluster.until_active(12, 22).await;
    cluster.until_drained(12, 21).await;
    cluster.replay(&["drained-after-failover-slaves"]).await;

    cluster.master(11).start_again();
    cluster.until_redirected(11, 12).await;
    for host in [21, 22] {
        cluster.agent(host).kill_outright();
    }
    cluster.until_inactive(12, 22).await;
    cluster.replay(&["agent-killed-slaves"]).await;

    cluster.master(12).kill_outright();
    cluster.until_redirected(11, 13).await;
    cluster.agents.retain(|(host, _)| *host != 21);
    cluster.add_agent(21, &[]);
    cluster.until_active(13, 21).await;
    let names = ["unreachable-slaves", "unreachable-v1-GET_AGENTS", "unreachable-state"];
    cluster.replay(&names).await;
    cluster.replayer.found
}

/// A master that is elected and finds no quorum.
pub(crate) async fn alone(zookeeper: &ZooKeeper) -> Found {
    let mut cluster =
        Cluster::start("127.0.84.", format!("zk://{}/alone", zookeeper.servers()), &[11])
            .await;
    cluster
        .replay_all(
            "noquorum-state noquorum-health noquorum-redirect noquorum-slaves \
             noquorum-metrics noquorum-version noquorum-flags noquorum-v1-GET_HEALTH \
             noquorum-v1-GET_MASTER",
        )
        .await;
    cluster.replayer.found
}

/// Everything asks for a principal, and access lists say who may what.
pub(crate) async fn closed(zookeeper: &ZooKeeper) -> Found {
    let mut cluster =
        Cluster::start("127.0.85.", format!("zk://{}/closed", zookeeper.servers()), &[])
            .await;
    let credentials = json!({"credentials": [
        {"principal": "admin", "secret": "adminpw"},
        {"principal": "ro", "secret": "ropw"},
        {"principal": "agent", "secret": "agentpw"},
    ]});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials.json");
    std::fs::write(&path, credentials.to_string()).unwrap();
    cluster.add_master(
        11,
        &[
            "--quorum=1",
            &format!("--credentials={}", path.display()),
            &format!("--acls={}", acls()),
            "--authenticate_agents",
            "--authenticate_frameworks",
            "--authenticate_http_frameworks",
            "--authenticate_http_readonly",
            "--authenticate_http_readwrite",
            "--http_framework_authenticators=basic",
        ],
    );
    cluster.until_redirected(11, 11).await;
    cluster.add_agent(
        21,
        &[
            r#"--credential={"principal":"agent","secret":"agentpw"}"#,
            &format!("--http_credentials={credentials}"),
            "--authenticate_http_readonly",
            "--authenticate_http_readwrite",
        ],
    );
    closed_questions(&mut cluster).await;
    cluster.replayer.found
}

async fn closed_questions(cluster: &mut Cluster) {
    let id = cluster.until_active(11, 21).await;
    cluster.replayer.name("3594596d-43a0-46ca-8e81-77a7e0ec2b93-S0", &id);
    cluster
        .replay_all(
            "auth-401-state auth-401-v1 auth-ok-v1 auth-403-ro-drain auth-403-ro-gone \
             auth-403-ro-flags auth-ro-maintenance auth-admin-drain auth-admin-react \
             auth-agent-401 auth-agent-v1",
        )
        .await;
}

/// Only `admin` may drain and mark gone.
fn acls() -> Value {
    let admin_alone = json!([
        {"principals": {"values": ["admin"]}, "agents": {"type": "ANY"}},
        {"principals": {"type": "ANY"}, "agents": {"type": "NONE"}},
    ]);
    json!({"drain_agents": admin_alone, "mark_agents_gone": admin_alone})
}
