//! What all stand-ins need of HTTP: answers in the form of the real ones, and who is asking.
//!
//! Knows no endpoint. Invariant: secrets are in no answer and no Debug output.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::IntoHeaderName;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use serde_json::Value;

/// An answer in plain text.
pub fn text(status: StatusCode, body: impl Into<String>) -> Response {
    (status, body.into()).into_response()
}

/// An answer of this type.
pub fn of_kind(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Body>,
) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

/// An answer in JSON with status 200.
pub fn json(body: &Value) -> Response {
    of_kind(StatusCode::OK, "application/json", body.to_string())
}

/// Nothing but a status.
pub fn bare(status: StatusCode) -> Response {
    status.into_response()
}

/// An empty answer with status 200.
pub fn empty() -> Response {
    Response::new(Body::empty())
}

/// `404 Not Found.`, as libprocess says it of a path without an endpoint.
pub fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "404 Not Found.")
}

/// `403 Forbidden.`, as libprocess says it.
pub fn forbidden() -> Response {
    text(StatusCode::FORBIDDEN, "403 Forbidden.")
}

/// `401 Unauthorized.` with the realm to authenticate for.
pub fn unauthorized(realm: &str) -> Response {
    let response = text(StatusCode::UNAUTHORIZED, "401 Unauthorized.");
    with_header(response, header::WWW_AUTHENTICATE, &format!("Basic realm=\"{realm}\""))
}

/// A refusal of a method, naming the one that is expected.
pub fn wrong_method(expected: &'static str, received: &str) -> Response {
    let body = format!(
        "405 Method Not Allowed. Expecting one of {{ '{expected}' }}, but received '{received}'."
    );
    with_header(text(StatusCode::METHOD_NOT_ALLOWED, body), header::ALLOW, expected)
}

/// A redirect with an empty body.
pub fn redirect(location: &str) -> Response {
    with_header(bare(StatusCode::TEMPORARY_REDIRECT), header::LOCATION, location)
}

/// An answer with one more header, where the value can be one.
pub fn with_header(
    mut response: Response,
    name: impl IntoHeaderName,
    value: &str,
) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// The media type of a request, without its parameters.
pub fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

/// Whether a client takes an answer of this type.
pub fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_none_or(|accept| {
        let mut kinds =
            accept.split(',').map(|part| part.split(';').next().unwrap_or("").trim());
        kinds.any(|taken| taken == kind || taken == "*/*")
    })
}

/// The parameters of a query string, decoded.
pub fn query(query: Option<&str>) -> BTreeMap<String, String> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (percent_decoded(name), percent_decoded(value)))
        .collect()
}

/// What a part of an address says, with `%20` and `+` as the blanks that they are.
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex =
            std::str::from_utf8(tail.get(..2).unwrap_or_default()).unwrap_or_default();
        match (first, u8::from_str_radix(hex, 16)) {
            (b'%', Ok(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = tail;
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Principals and their secrets.
#[derive(Clone, Default)]
pub struct Credentials(BTreeMap<String, String>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.0.keys()).finish()
    }
}

impl Credentials {
    /// One principal.
    pub fn one(principal: &str, secret: &str) -> Self {
        Self([(principal.to_owned(), secret.to_owned())].into())
    }

    /// Reads `{"credentials": [{"principal": …, "secret": …}]}`; `None` when it is not that.
    pub fn from_json(value: &Value) -> Option<Self> {
        let list = value.get("credentials")?.as_array()?;
        list.iter().map(credential).collect::<Option<_>>().map(Self)
    }

    /// Reads one `{"principal": …, "secret": …}`; `None` when it is not that.
    pub fn one_from_json(value: &Value) -> Option<(String, String)> {
        credential(value)
    }

    /// Whether there is a principal at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is the secret of this principal.
    pub fn accept(&self, principal: &str, secret: &str) -> bool {
        self.0.get(principal).is_some_and(|known| same(known, secret))
    }

    /// The principal that asks, or the refusal to answer with.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        realm: &str,
    ) -> Result<String, Box<Response>> {
        basic_user(headers)
            .filter(|(principal, secret)| self.accept(principal, secret))
            .map(|(principal, _)| principal)
            .ok_or_else(|| Box::new(unauthorized(realm)))
    }
}

fn credential(value: &Value) -> Option<(String, String)> {
    let field = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
    Some((field("principal")?, field("secret")?))
}

/// Compares without telling by the time taken where the two differ.
fn same(known: &str, given: &str) -> bool {
    let differ = known.bytes().zip(given.bytes()).fold(0, |acc, (a, b)| acc | (a ^ b));
    known.len() == given.len() && differ == 0
}

