//! The registry's client against a real registry, with TLS and passwords, over a tunnel.

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig};
use platform::api::registry::{Access, OnBytes, Registry, RegistryError};
use platform::api::tunnel::Tunnel;
use platform::certificate::San;
use platform::images::pins::Pins;
use platform::images::{Damaged, Image, build, upstream};
use platform::reference::Reference;
use platform::remote::{Exec, Output, Remote, RemoteError, Stream};
use platform::secret::Secret;
use platform::state::State;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_util::io::InspectWriter;

use crate::fixture::{ARCHITECTURE, Shelf, config, flip, layer, saved};

/// A running registry on a loopback port of the system's choice; ends with the test.
struct Server {
    container: String,
    process: Child,
    port: u16,
    ca_pem: String,
    dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let remove = ["rm", "--force", "--volumes", &self.container];
        let _ = Command::new("docker").args(remove).output();
        let _ = self.process.wait();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Door {
    Password,
    Open,
}

impl Server {
    fn start(door: Door) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::now();
        let state = State::of(&dir.path().join("lab.yaml"), &"lab".parse().unwrap());
        let ca = state.ca(now).unwrap();
        let san = San::Ip(IpAddr::from([127, 0, 0, 1]));
        let leaf = ca.certificate("registry", &[san], now).unwrap();
        let line = state.htpasswd_line("pusher", &Secret::new("hunter2")).unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
        };
        write("cert.pem", &leaf.cert_chain_pem);
        write("key.pem", leaf.key.expose());
        write("htpasswd", &line);
        write("config.yml", &settings(dir.path(), door));
        let (container, mut process) = run(dir.path());
        let port = port_of(&mut process);
        Self { container, process, port, ca_pem: ca.trusted_pem().to_owned(), dir }
    }

    async fn tunnel(&self) -> (Tunnel, Arc<AtomicU64>) {
        let remote = Here::default();
        let written = Arc::clone(&remote.written);
        let address = "127.0.0.1".to_owned();
        let tunnel = Tunnel::open(Arc::new(remote), address, self.port).await.unwrap();
        (tunnel, written)
    }

    async fn client(&self, tunnel: &Tunnel, password: &str) -> Registry {
        client(tunnel, &self.ca_pem, password).await
    }
}

async fn client(tunnel: &Tunnel, ca_pem: &str, password: &str) -> Registry {
    let access = Access {
        name: "the registry on edge-1",
        address: &tunnel.address().to_string(),
        ca_pem,
        user: "pusher",
        password: &Secret::new(password),
    };
    Registry::new(access).await.unwrap()
}

/// Runs the registry of the registry's image as this user, in this computer's network.
fn run(dir: &Path) -> (String, Child) {
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/registry");
    let image = build::tag(&recipe, &Pins::default());
    let name = dir.file_name().unwrap().to_string_lossy().replace('.', "");
    let container = format!("platform-test-registry-{name}");
    let user = rustix::process::getuid().as_raw();
    let process = Command::new("docker")
        .args(["run", "--rm", "--name", &container, "--network=host"])
        .arg(format!("--user={user}"))
        .arg("--entrypoint=/bin/docker-registry")
        .arg(format!("--volume={0}:{0}", dir.display()))
        .args([image.unwrap().as_str(), "serve"])
        .arg(dir.join("config.yml"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("these tests need Docker");
    (container, process)
}

fn settings(dir: &Path, door: Door) -> String {
    let dir = dir.display();
    let auth = format!("auth: {{htpasswd: {{realm: lab, path: {dir}/htpasswd}}}}\n");
    let tls = format!("{{certificate: {dir}/cert.pem, key: {dir}/key.pem}}");
    format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {dir}/data}}}}\n\
         http: {{addr: '127.0.0.1:0', tls: {tls}}}\n{}",
        if door == Door::Password { auth.as_str() } else { "" }
    )
}

/// The registry prints its address when it listens; its later output is read and dropped, because
/// a full pipe would block it.
fn port_of(process: &mut Child) -> u16 {
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let mut seen = String::new();
    let port = lines.find_map(|line| {
        let line = line.unwrap();
        seen.push_str(&line);
        let rest = line.split("listening on 127.0.0.1:").nth(1)?;
        rest.split(',').next()?.parse().ok()
    });
    std::thread::spawn(move || lines.for_each(drop));
    port.unwrap_or_else(|| panic!("the registry did not begin to listen: {seen}"))
}

/// This computer as a host; counts what is sent to it.
#[derive(Default)]
struct Here {
    written: Arc<AtomicU64>,
}

impl Remote for Here {
    fn exec<'a>(&'a self, _: Exec<'a>) -> BoxFuture<'a, Result<Output, RemoteError>> {
        unreachable!("a tunnel runs no commands")
    }

