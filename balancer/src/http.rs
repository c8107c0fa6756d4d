//! A small HTTP client for Marathon and Mesos: one request on one connection, with a deadline for everything.
//!
//! It follows nothing by itself and can read an event stream, where not the whole answer but the
//! silence in it has a limit.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const CONNECT: Duration = Duration::from_secs(2);
/// Marathon's headers have less than 1 KiB.
const MAX_HEAD: u64 = 64 * 1024;
/// 500 apps with 4,000 tasks have 2 MB.
const MAX_BODY: u64 = 256 * 1024 * 1024;

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'at> {
    /// The server, as `host:port`.
    pub address: &'at str,
    /// The path with the query.
    pub path: &'at str,
    /// The JSON to send; without any, it is a GET.
    pub json: Option<&'at str>,
    /// The type of answer that is wanted.
    pub accept: &'static str,
    /// The value of `Authorization`.
    pub authorization: Option<&'at str>,
    /// How long the answer may take.
    pub limit: Limit,
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// The whole of it.
    Whole(Duration),
    /// The head, and each silence in the body.
    Silence(Duration),
}

/// The beginning of an answer. The body is read from `body`.
pub struct Answer {
    /// The status.
    pub status: u16,
    headers: Vec<(String, String)>,
    body: BufReader<Timed>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server cannot be reached.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The connection broke, or took too long.
    #[error("the answer broke off")]
    Broken(#[from] io::Error),
    /// What came is not HTTP.
    #[error("the answer is not HTTP: {0}")]
    NotHttp(String),
    /// The body is shorter than its head says.
    #[error("the answer has {got} of {expected} bytes")]
    Cut {
        /// What came.
        got: u64,
        /// What the head says.
        expected: u64,
    },
    /// The body is larger than anything that Marathon answers.
    #[error("the answer is too large")]
    TooLarge,
}

/// Sends a request and reads the head of the answer.
///
/// # Errors
///
/// If there is no answer within the limit, or what comes is not HTTP.
pub fn send(request: Request<'_>) -> Result<Answer, HttpError> {
    let stream = connect(request.address)?;
    let mut timed = Timed::new(stream, request.limit);
    timed.stream.set_write_timeout(Some(CONNECT))?;
    timed.stream.write_all(text(request).as_bytes())?;
    let mut body = BufReader::with_capacity(64 * 1024, timed);
    let (status, headers) = head(&mut body)?;
    Ok(Answer { status, headers, body })
}

fn connect(address: &str) -> Result<TcpStream, HttpError> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for at in addresses(address).map_err(HttpError::Connect)? {
        match TcpStream::connect_timeout(&at, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(HttpError::Connect(last))
}

/// The addresses of `host:port`. The system's look-up has no deadline, so it gets a thread.
///
/// # Errors
///
/// If the name is not known, or cannot be looked up in time.
pub fn addresses(name: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let (found, answer) = mpsc::channel();
    let name = name.to_owned();
    thread::spawn(move || {
        let all = name.to_socket_addrs().map(Iterator::collect);
        // Whoever asked may have given up.
        let _ = found.send(all);
    });
    answer.recv_timeout(CONNECT).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn text(request: Request<'_>) -> String {
    let encoding = match request.limit {
        Limit::Whole(_) => "Accept-Encoding: gzip\r\n",
        Limit::Silence(_) => "",
    };
    let login = request.authorization.map(|value| format!("Authorization: {value}\r\n"));
    let (method, kind, json) = match request.json {
        Some(json) => ("POST", "Content-Type: application/json\r\n", json),
        None => ("GET", "", ""),
    };
    format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nAccept: {}\r\n{kind}Content-Length: {}\r\n{encoding}{}\
         Connection: close\r\n\r\n{json}",
        request.path,
        request.address,
        request.accept,
        json.len(),
        login.unwrap_or_default()
    )
}

type Head = (u16, Vec<(String, String)>);

fn head(input: &mut BufReader<Timed>) -> Result<Head, HttpError> {
    let mut text = Vec::new();
    let mut limited = input.take(MAX_HEAD);
    while !text.ends_with(b"\r\n\r\n") {
        if limited.read_until(b'\n', &mut text)? == 0 {
            let start: String =
                String::from_utf8_lossy(&text).chars().take(100).collect();
            return Err(HttpError::NotHttp(format!("it begins with {start:?}")));
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut headers);
    parsed.parse(&text).map_err(|error| HttpError::NotHttp(error.to_string()))?;
    let named = parsed.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(header.value).into_owned();
        (header.name.to_ascii_lowercase(), value)
    });
    Ok((parsed.code.unwrap_or_default(), named.collect()))
}

impl Answer {
    /// The value of a header, whose name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(at, _)| at == name);
        header.map(|(_, value)| value.as_str())
    }

