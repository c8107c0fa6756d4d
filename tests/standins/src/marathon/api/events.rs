//! The stream of events.

use super::{Asked, answer};
use crate::framework::leader::Told;
use crate::framework::stamp;
use crate::http::of_kind;
use crate::marathon::Leader;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use futures::stream;
use serde_json::{Value, json};
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
    let attached = json!({
        "remoteAddress": "127.0.0.1", "eventType": "event_stream_attached",
        "timestamp": leader.note(|_, now| stamp(now)),
    });
    let first = frame("event_stream_attached", &attached, &wanted);
    let begun = (leader.listen(), wanted, first);
    let frames = stream::unfold(begun, |(mut told, wanted, first)| async move {
        let frame = match first {
            Some(first) => first,
            None => next(&mut told, &wanted).await?,
        };
        Some((Ok::<_, Infallible>(frame), (told, wanted, None)))
    });
    of_kind(StatusCode::OK, "text/event-stream;charset=utf-8", Body::from_stream(frames))
}

async fn next(told: &mut broadcast::Receiver<Told>, wanted: &[String]) -> Option<String> {
    loop {
        match timeout(HEARTBEAT, told.recv()).await {
            Err(_) => return Some("\r\n".into()),
            Ok(Err(RecvError::Closed | RecvError::Lagged(_))) => return None,
            Ok(Ok((event, body))) => {
                if let Some(frame) = frame(event, &body, wanted) {
                    return Some(frame);
                }
            }
        }
    }
}

/// An event for those who want it.
fn frame(event: &str, body: &Value, wanted: &[String]) -> Option<String> {
    let is_wanted = wanted.is_empty() || wanted.iter().any(|it| it == event);
    is_wanted.then(|| format!("event: {event}\r\ndata: {body}\r\n\r\n"))
}
