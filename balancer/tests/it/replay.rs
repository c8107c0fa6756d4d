//! A replay of Marathon: it answers as the recorded one did, with what a test sets.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

/// The login that it asks for: `balancer:secret`.
const LOGIN: &str = "authorization: basic ymfsyw5jzxi6c2vjcmv0";

/// A Marathon.
#[derive(Clone)]
pub(crate) struct Marathon {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    list: List,
    streams: Vec<TcpStream>,
    leader: Option<SocketAddr>,
}

/// How it answers a request for the apps.
#[derive(Clone)]
pub(crate) enum List {
    /// With these apps.
    Apps(Value),
    /// With this status and no body, as a standby does without a leader.
    Status(u16),
    /// With this text, as it is.
    Text(String),
    /// With the beginning of what it announces.
    Cut(Value),
}

impl Marathon {
    /// One that leads.
    pub(crate) fn leading() -> Self {
        Self::start(None)
    }

    /// One that sends those who want events to another.
    pub(crate) fn standby(leader: SocketAddr) -> Self {
        Self::start(Some(leader))
    }

    fn start(leader: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { list: List::Apps(json!([])), streams: Vec::new(), leader };
        let marathon = Self { address, state: Arc::new(Mutex::new(state)) };
        let clone = marathon.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let marathon = clone.clone();
                thread::spawn(move || marathon.answer(stream));
            }
        });
        marathon
    }

    /// Sets what it lists, and says that something has changed.
    pub(crate) fn lists(&self, list: List) {
        self.state.lock().unwrap().list = list;
        self.tells(&json!({"eventType": "deployment_info"}));
    }

    /// Sends an event to everyone who follows.
    pub(crate) fn tells(&self, event: &Value) {
        let kind = event["eventType"].as_str().unwrap();
        let text = format!("event: {kind}\r\ndata: {event}\r\n\r\n");
        let mut state = self.state.lock().unwrap();
        state.streams.retain_mut(|stream| stream.write_all(text.as_bytes()).is_ok());
    }

    /// Ends all streams.
    pub(crate) fn cuts_streams(&self) {
        for stream in self.state.lock().unwrap().streams.drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    fn answer(&self, mut stream: TcpStream) {
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let head: Vec<String> = lines
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .map(|line| line.to_ascii_lowercase())
            .collect();
        let Some(request) = head.first() else { return };
        // A test that has ended closes its connections.
        let _ = if !head.iter().any(|line| line == LOGIN) {
            respond(
                &mut stream,
                "401 Unauthorized",
                "WWW-Authenticate: basic realm=\"null\"",
                b"",
            )
        } else if request.starts_with("get /v2/events") {
            self.answer_events(stream)
        } else {
            self.answer_list(&mut stream)
        };
    }

    fn answer_events(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if let Some(leader) = state.leader {
            let location = format!("Location: http://{leader}/v2/events");
            return respond(&mut stream, "302 Found", &location, b"");
        }
        stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=utf-8\r\n\
              Connection: close\r\n\r\nevent: event_stream_attached\r\n\
              data: {\"eventType\":\"event_stream_attached\"}\r\n\r\n",
        )?;
        state.streams.push(stream);
        Ok(())
    }

    fn answer_list(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let list = self.state.lock().unwrap().list.clone();
        let json = "Content-Type: application/json";
        let zipped = "Content-Type: application/json\r\nContent-Encoding: gzip";
        let text = |apps| json!({ "apps": apps }).to_string();
        match list {
            List::Apps(apps) => respond(stream, "200 OK", zipped, &zip(&text(apps))),
            List::Status(status) => respond(stream, &format!("{status} X"), json, b""),
            List::Text(text) => respond(stream, "200 OK", json, text.as_bytes()),
            List::Cut(apps) => {
                let text = text(apps);
                let half = &text.as_bytes()[..text.len() / 2];
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
                stream.write_all(head.as_bytes())?;
                stream.write_all(half)
            }
        }
    }
}

fn respond(
    stream: &mut TcpStream,
    status: &str,
    header: &str,
    body: &[u8],
) -> std::io::Result<()> {
    let date = "Date: Sun, 29 Nov 2026 15:13:00 GMT";
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{date}\r\n{header}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

fn zip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}
