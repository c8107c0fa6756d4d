//! Passes a request on to the leader.
//!
//! What is done with the answer, and with requests that cannot be passed on, differs between
//! Marathon and Chronos and is theirs.

use crate::http::client_builder;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use reqwest::Client;
use std::time::Duration;

/// The largest body of a request that is read, in bytes.
pub(crate) const LARGEST_BODY: usize = 32 << 20;
/// Headers that belong to one connection alone.
const PER_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

/// A client whose requests may take as long as they like.
pub fn plain_client() -> Client {
    client_builder().connect_timeout(Duration::from_secs(5)).build().unwrap_or_default()
}

/// A request could not be passed on.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// Its body did not come.
    #[error("the request's body cannot be read")]
    Body(#[source] axum::Error),
    /// The leader did not answer.
    #[error("the leader at {0} does not answer")]
    Leader(String, #[source] reqwest::Error),
}

/// Passes a request on to `leader` (`host:port`), with one more header.
///
/// # Errors
/// When its body does not come or the leader does not answer within `deadline`.
pub async fn forward(
    client: &Client,
    request: Request,
    leader: &str,
    deadline: Duration,
    extra: Option<(HeaderName, HeaderValue)>,
) -> Result<Response, ForwardError> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, LARGEST_BODY).await.map_err(ForwardError::Body)?;
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = without_per_connection(&head.headers);
    headers.extend(extra);
    let failed = |source| ForwardError::Leader(leader.to_owned(), source);
    let answer = client
        .request(head.method, format!("http://{leader}{path}"))
        .headers(headers)
        .body(body)
        .timeout(deadline)
        .send()
        .await
        .map_err(failed)?;
    let status = answer.status();
    let headers = without_per_connection(answer.headers());
    let mut response = Response::new(Body::from(answer.bytes().await.map_err(failed)?));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn without_per_connection(headers: &HeaderMap) -> HeaderMap {
    let kept = headers.iter().filter(|(name, _)| !PER_CONNECTION.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}
