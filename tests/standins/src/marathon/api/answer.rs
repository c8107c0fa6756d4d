//! Answers in the forms that Marathon gives them. Pure.

use crate::http::{of_kind, with_header};
use crate::marathon::core::{Deployed, Fault, Refusal};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

/// JSON with a status.
pub(crate) fn json_with(status: StatusCode, body: &Value) -> Response {
    of_kind(status, "application/json", body.to_string())
}

/// A change that was taken.
pub(crate) fn deployed(status: StatusCode, deployed: &Deployed) -> Response {
    with_deployment(json_with(status, &deployed.json()), deployed)
}

/// Names the deployment in a header.
pub(crate) fn with_deployment(response: Response, deployed: &Deployed) -> Response {
    with_header(response, "Marathon-Deployment-Id", &deployed.id)
}

/// A message with a status.
pub(crate) fn message(status: StatusCode, text: &str) -> Response {
    json_with(status, &json!({"message": text}))
}

/// A status with its name.
pub(crate) fn of(status: StatusCode) -> Response {
    message(status, status.canonical_reason().unwrap_or_default())
}

/// No such route: the real one fails over it.
pub(crate) fn no_route() -> Response {
    message(StatusCode::INTERNAL_SERVER_ERROR, "URI not found")
}

/// A body that is not JSON.
pub(crate) fn not_json(error: &str) -> Response {
    let body = json!({"message": "Invalid JSON", "details": error});
    json_with(StatusCode::BAD_REQUEST, &body)
}

/// A refusal.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::NotFound(text) => message(StatusCode::NOT_FOUND, text),
        Refusal::Exists(text) => message(StatusCode::CONFLICT, text),
        Refusal::Locked(ids) => locked(ids),
        Refusal::Invalid(faults) => faulty("Object is not valid", faults),
        Refusal::Shape(faults) => faulty("Invalid JSON", faults),
        Refusal::TooMany(most) => {
            let text = format!(
                "Max number ({most}) of running deployments is achieved. Wait for existing deployments to complete or cancel one."
            );
            message(StatusCode::FORBIDDEN, &text)
        }
        Refusal::Internal(text) => message(StatusCode::INTERNAL_SERVER_ERROR, text),
    }
}

fn locked(ids: &[String]) -> Response {
    let text = "App is locked by one or more deployments. Override with the option \
                '?force=true'. View details at '/v2/deployments/<DEPLOYMENT_ID>'.";
    let ids: Value = ids.iter().map(|id| json!({"id": id})).collect();
    json_with(StatusCode::CONFLICT, &json!({"message": text, "deployments": ids}))
}

fn faulty(message: &str, faults: &[Fault]) -> Response {
    let mut body = json!({"message": message});
    if !faults.is_empty() {
        body["details"] = json!(faults);
    }
    json_with(StatusCode::UNPROCESSABLE_ENTITY, &body)
}
