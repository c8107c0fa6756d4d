//! The stand-in of Chronos as processes: what they refuse, and how they run jobs together, with a
//! real ZooKeeper and the stand-ins of Mesos.

#[cfg(test)]
mod cluster;

use cluster::{Process, SESSION, ZooKeeper, docker, folder, image, until};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use standins::zk::Session;
use std::path::Path;
use std::process::Command;

const CHRONOS: &str = env!("CARGO_BIN_EXE_chronos");
const MASTER: &str = "127.0.72.1";
const AGENT: &str = "127.0.72.2";
const MEMBERS: [&str; 2] = ["127.0.72.3", "127.0.72.4"];
const PORT: u16 = 4400;
/// Who may ask Chronos.
const LOGIN: (&str, &str) = ("operator", "pw");

fn refuses(arguments: &[&str], environment: &[(&str, &str)], text: &str) {
    let output = Command::new(CHRONOS)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("the program was built for this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(text), "{said}");
}

#[test]
fn wrong_flags_are_refused() {
    refuses(&[], &[], "--master is local");
    refuses(&["--master", "m:5050", "--schedule_horizon", "60"], &[], "schedule_horizon");
    let at = ["--master", "m:5050", "--zk_hosts", "nowhere"];
    refuses(&at, &[("CHRONOS_ZK_HOSTS", "a:1")], "--zk_hosts has a value");
}

#[test]
fn a_file_of_arguments_replaces_all_others_and_is_read_at_the_first_place_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("arguments");
    std::fs::write(&file, "--master m:5050\n--nope").unwrap();
    let word = format!("@{}", file.display());
    refuses(&[&word, "--http_port", "4400"], &[], "unknown option 'nope'");
    refuses(&["--master", "m:5050", &word], &[], "word 3 of the arguments");
}

#[test]
fn a_port_that_is_taken_and_a_zookeeper_that_is_away_end_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let driver = [("LIBPROCESS_IP", "127.0.0.1"), ("LIBPROCESS_PORT", port.as_str())];
    refuses(&["--master", "m:5050"], &driver, "LIBPROCESS_PORT");
    let at = ["--http_address", "127.0.0.1", "--http_port", "0", "--zk_timeout", "200"];
    let at = [&["--master", "m:5050", "--zk_hosts", "127.0.0.1:9"], &at[..]].concat();
    refuses(&at, &[], "cannot connect to ZooKeeper");
}

/// A cluster of a master, an agent and two Chronos.
struct Cluster {
    zookeeper: ZooKeeper,
    folder: tempfile::TempDir,
    _mesos: [Process; 2],
    members: Vec<Process>,
    client: Client,
}

impl Cluster {
    async fn start() -> Self {
        let zookeeper = ZooKeeper::start().await;
        let folder = folder();
        let mesos = [master(&zookeeper, folder.path()), agent(&zookeeper, folder.path())];
        std::fs::write(folder.path().join("secret"), "s3cret").expect("a file");
        let members = MEMBERS.map(|ip| chronos(&zookeeper, folder.path(), ip)).into();
        let client = Client::builder().no_proxy().build().expect("a client");
        Self { zookeeper, folder, _mesos: mesos, members, client }
    }

    fn request(&self, member: &str, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{member}:{PORT}{path}");
        self.client.request(method, url).basic_auth(LOGIN.0, Some(LOGIN.1))
    }

    async fn ask(&self, member: &str, method: Method, path: &str) -> Option<Response> {
        self.request(member, method, path).send().await.ok()
    }

    async fn get(&self, member: &str, path: &str) -> Option<Value> {
        let answer = self.ask(member, Method::GET, path).await?;
        answer.json().await.ok()
    }

