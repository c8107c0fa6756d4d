//! Tags and their digests: requested once from a registry, and kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use oci_client::client::{ClientConfig, ClientProtocol};
use platform::digest::Digest;
use platform::images::pins::{self, FILE, Pin, PinError, Pins};
use platform::reference::Reference;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A registry in this process that only knows tags, and counts the requests for each.
struct Registry {
    address: String,
    shelf: Arc<Mutex<Shelf>>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Shelf {
    /// The digests by paths such as `/v2/vendor/zk/manifests/1`.
    tags: BTreeMap<String, Digest>,
    n_asked: usize,
}

impl Registry {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shelf = Arc::<Mutex<Shelf>>::default();
        let (mut server, known) = (JoinSet::new(), Arc::clone(&shelf));
        server.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                answer(stream, &known).await;
            }
        });
        Self { address, shelf, _server: server }
    }

    /// Sets a tag on an image: on one of these contents.
    fn tag(&self, name: &str, tag: &str, content: &str) -> (String, Digest) {
        let digest = Digest::of(content.as_bytes());
        let path = format!("/v2/{name}/manifests/{tag}");
        self.shelf.lock().unwrap().tags.insert(path, digest.clone());
        (format!("{}/{name}:{tag}", self.address), digest)
    }

    fn n_asked(&self) -> usize {
        self.shelf.lock().unwrap().n_asked
    }
}

async fn answer(mut stream: TcpStream, shelf: &Mutex<Shelf>) {
    let (mut request, mut part) = (Vec::new(), [0; 1024]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part).await {
            Ok(n_read) if n_read > 0 => request.extend_from_slice(&part[..n_read]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let head = if path.starts_with("/v2/") && path.contains("/manifests/") {
        let mut shelf = shelf.lock().unwrap();
        shelf.n_asked += 1;
        match shelf.tags.get(path) {
            Some(digest) => format!("200 OK\r\nDocker-Content-Digest: {digest}"),
            None => "404 Not Found".to_owned(),
        }
    } else {
        "200 OK".to_owned()
    };
    let text =
        format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(text.as_bytes()).await;
}

/// Plain HTTP, as the registry of these tests uses it.
fn plain() -> ClientConfig {
    ClientConfig {
        protocol: ClientProtocol::Http,
        ..platform::images::upstream::settings()
    }
}

fn text(folder: &Path) -> String {
    std::fs::read_to_string(folder.join(FILE)).unwrap()
}

fn named(text: &str) -> Reference {
    text.parse().unwrap()
}

fn pin((reference, digest): &(String, Digest), before: Option<&Digest>) -> Pin {
    let (reference, digest) = (reference.clone(), digest.clone());
    Pin { reference, digest, before: before.cloned() }
}

#[tokio::test]
async fn a_tag_is_asked_for_once_and_moves_only_when_it_is_told_to() {
    let (registry, dir) = (Registry::start().await, tempfile::tempdir().unwrap());
    let (zk, mesos) =
        (registry.tag("vendor/zk", "1", "old"), registry.tag("a", "2", "a"));
    let references = [named(&zk.0), named(&mesos.0), named(&zk.0)];
    let asked = pins::fill(dir.path(), &references, plain).await.unwrap();
    assert_eq!(asked, [pin(&mesos, None), pin(&zk, None)]);
    let first = text(dir.path());
    let entry =
        |(reference, digest): &(String, Digest)| format!("  {reference}: {digest}\n");
    assert!(
        first.ends_with(&format!("images:\n{}{}", entry(&mesos), entry(&zk))),
        "{first}"
    );

    let moved = registry.tag("vendor/zk", "1", "new");
    let n_asked = registry.n_asked();
    assert_eq!(pins::fill(dir.path(), &references, plain).await.unwrap(), []);
    assert_eq!((text(dir.path()), registry.n_asked()), (first.clone(), n_asked));
    let kept = Pins::read(dir.path()).unwrap();
    let kept = kept.pinned(&named(&zk.0)).map(|kept| kept.to_string());
    assert_eq!(kept, Some(format!("{}@{}", zk.0, zk.1)));

    let asked = pins::update(dir.path(), &references, plain).await.unwrap();
    assert_eq!(asked, [pin(&mesos, Some(&mesos.1)), pin(&moved, Some(&zk.1))]);
    assert_eq!(text(dir.path()), first.replace(zk.1.as_str(), moved.1.as_str()));
}

#[tokio::test]
async fn what_others_kept_and_what_has_a_digest_stays() {
    let (registry, dir) = (Registry::start().await, tempfile::tempdir().unwrap());
    let (zk, own) = (registry.tag("zk", "1", "zk"), registry.tag("own", "1", "own"));
    pins::fill(dir.path(), &[named(&own.0)], plain).await.unwrap();
    let whole = named(&format!("{}@{}", zk.0, zk.1));
    for _ in 0..2 {
        let asked =
            pins::fill(dir.path(), std::slice::from_ref(&whole), plain).await.unwrap();
        assert_eq!(asked, []);
    }
    assert_eq!(pins::update(dir.path(), &[whole], plain).await.unwrap(), []);
    assert_eq!(registry.n_asked(), 1);
    pins::fill(dir.path(), &[named(&zk.0)], plain).await.unwrap();
    let both = Pins::from_iter([zk, own]);
    assert_eq!(Pins::read(dir.path()).unwrap(), both);
}

#[tokio::test]
async fn a_registry_that_does_not_say_is_named_with_the_image_and_nothing_is_kept() {
    let (registry, dir) = (Registry::start().await, tempfile::tempdir().unwrap());
    let (zk, file) = (registry.tag("zk", "1", "zk"), dir.path().join(FILE));
    let absent = format!("{}/zz:1", registry.address);
    let both = [named(&zk.0), named(&absent)];
    let refused = pins::fill(dir.path(), &both, plain).await.unwrap_err();
    let PinError::Ask { reference, path, .. } = &refused else { panic!("{refused}") };
    assert_eq!((reference, path), (&absent, &file));
    assert!(refused.to_string().contains("platform image pin INVENTORY"), "{refused}");
    assert!(!file.exists());

    pins::fill(dir.path(), &[named(&zk.0)], plain).await.unwrap();
    drop(registry);
    assert_eq!(pins::fill(dir.path(), &[named(&zk.0)], plain).await.unwrap(), []);
    let before = text(dir.path());
    pins::update(dir.path(), &[named(&zk.0)], plain).await.unwrap_err();
    assert_eq!(text(dir.path()), before);
}

#[tokio::test]
async fn the_file_is_as_open_as_new_files_are() {
    use std::os::unix::fs::PermissionsExt;

    let (registry, dir) = (Registry::start().await, tempfile::tempdir().unwrap());
    let zk = registry.tag("zk", "1", "zk");
    pins::fill(dir.path(), &[named(&zk.0)], plain).await.unwrap();
    let mode =
        |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let other = dir.path().join("other");
    std::fs::write(&other, "x").unwrap();
    assert_eq!(mode(&dir.path().join(FILE)), mode(&other));
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 2, "nothing is left beside it");
}