/// User and password of basic authentication, where the request has them.
pub fn basic_user(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let encoded = value.strip_prefix("Basic ")?;
    let decoded =
        base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Begins a client that goes where it is told: neither through a proxy nor after redirects.
pub(crate) fn client_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none())
}

/// A client whose every request has a deadline.
///
/// # Errors
/// When the client cannot be set up, which is a fault of the machine.
pub fn client(deadline: Duration) -> Result<reqwest::Client, reqwest::Error> {
    client_builder().timeout(deadline).connect_timeout(deadline).build()
}

/// A client for streams of events: a deadline for connecting and for silence, none for the whole.
///
/// # Errors
/// When the client cannot be set up, which is a fault of the machine.
pub fn streaming_client(silence: Duration) -> Result<reqwest::Client, reqwest::Error> {
    client_builder().connect_timeout(silence).read_timeout(silence).build()
}

/// One record of a RecordIO stream: its length in decimal, a line feed, and the message.
pub fn record(message: &Value) -> Vec<u8> {
    let body = message.to_string();
    format!("{}\n{body}", body.len()).into_bytes()
}

/// Takes a RecordIO stream apart, whatever pieces it comes in.
#[derive(Debug, Default)]
pub struct Records {
    buffer: Vec<u8>,
}

/// A RecordIO stream that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the stream is not RecordIO with JSON messages")]
pub struct NotRecordIo;

impl Records {
    /// Adds a piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole message, or `None` while more is to come.
    ///
    /// # Errors
    /// When what has come cannot be a stream of JSON messages.
    pub fn next_message(&mut self) -> Result<Option<Value>, NotRecordIo> {
        let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let digits = std::str::from_utf8(&self.buffer[..end]).map_err(|_| NotRecordIo)?;
        let length: usize = digits.trim().parse().map_err(|_| NotRecordIo)?;
        let (start, stop) = (end + 1, end + 1 + length);
        if self.buffer.len() < stop {
            return Ok(None);
        }
        let message =
            serde_json::from_slice(&self.buffer[start..stop]).map_err(|_| NotRecordIo)?;
        self.buffer.drain(..stop);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn headers(user: &str) -> HeaderMap {
        let encoded = base64::engine::general_purpose::STANDARD.encode(user);
        let value = HeaderValue::from_str(&format!("Basic {encoded}")).unwrap();
        [(header::AUTHORIZATION, value)].into_iter().collect()
    }

    #[test]
    fn a_principal_is_known_by_its_secret_alone() {
        let file = json!({"credentials": [{"principal": "admin", "secret": "a:b"}]});
        let credentials = Credentials::from_json(&file).unwrap();
        assert_eq!(
            credentials.authenticate(&headers("admin:a:b"), "r").unwrap(),
            "admin"
        );
        for user in ["admin:a", "admin:", "other:a:b", "admin"] {
            let refusal = credentials.authenticate(&headers(user), "r").unwrap_err();
            assert_eq!(refusal.status(), StatusCode::UNAUTHORIZED, "{user}");
            assert_eq!(refusal.headers()[header::WWW_AUTHENTICATE], "Basic realm=\"r\"");
        }
        assert!(!format!("{credentials:?}").contains("a:b"));
    }

    #[test]
    fn credentials_of_another_form_are_refused() {
        for value in [json!([]), json!({"credentials": [{"principal": "a"}]})] {
            assert!(Credentials::from_json(&value).is_none(), "{value}");
        }
    }

    #[test]
    fn records_come_whole_whatever_the_pieces() {
        let messages = [json!({"type": "HEARTBEAT"}), json!({"text": "ü\n"})];
        let stream: Vec<u8> = messages.iter().flat_map(record).collect();
        let mut records = Records::default();
        let mut seen = Vec::new();
        for byte in stream {
            records.push(&[byte]);
            seen.extend(records.next_message().unwrap());
        }
        assert_eq!(seen, messages);
        records.push(b"no length\n");
        assert_eq!(records.next_message(), Err(NotRecordIo));
    }

    #[test]
    fn a_query_is_decoded() {
        let query = query(Some("path=%2Ffw%2Fa+b&offset=-1&bare&odd=%zz"));
        let pairs: Vec<(&str, &str)> =
            query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let want = [("bare", ""), ("odd", "%zz"), ("offset", "-1"), ("path", "/fw/a b")];
        assert_eq!(pairs, want);
    }
}
