//! A registry with HAProxy before it, as an edge host runs them: the real programs run here, by the
//! script of their image, with paths and a port of this computer.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use jiff::Timestamp;
use platform::api::registry::{Access, Registry, RegistryError};
use platform::certificate::San;
use platform::component::{copier, registry};
use platform::digest::Digest;
use platform::secret::Secret;
use platform::state::State;
use reqwest::blocking::Client;
use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::edge::{MARATHON, files, text, weaknesses};
use crate::fixture::{ARCHITECTURE, config, flip, layer, saved};
use crate::here::{LONG, eventually, free_port};

/// Who has a password; of them, these may push.
const ALL: [&str; 5] = ["platform", "platform-copier", "platform-pull", "ann", "bob"];
const PUSHERS: [&str; 3] = [registry::ACCOUNT, copier::ACCOUNT, "ann"];

/// It ends when it is dropped.
struct Server {
    process: Child,
    folder: TempDir,
    at: SocketAddr,
    ca_pem: String,
}

impl Server {
    fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, free_port()).into())
    }

    fn start_at(at: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let state = State::of(&folder.path().join("lab.yaml"), &"lab".parse().unwrap());
        let now = Timestamp::now();
        let ca = state.ca(now).unwrap();
        let san = San::Ip(at.ip());
        let leaf = ca.certificate("edge", &[san], now).unwrap();
        let line = |user: &str| state.htpasswd_line(user, &password(user)).unwrap();
        let lines = ALL.map(|user| line(user) + "\n");
        let mut cluster = Cluster::of(MARATHON);
        let pair = (leaf.cert_chain_pem, leaf.key);
        cluster.inputs.certificates = [("edge".parse().unwrap(), pair)].into();
        cluster.inputs.htpasswd = Secret::new(lines.concat());
        cluster.inputs.pushers = PUSHERS.map(str::to_owned).into();
        let here = |text: &str| localized(text, folder.path(), at);
        for (name, file) in files(&cluster, "registry") {
            fs::write(folder.path().join(name), here(&text(&file))).unwrap();
        }
        let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/registry");
        let serve = fs::read_to_string(images.join("serve")).unwrap();
        fs::write(folder.path().join("serve"), here(&serve)).unwrap();
        let ca_pem = ca.trusted_pem().to_owned();
        let process = Command::new("sh")
            .arg(folder.path().join("serve"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .process_group(0)
            .spawn()
            .expect("a shell runs");
        state.keep().unwrap();
        let mut server = Self { process, folder, at, ca_pem };
        server.until_it_listens();
        server
    }

    fn until_it_listens(&mut self) {
        let (process, at, log) =
            (&mut self.process, self.at, self.folder.path().join("log"));
        eventually("the registry listens", || {
            let log = || fs::read_to_string(&log).unwrap();
            assert!(process.try_wait().unwrap().is_none(), "it ended: {}", log());
            TcpStream::connect(at).is_ok()
        });
    }

    fn client(&self) -> Client {
        let ca = reqwest::Certificate::from_pem(self.ca_pem.as_bytes()).unwrap();
        let builder = Client::builder().no_proxy().tls_certs_only([ca]);
        builder.timeout(LONG).build().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.at)
    }

    /// The status and the body of the answer to this user.
    fn ask(&self, method: Method, path: &str, user: &str) -> (StatusCode, String) {
        let request = self.client().request(method, self.url(path));
        let request = request.basic_auth(user, Some(password(user).expose()));
        let answer = request.send().unwrap();
        (answer.status(), answer.text().unwrap())
    }

    /// What this program finds that a user may do.
    fn may_push(&self, user: &str, password: &str) -> Result<bool, RegistryError> {
        let access = Access {
            name: "the registry on edge",
            address: &self.at.to_string(),
            ca_pem: &self.ca_pem,
            user,
            password: &Secret::new(password),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let registry = Registry::new(access).await?;
            registry.check().await?;
            registry.may_push().await
        })
    }

    /// Has it read anew who may push, as its unit does.
    fn reload(&self) {
        let mut reload = Command::new("sh");
        let reload = reload.arg(self.folder.path().join("serve")).arg("reload");
        assert!(reload.status().expect("a shell runs").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The registry too, as with its container.
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
    }
}

