//! A private network: servers at their own addresses, which only a dialer can reach.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::api::http::{Access, DialError, Dialer, Endpoint, Login};
use crate::remote::{RemoteError, Stream};
use crate::secret::Secret;

/// How a server answers one request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Sends these bytes, and closes the connection.
    Says(String),
    /// Closes the connection without an answer.
    Drops,
    /// Sends nothing until the client closes the connection.
    Holds,
    /// Announces a body, and sends it endlessly.
    Floods,
}

/// A request that a server got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// For example `GET /ping`.
    pub(crate) asked: String,
    /// By their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// Its servers end with it.
#[derive(Default)]
pub(crate) struct Net {
    places: BTreeMap<Endpoint, SocketAddr>,
    seen: BTreeMap<Endpoint, Arc<Mutex<Vec<Seen>>>>,
    servers: JoinSet<()>,
}

impl Net {
    /// A network with one server.
    pub(crate) async fn with(at: &str, script: impl IntoIterator<Item = Act>) -> Self {
        let mut net = Self::default();
        net.serve(at, script).await;
        net
    }

    /// Adds a server to the network: one act for each request; no act means no answer.
    pub(crate) async fn serve(
        &mut self,
        at: &str,
        script: impl IntoIterator<Item = Act>,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        self.places.insert(at.parse().unwrap(), listener.local_addr().unwrap());
        self.seen.insert(at.parse().unwrap(), Arc::clone(&seen));
        self.servers.spawn(serve(listener, script.into_iter().collect(), seen));
    }

    /// The requests that a server got.
    pub(crate) fn seen(&self, at: &str) -> Vec<Seen> {
        self.seen[&at.parse().unwrap()].lock().unwrap().clone()
    }

    /// The only request that a server got.
    pub(crate) fn only(&self, at: &str) -> Seen {
        let mut seen = self.seen(at);
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    /// How to reach a member. Only `own` belong to the cluster in addition to it.
    pub(crate) fn access(&self, ask: &str, own: &[&str]) -> Access {
        Access {
            name: "the component".to_owned(),
            ask: ask.parse().unwrap(),
            own: own.iter().map(|own| own.parse().unwrap()).collect(),
            login: Some(Login {
                user: "ops".to_owned(),
                password: Secret::new("hunter2"),
            }),
            dialer: Arc::new(Wires(self.places.clone())),
            deadline: Duration::from_secs(20),
        }
    }
}

/// At unused addresses nothing listens.
struct Wires(BTreeMap<Endpoint, SocketAddr>);

impl Dialer for Wires {
    fn dial<'a>(
        &'a self,
        to: &'a Endpoint,
        _: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, DialError>> {
        async move {
            let host = "control-1".parse().unwrap();
            let Some(place) = self.0.get(to) else {
                let (address, port) = (to.host.clone(), to.port);
                return Err(RemoteError::Dial { host, address, port }.into());
            };
            let stream = TcpStream::connect(place).await.unwrap();
            Ok(Box::new(stream) as Box<dyn Stream>)
        }
        .boxed()
    }
}

async fn serve(
    listener: TcpListener,
    mut script: VecDeque<Act>,
    seen: Arc<Mutex<Vec<Seen>>>,
) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let request = read(&mut stream).await;
        seen.lock().unwrap().push(request);
        match script.pop_front().unwrap_or(Act::Drops) {
            // The client may stop reading, or close the connection: its test checks what it saw.
            Act::Says(answer) => drop(stream.write_all(answer.as_bytes()).await),
            Act::Drops => {}
            Act::Holds => drop(stream.read(&mut [0]).await),
            Act::Floods => flood(&mut stream).await,
        }
    }
}

async fn flood(stream: &mut TcpStream) {
    let mut next = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
    let chunk = vec![b' '; 1 << 20];
    while next.is_ok() {
        next = stream.write_all(&chunk).await;
    }
}

/// Reads a request to the end of the body that its `Content-Length` promises.
async fn read(stream: &mut TcpStream) -> Seen {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().lines();
    let asked = lines.next().unwrap().strip_suffix(" HTTP/1.1").unwrap().to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    let headers: BTreeMap<String, String> = lines.map(header).collect();
    let length = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    Seen { asked, headers, body: String::from_utf8(body).unwrap() }
}

/// An answer with a body.
pub(crate) fn says(status: &str, body: &str) -> Act {
    let length = body.len();
    Act::Says(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"))
}

/// A redirect.
pub(crate) fn sends_to(status: &str, location: &str) -> Act {
    Act::Says(format!(
        "HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    ))
}
