//! The configuration of HAProxy as HAProxy itself reads it: it runs here, with ports of this
//! computer in place of the cluster's.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jiff::Timestamp;
use platform::api::edge::{Edge, EdgeError};
use platform::certificate::{OwnCertificate, San, own};
use platform::component::haproxy::internal_name;
use platform::resource::{File, Resource};
use platform::secret::Secret;
use platform::state::State;
use platform_balancer::render::render;
use platform_balancer::settings::Settings;
use reqwest::StatusCode;
use reqwest::blocking::Client;
use reqwest::redirect::Policy;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::here::{LONG, eventually, free_port};

/// A cluster with the edge host `edge`.
pub(crate) const MARATHON: &str = "cluster: lab\nprovider: {ssh: {}}\ngroups:\n  \
    control: {roles: [control], hosts: [10.0.0.1, 10.0.0.2, 10.0.0.3]}\n  \
    edge: {roles: [edge], hosts: [{address: 10.0.0.9, name: edge}]}\n  \
    workers: {roles: [agent], hosts: [10.0.0.21]}\n";

/// HAProxy with the configuration of an edge host. It ends when it is dropped.
struct Proxy {
    process: Child,
    config: Config,
    ca: reqwest::Certificate,
    folder: TempDir,
}

impl Proxy {
    /// With these users, and with these ports for the services' ports at their hosts.
    fn start(users: &[(&str, &str)], inner: &[(&str, u16)]) -> Self {
        Self::with(users, inner, None)
    }

    /// The same, with a certificate of the operator.
    fn with(
        users: &[(&str, &str)],
        inner: &[(&str, u16)],
        own_certificate: Option<OwnCertificate>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let state = State::of(&folder.path().join("lab.yaml"), &"lab".parse().unwrap());
        let now = Timestamp::now();
        let ca = state.ca(now).unwrap();
        let leaf = ca.certificate("edge", &names(&["*.lab.internal"]), now).unwrap();
        let pair = (leaf.cert_chain_pem, leaf.key);
        let ports = [8443, 5443, 4443, 443, 80].map(|port| (port, free_port())).into();
        let mut cluster = Cluster::of(MARATHON);
        cluster.inputs.certificates = [("edge".parse().unwrap(), pair)].into();
        cluster.inputs.own_certificate = own_certificate;
        let inner = inner.iter().map(|(of, port)| ((*of).to_owned(), *port)).collect();
        let mut config = Config { cluster, ports, inner };
        config.write(folder.path(), users);
        let [base, apps] =
            ["haproxy.cfg", "apps.cfg"].map(|name| folder.path().join(name));
        let process = Command::new("/usr/sbin/haproxy")
            .args(["-W", "-f"])
            .arg(&base)
            .arg("-f")
            .arg(&apps)
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .expect("HAProxy is installed: `apt-get install haproxy`");
        state.keep().unwrap();
        let ca = reqwest::Certificate::from_pem(ca.trusted_pem().as_bytes()).unwrap();
        let mut proxy = Self { process, config, ca, folder };
        proxy.until_it_listens();
        proxy
    }

    fn until_it_listens(&mut self) {
        let (process, folder) = (&mut self.process, &self.folder);
        eventually("HAProxy listens", || {
            let log = || fs::read_to_string(folder.path().join("log")).unwrap();
            assert!(process.try_wait().unwrap().is_none(), "HAProxy ended: {}", log());
            TcpStream::connect(("127.0.0.1", self.config.ports[&8443])).is_ok()
        });
    }

    /// Reloads it with other users, as its unit does.
    fn reload(&mut self, users: &[(&str, &str)]) {
        self.config.write(self.folder.path(), users);
        let script = self.folder.path().join("reload");
        let mut reload = Command::new("sh");
        let reload = reload.arg(script).arg(self.process.id().to_string());
        assert!(reload.status().expect("a shell runs").success());
    }

    fn client(&self) -> Client {
        let builder = Client::builder().no_proxy().tls_certs_only([self.ca.clone()]);
        builder.timeout(LONG).build().unwrap()
    }