/// A text of the container without what only a container has.
fn localized(text: &str, folder: &Path, at: SocketAddr) -> String {
    let folder = folder.to_str().unwrap();
    text.replace("/tmp/", &format!("{folder}/"))
        .replace("/bin/docker-registry", "docker-registry")
        .replace("/usr/sbin/haproxy", "haproxy")
        .replace("/bin/sh", "sh")
        .replace("/etc/registry", folder)
        .replace("/var/lib/registry", &format!("{folder}/data"))
        .replace("bind :5000 ", &format!("bind {at} "))
        .replace("127.0.0.1:5000 ", &format!("{at} "))
}

fn password(user: &str) -> Secret {
    Secret::new(format!("password of {user}"))
}

const UPLOADS: &str = "/v2/team/app/blobs/uploads/";

#[test]
fn who_may_not_push_can_read_and_change_nothing() {
    let server = Server::start();
    for user in ALL {
        let (status, seen) = server.ask(Method::GET, "/v2/_catalog", user);
        assert_eq!(status, StatusCode::OK, "{user}: {seen}");
        let (status, seen) = server.ask(Method::POST, UPLOADS, user);
        if PUSHERS.contains(&user) {
            assert_eq!(status, StatusCode::ACCEPTED, "{user}: {seen}");
            continue;
        }
        // As Docker shows it.
        let seen: serde_json::Value = serde_json::from_str(&seen).expect("JSON");
        assert_eq!(seen["errors"][0]["code"], "DENIED");
        let message = seen["errors"][0]["message"].as_str().expect("a text");
        assert!(message.contains("may pull, but not push"), "{message}");
        for method in ["POST", "PUT", "PATCH", "DELETE", "post", "ANY"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            for path in [UPLOADS, "/v2/team/app/manifests/1", "/v2/", "/"] {
                let status = server.ask(method.clone(), path, user).0;
                assert_eq!(status, StatusCode::FORBIDDEN, "{user}: {method} {path}");
            }
        }
    }
    let kept = server.folder.path().join("data/docker/registry/v2/repositories/team/app");
    let n_uploads = fs::read_dir(kept.join("_uploads")).unwrap().count();
    assert_eq!(n_uploads, PUSHERS.len(), "nobody else began an upload");
}

/// HAProxy goes by the name alone, so both have to read the same name and the registry has to check
/// its password.
#[test]
fn no_way_of_writing_a_login_gives_another_user_s_right() {
    let server = Server::start();
    let login = |user: &str, password: &str| {
        let login = format!("{user}:{password}");
        base64::Engine::encode(&base64::prelude::BASE64_STANDARD, login)
    };
    let [ann, bob] = ["ann", "bob"].map(|user| login(user, password(user).expose()));
    let write = |logins: &[String]| {
        let request = server.client().post(server.url(UPLOADS));
        let request = logins
            .iter()
            .fold(request, |request, it| request.header("Authorization", it));
        request.send().unwrap().status()
    };
    assert_eq!(write(&[format!("basic {ann}")]), StatusCode::ACCEPTED);
    assert_eq!(write(&[]), StatusCode::UNAUTHORIZED);
    let wrong = login("ann", "hunter2");
    assert_eq!(write(&[format!("Basic {wrong}")]), StatusCode::UNAUTHORIZED);
    let basic = |login: &str| format!("Basic {login}");
    for logins in [
        vec![basic(&bob), basic(&wrong)],
        vec![basic(&wrong), basic(&bob)],
        vec![format!("Basic {bob}, Basic {wrong}")],
        vec![format!("Basic {wrong}, Basic {bob}")],
        vec![format!("Basic  {bob}")],
        vec![format!("Basic {bob} {ann}")],
        vec![format!("Bearer {ann}")],
        vec![basic(&login("ann\0", password("bob").expose()))],
        vec![basic(&login("bob\0ann", password("bob").expose()))],
        vec![basic(&login("", ""))],
        vec!["Basic".to_owned()],
    ] {
        assert!(write(&logins).is_client_error(), "{logins:?}");
    }
}