    async fn put(&self, member: &str, kind: &str, job: &Value) -> (u16, String) {
        let asked = self.request(member, Method::POST, &format!("/v1/scheduler/{kind}"));
        let answer = asked.json(job).send().await.expect("a member answers");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// The one that leads, by the word of these members; none while they do not agree.
    async fn leader(&self, members: &[&str]) -> Option<String> {
        let mut leaders = Vec::new();
        for member in members {
            let said = self.get(member, "/v1/scheduler/leader").await?;
            leaders.push(said["leader"].as_str()?.strip_suffix(":4400")?.to_owned());
        }
        leaders.dedup();
        leaders.pop().filter(|_| leaders.is_empty())
    }

    /// Waits until a job has ended well so often.
    async fn has_run(&self, member: &str, name: &str, times: u64) {
        until(&format!("{name} to run"), async || {
            let path = format!("/v1/scheduler/job/{name}");
            let job = self.get(member, &path).await.unwrap_or_default();
            assert_eq!(job["errorCount"].as_u64().unwrap_or_default(), 0, "{job}");
            job["successCount"] == times
        })
        .await;
    }

    /// The lines that jobs have written.
    fn written(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("out"));
        text.unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

fn master(zookeeper: &ZooKeeper, folder: &Path) -> Process {
    let credentials = folder.join("credentials");
    let known = json!({"credentials": [{"principal": "chronos", "secret": "s3cret"}]});
    std::fs::write(&credentials, known.to_string()).expect("a file");
    let arguments = [
        format!("--zk=zk://{}/mesos", zookeeper.servers()),
        format!("--ip={MASTER}"),
        format!("--work_dir={}/master", folder.display()),
        format!("--credentials={}", credentials.display()),
        "--quorum=1".to_owned(),
        "--allocation_interval=200ms".to_owned(),
        "--authenticate_http_frameworks".to_owned(),
        "--http_framework_authenticators=basic".to_owned(),
    ];
    let program = env!("CARGO_BIN_EXE_mesos-master");
    Process::start(program, &folder.join("master.log"), &arguments, &[])
}

fn agent(zookeeper: &ZooKeeper, folder: &Path) -> Process {
    let arguments = [
        format!("--master=zk://{}/mesos", zookeeper.servers()),
        format!("--ip={AGENT}"),
        format!("--hostname={AGENT}"),
        format!("--work_dir={}/agent", folder.display()),
        "--containerizers=docker,mesos".to_owned(),
        "--resources=cpus:4;mem:4096;disk:4096".to_owned(),
    ];
    let program = env!("CARGO_BIN_EXE_mesos-agent");
    Process::start(program, &folder.join("agent.log"), &arguments, &[])
}

fn chronos(zookeeper: &ZooKeeper, folder: &Path, ip: &str) -> Process {
    let (servers, folder_shown) = (zookeeper.servers(), folder.display());
    let line = format!(
        "--master zk://{servers}/mesos --zk_hosts {servers} --zk_auth chronos:zkpw \
         --zk_timeout {} --hostname {ip} --http_address {ip} --http_port {PORT} \
         --mesos_authentication_principal chronos \
         --mesos_authentication_secret_file {folder_shown}/secret \
         --decline_offer_duration 200",
        SESSION.as_millis()
    );
    let file = folder.join(format!("{ip}.arguments"));
    std::fs::write(&file, line).expect("a file");
    let login = format!("{}:{}", LOGIN.0, LOGIN.1);
    let environment = [
        ("MESOSPHERE_HTTP_CREDENTIALS", login.as_str()),
        ("LIBPROCESS_IP", ip),
        ("LIBPROCESS_PORT", "9092"),
    ];
    let arguments = [format!("@{}", file.display())];
    Process::start(CHRONOS, &folder.join(format!("{ip}.log")), &arguments, &environment)
}

#[tokio::test]
async fn jobs_run_once_whoever_leads() {
    let mut cluster = Cluster::start().await;
    let mut found = None;
    until("one leader", async || {
        found = cluster.leader(&MEMBERS).await;
        found.is_some()
    })
    .await;
    let leader = found.expect("one leads");
    let standby =
        *MEMBERS.iter().find(|member| **member != leader).expect("there are two");
    asks_for_the_password(&cluster).await;
    leaves_its_state_open(&cluster).await;
    loses_what_a_refusal_says(&cluster, &leader, standby).await;
    runs_jobs_in_their_order(&cluster, standby).await;
    runs_a_container(&cluster, standby).await;
    goes_on_without_its_leader(&mut cluster, &leader, standby).await;
    gives_up_its_place(&mut cluster, standby).await;
}

async fn asks_for_the_password(cluster: &Cluster) {
    for member in MEMBERS {
        let url = format!("http://{member}:{PORT}/ping");
        let answer = cluster.client.get(url).send().await.expect("it answers");
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()["www-authenticate"], "basic realm=\"Mesosphere\"");
        let answer = cluster.ask(member, Method::GET, "/ping").await.expect("it answers");
        assert_eq!(answer.text().await.expect("a body").trim(), "pong");
    }
}

/// As the real one does, which gives the nodes above its values no access list: who sets it up
/// makes them beforehand.
async fn leaves_its_state_open(cluster: &Cluster) {
    let path = "/chronos/state/state";
    let stranger = Session::connect(&cluster.zookeeper.url("", "/"), SESSION).await;
    let stranger = stranger.expect("ZooKeeper serves");
    let candidates = stranger.client().list_children("/chronos/state/candidate").await;
    assert_eq!(candidates.expect("the election").len(), 2);
    until("the framework's id to be kept", async || {
        let kept = stranger.client().list_children(path).await.unwrap_or_default();
        kept.contains(&"frameworkId".to_owned())
    })
    .await;
    let value = format!("{path}/frameworkId");
    let set = stranger.client().set_data(&value, b"another", None).await;
    set.expect_err("its values are Chronos' own");
}

async fn loses_what_a_refusal_says(cluster: &Cluster, leader: &str, standby: &str) {
    let job = json!({"name": "x", "command": "true", "schedule": "daily"});
    let (status, body) = cluster.put(leader, "iso8601", &job).await;
    let said: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &said["status"]), (400, &json!("Bad Request")));
    let message = said["message"].as_str().expect("a reason");
    assert!(message.starts_with("Cannot parse schedule 'daily'"), "{message}");
    assert_eq!(cluster.put(standby, "iso8601", &job).await, (400, String::new()));
    let missing = "/v1/scheduler/job/x";
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let answer = cluster.ask(leader, method, missing).await.expect("it answers");
        assert_eq!(answer.status(), 400);
    }
    let unknown = cluster.ask(leader, Method::GET, "/v2/info").await.expect("it answers");
    assert_eq!(unknown.status(), 404);
}

