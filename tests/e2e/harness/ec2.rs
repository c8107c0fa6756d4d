//! A test EC2, and what a test sees and does in it directly, without the program.
//!
//! It is tests/ec2, where each account has its own process; its errors are written to a file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::machine::docker;
use super::until;

/// The Python environment that `make ec2` creates.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/ec2/bin/python");
/// The folder of the image for its machines, and the image's name.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ec2/machine");
const IMAGE: &str = "platform/e2e-instance";
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ec2/serve.py");

/// Starting takes a second or two, more on a busy computer.
const START: Duration = Duration::from_secs(60);
/// Removing machines takes the longest.
const END: Duration = Duration::from_secs(60);
/// No call takes longer.
const CALL: Duration = Duration::from_secs(60);

/// The test's own access key: direct calls of the test use a different key from the program's, as
/// calls of another person would.
const OUTSIDER: &str = "AKIATESTOUTSIDER0001";

/// An AWS account for this test only; removed when dropped.
pub(crate) struct Ec2 {
    folder: TempDir,
    /// The account lives as long as this connection.
    connection: UnixStream,
    port: u16,
}

/// The process that makes accounts. It ends with this one, however this one ends.
static ACCOUNTS: LazyLock<Child> = LazyLock::new(|| {
    assert!(
        Path::new(PYTHON).exists(),
        "there is no {PYTHON}: `make test` sets it up, and so does `make ec2`"
    );
    let server = Command::new(PYTHON)
        .args(["-B", SERVER, "--accounts", &socket()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    server.expect("Python starts")
});

/// The name of its socket, which no other process has.
fn socket() -> String {
    format!("platform-e2e-ec2-{}", std::process::id())
}

/// A call, as it was carried out.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Call {
    /// Counts from 1.
    pub(crate) number: usize,
    /// For example `RunInstances`.
    pub(crate) action: String,
    /// Whether it may have changed something.
    pub(crate) changes: bool,
    /// The access key of the caller.
    key: String,
    /// As in the protocol, such as `TagSpecification.1.Tag.1.Key`.
    pub(crate) parameters: BTreeMap<String, String>,
    /// The fault that was set for it.
    pub(crate) faults: Vec<String>,
    /// `ok`, or the error code.
    pub(crate) code: String,
}

/// An existing resource.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Resource {
    /// As AWS names its kind in tags: `instance`, `vpc`, `security-group`, …
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) state: Option<String>,
    pub(crate) name: Option<String>,
    /// The zone of an instance; the fields below are also for instances.
    pub(crate) zone: Option<String>,
    #[serde(rename = "type")]
    pub(crate) instance_type: Option<String>,
    /// `spot`, or nothing.
    pub(crate) lifecycle: Option<String>,
    /// The private address.
    pub(crate) address: Option<String>,
    pub(crate) public: Option<String>,
}

impl Ec2 {
    /// An account whose instances are only entries in a list.
    pub(crate) fn start() -> Self {
        Self::serve(&[])
    }

    /// An account whose instances in a VPC are containers on this computer. They are reached at
    /// their private addresses, which it also reports as the public ones.
    pub(crate) fn with_machines() -> Self {
        let machines = said(&["image", "ls", "-q", "platform/machine"]);
        let machine = machines.lines().next().expect("`platform image build` made it");
        let base = format!("BASE={machine}");
        said(&["build", "-q", "--build-arg", &base, "-t", IMAGE, FOLDER]);
        Self::serve(&["--machines", IMAGE])
    }

    fn serve(options: &[&str]) -> Self {
        LazyLock::force(&ACCOUNTS);
        let address = SocketAddr::from_abstract_name(socket()).expect("a short name");
        let mut connection =
            until("EC2 to start", START, || UnixStream::connect_addr(&address).ok());
        let folder = tempfile::tempdir().expect("a folder");
        let own = ["--folder", folder.path().to_str().expect("a text")];
        let words = serde_json::to_string(&[&own, options].concat()).expect("texts");
        writeln!(connection, "{words}").expect("EC2 reads");
        connection.set_nonblocking(true).expect("a connection");
        let port = until("the port of EC2", START, || {
            let ended = matches!(connection.read(&mut [0]), Ok(0));
            assert!(!ended, "EC2 ended: {}", log_of(folder.path()));
            fs::read_to_string(folder.path().join("port")).ok()?.trim().parse().ok()
        });
        connection.set_nonblocking(false).expect("a connection");
        Self { folder, connection, port }
    }