    fn url(&self, port: u16) -> String {
        format!("https://127.0.0.1:{}/v2/info", self.config.ports[&port])
    }

    /// The status and the body of Marathon's answer to this login.
    fn ask(&self, login: Option<(&str, &str)>) -> (StatusCode, String) {
        self.ask_at(8443, login)
    }

    fn ask_at(&self, port: u16, login: Option<(&str, &str)>) -> (StatusCode, String) {
        self.ask_by(&self.client(), port, login)
    }

    /// The same over the client's own connection, if it has one.
    fn ask_by(
        &self,
        client: &Client,
        port: u16,
        login: Option<(&str, &str)>,
    ) -> (StatusCode, String) {
        let request = client.get(self.url(port));
        let request = match login {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        let answer = request.send().unwrap();
        (answer.status(), answer.text().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its workers end with it.
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

/// What its configuration is made from.
struct Config {
    cluster: Cluster,
    /// The ports in place of the edge's.
    ports: BTreeMap<u16, u16>,
    /// The ports for the services' ports at their hosts.
    inner: Vec<(String, u16)>,
}

impl Config {
    /// Writes its configuration, with these users.
    fn write(&mut self, folder: &Path, users: &[(&str, &str)]) {
        let state = State::of(&folder.join("lab.yaml"), &"lab".parse().unwrap());
        let login = |(user, password): &(&str, &str)| {
            let hash = state.crypt_hash(user, &Secret::new(*password)).unwrap();
            ((*user).to_owned(), hash)
        };
        self.cluster.inputs.edge_logins = users.iter().map(login).collect();
        for (name, file) in files(&self.cluster, "haproxy") {
            let mode = if name == "reload" { 0o644 } else { 0o600 };
            assert_eq!((file.mode, file.owner.as_str()), (mode, "root"), "{name}");
            let text = localized(&text(&file), folder.to_str().unwrap(), &self.ports);
            fs::write(folder.join(name), with_inner(&text, &self.inner)).unwrap();
        }
        let settings = text(&files(&self.cluster, "balancer")["settings.json"]);
        let apps = without_apps(&settings, folder, &self.ports);
        fs::write(folder.join("apps.cfg"), apps).unwrap();
    }
}

/// This computer's address, and these names.
fn names(names: &[&str]) -> Vec<San> {
    let names = names.iter().map(|name| San::Dns((*name).to_owned()));
    [San::Ip([127, 0, 0, 1].into())].into_iter().chain(names).collect()
}

/// The files of a component's folder on the edge host, by name.
pub(crate) fn files(cluster: &Cluster, component: &str) -> BTreeMap<String, File> {
    let node = cluster.topology.node(&"edge".parse().unwrap()).expect("it is there");
    let wants = cluster.wants(node, &cluster.answer(node, &[], ""));
    let folder = format!("/etc/platform/{component}/");
    let found = wants.into_iter().filter_map(|(_, resource)| {
        let Resource::File(file) = resource else { return None };
        Some((file.path.as_str().strip_prefix(&folder)?.to_owned(), file))
    });
    found.collect()
}

pub(crate) fn text(file: &File) -> String {
    String::from_utf8(file.content.bytes().to_vec()).unwrap()
}

/// What a balancer with these settings adds while there is no app.
fn without_apps(settings: &str, folder: &Path, ports: &BTreeMap<u16, u16>) -> String {
    let mut settings: Settings = serde_json::from_str(settings).expect("it reads them");
    settings.bind = "127.0.0.1".to_owned();
    settings.http_port = ports[&settings.http_port];
    settings.https_port = ports[&settings.https_port];
    settings.certificates = Some(folder.join("certificates"));
    render(&[], &settings)
}

/// A text of it without what only an edge host has.
fn localized(text: &str, folder: &str, ports: &BTreeMap<u16, u16>) -> String {
    let is_of_host = |line: &&str| {
        let line = line.trim();
        line.starts_with("user haproxy")
            || line.starts_with("group haproxy")
            || line.starts_with("stats socket")
            || line.starts_with("mworker-max-reloads")
            || line.starts_with("server-state-file")
            || line.starts_with("load-server-state")
    };
    let lines = text.lines().filter(|line| !is_of_host(line));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    let text = text.replace("/etc/platform/haproxy", folder);
    ports.iter().fold(text, |text, (port, here)| {
        text.replace(&format!("bind :{port} "), &format!("bind 127.0.0.1:{here} "))
            .replace(
                &format!("anew 127.0.0.1:{port} "),
                &format!("anew 127.0.0.1:{here} "),
            )
    })
}

/// The same with these ports for the services' ports at their hosts, and a closed port for all
/// others.
fn with_inner(text: &str, inner: &[(String, u16)]) -> String {
    let localized = |line: &str| match line.trim().split(' ').collect::<Vec<_>>()[..] {
        ["server", _, address, "check", ..] => {
            let port = inner.iter().find(|(of, _)| of == address).map_or(1, |it| it.1);
            line.replace(address, &format!("127.0.0.1:{port}"))
        }
        _ => line.to_owned(),
    };
    text.lines().map(|line| localized(line) + "\n").collect()
}

/// A service that answers each request with the request's own lines, and may say that it passed
/// the request on to a leader. It ends when it is dropped.
struct Service {
    port: u16,
    n_asked: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Service {
    fn at(port: u16, passes_on: bool) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_over = Arc::new(AtomicBool::new(false));
        let n_asked = Arc::new(AtomicUsize::new(0));
        let (over, asked) = (Arc::clone(&is_over), Arc::clone(&n_asked));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                asked.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || answer(&stream, passes_on));
            }
        });
        Self { port, n_asked, is_over, thread: Some(thread) }
    }