/// A job that writes a line, and waits for a file where it is told to.
fn job(cluster: &Cluster, name: &str, more: &str) -> Value {
    let folder = cluster.folder.path().display();
    let command = format!("echo $CHRONOS_JOB_NAME >>{folder}/out; {more}");
    json!({"name": name, "command": command, "mem": 32, "disk": 1})
}

fn timed(mut job: Value, field: &str, value: Value) -> Value {
    job[field] = value;
    job
}

async fn runs_jobs_in_their_order(cluster: &Cluster, member: &str) {
    let never = json!("R/2100-01-01T00:00:00Z/P1D");
    let parent = timed(job(cluster, "parent", "true"), "schedule", never);
    let child = timed(job(cluster, "child", "true"), "parents", json!(["parent"]));
    assert_eq!(cluster.put(member, "iso8601", &parent).await.0, 204);
    assert_eq!(cluster.put(member, "dependency", &child).await.0, 204);
    until("the child to show", async || {
        let child = cluster.get(member, "/v1/scheduler/job/child").await;
        child.is_some_and(|child| child["name"] == "child")
    })
    .await;
    let path = "/v1/scheduler/job/parent";
    let run = cluster.ask(member, Method::PUT, path).await.expect("it answers");
    assert_eq!(run.status(), 204);
    cluster.has_run(member, "child", 1).await;
    assert_eq!(cluster.written(), ["parent", "child"]);
    let summary = cluster.get(member, "/v1/scheduler/jobs/summary").await;
    let summary = summary.expect("a summary");
    assert_eq!(
        summary["jobs"][0],
        json!({
        "name": "child", "status": "success", "state": "idle", "schedule": "",
        "parents": ["parent"], "disabled": false})
    );
    let stat =
        cluster.get(member, "/v1/scheduler/job/stat/child").await.expect("numbers");
    assert_eq!(stat["histogram"]["count"].as_f64(), Some(1.0));
}

