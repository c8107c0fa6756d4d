//! Real registries with copiers, each on a loopback address of its own, and images for them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use platform_copier::manifest::TYPES;
use platform_copier::names::Digest;
use platform_copier::registry::agent;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::{Agent, Body};

/// How long anything may take here: a push has to be everywhere within 30 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const USER: &str = "platform-copier";
/// It is also in a file that only the copiers get.
const PASSWORD: &str = "a-password-of-the-tests";

/// What the hosts of a test share: an authority and a login.
pub(crate) struct Lab {
    dir: tempfile::TempDir,
    authority: Issuer<'static, KeyPair>,
    agent: Agent,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        let at = dir.path().join("ca.crt");
        std::fs::write(&at, certificate).unwrap();
        std::fs::write(dir.path().join("password"), PASSWORD).unwrap();
        let hash = bcrypt::hash_with_result(PASSWORD, 4).unwrap();
        let hash = hash.format_for_version(bcrypt::Version::TwoY);
        std::fs::write(dir.path().join("htpasswd"), format!("{USER}:{hash}\n")).unwrap();
        Self { authority: Issuer::new(params, key), agent: agent(&at).unwrap(), dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// A program that is ended when it is dropped.
pub(crate) struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A host with a registry and a copier, which run only when they are started.
pub(crate) struct Host<'a> {
    lab: &'a Lab,
    name: &'static str,
    ip: Ipv4Addr,
    data: PathBuf,
    /// Where the others find its registry, if not at its own address.
    pub(crate) seen_at: Option<SocketAddr>,
}

impl<'a> Host<'a> {
    pub(crate) fn new(lab: &'a Lab, name: &'static str) -> Self {
        let data = lab.path(name);
        std::fs::create_dir(&data).unwrap();
        let host = Self { lab, name, ip: next_ip(), data, seen_at: None };
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.ip.to_string()]).unwrap();
        let certificate = params.signed_by(&key, &lab.authority).unwrap();
        std::fs::write(host.file("crt"), certificate.pem()).unwrap();
        std::fs::write(host.file("key"), key.serialize_pem()).unwrap();
        std::fs::write(host.file("yml"), host.config()).unwrap();
        host
    }

    /// The same host, with its data in another folder.
    pub(crate) fn with_data(self, data: PathBuf) -> Self {
        Self { data, ..self }
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.lab.path(&format!("{}.{kind}", self.name))
    }

    /// The same as on a host of a cluster, but for its paths.
    fn config(&self) -> String {
        let at = |path: PathBuf| path.display().to_string();
        json!({
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": true}},
            "http": {
                "addr": self.registry(), "secret": "shared", "relativeurls": true,
                "tls": {"certificate": at(self.file("crt")), "key": at(self.file("key"))},
            },
            "auth": {"htpasswd": {"realm": "x", "path": at(self.lab.path("htpasswd"))}},
            "storage": {
                "filesystem": {"rootdirectory": self.data},
                "delete": {"enabled": false},
            },
        })
        .to_string()
    }

    pub(crate) fn registry(&self) -> SocketAddr {
        (self.ip, 5000).into()
    }

    pub(crate) fn copier(&self) -> SocketAddr {
        (self.ip, 5001).into()
    }

    /// Where its registry keeps something.
    pub(crate) fn data(&self, path: &str) -> PathBuf {
        self.data.join("docker/registry/v2").join(path)
    }

    /// Where its registry keeps a blob.
    pub(crate) fn blob(&self, content: &[u8]) -> PathBuf {
        let digest = Digest::of(content).as_str().replace("sha256:", "");
        self.data(&format!("blobs/sha256/{}/{digest}/data", &digest[..2]))
    }

    pub(crate) fn start_registry(&self) -> Running {
        self.start_registry_by(Command::new("docker-registry"))
    }

    /// Starts the registry by a command of which its own is the end.
    pub(crate) fn start_registry_by(&self, mut command: Command) -> Running {
        command.arg("serve").arg(self.file("yml"));
        let log = std::fs::File::create(self.file("log")).unwrap();
        let running = Running::start({
            command.stdout(Stdio::null()).stderr(log);
            command
        });
        until("the registry answers", || {
            let url = format!("https://{}/v2/", self.registry());
            self.lab.agent.get(url).call().ok()
        });
        running
    }

    /// Writes the settings of its copier.
    pub(crate) fn settings(&self, others: &[&Host<'_>]) -> PathBuf {
        let others = others.iter().map(|other| {
            json!({"host": other.name, "copier": other.copier(),
                "registry": other.seen_at.unwrap_or(other.registry())})
        });
        let settings = json!({
            "registry": self.registry(),
            "data": self.data,
            "others": others.collect::<Vec<Value>>(),
            "authority": self.lab.path("ca.crt"),
            "login": {"user": USER, "password_file": self.lab.path("password")},
            "book": self.file("book"),
            "listen": self.copier(),
        });
        let path = self.file("json");
        std::fs::write(&path, settings.to_string()).unwrap();
        path
    }

    pub(crate) fn start_copier(&self, others: &[&Host<'_>]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_platform-copier"));
        command.arg("--config").arg(self.settings(others));
        let running = Running::start(command);
        until("the copier has looked", || self.status());
        running
    }

    /// What its copier tells, once it has looked.
    pub(crate) fn status(&self) -> Option<Value> {
        let url = format!("http://{}/status.json", self.copier());
        let mut answer = self.lab.agent.get(url).call().ok()?;
        let status: Value =
            serde_json::from_slice(&answer.body_mut().read_to_vec().ok()?).ok()?;
        (status["counts"]["looks"].as_u64()? > 0).then_some(status)
    }

    /// Waits for so many more looks, of which the last began after this call.
    pub(crate) fn looks(&self, n: u64) {
        let looks = || self.status()?["counts"]["looks"].as_u64();
        let first = until("a look", looks);
        until("more looks", || (looks()? > first + n).then_some(()));
    }

    /// Why an image is not copied to it, if that failed.
    pub(crate) fn fault(&self, image: &str) -> Option<String> {
        let status = self.status()?;
        let rows = status["lacking"].as_array()?;
        let row = rows.iter().find(|row| row["image"].as_str() == Some(image))?;
        row["fault"].as_str().map(str::to_owned)
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}/v2/{path}", self.registry())
    }

    fn login() -> String {
        // Of the user and the password above.
        "Basic cGxhdGZvcm0tY29waWVyOmEtcGFzc3dvcmQtb2YtdGhlLXRlc3Rz".to_owned()
    }

    pub(crate) fn get(&self, path: &str) -> Option<Response<Body>> {
        let request = self.lab.agent.get(self.url(path));
        let request = request.header("authorization", Self::login());
        let answer = request.header("accept", TYPES.join(", ")).call().ok()?;
        (answer.status() == 200).then_some(answer)
    }

    /// The address of a new upload.
    pub(crate) fn begin_upload(&self, repository: &str) -> String {
        let request =
            self.lab.agent.post(self.url(&format!("{repository}/blobs/uploads/")));
        let answer = request.header("authorization", Self::login()).send_empty().unwrap();
        assert_eq!(answer.status(), 202, "{answer:?}");
        let place = answer.headers()["location"].to_str().unwrap();
        format!("https://{}{place}", self.registry())
    }

    fn put(&self, url: String, kind: &str, content: &[u8]) {
        let request = self.lab.agent.put(url).header("authorization", Self::login());
        let answer = request.content_type(kind).send(content).unwrap();
        assert_eq!(answer.status(), 201, "{answer:?}");
    }

    pub(crate) fn push_blob(&self, repository: &str, content: &[u8]) {
        let place = self.begin_upload(repository);
        let url = format!("{place}&digest={}", Digest::of(content));
        self.put(url, "application/octet-stream", content);
    }

    /// Sends a part of a blob and leaves it at that.
    pub(crate) fn push_part_of_blob(&self, repository: &str, part: &[u8]) {
        let request = self.lab.agent.patch(self.begin_upload(repository));
        let request = request.header("authorization", Self::login());
        let answer = request.content_type("application/octet-stream").send(part);
        assert_eq!(answer.unwrap().status(), 202);
    }

    pub(crate) fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        (kind, manifest): (&str, &str),
    ) -> Digest {
        let url = self.url(&format!("{repository}/manifests/{reference}"));
        self.put(url, kind, manifest.as_bytes());
        Digest::of(manifest.as_bytes())
    }

    /// Pushes an image with these layers.
    pub(crate) fn push(
        &self,
        repository: &str,
        reference: &str,
        layers: &[&[u8]],
    ) -> Digest {
        for blob in layers.iter().chain([&CONFIG]) {
            self.push_blob(repository, blob);
        }
        self.push_manifest(repository, reference, (TYPES[1], &manifest(layers)))
    }

    /// The digest of an image that it has with all of its parts.
    pub(crate) fn pull(&self, repository: &str, reference: &str) -> Option<Digest> {
        let mut answer = self.get(&format!("{repository}/manifests/{reference}"))?;
        let bytes = answer.body_mut().read_to_vec().ok()?;
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        let children = manifest["manifests"].as_array().into_iter().flatten();
        for child in children {
            self.pull(repository, child["digest"].as_str()?)?;
        }
        let blobs = manifest["layers"].as_array().into_iter().flatten();
        for blob in blobs.chain(manifest.get("config")) {
            let digest = blob["digest"].as_str()?;
            let mut answer = self.get(&format!("{repository}/blobs/{digest}"))?;
            let body =
                answer.body_mut().with_config().limit(1 << 30).read_to_vec().ok()?;
            assert_eq!(Digest::of(&body).as_str(), digest, "a part is damaged");
        }
        Some(Digest::of(&bytes))
    }

    /// Waits until it has an image with all of its parts.
    pub(crate) fn has(&self, repository: &str, reference: &str, image: &Digest) {
        let what = format!("{} has {repository} {reference}", self.name);
        until(&what, || (self.pull(repository, reference)? == *image).then_some(()));
    }
}

