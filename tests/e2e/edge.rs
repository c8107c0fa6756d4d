//! The edge with two hosts: everyone uses the platform through one address, with TLS and a
//! password, also when an edge host dies. Mesos, Marathon and Chronos are stand-ins, everything
//! else is real.

mod certs;
mod images;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use platform::event::RunResult;
use reqwest::Certificate;
use reqwest::blocking::Client;
use serde_json::json;

use crate::harness::{End, Lab, Secrets, Services, http_server, pause, turn, until};
use crate::reach;

const EDGES: [&str; 2] = ["edge-1", "edge-2"];

/// The longest until another host has the virtual IP.
const MOVED: Duration = Duration::from_secs(30);

/// The ports of Marathon, Mesos and Chronos at the edge, each with a path that answers.
const SERVICES: [(u16, &str); 3] =
    [(8443, "v2/info"), (5443, "master/state"), (4443, "v1/scheduler/jobs")];

#[test]
fn everyone_uses_the_platform_through_one_address_that_outlives_an_edge_host() {
    let _turn = turn();
    let lab = Lab::local("");
    lab.rewrite(&body(&lab, ""));
    assert_eq!(lab.up().result(), RunResult::Changed);
    lab.is_settled();
    assert_eq!(lab.up().result(), RunResult::Unchanged);
    asks_everyone_for_a_password(&lab);
    keeps_its_secrets(&lab);
    takes_a_user_without_an_interruption(&lab);
    manages_its_users(&lab);
    serves_an_app(&lab);
    reach::only_ssh_and_the_edge_answer(&lab, &OPEN);
    certs::are_replaced_while_everyone_goes_on(&lab);
    certs::may_be_the_operators_own(&lab, &body(&lab, BOB));
    images::are_copied_to_both_hosts(&lab);
    moves_when_its_host_dies(&lab);
    images::fill_a_registry_that_lost_them(&lab);
    says_when_both_hosts_have_the_address(&lab);
    lab.run(&["down", "--yes"]).exits(0);
    assert_eq!(lab.remains(), [""; 0]);
}

fn body(lab: &Lab, users: &str) -> String {
    format!(
        "groups:\n  \
           control: {{roles: [control], count: 1, memory: 1GiB}}\n  \
           edge: {{roles: [edge], count: 2, memory: 512MiB}}\n  \
           workers: {{roles: [agent], count: 1, memory: 1GiB}}\n\
         platform:\n  \
           vip: {}\n  \
           images: {{rehearsed}}\n  \
           access: {{users: [{{name: ann, password: {{generate: true}}}}{users}]}}\n  \
           zookeeper: {{heap: 128MiB}}\n",
        vip(lab)
    )
}

fn vip(lab: &Lab) -> String {
    format!("{}.10", lab.prefix())
}

/// A client that trusts only the cluster's authority.
fn client(lab: &Lab) -> Client {
    let ca = std::fs::read(lab.state().join("ca/ca.crt")).expect("the authority is kept");
    let ca = Certificate::from_pem(&ca).expect("a certificate");
    let builder = Client::builder().no_proxy().tls_certs_only([ca]);
    builder.timeout(Duration::from_secs(10)).build().expect("a client")
}

fn password(lab: &Lab, user: &str) -> String {
    let file = lab.state().join(format!("secrets/user-{user}"));
    std::fs::read_to_string(file).expect("it is kept").trim().to_owned()
}

/// The status for a user at the virtual IP; `None` if nobody answers.
fn status(
    client: &Client,
    lab: &Lab,
    (port, path): (u16, &str),
    login: Option<(&str, &str)>,
) -> Option<u16> {
    let request = client.get(format!("https://{}:{port}/{path}", vip(lab)));
    let request = match login {
        Some((user, password)) => request.basic_auth(user, Some(password)),
        None => request,
    };
    request.send().ok().map(|answer| answer.status().as_u16())
}