    /// Waits until it was asked this often from now on.
    fn until_asked(&self, n_times: usize) {
        let before = self.n_asked.load(Ordering::SeqCst);
        let is_asked = || self.n_asked.load(Ordering::SeqCst) >= before + n_times;
        eventually("it is asked", is_asked);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn answer(mut stream: &TcpStream, passes_on: bool) {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let body = request.join("\n");
    let via = if passes_on { "X-Marathon-Via: 1.1 other:8080\r\n" } else { "" };
    // The client may be gone, as after a check.
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\n{via}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
}

/// Every printable character, and some of other scripts.
fn odd_password() -> String {
    (' '..='~').collect::<String>() + "äß€"
}

#[test]
fn a_right_password_is_let_in_and_the_service_sees_only_the_platform_s_own_account() {
    let (leader, odd) = (Service::at(0, false), odd_password());
    let users = [("ann", "hunter2"), (r#"o"d\d$'#"#, odd.as_str())];
    let proxy = Proxy::start(&users, &[("10.0.0.1:8080", leader.port)]);
    for login in
        [None, Some(("ann", "hunter3")), Some(("bob", "hunter2")), Some(("", ""))]
    {
        assert_eq!(proxy.ask(login).0, StatusCode::UNAUTHORIZED, "{login:?}");
    }
    for (user, password) in users {
        // The second time, the login is known.
        for _ in 0..2 {
            let (status, seen) = proxy.ask(Some((user, password)));
            assert_eq!(status, StatusCode::OK, "{user}: {seen}");
            let seen = seen.to_lowercase();
            let own = "authorization: basic cgxhdgzvcm06c2vjcmv0lw1hcmf0ag9ulwh0dha=";
            assert!(seen.contains(own) && seen.matches("authorization").count() == 1);
        }
    }
    assert_eq!(proxy.ask(Some(("ann", "hunter3"))).0, StatusCode::UNAUTHORIZED);
}

/// The page is not a service of the platform's accounts: it gets no login at all.
#[test]
fn the_landing_page_takes_the_same_passwords_and_plain_text_is_sent_to_tls() {
    let balancer = Service::at(0, false);
    let proxy = Proxy::start(&[("ann", "hunter2")], &[("127.0.0.1:9095", balancer.port)]);
    for login in [None, Some(("ann", "hunter3"))] {
        assert_eq!(proxy.ask_at(443, login).0, StatusCode::UNAUTHORIZED, "{login:?}");
    }
    for _ in 0..2 {
        let (status, seen) = proxy.ask_at(443, Some(("ann", "hunter2")));
        assert_eq!(status, StatusCode::OK, "{seen}");
        assert!(!seen.to_lowercase().contains("authorization"), "{seen}");
    }
    let plain = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    let plain = plain.get(format!("http://127.0.0.1:{}/a?b", proxy.config.ports[&80]));
    let answer = plain.basic_auth("ann", Some("hunter2")).send().unwrap();
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(answer.headers()["location"], "https://127.0.0.1/a?b");
}

#[test]
fn after_a_reload_a_removed_user_is_refused_also_on_an_open_connection() {
    let leader = Service::at(0, false);
    let inner = [("10.0.0.1:8080", leader.port)];
    let mut proxy = Proxy::start(&[("ann", "hunter2"), ("bob", "hunter3")], &inner);
    let [ann, bob] = [("ann", "hunter2"), ("bob", "hunter3")].map(|login| {
        let client = proxy.client();
        assert_eq!(proxy.ask_by(&client, 8443, Some(login)).0, StatusCode::OK);
        move |proxy: &Proxy| proxy.ask_by(&client, 8443, Some(login))
    });
    proxy.reload(&[("ann", "hunter2"), ("eve", "hunter4")]);
    assert_eq!(proxy.ask(Some(("eve", "hunter4"))).0, StatusCode::OK);
    assert_eq!(bob(&proxy).0, StatusCode::UNAUTHORIZED);
    assert_eq!(proxy.ask(Some(("bob", "hunter3"))).0, StatusCode::UNAUTHORIZED);
    let (status, seen) = ann(&proxy);
    assert_eq!(status, StatusCode::OK, "{seen}");
    let own = "authorization: basic cgxhdgzvcm06c2vjcmv0lw1hcmf0ag9ulwh0dha=";
    assert!(seen.to_lowercase().contains(own), "{seen}");
}

#[test]
fn who_tries_many_wrong_passwords_is_slowed_and_nobody_else_is() {
    let leader = Service::at(0, false);
    let proxy = Proxy::start(&[("ann", "hunter2")], &[("10.0.0.1:8080", leader.port)]);
    let wrong = |n: usize| proxy.ask(Some(("ann", &format!("wrong{n}")))).0;
    let answers: Vec<StatusCode> = (0..11).map(wrong).collect();
    assert_eq!(answers[..10], [StatusCode::UNAUTHORIZED; 10]);
    assert_eq!(answers[10], StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(proxy.ask(Some(("ann", "hunter2"))).0, StatusCode::OK);
}

#[test]
fn only_the_marathon_that_leads_is_used_and_a_request_waits_for_it() {
    let standby = Service::at(0, true);
    let later = free_port();
    let inner = [("10.0.0.1:8080", standby.port), ("10.0.0.2:8080", later)];
    let proxy = Proxy::start(&[("ann", "hunter2")], &inner);
    let (status, seen) = std::thread::scope(|scope| {
        let asked = scope.spawn(|| proxy.ask(Some(("ann", "hunter2"))));
        // HAProxy has found that nobody leads, and would have answered.
        standby.until_asked(3);
        let _leader = Service::at(later, false);
        asked.join().unwrap()
    });
    assert_eq!(status, StatusCode::OK, "{seen}");
}

/// The operator's certificate, from another authority, and that authority's.
fn of_operator(folder: &TempDir) -> (OwnCertificate, String) {
    let state = State::of(&folder.path().join("lab.yaml"), &"other".parse().unwrap());
    let now = Timestamp::now();
    let ca = state.ca(now).unwrap();
    let names = names(&["lab.internal", "*.lab.internal"]);
    let leaf = ca.certificate("edge", &names, now).unwrap();
    let [certificate, key] = [Secret::new(leaf.cert_chain_pem), leaf.key]
        .map(|text| own::Given { name: "a file".to_owned(), text });
    let own = own::judge(&[certificate], &key, now).expect("it is good");
    (own, ca.trusted_pem().to_owned())
}

/// Whether the edge is guarded for who trusts this authority and asks for this name.
fn guarded(proxy: &Proxy, name: &str, ca: &str) -> Result<(), EdgeError> {
    let address = ([127, 0, 0, 1], proxy.config.ports[&8443]).into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let edge = Edge::new(address, name, ca)?;
    runtime.unwrap().block_on(edge.is_guarded())
}

#[test]
fn everyone_sees_the_certificate_of_the_operator_and_this_program_that_of_the_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let (own, ca) = of_operator(&folder);
    let proxy = Proxy::with(&[("ann", "hunter2")], &[], Some(own));
    let of_cluster =
        fs::read_to_string(proxy.folder.path().join(".platform/lab/ca/ca.crt"));
    let of_cluster = of_cluster.unwrap();
    for name in ["127.0.0.1", "lab.internal", "marathon.lab.internal"] {
        guarded(&proxy, name, &ca).unwrap();
        assert!(guarded(&proxy, name, &of_cluster).is_err(), "{name}");
    }
    let name = internal_name("lab.internal");
    guarded(&proxy, &name, &of_cluster).unwrap();
    assert!(guarded(&proxy, &name, &ca).is_err());
    // Without it, everyone sees that of the cluster.
    let proxy = Proxy::start(&[("ann", "hunter2")], &[]);
    let of_cluster =
        fs::read_to_string(proxy.folder.path().join(".platform/lab/ca/ca.crt"));
    for name in ["127.0.0.1", "marathon.lab.internal", &name] {
        guarded(&proxy, name, of_cluster.as_ref().unwrap()).unwrap();
    }
}

/// What a server of TLS at this port does and should not, or does not and should: of the protocols only
/// 1.2 and 1.3, and only ciphers with forward secrecy that also authenticate.
pub(crate) fn weaknesses(port: u16) -> Vec<String> {
    let mut scan = Command::new("sslscan");
    let scan = scan.arg("--no-colour").arg(format!("127.0.0.1:{port}")).output();
    let scan = String::from_utf8(scan.expect("sslscan is installed").stdout).unwrap();
    let judged = scan.lines().filter_map(|line| {
        let is_good = match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["TLSv1.2" | "TLSv1.3", state @ ("enabled" | "disabled")] => {
                state == "enabled"
            }
            [protocol, "enabled"] if protocol.starts_with(['S', 'T']) => false,
            [protocol, "disabled"] if protocol.starts_with(['S', 'T']) => true,
            ["Preferred" | "Accepted", _, _, "bits", cipher, ..] => {
                let is_secret =
                    cipher.starts_with("TLS_") || cipher.starts_with("ECDHE-");
                is_secret && (cipher.contains("GCM") || cipher.contains("POLY1305"))
            }
            [_, "vulnerable", ..] => false,
            ["Server", "supports", "TLS", "Fallback", "SCSV"]
            | ["Session", "renegotiation", "not", "supported"] => true,
            _ => return None,
        };
        Some((is_good, line.to_owned()))
    });
    let judged: Vec<(bool, String)> = judged.collect();
    // Six protocols, six ciphers of 1.2 with an elliptic key and of 1.3, and two more lines.
    assert!(judged.len() >= 14, "{scan}");
    judged.into_iter().filter(|(is_good, _)| !is_good).map(|(_, line)| line).collect()
}

#[test]
fn nothing_older_than_tls_1_2_and_no_plain_text_is_spoken() {
    let leader = Service::at(0, false);
    let proxy = Proxy::start(&[("ann", "hunter2")], &[("10.0.0.1:8080", leader.port)]);
    for port in [8443, 5443, 4443, 443] {
        assert_eq!(weaknesses(proxy.config.ports[&port]), [""; 0], "{port}");
    }
    let plain = proxy.url(8443).replace("https:", "http:");
    assert!(proxy.client().get(plain).send().is_err());
    let hsts = proxy.client().get(proxy.url(5443)).send().unwrap();
    assert!(hsts.headers().contains_key("strict-transport-security"));
}