#[test]
fn this_program_sees_who_may_push_and_a_change_holds_also_on_open_connections() {
    let server = Server::start();
    let right = |user: &str| server.may_push(user, password(user).expose()).unwrap();
    assert_eq!(ALL.map(right), [true, true, false, true, false]);
    let refused = server.may_push("ann", "hunter2").unwrap_err();
    assert!(matches!(refused, RegistryError::WrongPassword { .. }), "{refused:?}");

    let connected = server.client();
    let write = |user: &str| {
        let request = connected.post(server.url(UPLOADS));
        let request = request.basic_auth(user, Some(password(user).expose()));
        request.send().unwrap().status()
    };
    assert_eq!(write("ann"), StatusCode::ACCEPTED);
    fs::write(server.folder.path().join("pushers"), "platform\nbob\n").unwrap();
    server.reload();
    // The process of before learns a moment after the reload that there is another.
    eventually("ann may not push", || write("ann") == StatusCode::FORBIDDEN);
    assert_eq!(write("bob"), StatusCode::ACCEPTED);
    assert_eq!(ALL.map(right), [true, false, false, false, true]);
}

#[test]
fn it_ends_if_the_registry_ends_and_speaks_no_weak_tls() {
    let mut server = Server::start();
    assert_eq!(weaknesses(server.at.port()), [""; 0]);
    let group = server.process.id().to_string();
    let mut find = Command::new("pgrep");
    let found = find.args(["-g", &group, "-x", "docker-registry"]).output().unwrap();
    let registry = String::from_utf8(found.stdout).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(registry).unwrap(), Signal::KILL).unwrap();
    eventually("it ends", || server.process.try_wait().unwrap().is_some());
}

/// An address of this computer that no other test uses: a URL of an edge says nothing of the port of its
/// registry, which is always the same.
const EDGE: Ipv4Addr = Ipv4Addr::new(127, 86, 5, 14);

/// `platform image push` at that edge, as this user.
fn push(server: &Server, user: &str, password: &Secret, words: &[&str]) -> Output {
    image(server, user, password, &[&["push"], words].concat())
}

/// `platform image` with other words.
fn image(server: &Server, user: &str, password: &Secret, words: &[&str]) -> Output {
    let ca = server.folder.path().join("trusted.crt");
    fs::write(&ca, &server.ca_pem).unwrap();
    Command::new(env!("CARGO_BIN_EXE_platform"))
        .arg("image")
        .args(words)
        .env_remove("PLATFORM_INVENTORY")
        .env("PLATFORM_URL", format!("https://{EDGE}:8443"))
        .env("PLATFORM_CA_FILE", ca)
        .env("PLATFORM_USER", user)
        .env("PLATFORM_PASSWORD", password.expose())
        .output()
        .expect("the program runs")
}