fn asks_everyone_for_a_password(lab: &Lab) {
    let (client, password) = (client(lab), password(lab, "ann"));
    for service in SERVICES {
        let ask = |login| status(&client, lab, service, login);
        assert_eq!(ask(None), Some(401), "{service:?}");
        assert_eq!(ask(Some(("ann", "wrong"))), Some(401), "{service:?}");
        assert_eq!(ask(Some(("ann", &password))), Some(200), "{service:?}");
    }
    // At the masters, everyone may only read.
    let drain = json!({"type": "MARK_AGENT_GONE",
        "mark_agent_gone": {"agent_id": {"value": "none"}}});
    let call = client.post(format!("https://{}:5443/api/v1", vip(lab))).json(&drain);
    let answer = call.basic_auth("ann", Some(&password)).send().expect("it answers");
    assert_eq!(answer.status().as_u16(), 403);
    let plain = client.get(format!("http://{}:8443/", vip(lab))).send();
    assert!(plain.is_err(), "it speaks without TLS: {plain:?}");
}

fn keeps_its_secrets(lab: &Lab) {
    let secrets = Secrets::of(lab);
    for edge in EDGES {
        let machine = lab.machine(edge);
        secrets.are_hidden_on(&machine);
        secrets.are_in_no_journal_of(&machine);
        let shown = machine.sh("ps auxww; systemctl cat 'platform-*'");
        assert!(shown.contains("/usr/sbin/haproxy"), "{shown}");
        secrets.are_not_in(edge, &shown);
    }
}

/// Requests without a pause, each on a connection of its own.
struct Requests {
    n_asked: AtomicUsize,
    failed: Mutex<Vec<String>>,
    ended: AtomicBool,
}

impl Requests {
    fn during(lab: &Lab, work: impl FnOnce()) -> Self {
        let requests = Self {
            n_asked: AtomicUsize::new(0),
            failed: Mutex::default(),
            ended: AtomicBool::new(false),
        };
        std::thread::scope(|scope| {
            scope.spawn(|| requests.ask(lab));
            let _end = End(&requests.ended);
            work();
        });
        requests
    }

    fn ask(&self, lab: &Lab) {
        let (login, mut n) = (password(lab, "ann"), 0);
        while !self.ended.load(Ordering::Relaxed) {
            let answer = status(&client(lab), lab, SERVICES[0], Some(("ann", &login)));
            n += 1;
            if answer != Some(200) {
                let mut failed = self.failed.lock().expect("no request panics");
                failed.push(format!("request {n}: {answer:?}"));
            }
            self.n_asked.fetch_add(1, Ordering::Relaxed);
            pause(Duration::from_millis(10));
        }
    }
}

/// A user who is added.
const BOB: &str = ", {name: bob, password: {generate: true}}";

fn takes_a_user_without_an_interruption(lab: &Lab) {
    lab.rewrite(&body(lab, BOB));
    let requests = Requests::during(lab, || {
        let up = lab.up();
        assert!(up.has_done("reload unit platform-haproxy.service"), "{}", up.said());
        assert!(!up.has_done("restart unit platform-haproxy.service"), "{}", up.said());
    });
    let failed = requests.failed.into_inner().expect("no request panics");
    let n_asked = requests.n_asked.into_inner();
    assert!(failed.is_empty() && n_asked > 10, "of {n_asked}: {failed:?}");
    let password = password(lab, "bob");
    let bob = status(&client(lab), lab, SERVICES[0], Some(("bob", &password)));
    assert_eq!(bob, Some(200));
    lab.is_settled();
}

/// The status for a login at the registry of an edge host.
fn status_of_registry(lab: &Lab, n_edge: usize, (user, password): (&str, &str)) -> u16 {
    // The host of the control group has the address before theirs.
    let url = format!("https://{}.{}:5000/v2/", lab.prefix(), 12 + n_edge);
    let request = client(lab).get(url).basic_auth(user, Some(password));
    request.send().expect("it answers").status().as_u16()
}

