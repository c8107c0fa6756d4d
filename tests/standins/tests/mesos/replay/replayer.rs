//! Asks the stand-ins what a real Mesos was asked, and compares what they answer.

use std::collections::BTreeMap;

use serde_json::Value;
use standins::http;

use super::recording::{self, Answer, Body, HEADERS, Request};
use super::shape::Shape;
use crate::cluster::DEADLINE;

/// How all recorded addresses begin.
const RECORDED_NETWORK: &str = "127.0.1.";

/// The operator of the clusters that ask for one.
const ADMIN: (&str, &str) = ("admin", "adminpw");

/// The recordings replayed against one cluster of stand-ins.
pub(crate) struct Replayer {
    client: reqwest::Client,
    requests: BTreeMap<String, Request>,
    network: &'static str,
    /// Recorded names of addresses and agents, and those here.
    names: Vec<(String, String)>,
    /// Each recording that was replayed, with the differences found.
    pub(crate) found: Vec<(String, Vec<String>)>,
}

impl Replayer {
    /// For a cluster whose addresses begin as `network`, and end as the recorded ones.
    pub(crate) fn new(network: &'static str) -> Self {
        Self {
            client: http::client(DEADLINE).unwrap(),
            requests: recording::requests(),
            network,
            names: Vec::new(),
            found: Vec::new(),
        }
    }

    /// An address here, such as `127.0.82.11` for 11.
    pub(crate) fn ip(&self, host: u8) -> String {
        format!("{}{host}", self.network)
    }

    /// A recorded name is another one here.
    pub(crate) fn name(&mut self, recorded: &str, here: &str) {
        self.names.retain(|(name, _)| name != recorded);
        self.names.push((recorded.to_owned(), here.to_owned()));
    }

    fn here(&self, text: &str) -> String {
        let named = self
            .names
            .iter()
            .fold(text.to_owned(), |text, (recorded, here)| text.replace(recorded, here));
        named.replace(RECORDED_NETWORK, self.network)
    }

    /// Replays recordings, in this order.
    pub(crate) async fn replay(&mut self, names: &[&str]) {
        for name in names {
            let request = self.requests[*name].clone();
            let real = recording::answer(name);
            let own = self.ask(&request).await;
            let differences = self.differences(&real, &own);
            self.found.push(((*name).to_owned(), differences));
        }
    }

    async fn ask(&self, request: &Request) -> Answer {
        let port = if request.host.ends_with(".21") || request.host.ends_with(".22") {
            5051
        } else {
            5050
        };
        let address = self.here(&format!("{}:{port}", request.host));
        let url = format!("http://{address}{}", self.here(&request.path));
        let method = request.method.parse().unwrap();
        let mut asked =
            self.client.request(method, url).header("accept", "application/json");
        if request.method == "POST" {
            asked = asked
                .header("content-type", &request.content_type)
                .body(self.here(&request.body));
        }
        if let Some((user, password)) = &request.user {
            asked = asked.basic_auth(user, Some(password));
        }
        read(asked.send().await.unwrap()).await
    }

    fn differences(&self, real: &Answer, own: &Answer) -> Vec<String> {
        let mut found = Vec::new();
        if real.status != own.status {
            found.push(format!("status {}, not {}", own.status, real.status));
        }
        for name in HEADERS {
            let expected = real.headers.get(name).map(|value| self.here(value));
            if expected.as_ref() != own.headers.get(name) {
                let own = own.headers.get(name);
                found.push(format!("header {name} {own:?}, not {expected:?}"));
            }
        }
        match (&real.body, &own.body) {
            (Body::Json(real), Body::Json(own)) => {
                found.extend(Shape::of(real).differences(&Shape::of(own)));
            }
            (Body::Text(real), Body::Text(own)) if self.here(real) == *own => (),
            (real, own) => found.push(format!("body {own:?}, not {real:?}")),
        }
        found
    }

    /// What a path of a host here answers in JSON; null when it does not.
    pub(crate) async fn get(&self, host: u8, path: &str) -> Value {
        let url = format!("http://{}:5050{path}", self.ip(host));
        let request = self.client.get(url).basic_auth(ADMIN.0, Some(ADMIN.1));
        let Ok(response) = request.send().await else { return Value::Null };
        response.json().await.unwrap_or_default()
    }

    /// Where a host here sends to, as it says who leads.
    pub(crate) async fn redirect(&self, host: u8) -> Option<String> {
        let url = format!("http://{}:5050/redirect", self.ip(host));
        let response = self.client.get(url).send().await.ok()?;
        Some(response.headers().get("location")?.to_str().ok()?.to_owned())
    }

    /// Makes a call of the v1 API that was not recorded as such.
    pub(crate) async fn call(&self, host: u8, call: &Value) {
        let url = format!("http://{}:5050/api/v1", self.ip(host));
        let response = self.client.post(url).json(call).send().await.unwrap();
        assert_eq!(response.status(), 200, "{call}");
    }
}

async fn read(response: reqwest::Response) -> Answer {
    let status = response.status().as_u16();
    let header = |name: &str| {
        Some((name.to_owned(), response.headers().get(name)?.to_str().ok()?.to_owned()))
    };
    let headers: BTreeMap<String, String> =
        HEADERS.iter().filter_map(|name| header(name)).collect();
    let text = response.text().await.unwrap();
    let body = Body::read(headers.get("content-type").map(String::as_str), text);
    Answer { status, headers, body }
}
