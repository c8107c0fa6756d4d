//! A real HAProxy on a loopback address of its own, and small requests to it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use platform_balancer::settings::Settings;

/// How long anything may take here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The common ports of the tests, which need no root.
pub(crate) const HTTP: u16 = 18_080;
pub(crate) const HTTPS: u16 = 18_443;

const BASE: &str = "global\n    log 127.0.0.1:9 local0\n    stats socket {dir}/admin.sock level admin expose-fd listeners\n    \
                    hard-stop-after 5s\n\ndefaults\n    mode http\n    timeout connect 1s\n    \
                    timeout client 5s\n    timeout server 5s\n\nbackend landing\n    \
                    http-request return status 404 content-type text/plain string landing\n";

/// A list with a certificate of one day for the tests' HTTPS.
static CERTIFICATES: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let (key, certificate) = (dir.path().join("key"), dir.path().join("certificate"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "1", "-subj", "/CN=edge.example", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("these tests need openssl: apt-get install openssl");
    assert!(made.status.success(), "{made:?}");
    let whole = std::fs::read_to_string(&certificate).unwrap()
        + &std::fs::read_to_string(&key).unwrap();
    let path = dir.path().join("edge.pem");
    std::fs::write(&path, whole).unwrap();
    let list = dir.path().join("certificates");
    std::fs::write(&list, format!("{}\n", path.display())).unwrap();
    (dir, list)
});

/// A folder with everything that HAProxy needs, and a loopback address that no other test uses.
pub(crate) struct Edge {
    dir: tempfile::TempDir,
    pub(crate) ip: Ipv4Addr,
}

impl Edge {
    pub(crate) fn new() -> Self {
        let edge = Self { dir: tempfile::tempdir().unwrap(), ip: next_ip() };
        let base = BASE.replace("{dir}", edge.dir.path().to_str().unwrap());
        std::fs::write(edge.path("base.cfg"), base).unwrap();
        std::fs::write(edge.path("apps.cfg"), "").unwrap();
        edge
    }

    /// Adds lines to `global` and a backend to the base file.
    pub(crate) fn add_to_base(&self, global: &str, backend: &str) {
        let base = std::fs::read_to_string(self.path("base.cfg")).unwrap();
        let base = base.replace("global\n", &format!("global\n{global}"));
        std::fs::write(self.path("base.cfg"), base + backend).unwrap();
        std::fs::write(self.path("servers"), "1\n").unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The settings of a balancer for this host.
    pub(crate) fn settings(&self, marathons: &[SocketAddr]) -> String {
        let at = |name| self.path(name).display().to_string();
        let marathons: Vec<String> = marathons.iter().map(ToString::to_string).collect();
        serde_json::json!({
            "marathons": marathons,
            "haproxy": {
                "command": "haproxy", "base": at("base.cfg"), "apps": at("apps.cfg"),
                "servers": at("servers"),
                "admin_socket": at("admin.sock"), "master_socket": at("master.sock"),
            },
            "bind": self.ip,
            "ports": {"from": 10_000, "to": 20_000, "reserved": [10_080]},
            "groups": ["external"],
            "vhosts": true, "http_port": HTTP, "https_port": HTTPS,
            "certificates": CERTIFICATES.1, "default_backend": "landing",
            "listen": SocketAddr::from((next_ip(), 9095)),
            "page": {"cluster": "lab", "host": "edge-1", "hosts": [], "services": [],
                "work_folder": "/work"},
        })
        .to_string()
    }

    /// The same settings, read.
    pub(crate) fn read_settings(&self) -> Settings {
        serde_json::from_str(&self.settings(&[SocketAddr::from((self.ip, 1))])).unwrap()
    }

    /// What HAProxy says of this file.
    pub(crate) fn check(&self, apps: &str) -> Output {
        let file = self.path("checked.cfg");
        std::fs::write(&file, apps).unwrap();
        haproxy()
            .arg("-c")
            .arg("-f")
            .arg(self.path("base.cfg"))
            .arg("-f")
            .arg(file)
            .output()
            .expect("these tests need HAProxy 2.6: apt-get install haproxy")
    }

    /// Starts HAProxy with a master and a worker.
    pub(crate) fn start(&self) -> Running {
        let child = haproxy()
            .arg("-W")
            .arg("-S")
            .arg(self.path("master.sock"))
            .arg("-f")
            .arg(self.path("base.cfg"))
            .arg("-f")
            .arg(self.path("apps.cfg"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.path("haproxy.log")).unwrap())
            .spawn()
            .expect("these tests need HAProxy 2.6: apt-get install haproxy");
        let socket = self.path("admin.sock");
        let running = Running { child };
        until("HAProxy answers", || {
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
        running
    }
}

/// Whether HAProxy takes a configuration without a warning.
pub(crate) fn loads(checked: &Output) -> bool {
    let says = String::from_utf8_lossy(&checked.stderr);
    checked.status.success() && !says.contains("WARNING")
}

fn haproxy() -> Command {
    Command::new("haproxy")
}

/// A process that ends with the test, together with its workers.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    pub(crate) fn of(child: Child) -> Self {
        Self { child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").arg(&pid).status();
        let deadline = Instant::now() + Duration::from_secs(7);
        while asked.is_ok() && Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not so in {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// A loopback address that no other test uses.
pub(crate) fn next_ip() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [.., pid] = std::process::id().to_be_bytes();
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, 64 + pid % 128, high, low)
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The headers, one on a line.
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// Asks for a page; `None` if there is no whole answer.
pub(crate) fn ask(address: SocketAddr, host: &str, path: &str) -> Option<Answer> {
    ask_by("GET", address, host, path)
}

/// Sends a request without a body.
pub(crate) fn ask_by(
    method: &str,
    address: SocketAddr,
    host: &str,
    path: &str,
) -> Option<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, headers: head.to_owned(), body: body.to_owned() })
}

/// The text of a file of the tests.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