    /// Reads the whole body.
    ///
    /// # Errors
    ///
    /// If it is cut, takes too long or is too large.
    pub fn bytes(mut self) -> Result<Vec<u8>, HttpError> {
        let mut raw = Vec::new();
        if self.header("transfer-encoding").is_some_and(|at| at.contains("chunked")) {
            chunks(&mut self.body, &mut raw)?;
        } else if let Some(expected) =
            self.header("content-length").and_then(|at| at.parse().ok())
        {
            exactly(&mut self.body, expected, &mut raw)?;
        } else {
            (&mut self.body).take(MAX_BODY).read_to_end(&mut raw)?;
        }
        match self.header("content-encoding") {
            Some("gzip") => unzipped(&raw),
            _ => Ok(raw),
        }
    }

    /// The lines of the body as they come.
    pub fn lines(self) -> impl Iterator<Item = io::Result<String>> {
        self.body.lines()
    }
}

fn exactly(
    input: &mut impl Read,
    expected: u64,
    out: &mut Vec<u8>,
) -> Result<(), HttpError> {
    if expected + out.len() as u64 > MAX_BODY {
        return Err(HttpError::TooLarge);
    }
    let got = input.take(expected).read_to_end(out)? as u64;
    if got == expected { Ok(()) } else { Err(HttpError::Cut { got, expected }) }
}

fn chunks(input: &mut impl BufRead, out: &mut Vec<u8>) -> Result<(), HttpError> {
    loop {
        let mut line = String::new();
        input.take(100).read_line(&mut line)?;
        let digits = line.trim_end().split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(digits, 16)
            .map_err(|_| HttpError::NotHttp(format!("a chunk begins with {line:?}")))?;
        exactly(input, size, out)?;
        let mut end = [0; 2];
        input.read_exact(&mut end)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn unzipped(raw: &[u8]) -> Result<Vec<u8>, HttpError> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(raw).take(MAX_BODY).read_to_end(&mut out)?;
    if (out.len() as u64) < MAX_BODY { Ok(out) } else { Err(HttpError::TooLarge) }
}

/// A stream of which each read has a limit.
struct Timed {
    stream: TcpStream,
    limit: Limit,
    begun: Instant,
}

impl Timed {
    fn new(stream: TcpStream, limit: Limit) -> Self {
        Self { stream, limit, begun: Instant::now() }
    }
}

impl Read for Timed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = match self.limit {
            Limit::Silence(limit) => limit,
            Limit::Whole(limit) => limit.saturating_sub(self.begun.elapsed()),
        };
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(out)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Asks a server that says this and then, if it is told to, closes.
    fn ask(
        reply: &'static [u8],
        limit: Limit,
        closes: bool,
    ) -> Result<Answer, HttpError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap()).lines();
            while request.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            stream.write_all(reply).unwrap();
            // The client closes in the end.
            while !closes && stream.read(&mut [0; 100]).is_ok_and(|n| n > 0) {}
        });
        send(Request {
            address: &address,
            path: "/",
            json: None,
            accept: "application/json",
            authorization: None,
            limit,
        })
    }

    fn read(reply: &'static [u8]) -> Result<Vec<u8>, HttpError> {
        ask(reply, Limit::Whole(Duration::from_secs(5)), true).and_then(Answer::bytes)
    }

    #[test]
    fn a_stream_that_falls_silent_is_dead() {
        let reply = b"HTTP/1.1 200 OK\r\n\r\ndata: 1\r\n";
        let limit = Limit::Silence(Duration::from_millis(200));
        let mut lines = ask(reply, limit, false).unwrap().lines();
        assert_eq!(lines.next().unwrap().unwrap(), "data: 1");
        assert!(lines.next().unwrap().is_err());
    }

    #[test]
    fn a_slow_answer_has_a_deadline_as_a_whole() {
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{";
        let limit = Limit::Whole(Duration::from_millis(200));
        assert!(ask(reply, limit, false).and_then(Answer::bytes).is_err());
    }

    #[test]
    fn whole_answers_are_read() {
        let counted = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}rest";
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x\r\n}\r\n0\r\n\r\n";
        let closed = b"HTTP/1.1 200 OK\r\n\r\n{}";
        for reply in [&counted[..], chunked, closed] {
            assert_eq!(read(reply).unwrap(), b"{}");
        }
    }

    #[test]
    fn cut_answers_are_errors() {
        let counted = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"apps\":[";
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{\"apps";
        let zipped = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08";
        for reply in [&counted[..], chunked, zipped, b"HTTP/1.1 200 OK\r\nContent-", b""]
        {
            assert!(read(reply).is_err());
        }
    }
}