    fn dial<'a>(
        &'a self,
        address: &'a str,
        port: u16,
        _: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>> {
        Box::pin(async move {
            let host = "edge-1".parse().unwrap();
            let stream = TcpStream::connect((address, port))
                .await
                .map_err(|source| RemoteError::Unreachable { host, source })?;
            let written = Arc::clone(&self.written);
            let count = move |bytes: &[u8]| {
                written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            };
            Ok(Box::new(InspectWriter::new(stream, count)) as Box<dyn Stream>)
        })
    }

    fn renew(&self) -> BoxFuture<'_, Result<(), RemoteError>> {
        Box::pin(async { Ok(()) })
    }
}

fn ignore() -> OnBytes {
    Arc::new(|_, _| ())
}

/// Four layers with a total of some megabytes, and the archive.
async fn image(shelf: &Shelf) -> Image {
    let layers: Vec<Vec<u8>> = (1..=4).map(|seed| layer(seed, 700_000)).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    shelf.read(&saved(&config(&layers), &layers)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_sent_once_and_the_second_push_sends_nothing() {
    let (server, shelf) = (Server::start(Door::Password), Shelf::new());
    let (tunnel, written) = server.tunnel().await;
    let registry = server.client(&tunnel, "hunter2").await;
    registry.check().await.unwrap();
    let image = image(&shelf).await;
    assert!(!registry.has("platform/zk", &image.digest).await.unwrap());

    let most = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&most);
    let on_bytes: OnBytes = Arc::new(move |done, total| {
        assert!(done <= total);
        seen.fetch_max(done, Ordering::Relaxed);
    });
    let first = registry.push(&image, "platform/zk", "3.8.0", on_bytes).await.unwrap();
    let size: u64 = image.blobs().iter().map(|blob| blob.size).sum();
    assert_eq!((first.sent_bytes, first.n_blobs_there, first.tagged), (size, 0, true));
    assert_eq!(most.load(Ordering::Relaxed), size);
    assert!(registry.has("platform/zk", &image.digest).await.unwrap());

    let before = written.load(Ordering::Relaxed);
    assert!(before > size);
    let second = registry.push(&image, "platform/zk", "3.8.0", ignore()).await.unwrap();
    assert_eq!((second.sent_bytes, second.n_blobs_there), (0, 5));
    assert!(!second.tagged);
    let sent = written.load(Ordering::Relaxed) - before;
    assert!(sent < 10_000, "{sent} bytes for nothing");

    // The same image for another component.
    registry.mount(&image, "platform/zk", "platform/twin").await.unwrap();
    let twin = registry.push(&image, "platform/twin", "3.8.0", ignore()).await.unwrap();
    assert_eq!((twin.sent_bytes, twin.n_blobs_there, twin.tagged), (0, 5, true));
    // A blob that cannot be mounted is sent.
    registry.mount(&image, "platform/none", "platform/third").await.unwrap();
    let third = registry.push(&image, "platform/third", "1", ignore()).await.unwrap();
    assert_eq!((third.sent_bytes, third.n_blobs_there), (size, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_with_its_user_and_what_to_do() {
    let (server, shelf) = (Server::start(Door::Password), Shelf::new());
    let (tunnel, _) = server.tunnel().await;
    let registry = server.client(&tunnel, "hunter3").await;
    let image = image(&shelf).await;
    let refused = [
        registry.check().await.unwrap_err(),
        registry.has("platform/zk", &image.digest).await.unwrap_err(),
        registry.push(&image, "platform/zk", "1", ignore()).await.unwrap_err(),
    ];
    for error in refused {
        let said = error.to_string();
        assert!(matches!(error, RegistryError::WrongPassword { .. }), "{error:?}");
        assert!(said.contains("`pusher`") && said.contains("platform up"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_lets_anyone_in_does_not_pass() {
    let server = Server::start(Door::Open);
    let (tunnel, _) = server.tunnel().await;
    let open = server.client(&tunnel, "hunter2").await.check().await.unwrap_err();
    assert!(matches!(open, RegistryError::Open { .. }), "{open:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_another_ca_gets_no_password() {
    let (server, other) = (Server::start(Door::Open), Server::start(Door::Open));
    let (tunnel, _) = server.tunnel().await;
    let registry = client(&tunnel, &other.ca_pem, "hunter2").await;
    let refused = registry.check().await.unwrap_err();
    assert!(matches!(refused, RegistryError::Unreachable { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_layer_is_named_and_nothing_is_tagged() {
    let (server, shelf) = (Server::start(Door::Password), Shelf::new());
    let (tunnel, _) = server.tunnel().await;
    let registry = server.client(&tunnel, "hunter2").await;
    let layers = [layer(1, 700_000), layer(2, 700_000)];
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let mut archive = saved(&config(&layers), &layers);
    flip(&mut archive, layers[1]);
    let image = shelf.read(&archive).await.unwrap();

    let error = registry.push(&image, "platform/zk", "1", ignore()).await.unwrap_err();
    let damaged = Damaged::behind(&error);
    let RegistryError::Damaged(said) = &error else { panic!("{error:?} {damaged:?}") };
    assert!(said.name.starts_with("layer 2 of "), "{}", said.name);
    assert_eq!(said.expected, image.layers[1].digest);
    assert!(!registry.has("platform/zk", &image.digest).await.unwrap());
    let links =
        server.dir.path().join("data/docker/registry/v2/repositories/platform/zk");
    let tags = links.join("_manifests/tags");
    assert!(!tags.exists(), "nothing is tagged");
    let kept = links.join("_layers/sha256").join(image.layers[1].digest.hex());
    assert!(!kept.exists(), "the damaged layer is not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_pulls_by_digest_what_was_pushed() {
    let (server, shelf) = (Server::start(Door::Password), Shelf::new());
    let (tunnel, _) = server.tunnel().await;
    let registry = server.client(&tunnel, "hunter2").await;
    let image = image(&shelf).await;
    registry.push(&image, "platform/test-pull", "1", ignore()).await.unwrap();

    let address = format!("127.0.0.1:{}", server.port);
    let name = format!("{address}/platform/test-pull@{}", image.digest);
    let docker = |arguments: &[&str]| {
        let mut command = Command::new("docker");
        command.arg("--config").arg(shelf.path()).args(arguments).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    docker(&["login", "--username", "pusher", "--password", "hunter2", &address]);
    docker(&["pull", "--quiet", &name]);
    let id = docker(&["image", "inspect", "--format", "{{.Id}}", &name]);
    docker(&["image", "rm", &name]);
    assert_eq!(id, image.id().as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_from_upstream_is_the_pinned_one_and_asked_for_once() {
    let (server, shelf) = (Server::start(Door::Open), Shelf::new());
    let (tunnel, _) = server.tunnel().await;
    let registry = server.client(&tunnel, "hunter2").await;
    let image = image(&shelf).await;
    registry.push(&image, "vendor/zk", "1", ignore()).await.unwrap();

    let named = |text: String| -> Reference { text.parse().unwrap() };
    let at = |name: &str| named(format!("127.0.0.1:{}/vendor/{name}", server.port));
    let reference = at("zk").at(image.digest.clone());
    let trusting = || {
        let (encoding, data) = (CertificateEncoding::Pem, server.ca_pem.clone().into());
        let extra_root_certificates = vec![Certificate { encoding, data }];
        ClientConfig { extra_root_certificates, ..upstream::settings() }
    };
    let cache = shelf.cache();
    let found =
        upstream::resolve(&reference, &cache, ARCHITECTURE, trusting()).await.unwrap();
    assert_eq!(found.digest, image.digest);
    assert_eq!(found.id(), image.id());
    let pushed = registry.push(&found, "mirror/zk", "1", ignore()).await.unwrap();
    assert!(pushed.sent_bytes > 2_800_000, "{pushed:?}");

    let digest = upstream::digest_of(&at("zk:1"), trusting()).await.unwrap();
    assert_eq!(digest, image.digest);
    let none = upstream::digest_of(&at("zk:2"), trusting()).await;
    assert!(matches!(none, Err(upstream::UpstreamError::Fetch { .. })), "{none:?}");

    let absent = at("kafka").at(image.layers[0].digest.clone());
    let none = upstream::resolve(&absent, &cache, ARCHITECTURE, trusting()).await;
    assert!(matches!(none, Err(upstream::UpstreamError::Fetch { .. })), "{none:?}");

    drop(server);
    upstream::resolve(&reference, &cache, ARCHITECTURE, upstream::settings())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_to_nowhere_says_why_and_a_dropped_one_is_closed() {
    let (gone, address) = (Server::start(Door::Open), "127.0.0.1".to_owned());
    let port = gone.port;
    let ca_pem = gone.ca_pem.clone();
    drop(gone);
    let tunnel = Tunnel::open(Arc::new(Here::default()), address, port).await.unwrap();
    let registry = client(&tunnel, &ca_pem, "hunter2").await;
    let refused = registry.check().await.unwrap_err();
    assert!(matches!(refused, RegistryError::Unreachable { .. }), "{refused:?}");
    let why = tunnel.failure().unwrap();
    assert!(matches!(why, RemoteError::Unreachable { .. }), "{why:?}");

    let address = tunnel.address();
    drop(tunnel);
    let closed = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_file_is_read_for_the_next_login() {
    let server = Server::start(Door::Password);
    let (tunnel, _) = server.tunnel().await;
    let before = server.client(&tunnel, "hunter2").await;
    before.check().await.unwrap();
    let inventory = server.dir.path().join("lab.yaml");
    let state = State::of(&inventory, &"lab".parse().unwrap());
    let line = state.htpasswd_line("pusher", &Secret::new("hunter3")).unwrap();
    let beside = server.dir.path().join("htpasswd.new");
    std::fs::write(&beside, line).unwrap();
    std::fs::rename(&beside, server.dir.path().join("htpasswd")).unwrap();
    let refused = before.check().await.unwrap_err();
    assert!(matches!(refused, RegistryError::WrongPassword { .. }), "{refused}");
    server.client(&tunnel, "hunter3").await.check().await.unwrap();
}
