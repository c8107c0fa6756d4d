//! What a program tells about itself: a few pages over HTTP, such as `/status.json` with everything
//! and `/metrics` for Prometheus.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(2);
const MAX_HEAD: u64 = 16 * 1024;

/// A page that a browser is not to run anything of.
const NOTHING: &str = "default-src 'none'";

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    kind: &'static str,
    body: String,
    policy: &'static str,
}

/// What a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The path.
    pub path: String,
    /// The name by which the client reached this host, without the port; empty if it names none.
    pub host: String,
}

impl Page {
    /// A page of this type.
    pub const fn new(kind: &'static str, body: String) -> Self {
        Self { kind, body, policy: NOTHING }
    }

    /// A page in JSON.
    pub const fn json(body: String) -> Self {
        Self::new("application/json", body)
    }

    /// A page in the format of Prometheus.
    pub const fn metrics(body: String) -> Self {
        Self::new("text/plain; version=0.0.4", body)
    }

    /// The same page, with what a browser may load and run for it: a `Content-Security-Policy`.
    pub fn with_policy(self, policy: &'static str) -> Self {
        Self { policy, ..self }
    }
}

/// Answers requests for ever, in a thread. `page` is what is at a path.
pub fn serve(
    listener: TcpListener,
    page: impl Fn(&str) -> Option<Page> + Send + Sync + 'static,
) {
    serve_for(listener, move |asked| page(&asked.path));
}

/// Answers requests for ever, each in a thread of its own: who reads slowly delays nobody else.
pub fn serve_for(
    listener: TcpListener,
    page: impl Fn(&Asked) -> Option<Page> + Send + Sync + 'static,
) {
    let page = Arc::new(page);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let page = Arc::clone(&page);
            thread::spawn(move || {
                // A client that goes away is its own affair.
                let _ = answer(stream, &*page);
            });
        }
    });
}

fn answer(
    mut stream: TcpStream,
    page: &impl Fn(&Asked) -> Option<Page>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let asked = Asked::read(&stream)?;
    let (status, Page { kind, body, policy }) = match page(&asked) {
        Some(page) => ("200 OK", page),
        None => ("404 Not Found", Page::new("text/plain", "Not found\n".to_owned())),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nContent-Security-Policy: {policy}\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

impl Asked {
    /// Reads the head of a request to its end.
    fn read(stream: &TcpStream) -> io::Result<Self> {
        let mut lines = BufReader::new(stream.take(MAX_HEAD)).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let target =
            first.strip_prefix("GET ").and_then(|rest| rest.split([' ', '?']).next());
        let path = target.unwrap_or_default().to_owned();
        let mut asked = Self { path, ..Self::default() };
        for line in lines {
            let line = line?;
            match line.split_once(':') {
                _ if line.is_empty() => break,
                Some((name, value)) if name.eq_ignore_ascii_case("host") => {
                    without_port(value.trim()).clone_into(&mut asked.host);
                }
                _ => {}
            }
        }
        Ok(asked)
    }
}

/// The host of `host:port`; an IPv6 address is in brackets.
fn without_port(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => text,
    }
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
    fn the_host_is_told_without_its_port() {
        for (text, expected) in [
            ("lab.example", "lab.example"),
            ("10.0.0.1:443", "10.0.0.1"),
            ("[fd00::1]", "[fd00::1]"),
            ("[fd00::1]:443", "[fd00::1]"),
        ] {
            assert_eq!(without_port(text), expected);
        }
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
