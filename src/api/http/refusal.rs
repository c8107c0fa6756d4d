//! Reads a component's error answer: JSON, Jetty's HTML pages, plain text.
//!
//! Pure. It quotes one short line.

use serde::Deserialize;
use serde_json::Value;

use super::error::{Fault, Reason};
use super::wire::Reply;

const MAX_CHARS: usize = 200;

/// How HTML pages escape characters; the character that begins every escape is last.
const ENTITIES: [(&str, &str); 5] =
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];

/// An error answer as Marathon and Chronos write it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    message: Option<String>,
    details: Value,
    deployments: Option<Vec<Deployment>>,
}

#[derive(Deserialize)]
struct Deployment {
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    path: String,
    errors: Vec<String>,
}

/// The reason in an answer that is not a success.
pub(super) fn read(reply: &Reply, user: Option<String>) -> Reason {
    let text = String::from_utf8_lossy(&reply.body);
    let json: Said = serde_json::from_str(&text).unwrap_or_default();
    let status = reply.status.as_u16();
    let said = say(&json, &text, reply.status.canonical_reason());
    match (status, json.deployments) {
        (401, _) => Reason::Unauthorized { user },
        (403, _) => Reason::Forbidden { user, said },
        (404, _) => Reason::NotFound(said),
        (409, Some(deployments)) => {
            Reason::Locked(deployments.into_iter().map(|held| held.id).collect())
        }
        (409, None) => Reason::Exists(said),
        (422, _) => Reason::Invalid { said, faults: faults(&json.details) },
        (500, _) if reply.body.is_empty() => Reason::Speechless,
        (503, _) if text.contains("has not finished recovery") => Reason::NotRecovered,
        _ => Reason::Status { status, said },
    }
}

fn say(json: &Said, text: &str, status: Option<&str>) -> String {
    let said = match (&json.message, json.details.as_str()) {
        (Some(message), Some(details)) => {
            format!("{}: {}", short(message), short(details))
        }
        (Some(message), None) => short(message),
        (None, _) if text.trim_start().starts_with('<') => short(&title(text)),
        (None, _) => short(text),
    };
    match said.is_empty() {
        true => status.unwrap_or("no message").to_owned(),
        false => short(&said),
    }
}

fn faults(details: &Value) -> Vec<Fault> {
    let read = |detail: &Value| Detail::deserialize(detail).ok();
    let details = details.as_array().map(Vec::as_slice).unwrap_or_default();
    let detail = |Detail { path, errors }| Fault { path, errors };
    details.iter().filter_map(read).map(detail).collect()
}

/// The message of a page: the reason that Jetty quotes, which is the first line of the Java
/// error; or its title; or, without both, all of its text.
fn title(page: &str) -> String {
    let quoted = page.split_once("<pre>").and_then(|(_, rest)| rest.split_once("</pre>"));
    if let Some((quoted, _)) = quoted.filter(|(quoted, _)| !quoted.trim().is_empty()) {
        return ENTITIES
            .iter()
            .fold(short(quoted), |text, (name, sign)| text.replace(name, sign));
    }
    let title = page.split_once("<title>").and_then(|(_, rest)| rest.split_once('<'));
    if let Some((title, _)) = title {
        return title.to_owned();
    }
    let mut text = String::new();
    for part in page.split('<') {
        text.push_str(part.split_once('>').map_or("", |(_, text)| text));
        text.push(' ');
    }
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}

/// The first line of a text, without control characters for a terminal.
pub(super) fn short(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let plain: String = line.chars().filter(|c| !c.is_control()).collect();
    match plain.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::super::Endpoint;
    use super::*;

    fn refusal(status: u16, body: &str) -> Reason {
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            location: None,
            body: body.as_bytes().to_vec(),
            from: Endpoint::new("10.0.0.1", 8080),
        };
        read(&reply, None)
    }

    fn said(status: u16, body: &str) -> String {
        match refusal(status, body) {
            Reason::Status { said, .. } => said,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn json_html_and_plain_text_become_one_short_line() {
        let json = r#"{"message":"Invalid JSON","details":"Unexpected character ('x')"}"#;
        assert_eq!(said(400, json), "Invalid JSON: Unexpected character ('x')");
        let trace =
            r#"{"message":"java.lang.Oops: no\n\tat a.b(C.scala:1)","status":500}"#;
        assert_eq!(said(500, trace), "java.lang.Oops: no");
        let page = "<html>\n<head>\n<title>Error 503 Busy</title></head><body>x</body>";
        assert_eq!(said(503, page), "Error 503 Busy");
        assert_eq!(said(500, "<h1>Bad\n Gateway</h1><p>x</p>"), "Bad Gateway x");
        assert_eq!(said(400, "Unknown agent"), "Unknown agent");
        assert_eq!(said(500, "\u{1b}[2Jgone"), "[2Jgone");
        assert_eq!(said(502, ""), "Bad Gateway");
        let reason = "<html><head><title>Error 500 </title></head><body><pre>    \
                      java.util.NoSuchElementException: No value found for &apos;RKT&apos;\n\
                      \tat a.b(C.scala:1)</pre></body>";
        assert_eq!(
            said(500, reason),
            "java.util.NoSuchElementException: No value found for 'RKT'"
        );
        assert_eq!(said(500, &"x".repeat(900)).chars().count(), MAX_CHARS + 1);
    }

    /// A standby in a failover: the next answer may be the new leader's.
    #[test]
    fn a_500_without_a_word_passes_by_itself() {
        assert!(matches!(refusal(500, ""), Reason::Speechless));
    }

    #[test]
    fn the_two_conflicts_are_told_apart() {
        let exists = r#"{"message":"An app with id [/x] already exists."}"#;
        assert!(
            matches!(refusal(409, exists), Reason::Exists(said) if said.contains("/x"))
        );
        let locked =
            r#"{"message":"App is locked","deployments":[{"id":"d1"},{"id":"d2"}]}"#;
        let Reason::Locked(ids) = refusal(409, locked) else { panic!() };
        assert_eq!(ids, ["d1", "d2"]);
    }

    #[test]
    fn faults_are_told_with_their_places_in_both_forms_of_details() {
        let list = r#"{"message":"Object is not valid","details":[
            {"path":"/id","errors":["must match"]},{"path":"","errors":["a","b"]}]}"#;
        let reason = refusal(422, list);
        assert_eq!(
            reason.to_string(),
            "reports errors: Object is not valid; at `/id`: must match; at ``: a, b"
        );
        let Reason::Invalid { faults, .. } = reason else { panic!() };
        assert_eq!(faults.len(), 2);
        let text = r#"{"message":"Object is not valid","details":"cmd or args"}"#;
        let told = refusal(422, text).to_string();
        assert_eq!(told, "reports errors: Object is not valid: cmd or args");
    }

    #[test]
    fn only_a_master_that_recovers_is_taken_for_one() {
        let recovers = refusal(503, "Master has not finished recovery");
        assert!(matches!(recovers, Reason::NotRecovered));
        assert!(matches!(refusal(503, "busy"), Reason::Status { status: 503, .. }));
    }
}
