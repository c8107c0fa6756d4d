//! What a program tells about itself: a few pages over HTTP, such as `/status.json` with everything
//! and `/metrics` for Prometheus.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(2);
const MAX_HEAD: u64 = 16 * 1024;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    kind: &'static str,
    body: String,
}

impl Page {
    /// A page in JSON.
    pub const fn json(body: String) -> Self {
        Self { kind: "application/json", body }
    }

    /// A page in the format of Prometheus.
    pub const fn metrics(body: String) -> Self {
        Self { kind: "text/plain; version=0.0.4", body }
    }
}

/// Answers requests for ever, in a thread, one after the other. `page` is what is at a path.
pub fn serve(
    listener: TcpListener,
    page: impl Fn(&str) -> Option<Page> + Send + 'static,
) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is its own affair.
            let _ = answer(stream, &page);
        }
    });
}

fn answer(mut stream: TcpStream, page: &impl Fn(&str) -> Option<Page>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let path = requested_path(&stream)?;
    let (status, Page { kind, body }) = match page(&path) {
        Some(page) => ("200 OK", page),
        None => {
            ("404 Not Found", Page { kind: "text/plain", body: "Not found\n".to_owned() })
        }
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

/// The path of a request, of which the head is read to its end.
fn requested_path(stream: &TcpStream) -> io::Result<String> {
    let mut lines = BufReader::new(stream.take(MAX_HEAD)).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let target =
        first.strip_prefix("GET ").and_then(|rest| rest.split([' ', '?']).next());
    Ok(target.unwrap_or_default().to_owned())
}

/// The seconds since something happened; `null` if it never did.
pub fn age(since: Option<Instant>) -> Value {
    since.map_or(Value::Null, |since| {
        let seconds = since.elapsed().as_secs_f64();
        Value::from((1000.0 * seconds).round() / 1000.0)
    })
}

/// Adds a metric, unless it has no value: what never happened has no age.
pub fn metric(out: &mut String, kind: &str, name: &str, help: &str, value: &Value) {
    if !value.is_null() {
        let _ =
            write!(out, "# HELP {name} {help}.\n# TYPE {name} {kind}\n{name} {value}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        serve(listener, |path| {
            (path == "/status.json").then(|| Page::json("{}".to_owned()))
        });
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn only_pages_that_are_there_are_shown() {
        let found = ask("GET /status.json?pretty HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(
            found.starts_with("HTTP/1.1 200 OK\r\n") && found.ends_with("\r\n\r\n{}"),
            "{found}"
        );
        for request in ["GET / HTTP/1.1\r\n\r\n", "POST /status.json HTTP/1.1\r\n\r\n"] {
            assert!(ask(request).starts_with("HTTP/1.1 404 Not Found\r\n"), "{request}");
        }
    }
}