    /// What a run needs to find it, and no other AWS settings.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ACCESS_KEY_ID", "AKIATESTPLATFORM0001".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "not-looked-at".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// The program's calls so far, in the order in which they were carried out.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.all_calls().into_iter().filter(|call| call.key != OUTSIDER).collect()
    }

    /// The same, including the test's own calls.
    pub(crate) fn all_calls(&self) -> Vec<Call> {
        let text = fs::read_to_string(self.folder.path().join("calls.jsonl"));
        let text = text.expect("EC2 notes calls from its start");
        // The last line may be incomplete.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let read = |line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        whole.lines().map(read).collect()
    }

    /// The program's calls that may have changed something.
    pub(crate) fn changes(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.changes).collect()
    }

    /// Sets faults from now on: the content of faults.json, which tests/ec2/README.md describes.
    /// An empty object ends them.
    pub(crate) fn set_faults(&self, faults: &Value) {
        let (half, whole) = (self.path("faults.part"), self.path("faults.json"));
        fs::write(&half, faults.to_string()).expect("the folder takes files");
        fs::rename(half, whole).expect("the folder takes files");
    }

    /// All existing resources, including terminated instances.
    pub(crate) fn resources(&self) -> Vec<Resource> {
        let answered = self.ask("GET /state HTTP/1.0", "");
        let (status, body) = answered.expect("EC2 answers");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// The existing resources of a kind, except terminated instances.
    pub(crate) fn of_kind(&self, kind: &str) -> Vec<Resource> {
        let mut found = self.resources();
        found.retain(|resource| {
            resource.kind == kind && resource.state.as_deref() != Some("terminated")
        });
        found
    }

    /// Makes a call as another person would, without the program: `Action` and parameters as in
    /// the query protocol. Returns the answer's XML, or the error code.
    pub(crate) fn call(
        &self,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, String> {
        self.try_call(action, parameters)
            .unwrap_or_else(|error| panic!("{action}: {error}"))
    }

    /// The same, if the connection may be cut: that is the outer error.
    pub(crate) fn try_call(
        &self,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> io::Result<Result<String, String>> {
        let pairs =
            parameters.iter().map(|(name, value)| format!("&{name}={}", encoded(value)));
        let body =
            format!("Action={action}&Version=2016-11-15{}", pairs.collect::<String>());
        let (status, answer) = self.ask("POST / HTTP/1.0", &body)?;
        if status == 200 {
            return Ok(Ok(answer));
        }
        Ok(Err(inner(&answer, "Code").unwrap_or(answer)))
    }

    /// A call that must succeed.
    pub(crate) fn has_to(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.call(action, parameters).unwrap_or_else(|code| panic!("{action}: {code}"))
    }

    fn ask(&self, first_line: &str, body: &str) -> io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(CALL))?;
        let head = format!(
            "{first_line}\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
             Authorization: AWS4-HMAC-SHA256 \
             Credential={OUTSIDER}/20250101/us-east-1/ec2/aws4_request, \
             SignedHeaders=host, Signature=0\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok((status.ok_or_else(cut)?, body.to_owned()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Ec2 {
    fn drop(&mut self) {
        // It ends its side of the connection after it has removed what it created.
        let _ = self.connection.shutdown(std::net::Shutdown::Write);
        let _ = self.connection.set_read_timeout(Some(END));
        let _ = self.connection.read(&mut [0]);
    }
}

/// Runs `docker`, which must succeed, and returns its output.
fn said(words: &[&str]) -> String {
    let output = docker(words);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {words:?}: {complained}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The text of the first such element in an answer.
pub(crate) fn inner(xml: &str, element: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{element}>"))?;
    let (text, _) = rest.split_once(&format!("</{element}>"))?;
    Some(text.to_owned())
}

fn encoded(value: &str) -> String {
    let code = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(code).collect()
}

fn log_of(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}
