//! The whole balancer with a real HAProxy, real servers and a replay of Marathon.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use platform_balancer::servers_state::{self, SlotState};
use serde_json::{Value, json};

use crate::replay::{List, Marathon};
use crate::support::{
    Answer, Edge, HTTP, PATIENCE, Running, ask, ask_by, next_ip, until,
};

/// A task that really listens and answers with its own name.
struct Server {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(address: SocketAddr, name: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let (name, over) = (name.to_owned(), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, name) = (stream.unwrap(), name.clone());
                thread::spawn(move || reply(stream, &name));
            }
        });
        Self { address, is_over, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

/// Answers one request; a mere connection, such as a check, gets nothing.
fn reply(mut stream: TcpStream, name: &str) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let n_lines = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).count();
    if n_lines > 0 {
        let length = name.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}");
        let _ = stream.write_all(head.as_bytes());
    }
}

/// Everything together. Fields are dropped in their order: first the balancer.
pub(crate) struct Platform {
    balancer: Running,
    haproxy: Option<Running>,
    pub(crate) marathon: Marathon,
    status: SocketAddr,
    edge: Edge,
}

impl Platform {
    pub(crate) fn start(apps: Value) -> Self {
        let marathon = Marathon::leading();
        marathon.lists(List::Apps(apps));
        let address = marathon.address;
        Self::with(Edge::new(), marathon, &[address])
    }

    fn with(edge: Edge, marathon: Marathon, known: &[SocketAddr]) -> Self {
        let haproxy = edge.start();
        let (balancer, status) = start_balancer(&edge, known);
        let platform = Self { balancer, haproxy: Some(haproxy), marathon, status, edge };
        until("the first configuration is loaded", || {
            platform.status()["last_good_seconds_ago"].as_f64()
        });
        platform
    }

    fn stop_haproxy(&mut self) {
        self.haproxy = None;
    }

    fn start_haproxy(&mut self) {
        self.haproxy = Some(self.edge.start());
    }

    /// Ends the balancer and starts it again.
    fn restart(&mut self) {
        (self.balancer, self.status) =
            start_balancer(&self.edge, &[self.marathon.address]);
    }