/// Writes an OCI layout. Its index names images for three kinds of machines, and only that for this
/// computer is there.
fn write_layout(folder: &Path, layer: &[u8]) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let stored = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        serde_json::json!({"digest": digest, "size": bytes.len()})
    };
    let described = |bytes: &[u8], kind: &str| {
        let mut descriptor = stored(bytes);
        descriptor["mediaType"] = format!("application/vnd.oci.image.{kind}").into();
        descriptor
    };
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": described(&config(&[layer]), "config.v1+json"),
        "layers": [described(layer, "layer.v1.tar")],
    });
    let own = described(manifest.to_string().as_bytes(), "manifest.v1+json");
    let platforms = [ARCHITECTURE, "s390x", "riscv64"].map(|architecture| {
        let mut entry = own.clone();
        entry["platform"] =
            serde_json::json!({"os": "linux", "architecture": architecture});
        if architecture != ARCHITECTURE {
            entry["digest"] = Digest::of(architecture.as_bytes()).as_str().into();
        }
        entry
    });
    let index = serde_json::json!({"schemaVersion": 2, "manifests": platforms});
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn image_push_sends_what_is_missing_and_says_why_something_cannot_be_sent() {
    let server = Server::start_at((EDGE, 5000).into());
    let folder = server.folder.path();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let as_ann = |words: &[&str]| push(&server, "ann", &password("ann"), words);
    let pushed = |words: &[&str]| {
        let Output { status, stdout, stderr } = as_ann(words);
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    };
    let refused = |output: Output| {
        assert!(!output.status.success(), "it was pushed");
        String::from_utf8(output.stderr).unwrap()
    };
    let tags = |name: &str| {
        let path = format!("/v2/{name}/tags/list");
        server.ask(Method::GET, &path, "ann").1
    };

    let layer_bytes = layer(1, 5000);
    let bytes = saved(&config(&[&layer_bytes]), &[&layer_bytes]);
    let archive = folder.join("image.tar");
    fs::write(&archive, &bytes).unwrap();
    let first = pushed(&[&text(&archive)]);
    assert!(first.starts_with(&format!("{EDGE}:5000/x:1 is sha256:")), "{first}");
    assert!(first.contains("KiB sent.\n"), "{first}");
    let again = pushed(&[&text(&archive)]);
    assert!(again.contains("all of it was there already"), "{again}");

    let layout = folder.join("layout");
    write_layout(&layout, &layer(2, 5000));
    let unnamed = refused(as_ann(&[&text(&layout)]));
    assert!(unnamed.contains("add a name such as"), "{unnamed}");
    let said = pushed(&[&text(&layout), "elsewhere.example/team/app:2"]);
    assert!(said.contains(&format!("for linux/{ARCHITECTURE}")), "{said}");
    assert!(tags("team/app").contains("\"2\""), "{}", tags("team/app"));
    shows_what_it_has(&server);

    let no_right =
        push(&server, "bob", &password("bob"), &[&text(&archive), "team/app:3"]);
    assert!(refused(no_right).contains("`bob` may pull from the registry, but not push"));
    let wrong = Secret::new("hunter2");
    let wrong = refused(push(&server, "ann", &wrong, &[&text(&archive), "team/app:3"]));
    assert!(
        wrong.contains("check PLATFORM_USER") && !wrong.contains("hunter2"),
        "{wrong}"
    );

    let damaged = folder.join("damaged");
    let content = layer(3, 5000);
    write_layout(&damaged, &content);
    let blob = damaged.join("blobs/sha256").join(Digest::of(&content).hex());
    let mut flipped = content.clone();
    flip(&mut flipped, &content);
    fs::write(blob, flipped).unwrap();
    let said = refused(as_ann(&[&text(&damaged), "team/app:3"]));
    assert!(said.contains("is damaged"), "{said}");
    fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
    let said = refused(as_ann(&[&text(&archive), "team/app:3"]));
    assert!(said.contains("is cut short or is not an archive"), "{said}");
    let said = refused(as_ann(&["./nothing.tar", "team/app:3"]));
    assert!(said.contains("there is no file or folder `./nothing.tar`"), "{said}");
    assert!(!tags("team/app").contains("\"3\""), "{}", tags("team/app"));
}

/// The registry has x:1 and team/app:2, as `image ls`, `search` and `inspect` show.
fn shows_what_it_has(server: &Server) {
    let asked = |user: &str, words: &[&str]| image(server, user, &password(user), words);
    // Whoever may pull may look.
    let shown = |words: &[&str]| {
        let Output { status, stdout, stderr } = asked("bob", words);
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    };
    let listed = |words: &[&str]| -> Vec<String> {
        let shown = shown(words);
        let names = shown.lines().skip(1);
        names.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(listed(&["ls"]), ["team/app:2", "x:1"]);
    assert_eq!(listed(&["search", "TEAM"]), ["team/app:2"]);
    assert!(shown(&["search", "redis"]).starts_with("There is no such image"));

    let json = shown(&["inspect", "team/app:2", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let platform = format!("linux/{ARCHITECTURE}");
    assert_eq!(json["variants"][0]["platform"], platform.as_str(), "{json:#}");
    assert_eq!(json["layers"].as_array().map(Vec::len), Some(1), "{json:#}");
    assert_eq!(json["layers"][0]["size"], json["size"], "{json:#}");
    let row = shown(&["ls"]);
    let digest = json["digest"].as_str().expect("a digest");
    assert!(row.contains(&digest[..19]) && row.contains(&platform), "{row}");

    let missing = asked("bob", &["inspect", "team/app:7"]);
    let said = String::from_utf8(missing.stderr).unwrap();
    assert_eq!(missing.status.code(), Some(2), "{said}");
    assert!(said.contains("the tags of team/app are 2"), "{said}");
    let wrong = image(server, "bob", &Secret::new("hunter2"), &["ls"]);
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(said.contains("check PLATFORM_USER") && !said.contains("hunter2"), "{said}");
}