const CONFIG: &[u8] = b"{}";

/// The manifest of an image with these layers.
pub(crate) fn manifest(layers: &[&[u8]]) -> String {
    let part = |kind: &str, content: &[u8]| json!({"mediaType": kind, "size": content.len(), "digest": Digest::of(content)});
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| part("application/vnd.oci.image.layer.v1.tar", layer))
        .collect();
    let config = part("application/vnd.oci.image.config.v1+json", CONFIG);
    json!({"schemaVersion": 2, "mediaType": TYPES[1], "config": config, "layers": layers})
        .to_string()
}

/// Content that no other call gives.
pub(crate) fn content(n_bytes: usize) -> Vec<u8> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut seed =
        NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    };
    let words = std::iter::repeat_with(&mut next).take(n_bytes.div_ceil(8));
    let mut bytes: Vec<u8> = words.flatten().collect();
    bytes.truncate(n_bytes);
    bytes
}

/// A bad link to a server: each connection is closed after the server has sent so many bytes.
pub(crate) struct BadLink {
    pub(crate) address: SocketAddr,
    bytes: Arc<AtomicU64>,
}

impl BadLink {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let ip = match server.ip() {
            std::net::IpAddr::V4(ip) => ip,
            std::net::IpAddr::V6(_) => unreachable!("all are of version 4"),
        };
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let link = Self {
            address: listener.local_addr().unwrap(),
            bytes: Arc::new(AtomicU64::new(u64::MAX)),
        };
        let bytes = Arc::clone(&link.bytes);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(server) else { continue };
                let bytes = bytes.load(Ordering::Relaxed);
                std::thread::spawn(move || carry(&client, &server, bytes));
            }
        });
        link
    }

    /// Sets how many bytes get through on each new connection.
    pub(crate) fn carry_at_most(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

fn carry(client: &TcpStream, server: &TcpStream, bytes: u64) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::copy(&mut &*client, &mut &*server);
            let _ = server.shutdown(Shutdown::Write);
        });
        let _ = std::io::copy(&mut server.take(bytes), &mut &*client);
        let _ = (&*client).flush();
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    });
}

/// Asks again and again until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not so in {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// A loopback address that no other test uses.
fn next_ip() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [.., pid] = std::process::id().to_be_bytes();
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, 192 + pid % 32, high, low)
}

/// How many bytes the files of a folder have, with all below it.
pub(crate) fn n_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size =
        |at: &Path| at.metadata().map_or(0, |at| if at.is_file() { at.len() } else { 0 });
    entries.map(|entry| entry.path()).map(|path| size(&path) + n_bytes(&path)).sum()
}
