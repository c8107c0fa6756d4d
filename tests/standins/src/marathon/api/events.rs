//! The stream of events.

use super::{Asked, answer};
use crate::framework::leader::Told;
use crate::marathon::Leader;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::stream;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

/// After so long without an event an empty line says that the server still lives.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Tells of everything from now on. A listener that falls too far behind is cut off.
pub(super) fn stream(leader: &Leader, asked: &Asked) -> Response {
    if !asked.accepts_events {
        return answer::message(
            StatusCode::METHOD_NOT_ALLOWED,
            "HTTP method GET is not supported by this URL",
        );
    }
    let wanted: Vec<String> = asked.texts("event_type").map(str::to_owned).collect();
    let frames =
        stream::unfold((leader.listen(), wanted), |(mut told, wanted)| async move {
            let frame = next(&mut told, &wanted).await?;
            Some((Ok::<_, Infallible>(frame), (told, wanted)))
        });
    let mut response = Response::new(Body::from_stream(frames));
    let kind = HeaderValue::from_static("text/event-stream;charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

async fn next(told: &mut broadcast::Receiver<Told>, wanted: &[String]) -> Option<String> {
    loop {
        match timeout(HEARTBEAT, told.recv()).await {
            Err(_) => return Some("\r\n".into()),
            Ok(Err(RecvError::Closed | RecvError::Lagged(_))) => return None,
            Ok(Ok((event, body)))
                if wanted.is_empty() || wanted.iter().any(|w| w == event) =>
            {
                return Some(format!("event: {event}\r\ndata: {body}\r\n\r\n"));
            }
            Ok(Ok(_)) => {}
        }
    }
}
