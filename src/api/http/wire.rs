//! One request and its answer over one stream.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue,
    LOCATION,
};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;

use super::{Call, Endpoint, Login};
use crate::remote::Stream;

/// The state of a cluster with ten thousand tasks is smaller than this.
const MAX_BODY_BYTES: usize = 64 << 20;
const JSON: &str = "application/json";

/// A complete answer.
pub(crate) struct Reply {
    pub(super) status: StatusCode,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
    /// The member that sent it.
    pub(super) from: Endpoint,
}

type Over = TokioIo<Box<dyn Stream>>;

pub(super) enum Failed {
    Broken(hyper::Error),
    TooLarge(usize),
}

/// Builds a request for one member.
pub(super) fn request(
    call: &Call,
    at: &Endpoint,
    path: &str,
    login: Option<&Login>,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(path)
        .header(HOST, at.to_string())
        .header(ACCEPT, JSON)
        .header(CONNECTION, "close");
    if let Some(login) = login {
        request = request.header(AUTHORIZATION, basic(login)?);
    }
    if call.body.is_some() {
        request = request.header(CONTENT_TYPE, JSON);
    }
    let body = call.body.clone().unwrap_or_default();
    if call.method != Method::GET {
        // A Marathon member that does not lead forwards a body of unknown length as an empty one.
        request = request.header(CONTENT_LENGTH, body.len());
    }
    request.body(Full::new(body))
}

fn basic(login: &Login) -> Result<HeaderValue, hyper::http::Error> {
    let pair = format!("{}:{}", login.user, login.password.expose());
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Sends a request, and reads its complete answer. The stream is closed afterwards, or when the
/// caller stops waiting.
pub(super) async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    at: &Endpoint,
) -> Result<Reply, Failed> {
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(Failed::Broken)?;
    let talk = async {
        let answer = sender.send_request(request).await.map_err(Failed::Broken)?;
        let (head, body) = answer.into_parts();
        let location = head.headers.get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        Ok(Reply {
            status: head.status,
            location: location.map(str::to_owned),
            body: read(body).await?,
            from: at.clone(),
        })
    };
    let mut talk = std::pin::pin!(talk);
    tokio::select! {
        reply = &mut talk => reply,
        () = drive(connection) => talk.await,
    }
}

/// Runs the connection until it ends; errors also reach the request that uses it.
async fn drive(connection: http1::Connection<Over, Full<Bytes>>) {
    let _ = connection.await;
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Failed::Broken)?;
        let data = frame.data_ref().map_or(&[][..], |data| &data[..]);
        if bytes.len() + data.len() > MAX_BODY_BYTES {
            return Err(Failed::TooLarge(MAX_BODY_BYTES));
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}