async fn runs_a_container(cluster: &Cluster, member: &str) {
    let folder = cluster.folder.path().display().to_string();
    let volume = json!({"hostPath": folder, "containerPath": folder, "mode": "RW"});
    let container =
        json!({"type": "DOCKER", "image": image("base"), "volumes": [volume]});
    let boxed =
        timed(job(cluster, "boxed", "test -e /.dockerenv"), "container", container);
    let boxed = timed(boxed, "schedule", json!("R1//PT1H"));
    assert_eq!(cluster.put(member, "iso8601", &boxed).await.0, 204);
    cluster.has_run(member, "boxed", 1).await;
    assert_eq!(cluster.written().last().map(String::as_str), Some("boxed"));
    let shown = cluster.get(member, "/v1/scheduler/job/boxed").await.expect("the job");
    assert_eq!(shown["disabled"], true, "its one run is used up: {shown}");
    let left = format!("volume={folder}");
    let left = ["ps", "--all", "--quiet", "--filter", &left];
    // An agent would remove it after a while, and this one will not be there then.
    for container in docker(&left).lines() {
        docker(&["rm", "--force", container]);
    }
}

async fn goes_on_without_its_leader(cluster: &mut Cluster, leader: &str, other: &str) {
    let go = cluster.folder.path().join("go");
    // Whatever becomes of this test, the job ends with its folder.
    let folder = cluster.folder.path().display();
    let waits =
        format!("while test -d {folder} && ! test -e {folder}/go; do sleep 0.1; done");
    let long = timed(job(cluster, "long", &waits), "schedule", json!("R1//PT1H"));
    let next = timed(job(cluster, "next", "true"), "parents", json!(["long"]));
    assert_eq!(cluster.put(leader, "iso8601", &long).await.0, 204);
    assert_eq!(cluster.put(leader, "dependency", &next).await.0, 204);
    until("the long job to run", async || {
        cluster.written().last().is_some_and(|line| line == "long")
    })
    .await;
    let index = MEMBERS.iter().position(|member| *member == leader).expect("it is known");
    cluster.members[index].kill_outright();
    until("the other to lead", async || {
        cluster.leader(&[other]).await.is_some_and(|leader| leader == other)
    })
    .await;
    std::fs::write(go, "").expect("a file");
    cluster.has_run(other, "next", 1).await;
    cluster.has_run(other, "long", 1).await;
    assert_eq!(cluster.written(), ["parent", "child", "boxed", "long", "next"]);
    let jobs = cluster.get(other, "/v1/scheduler/jobs").await.expect("jobs");
    assert_eq!(jobs.as_array().expect("a list").len(), 5);
}

/// Told to end, a member does not let the others wait for the end of its session.
async fn gives_up_its_place(cluster: &mut Cluster, member: &str) {
    let index = MEMBERS.iter().position(|it| *it == member).expect("it is known");
    let own = cluster.zookeeper.url("chronos:zkpw@", "/");
    let own = Session::connect(&own, SESSION).await.expect("ZooKeeper serves");
    let process = &mut cluster.members[index];
    assert_eq!(process.terminate().await, Some(143), "{}", process.log());
    let candidates = own.client().list_children("/chronos/state/candidate").await;
    assert_eq!(candidates.expect("the election"), [""; 0]);
}
