//! A new version of everything, while a client uses an app.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use platform::event::RunResult;
use platform::images::build::tag;
use platform::images::pins::Pins;
use serde_json::json;

use super::FAILOVER;
use crate::harness::{
    End, Lab, Services, copy_folder, docker, entries, http_server, inside, pause,
};

/// The address of each instance of the app.
const PORT: u16 = 31_500;
/// A client that sends 20 requests per second.
const BETWEEN: Duration = Duration::from_millis(50);
/// Another client, of Marathon's API, with 5 requests per second.
const BETWEEN_CALLS: Duration = Duration::from_millis(200);
/// The longest that an instance may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Every component gets a new image and is restarted. The tasks stay the same, and no request to
/// them fails meanwhile.
pub(super) fn everything_is_replaced_and_no_request_fails(lab: &Lab, body: &str) {
    let services = Services::of(lab);
    services.run_app(&app(), 2);
    let tasks = services.tasks();
    let next = NextVersion::beside(lab);
    let client = Client::default();
    let (up, silence) = longest_silence_during(lab, || {
        client.during(&tasks, || {
            lab.rewrite(&body.replace("{rehearsed}", &next.catalog));
            lab.up()
        })
    });
    assert_eq!(up.result(), RunResult::Changed);
    assert!(silence < FAILOVER, "no Marathon answered for {silence:?}");
    let failed = client.failed.into_inner().expect("no request panics");
    let n_asked = client.n_asked.into_inner();
    assert!(failed.is_empty(), "{} of {n_asked} requests: {failed:#?}", failed.len());
    assert!(n_asked > 200, "only {n_asked} requests in all that time");
    assert_eq!(services.tasks(), tasks, "the same tasks still run");
    lab.is_settled();
    services.remove_app("/polled");
    // The agents' old files stay while a task runs from them.
    let up = lab.up();
    assert_eq!(up.result(), RunResult::Changed, "{}", up.said());
    lab.is_settled();
}

/// For how long at a time no Marathon answered while this work ran. A Marathon ends when the
/// member of ZooKeeper or the master that it is connected to ends.
fn longest_silence_during<T>(lab: &Lab, work: impl FnOnce() -> T) -> (T, Duration) {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let services = Services::of(lab);
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            while !ended.load(Ordering::Relaxed) {
                if services.status_for(8080, "/v2/apps", "marathon-http") == Some(200) {
                    last = Instant::now();
                }
                longest = longest.max(last.elapsed());
                pause(BETWEEN_CALLS);
            }
            longest
        });
        let end = End(&ended);
        let done = work();
        drop(end);
        (done, asking.join().expect("no call panics"))
    })
}

fn app() -> serde_json::Value {
    json!({
        "id": "/polled", "cmd": http_server("here"), "cpus": 0.1, "mem": 32, "instances": 2,
        "constraints": [["hostname", "UNIQUE"]],
        "portDefinitions": [{"port": PORT, "protocol": "tcp"}], "requirePorts": true,
        "healthChecks": [{"protocol": "MESOS_HTTP", "path": "/", "portIndex": 0, "intervalSeconds": 2}],
    })
}

/// A catalogue next to the inventory, with the same images except for one line in each.
struct NextVersion {
    catalog: String,
    changed: Vec<PathBuf>,
}

impl NextVersion {
    fn beside(lab: &Lab) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folders = ["images", "tests/standins/images"].map(|folder| root.join(folder));
        let mut changed = Vec::new();
        for folder in folders.iter().flat_map(|folder| entries(folder)) {
            let name = folder.file_name().expect("a name").to_str().expect("a text");
            if folder.is_dir() && !name.starts_with('.') {
                let copied = lab.folder().join("images").join(name);
                copy_folder(&folder, &copied);
                // Machines are not recreated; the images below are not what runs.
                if !["base", "machine"].contains(&name) {
                    let file = copied.join("Dockerfile");
                    let text = fs::read_to_string(&file).expect("a text");
                    fs::write(&file, text + "ENV VERSION=next\n").expect("room");
                    changed.push(copied);
                }
            }
        }
        let text = fs::read_to_string(root.join("tests/standins/catalog.yaml"));
        let text = text.expect("a text").replace("../../images/", "images/");
        let catalog = lab.file("catalog.yaml", text);
        Self { catalog: catalog.to_str().expect("a text").to_owned(), changed }
    }
}

/// Nothing else uses its images.
impl Drop for NextVersion {
    fn drop(&mut self) {
        for tag in
            self.changed.iter().filter_map(|folder| tag(folder, &Pins::default()).ok())
        {
            docker(&["image", "rm", "--force", &tag]);
        }
    }
}

/// Sends requests to every instance repeatedly, and records each failure.
#[derive(Default)]
struct Client {
    n_asked: AtomicUsize,
    failed: Mutex<Vec<String>>,
    ended: AtomicBool,
}

impl Client {
    /// Sends requests while the work runs.
    fn during<T>(&self, tasks: &[(String, String)], work: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            for (_, host) in tasks {
                scope.spawn(|| self.poll(host));
            }
            let _end = End(&self.ended);
            work()
        })
    }

    fn poll(&self, host: &str) {
        let address = format!("{host}:{PORT}").parse().expect("an address");
        while !self.ended.load(Ordering::Relaxed) {
            if let Err(error) = inside(host, || ask(address)) {
                let mut failed = self.failed.lock().expect("no request panics");
                failed.push(format!("{address}: {error}"));
            }
            self.n_asked.fetch_add(1, Ordering::Relaxed);
            pause(BETWEEN);
        }
    }
}

fn ask(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.ends_with("here") {
        true => Ok(()),
        false => Err(std::io::Error::other(format!("it says {answer:?}"))),
    }
}