    fn status(&self) -> Value {
        let answer =
            until("the status", || ask(self.status, "localhost", "/status.json"));
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Commands that were sent to HAProxy, by the metrics, which are small.
    pub(crate) fn commands(&self) -> u64 {
        let answer = until("metrics", || ask(self.status, "localhost", "/metrics"));
        let line = answer
            .body
            .lines()
            .find_map(|line| line.strip_prefix("platform_balancer_commands_total "));
        line.unwrap().parse().unwrap()
    }

    pub(crate) fn balancer_pid(&self) -> u32 {
        self.balancer.pid()
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        self.status()["counts"][name].as_u64().unwrap()
    }

    /// Waits until so many more of these were counted.
    fn counts_more(&self, name: &str, more: u64) {
        let before = self.count(name);
        until(name, || (self.count(name) >= before + more).then_some(()));
    }

    fn get(&self, port: u16) -> Option<Answer> {
        ask(SocketAddr::from((self.edge.ip, port)), "any.example", "/")
    }

    fn answers(&self, port: u16, name: &str) {
        until(&format!("{name} answers at port {port}"), || {
            self.get(port).filter(|answer| answer.body == name)
        });
    }

    /// Whether a server has this state in HAProxy, and is going.
    fn server(&self, address: SocketAddr) -> Option<(String, bool)> {
        let status = self.status();
        let services = status["services"].as_array().unwrap();
        let mut servers =
            services.iter().flat_map(|service| service["servers"].as_array().unwrap());
        let server = servers.find(|server| server["address"] == address.to_string())?;
        let state = server["state"].as_str().unwrap().to_owned();
        Some((state, server["is_going"].as_bool().unwrap()))
    }

    fn becomes(&self, address: SocketAddr, state: &str, is_going: bool) {
        let wanted = Some((state.to_owned(), is_going));
        until(&format!("{address} is {state}"), || {
            (self.server(address) == wanted).then_some(())
        });
    }

    /// Why the only app that is not served is not served.
    fn reason_of(&self, app: &str) -> String {
        until(&format!("{app} is quarantined"), || {
            let status = self.status();
            let [one] = &status["quarantined"].as_array()?[..] else { return None };
            assert_eq!(one["app"], app);
            Some(one["reason"].as_str()?.to_owned())
        })
    }

    pub(crate) fn worker(&self) -> String {
        let info = self.runtime("show info");
        info.lines().find_map(|line| line.strip_prefix("Pid: ")).unwrap().to_owned()
    }

    pub(crate) fn runtime(&self, command: &str) -> String {
        let path = self.edge.path("admin.sock");
        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(stream, "{command}").unwrap();
        std::io::read_to_string(stream).unwrap()
    }
}

fn start_balancer(edge: &Edge, marathons: &[SocketAddr]) -> (Running, SocketAddr) {
    std::fs::write(edge.path("password"), "secret\n").unwrap();
    let mut settings: Value = serde_json::from_str(&edge.settings(marathons)).unwrap();
    settings["login"] =
        json!({"user": "balancer", "password_file": edge.path("password")});
    std::fs::write(edge.path("settings.json"), settings.to_string()).unwrap();
    let balancer = Command::new(env!("CARGO_BIN_EXE_platform-balancer"))
        .arg("--config")
        .arg(edge.path("settings.json"))
        .stderr(std::fs::File::create(edge.path("balancer.log")).unwrap())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    (Running::of(balancer), settings["listen"].as_str().unwrap().parse().unwrap())
}

fn task(instance: &str, address: SocketAddr, state: &str) -> Value {
    json!({"id": format!("{instance}._app.1"), "host": address.ip(), "ports": [address.port()],
        "state": state, "startedAt": "2026-11-29T15:12:00.501Z", "healthCheckResults": [],
        "ipAddresses": [{"ipAddress": address.ip(), "protocol": "IPv4"}], "servicePorts": []})
}

pub(crate) fn running(instance: &str, address: SocketAddr) -> Value {
    task(instance, address, "TASK_RUNNING")
}

pub(crate) fn app(id: &str, port: u16, tasks: &[Value]) -> Value {
    json!({"id": id, "instances": tasks.len(), "tasks": tasks, "deployments": [],
        "labels": {"HAPROXY_GROUP": "external", "HAPROXY_0_MODE": "http"},
        "networks": [{"mode": "host"}], "requirePorts": false,
        "portDefinitions": [{"port": port, "name": "default", "protocol": "tcp"}]})
}

fn address() -> SocketAddr {
    SocketAddr::from((next_ip(), 31_000))
}

/// What Marathon says before it kills a task.
fn goal_changed(instance: &str) -> Value {
    json!({"instanceId": instance, "condition": "Running", "runSpecId": "/web",
        "eventType": "instance_changed_event"})
}

#[test]
fn servers_come_and_go_without_a_reload() {
    let (one, two) = (address(), address());
    let _one = Server::start(one, "one");
    let platform =
        Platform::start(json!([app("/web", 10_001, &[running("web.instance-1", one)])]));
    platform.answers(10_001, "one");
    let (worker, reloads) = (platform.worker(), platform.count("reloads"));

    let _two = Server::start(two, "two");
    let both = [running("web.instance-1", one), running("web.instance-2", two)];
    platform.marathon.lists(List::Apps(json!([app("/web", 10_001, &both)])));
    platform.answers(10_001, "two");
    let file = crate::support::read(&platform.edge.path("apps.cfg"));
    assert!(file.contains(&two.to_string()), "{file}");

    let second =
        [task("web.instance-1", one, "TASK_KILLED"), running("web.instance-2", two)];
    platform.marathon.lists(List::Apps(json!([app("/web", 10_001, &second)])));
    until("one is gone", || platform.server(one).is_none().then_some(()));
    assert_eq!((platform.worker(), platform.count("reloads")), (worker, reloads));
}

#[test]
fn a_new_app_needs_one_reload_and_is_served() {
    let (one, two) = (address(), address());
    let (_one, _two) = (Server::start(one, "one"), Server::start(two, "two"));
    let web = app("/web", 10_001, &[running("web.instance-1", one)]);
    let platform = Platform::start(json!([web]));
    platform.answers(10_001, "one");
    let mut new = app("/new", 10_002, &[running("new.instance-1", two)]);
    new["labels"]["HAPROXY_0_VHOST"] = json!("new.example");
    platform.marathon.lists(List::Apps(json!([web, new])));
    platform.answers(10_002, "two");
    let common = SocketAddr::from((platform.edge.ip, HTTP));
    assert_eq!(ask(common, "NEW.example", "/").unwrap().body, "two");
    until("a second reload", || (platform.count("reloads") == 2).then_some(()));
    platform.answers(10_001, "one");
}

#[test]
fn what_waits_for_a_leader_is_answered_before_a_reload() {
    let (leader, one) = (address(), address());
    let _one = Server::start(one, "one");
    let (edge, port) = (Edge::new(), 4443);
    let served = format!(
        "\nfrontend chronos\n    bind {}:{port}\n    default_backend chronos\n\n\
         backend chronos\n    retries 30\n    option redispatch 1\n    \
         server control-1 {leader} check inter 100ms rise 1 fall 1\n    \
         server nobody 127.0.0.1:1 backup\n",
        edge.ip
    );
    edge.add_to_base("", &served);
    let marathon = Marathon::leading();
    let known = marathon.address;
    let platform = Platform::with(edge, marathon, &[known]);
    until("nobody leads", || {
        let all = servers_state::parse(&platform.runtime("show servers state")).ok()?;
        (all["chronos"][0].state() == SlotState::Down).then_some(())
    });
    let answer = thread::scope(|scope| {
        let waiting = scope.spawn(|| platform.get(port));
        platform.marathon.lists(List::Apps(json!([app(
            "/web",
            10_001,
            &[running("web.instance-1", one)]
        )])));
        // The second list comes after the shortest time between two reloads.
        platform.counts_more("lists", 2);
        assert_eq!(platform.count("reloads"), 1, "the first file, and no other");
        let _leader = Server::start(leader, "leads");
        let answer = waiting.join().unwrap();
        platform.answers(10_001, "one");
        answer
    });
    assert_eq!(answer.expect("it was held").body, "leads");
}

#[test]
fn a_server_that_is_going_is_drained_only_when_another_is_up() {
    let (one, two) = (address(), address());
    let _one = Server::start(one, "one");
    let deployed = |tasks: &[Value]| {
        let mut app = app("/web", 10_001, tasks);
        app["deployments"] = json!([{"id": "d"}]);
        List::Apps(json!([app]))
    };
    let first = running("web.instance-1", one);
    let platform =
        Platform::start(json!([app("/web", 10_001, std::slice::from_ref(&first))]));
    platform.answers(10_001, "one");
    platform.becomes(one, "up", false);

    // The task is the only one: it is going, but stays.
    platform.marathon.lists(deployed(std::slice::from_ref(&first)));
    platform.marathon.tells(&goal_changed("web.instance-1"));
    platform.becomes(one, "up", true);
    // The other one runs, but does not listen yet.
    let both = [first, running("web.instance-2", two)];
    platform.marathon.lists(deployed(&both));
    platform.becomes(two, "down", false);
    platform.counts_more("lists", 2);
    assert_eq!(platform.server(one), Some(("up".to_owned(), true)));
    platform.answers(10_001, "one");

    let _two = Server::start(two, "two");
    platform.becomes(one, "draining", true);
    for _ in 0..20 {
        assert_eq!(platform.get(10_001).unwrap().body, "two");
    }
}

#[test]
fn no_error_of_marathon_empties_a_backend() {
    let one = address();
    let _one = Server::start(one, "one");
    let apps = json!([app("/web", 10_001, &[running("web.instance-1", one)])]);
    let platform = Platform::start(apps.clone());
    platform.answers(10_001, "one");
    let cut = r#"{"apps":[]"#.to_owned();
    for (list, counted) in [
        (List::Status(500), "failed_lists"),
        (List::Status(502), "failed_lists"),
        (List::Text(cut), "failed_lists"),
        (List::Text(r#"{"message":"no"}"#.to_owned()), "failed_lists"),
        (List::Text(String::new()), "failed_lists"),
        (List::Cut(apps), "failed_lists"),
    ] {
        platform.marathon.lists(list);
        platform.counts_more(counted, 1);
        platform.marathon.cuts_streams();
        platform.counts_more("connections", 1);
        assert_eq!(platform.get(10_001).unwrap().body, "one");
        assert!(platform.status()["list_error"].is_string());
    }
    platform.marathon.lists(List::Apps(json!([])));
    until("the empty list is doubted", || {
        let status = platform.status();
        status["list_error"].as_str()?.contains("not believed").then_some(())
    });
    assert_eq!(platform.get(10_001).unwrap().body, "one");
}

#[test]
fn a_balancer_that_starts_takes_over_what_is_there() {
    let (one, two) = (address(), address());
    let (_one, _two) = (Server::start(one, "one"), Server::start(two, "two"));
    let first = running("web.instance-1", one);
    let both = [first.clone(), running("web.instance-0", two)];
    let list = |tasks: &[Value]| List::Apps(json!([app("/web", 10_001, tasks)]));
    let mut platform = Platform::start(json!([app("/web", 10_001, &[first])]));
    platform.answers(10_001, "one");
    platform.marathon.lists(list(&both));
    platform.answers(10_001, "two");
    let file = crate::support::read(&platform.edge.path("apps.cfg"));
    let worker = platform.worker();

    platform.marathon.lists(List::Status(500));
    platform.restart();
    until("a list has failed", || (platform.count("failed_lists") > 1).then_some(()));
    assert_eq!(platform.worker(), worker);
    platform.answers(10_001, "one");

    // A rival that sorts first does not get the port that is taken.
    let rival = app("/a", 10_001, &[]);
    let apps = json!([rival, app("/web", 10_001, &both)]);
    platform.marathon.lists(List::Apps(apps));
    until("all is loaded", || platform.status()["last_good_seconds_ago"].as_f64());
    assert_eq!(crate::support::read(&platform.edge.path("apps.cfg")), file);
    assert_eq!(platform.status()["clashes"][0]["kept_by"]["app"], "/web");
}

#[test]
fn haproxy_comes_back_with_the_servers_that_it_had() {
    let (one, two) = (address(), address());
    let (_one, _two) = (Server::start(one, "one"), Server::start(two, "two"));
    let first = running("web.instance-1", one);
    let mut platform = Platform::start(json!([app("/web", 10_001, &[first])]));
    let second = running("web.instance-2", two);
    platform.marathon.lists(List::Apps(json!([app("/web", 10_001, &[second])])));
    platform.answers(10_001, "two");
    until("one is gone", || platform.server(one).is_none().then_some(()));
    until("the file says so", || {
        let file = crate::support::read(&platform.edge.path("apps.cfg"));
        (!file.contains(&one.to_string())).then_some(())
    });
    platform.marathon.lists(List::Status(500));
    platform.stop_haproxy();
    until("that is noticed", || platform.status()["haproxy_error"].as_str().map(|_| ()));
    platform.start_haproxy();
    platform.answers(10_001, "two");
    until("all is well", || platform.status()["haproxy_error"].is_null().then_some(()));
    assert_eq!(platform.count("reloads"), 1);
}

#[test]
fn a_broken_base_file_stops_reloads_but_not_changes_of_servers() {
    let (one, two) = (address(), address());
    let (_one, _two) = (Server::start(one, "one"), Server::start(two, "two"));
    let first = running("web.instance-1", one);
    let platform =
        Platform::start(json!([app("/web", 10_001, std::slice::from_ref(&first))]));
    let base = platform.edge.path("base.cfg");
    let good = crate::support::read(&base);
    std::fs::write(&base, "nonsense\n").unwrap();
    let second = running("web.instance-2", two);
    let apps = json!([app("/web", 10_001, &[first, second]), app("/new", 10_002, &[])]);
    platform.marathon.lists(List::Apps(apps));
    platform.answers(10_001, "two");
    let error = until("the error", || {
        platform.status()["haproxy_error"].as_str().map(str::to_owned)
    });
    assert!(error.contains("unknown keyword 'nonsense'"), "{error}");
    assert_eq!(platform.status()["quarantined"], json!([]));
    std::fs::write(&base, good).unwrap();
    until("a reload", || (platform.count("reloads") == 2).then_some(()));
}

#[test]
fn a_reload_that_fails_leaves_what_works() {
    let one = address();
    let _one = Server::start(one, "one");
    let web = app("/web", 10_001, &[running("web.instance-1", one)]);
    let platform = Platform::start(json!([web]));
    platform.answers(10_001, "one");
    let apps = platform.edge.path("apps.cfg");
    let good = crate::support::read(&apps);
    // The check cannot know that this port is taken.
    let taken = TcpListener::bind((platform.edge.ip, 10_080)).unwrap();
    let base = platform.edge.path("base.cfg");
    let more = format!("\nfrontend admin\n    bind {}:10080\n", platform.edge.ip);
    std::fs::write(&base, crate::support::read(&base) + &more).unwrap();
    platform.marathon.lists(List::Apps(json!([web, app("/new", 10_002, &[])])));
    until("a reload fails", || (platform.count("failed_reloads") > 0).then_some(()));
    platform.answers(10_001, "one");
    let error = until("the error", || {
        platform.status()["haproxy_error"].as_str().map(str::to_owned)
    });
    assert!(error.contains("has not started a worker"), "{error}");
    assert_eq!(crate::support::read(&apps), good);
    drop(taken);
    until("a reload", || (platform.count("reloads") == 2).then_some(()));
}

#[test]
fn an_app_that_is_gone_or_should_have_no_task_loses_its_servers() {
    let (one, two) = (address(), address());
    let (_one, _two) = (Server::start(one, "one"), Server::start(two, "two"));
    let web = |tasks: &[Value]| app("/web", 10_001, tasks);
    let other = app("/other", 10_002, &[running("other.instance-1", two)]);
    let platform =
        Platform::start(json!([web(&[running("web.instance-1", one)]), other]));
    platform.answers(10_001, "one");
    platform.marathon.lists(List::Apps(json!([web(&[]), other])));
    until("no server answers", || platform.get(10_001).filter(|at| at.status == 503));
    platform.marathon.lists(List::Apps(json!([other])));
    until("nobody listens", || platform.get(10_001).is_none().then_some(()));
    platform.answers(10_002, "two");
}

#[test]
fn a_port_over_tcp_is_passed_on_as_it_is() {
    let one = address();
    let _one = Server::start(one, "one");
    let mut tcp = app("/tcp", 10_001, &[running("tcp.instance-1", one)]);
    tcp["labels"] = json!({"HAPROXY_GROUP": "external"});
    let platform = Platform::start(json!([tcp]));
    platform.answers(10_001, "one");
    assert_eq!(platform.status()["services"][0]["mode"], "tcp");
}

#[test]
fn a_port_may_be_sticky_or_ask_for_a_password() {
    let (one, two) = (address(), address());
    let (_one, _two) = (Server::start(one, "one"), Server::start(two, "two"));
    let both = [running("web.instance-1", one), running("web.instance-2", two)];
    let mut sticky = app("/sticky", 10_001, &both);
    sticky["labels"]["HAPROXY_0_STICKY"] = json!("true");
    let mut closed = app("/closed", 10_002, &both);
    // The hash of `secret`.
    closed["labels"]["HAPROXY_0_AUTH"] =
        json!("shop:anna:$5$salt$kpa26zwgX83BPSR8d7w93OIXbFt/d3UOTZaAu5vsTM6");
    let platform = Platform::start(json!([sticky, closed]));
    let answer =
        until("an answer", || platform.get(10_001).filter(|at| at.status == 200));
    let cookie = "set-cookie: PLATFORM_SERVER=s";
    assert!(answer.headers.contains(cookie), "{}", answer.headers);
    let answer = platform.get(10_002).unwrap();
    assert_eq!(answer.status, 401);
    assert!(answer.headers.contains("realm=\"shop\""), "{}", answer.headers);
    let address = SocketAddr::from((platform.edge.ip, 10_002));
    let login = "any.example\r\nAuthorization: Basic YW5uYTpzZWNyZXQ=";
    assert_eq!(ask(address, login, "/").unwrap().status, 200);
}

#[test]
fn faults_of_some_apps_leave_the_others_alone() {
    let (one, two) = (address(), address());
    let (_one, _two) = (Server::start(one, "one"), Server::start(two, "two"));
    let good = app("/good", 10_001, &[running("good.instance-1", one)]);
    let mut odd = app("/odd", 10_002, &[running("odd.instance-1", two)]);
    odd["labels"]["HAPROXY_0_BALANCE"] = json!("roundrobin\n  server evil 10.9.9.9:80");
    let rival = app("/rival", 10_001, &[running("rival.instance-1", two)]);
    let mut unreadable = app("/strange", 10_003, &[]);
    unreadable["instances"] = json!("many");
    let platform = Platform::start(json!([good, odd, rival, unreadable]));
    platform.answers(10_001, "one");
    let status = platform.status();
    let reasons: Vec<&str> = status["quarantined"]
        .as_array()
        .unwrap()
        .iter()
        .map(|at| at["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[0].starts_with("label HAPROXY_0_BALANCE must be"), "{reasons:?}");
    assert!(reasons[1].starts_with("the app cannot be read"), "{reasons:?}");
    let expected = json!([{"port": 10_001, "kept_by": {"app": "/good", "index": 0},
        "refused": [{"app": "/rival", "index": 0}]}]);
    assert_eq!(status["clashes"], expected);
}

#[test]
fn a_port_of_another_program_is_reported_and_served_once_it_is_free() {
    let (one, two) = (address(), address());
    let (_one, _two) = (Server::start(one, "one"), Server::start(two, "two"));
    let web = app("/web", 10_001, &[running("web.instance-1", one)]);
    let platform = Platform::start(json!([web]));
    let other = TcpListener::bind((platform.edge.ip, 10_002)).unwrap();
    let new = app("/new", 10_002, &[running("new.instance-1", two)]);
    let third = app("/third", 10_003, &[running("third.instance-1", two)]);
    platform.marathon.lists(List::Apps(json!([web, new, third])));
    platform.answers(10_003, "two");
    let reason = platform.reason_of("/new");
    assert_eq!(reason, "another program of this host uses port 10002");
    drop(other);
    platform.answers(10_002, "two");
}

#[test]
fn what_haproxy_refuses_is_found_and_left_out() {
    let (one, two) = (address(), address());
    let (_one, _two) = (Server::start(one, "one"), Server::start(two, "two"));
    let good = app("/good", 10_001, &[running("good.instance-1", one)]);
    let platform = Platform::start(json!([good]));
    // The base file has a section of this name: HAProxy refuses a second one.
    let base = platform.edge.path("base.cfg");
    let text = crate::support::read(&base) + "\nbackend odd_10002\n    mode http\n";
    std::fs::write(base, text).unwrap();
    let odd = app("/odd", 10_002, &[running("odd.instance-1", two)]);
    let third = app("/third", 10_003, &[running("third.instance-1", two)]);
    platform.marathon.lists(List::Apps(json!([good, odd, third])));
    platform.answers(10_003, "two");
    let reason = platform.reason_of("/odd");
    assert!(reason.contains("odd_10002"), "{reason}");
}

#[test]
fn a_standby_names_the_leader_and_both_get_the_login() {
    let one = address();
    let _one = Server::start(one, "one");
    let leader = Marathon::leading();
    leader.lists(List::Apps(json!([app(
        "/web",
        10_001,
        &[running("web.instance-1", one)]
    )])));
    let standby = Marathon::standby(leader.address);
    standby.lists(List::Status(502));
    let platform = Platform::with(Edge::new(), leader.clone(), &[standby.address]);
    platform.answers(10_001, "one");
    assert_eq!(platform.status()["leader"], leader.address.to_string());
}

/// Requests one after the other until it is over; how many, and what failed.
fn load(
    method: &'static str,
    address: SocketAddr,
    is_over: &Arc<AtomicBool>,
) -> JoinHandle<(usize, Vec<String>)> {
    let is_over = Arc::clone(is_over);
    thread::spawn(move || {
        let (mut n_requests, mut failures) = (0, Vec::new());
        while !is_over.load(Ordering::SeqCst) {
            n_requests += 1;
            match ask_by(method, address, "any.example", "/") {
                Some(answer) if answer.status == 200 => {}
                other => failures.push(format!("{method} {other:?}")),
            }
        }
        (n_requests, failures)
    })
}

/// Four clients that ask all the time, while something happens.
fn under_load(platform: &Platform, happens: impl FnOnce()) {
    let is_over = Arc::new(AtomicBool::new(false));
    let edge = SocketAddr::from((platform.edge.ip, 10_001));
    let clients =
        ["GET", "POST", "GET", "POST"].map(|method| load(method, edge, &is_over));
    happens();
    is_over.store(true, Ordering::SeqCst);
    for client in clients {
        let (n_requests, failures) = client.join().unwrap();
        assert!(failures.is_empty(), "{} of {n_requests}: {failures:?}", failures.len());
        assert!(n_requests > 50, "{n_requests}");
    }
}

/// Also while Marathon does not answer, so that the page can say so.
#[test]
fn the_common_ports_are_open_before_there_is_a_list() {
    let marathon = Marathon::leading();
    marathon.lists(List::Status(500));
    let edge = Edge::new();
    let _haproxy = edge.start();
    let (_balancer, status) = start_balancer(&edge, &[marathon.address]);
    let common = SocketAddr::from((edge.ip, HTTP));
    let answer = until("an answer", || ask(common, "any.example", "/"));
    assert_eq!(answer.body, "landing");
    let page = || until("the page", || ask(status, "lab.example:443", "/"));
    assert!(page().body.contains("Marathon has not answered yet"), "{:?}", page());
    assert!(
        page().headers.contains("Content-Security-Policy: default-src 'none'; style-")
    );

    let one = address();
    let _one = Server::start(one, "one");
    let task = running("web.instance-1", one);
    marathon.lists(List::Apps(json!([app("/web", 10_001, &[task])])));
    let service = SocketAddr::from((edge.ip, 10_001));
    until("the service", || {
        ask(service, "any.example", "/").filter(|answer| answer.body == "one")
    });
    until("its row", || page().body.contains("lab.example:10001").then_some(()));
}

#[test]
fn rolling_upgrades_lose_no_request() {
    let first = address();
    let mut old = Server::start(first, "0");
    let platform = Platform::start(json!([app(
        "/web",
        10_001,
        &[running("web.instance-0", first)]
    )]));
    platform.answers(10_001, "0");
    let reloads = platform.count("reloads");
    under_load(&platform, || {
        for n in 1..=8 {
            let before = format!("web.instance-{}", n - 1);
            let new = address();
            let both = [
                running(&before, old.address),
                running(&format!("web.instance-{n}"), new),
            ];
            platform.marathon.lists(List::Apps(json!([app("/web", 10_001, &both)])));
            let new = Server::start(new, &n.to_string());
            platform.becomes(new.address, "up", false);
            platform.marathon.tells(&goal_changed(&before));
            platform.becomes(old.address, "draining", true);
            platform.marathon.lists(List::Apps(json!([app("/web", 10_001, &both[1..])])));
            until("the old one is gone", || {
                platform.server(old.address).is_none().then_some(())
            });
            old = new;
        }
    });
    assert_eq!(platform.count("reloads"), reloads);
}

#[test]
fn reloads_lose_no_request() {
    let one = address();
    let _one = Server::start(one, "one");
    let web = app("/web", 10_001, &[running("web.instance-1", one)]);
    let platform = Platform::start(json!([web]));
    platform.answers(10_001, "one");
    under_load(&platform, || {
        let mut apps = vec![web.clone()];
        for port in 10_002..=10_004 {
            apps.push(app(
                &format!("/new{port}"),
                port,
                &[running("new.instance-1", one)],
            ));
            platform.marathon.lists(List::Apps(json!(apps)));
            platform.answers(port, "one");
        }
    });
}