/// The statuses for a login that would change something at the registry of each edge host.
fn pushes(lab: &Lab, (user, password): (&str, &str)) -> [u16; 2] {
    [0, 1].map(|n_edge| {
        let url = format!("https://{}.{}:5000/v2/", lab.prefix(), 12 + n_edge);
        let request = client(lab).post(url).basic_auth(user, Some(password));
        request.send().expect("it answers").status().as_u16()
    })
}

/// The process of HAProxy and of the registry on each edge host.
fn processes(lab: &Lab) -> Vec<String> {
    let show = "systemctl show -P MainPID platform-haproxy platform-registry";
    EDGES.map(|edge| lab.machine(edge).sh(show)).into()
}

/// Users come, get other passwords and go while others work; who is gone is out at once, also on an
/// open connection.
fn manages_its_users(lab: &Lab) {
    let before = std::fs::read_to_string(lab.inventory()).expect("it is there");
    let (bob, processes_before) = (password(lab, "bob"), processes(lab));
    let users = |words: &[&str]| {
        let words = [words, &["--yes", "-o", "json"]].concat();
        lab.run(&words).exits(0)
    };
    let everywhere = |login: (&str, &str), wanted: u16| {
        let marathon = status(&client(lab), lab, SERVICES[0], Some(login));
        let registries = [0, 1].map(|n| status_of_registry(lab, n, login));
        assert_eq!((marathon, registries), (Some(wanted), [wanted; 2]), "{}", login.0);
    };
    let connected = client(lab);
    let on_connection =
        || status(&connected, lab, SERVICES[0], Some(("bob", bob.as_str())));
    assert_eq!(on_connection(), Some(200));
    let requests = Requests::during(lab, || {
        assert_eq!(pushes(lab, ("bob", &bob)), [200; 2]);
        let added = users(&["users add", "eve", "--no-push"]);
        assert_eq!(added.result(), RunResult::Changed);
        assert!(
            added.has_done("reload unit platform-haproxy.service"),
            "{}",
            added.said()
        );
        let first = password(lab, "eve");
        everywhere(("eve", &first), 200);
        assert_eq!(pushes(lab, ("eve", &first)), [403; 2]);
        let again = users(&["users add", "eve", "--no-push"]);
        assert_eq!(again.result(), RunResult::Unchanged);
        users(&["users passwd", "eve"]);
        let second = password(lab, "eve");
        everywhere(("eve", &first), 401);
        everywhere(("eve", &second), 200);
        let removed = users(&["users rm", "bob"]);
        assert_eq!(removed.result(), RunResult::Changed);
        everywhere(("bob", &bob), 401);
        assert_eq!(on_connection(), Some(401));
    });
    let failed = requests.failed.into_inner().expect("no request panics");
    assert!(failed.is_empty(), "of {:?}: {failed:?}", requests.n_asked);
    assert_eq!(processes(lab), processes_before, "nothing was restarted");
    let eve = "{name: eve, password: {generate: true}, push: false}";
    let bob = ", {name: bob, password: {generate: true}}";
    let after = std::fs::read_to_string(lab.inventory()).expect("it is there");
    assert_eq!(after, before.replace(bob, &format!(", {eve}")));
    assert!(!lab.state().join("secrets/user-bob").exists());
    lab.run(&["users rm", "bob", "--yes"]).exits(2);
    lab.run(&["users passwd", "nobody", "--yes"]).exits(2);
    let listed = lab.run(&["users ls"]).exits(0).stdout;
    assert_eq!(listed.matches("let in by edge-1, edge-2").count(), 2, "{listed}");
    assert_eq!(listed.matches("may not push").count(), 1, "{listed}");
    let listed = lab.run(&["users ls", "-o", "json"]).exits(0).stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["users"][1]["name"], "eve");
    assert_eq!(listed["users"][1]["hosts"]["edge-2"]["login"], "let_in");
    lab.is_settled();
}

