//! Answers in the forms that Chronos gives them. Pure.

use super::core::Refusal;
use crate::http::of_kind;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

/// What follows the class of what was thrown.
const TRACE: &str = "\n\tat standin.Chronos(Standin.scala:1)\n";

/// JSON, or text that is said to be.
pub(super) fn json_ok(body: impl Into<Body>) -> Response {
    of_kind(StatusCode::OK, "application/json", body)
}

/// A page of the web server underneath.
pub(super) fn page(status: StatusCode, reason: &str) -> Response {
    let page = format!(
        "<html>\n<head>\n<title>Error {} {reason}</title>\n</head>\n<body><h2>HTTP ERROR \
         {}</h2>\n<p>Reason:\n<pre>    {reason}</pre></p>\n</body>\n</html>\n",
        status.as_u16(),
        status.as_u16()
    );
    of_kind(status, "text/html;charset=iso-8859-1", page)
}

/// A refusal, with the trace that the real one shows.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let (status, text) = match refusal {
        Refusal::Wrong(text) => (StatusCode::BAD_REQUEST, text),
        Refusal::Failed(text) => (StatusCode::INTERNAL_SERVER_ERROR, text),
        Refusal::Unreadable => {
            return page(
                StatusCode::INTERNAL_SERVER_ERROR,
                "java.lang.NullPointerException",
            );
        }
    };
    let trace = if text.starts_with(|c: char| c.is_lowercase()) { TRACE } else { "" };
    let reason = status.canonical_reason().unwrap_or_default();
    let body = json!({"status": reason, "message": format!("{text}{trace}")});
    of_kind(status, "application/json", body.to_string())
}