/// The service port of the app.
const APP_PORT: u16 = 10_005;

/// The ports of an edge host that answer to everyone: the registry, the services and the app.
const OPEN: [u16; 7] =
    [80, 443, 5000, SERVICES[0].0, SERVICES[1].0, SERVICES[2].0, APP_PORT];

/// The answer of the app; `None` if nobody answers.
fn answer_of_app(lab: &Lab) -> Option<String> {
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(2)).build();
    let url = format!("http://{}:{APP_PORT}/", vip(lab));
    let answer = client.expect("a client").get(url).send().ok()?;
    answer.status().is_success().then(|| answer.text().ok()).flatten()
}

/// An app is reached at its service port; another one that wants the same port is not, and that is
/// told.
fn serves_an_app(lab: &Lab) {
    let services = Services::at(lab, &format!("{}.11", lab.prefix()));
    let app = |id: &str| {
        json!({"id": id, "cmd": http_server("here"), "cpus": 0.1, "mem": 32, "instances": 1,
            "portDefinitions": [{"port": APP_PORT, "protocol": "tcp"}]})
    };
    services.run_app(&app("/served"), 1);
    until("the app at the edge", MOVED, || (answer_of_app(lab)? == "here").then_some(()));
    services.run_app(&app("/late"), 2);
    until("the app that is not served", MOVED, || {
        let said = lab.run(&["status"]).exits(0).stdout;
        said.contains("the edge does not serve /late on port 10005: /served has it")
            .then_some(())
    });
}

/// The edge hosts that have the virtual IP.
fn holders(lab: &Lab) -> Vec<&'static str> {
    let find = format!("ip -o address | grep -qF 'inet {}/'", vip(lab));
    EDGES.into_iter().filter(|edge| lab.machine(edge).is(&find)).collect()
}

fn moves_when_its_host_dies(lab: &Lab) {
    let password = password(lab, "ann");
    let [holder] = holders(lab)[..] else { panic!("one has it: {:?}", holders(lab)) };
    let pushed = images::push(lab, "before");
    images::wait_for(lab, &pushed);
    lab.machine(holder).kill();
    until("the platform through the other host", MOVED, || {
        let answer = status(&client(lab), lab, SERVICES[0], Some(("ann", &password)));
        (answer == Some(200)).then_some(())
    });
    until("the app through the other host", MOVED, || answer_of_app(lab));
    images::pull(lab, &pushed);
    let said = lab.run(&["status"]).exits(1).said();
    assert!(said.contains("has the virtual IP"), "{said}");
    let other: Vec<&str> = EDGES.into_iter().filter(|edge| *edge != holder).collect();
    lab.up();
    assert_eq!(holders(lab), other, "nobody takes it from a host that serves");
    lab.run(&["status"]).exits(0);
    // The same when only its HAProxy ends for good.
    lab.machine(other[0]).sh("systemctl stop platform-haproxy");
    until("the address on the first host again", MOVED, || {
        (holders(lab) == [holder]).then_some(())
    });
    lab.up();
    lab.run(&["status"]).exits(0);
}

fn says_when_both_hosts_have_the_address(lab: &Lab) {
    for edge in EDGES {
        lab.machine(edge).sh("iptables -I INPUT -p 112 -j DROP");
    }
    until("the address on both hosts", MOVED, || (holders(lab) == EDGES).then_some(()));
    let said = lab.run(&["status"]).exits(1).said();
    assert!(said.contains("is on several hosts at once (edge-1, edge-2)"), "{said}");
    for edge in EDGES {
        lab.machine(edge).sh("iptables -D INPUT -p 112 -j DROP");
    }
    until("the address on one host", MOVED, || (holders(lab).len() == 1).then_some(()));
    lab.run(&["status"]).exits(0);
}
