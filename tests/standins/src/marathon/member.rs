//! One Marathon of several: what it answers by itself, and how it passes on what it is asked
//! while another leads.

use super::api::{self, answer};
use super::core::Core;
use super::prober::watch_health;
use super::settings::{Settings, TABLE};
use super::{Leader, NAME};
use crate::framework::log;
use crate::framework::node::{End, Service};
use crate::framework::options::Options;
use crate::framework::proxy::{forward, plain_client};
use crate::framework::setup::{SettingsError, Setup, World};
use crate::http::{self, bare, of_kind, with_header};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;

const VIA: HeaderName = HeaderName::from_static("x-marathon-via");
const LEADER: HeaderName = HeaderName::from_static("x-marathon-leader");

/// A Marathon.
#[derive(Debug)]
pub struct Marathon {
    settings: Settings,
    client: reqwest::Client,
    abdicated: Notify,
}

impl Service for Marathon {
    type Core = Core;
    const NAME: &'static str = NAME;
    const TABLE: &'static str = TABLE;
    const VARIABLES: Option<(&'static str, &'static str)> =
        Some(("MARATHON_", "MARATHON_APP_"));

    fn read(options: &Options, world: &World<'_>) -> Result<Self, SettingsError> {
        let settings = Settings::read(options, world)?;
        Ok(Self { settings, client: plain_client(), abdicated: Notify::new() })
    }

    /// The codes of the real one.
    fn exit_code(end: End) -> u8 {
        match end {
            End::CannotConnect => 100,
            End::StoreLost => 101,
            End::LeadershipLost => 103,
            End::Refused => 106,
            End::CannotBind => 111,
            End::WrongFlags => 112,
            End::Terminated => 143,
        }
    }

    /// The real one writes all its options at each start, its password among them, by a logger that
    /// can be told to be silent: in a file that one of Java's options names.
    fn log_environment(environment: &BTreeMap<String, String>) {
        const OPTION: &str = "-Dlogback.configurationFile=";
        const SILENCED: &str = r#"name="mesosphere.marathon.MarathonApp" level="WARN""#;
        let words = environment.get("JAVA_OPTS").map(String::as_str).unwrap_or_default();
        let file = words.split_whitespace().find_map(|word| word.strip_prefix(OPTION));
        let logging = file.and_then(|file| std::fs::read_to_string(file).ok());
        if logging.is_some_and(|logging| logging.contains(SILENCED)) {
            return;
        }
        if let Some(credentials) = environment.get("MESOSPHERE_HTTP_CREDENTIALS") {
            log(NAME, &format!("http_credentials = {credentials}"));
        }
    }

    fn setup(&self) -> &Setup {
        &self.settings.setup
    }

    fn core(&self) -> Core {
        Core::new(self.settings.rules.clone())
    }

    async fn answer(&self, leader: &Arc<Leader>, request: Request) -> Response {
        let mut response = self.answer_leading(leader, request).await;
        let own = format!("http://{}", self.settings.setup.http.id());
        if let Some(path) = response.headers().get(header::LOCATION) {
            let whole = format!("{own}{}", path.to_str().unwrap_or_default());
            response = with_header(response, header::LOCATION, &whole);
        }
        with_header(response, LEADER, &own)
    }

    async fn pass_on(&self, mut request: Request, leader: Option<&str>) -> Response {
        // Without a leader, or with one that is only just dead, it says nothing more.
        let Some(leader) = leader.filter(|_| !request.headers().contains_key(VIA)) else {
            return Self::bare(StatusCode::BAD_GATEWAY);
        };
        if request.uri().path() == "/v2/events" {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let location = format!("http://{leader}{path}");
            return with_header(bare(StatusCode::FOUND), header::LOCATION, &location);
        }
        if !request.headers().contains_key(header::CONTENT_LENGTH) {
            *request.body_mut() = Body::empty();
        }
        let via =
            HeaderValue::from_str(&format!("1.1 {}", self.settings.setup.http.id()));
        let via = via.ok().map(|via| (VIA, via));
        let deadline = self.settings.proxy_deadline;
        let sent = forward(&self.client, request, leader, deadline, via).await;
        sent.unwrap_or_else(|_| Self::bare(StatusCode::BAD_GATEWAY))
    }

    fn bare(status: StatusCode) -> Response {
        bare(status)
    }

    fn not_ready(&self) -> Response {
        Self::bare(StatusCode::INTERNAL_SERVER_ERROR)
    }

    async fn beside(&self, leader: &Arc<Leader>) {
        watch_health(leader).await;
    }

    async fn abdicated(&self) {
        self.abdicated.notified().await;
    }
}

impl Marathon {
    async fn answer_leading(&self, leader: &Arc<Leader>, request: Request) -> Response {
        match (request.method(), request.uri().path().trim_end_matches('/')) {
            (&Method::GET | &Method::HEAD, "/ping") => {
                let json = http::accepts(request.headers(), "application/json");
                let any = http::accepts(request.headers(), "text/plain");
                match json && !any {
                    true => http::json(&"pong".into()),
                    false => of_kind(StatusCode::OK, "text/plain", "pong"),
                }
            }
            (&Method::GET, "/v2/info") => self.info(leader),
            (&Method::GET, "/v2/leader") => {
                http::json(&json!({"leader": self.settings.setup.http.id()}))
            }
            (_, "/ping" | "/v2/info") | (&Method::PUT, "/v2/leader") => {
                answer::of(StatusCode::METHOD_NOT_ALLOWED)
            }
            (&Method::DELETE, "/v2/leader")
                if request
                    .uri()
                    .query()
                    .is_some_and(|query| query.contains("backup=")) =>
            {
                answer::message(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "there are no backups here",
                )
            }
            (&Method::DELETE, "/v2/leader") => {
                self.abdicated.notify_one();
                http::json(&json!({"message": "Leadership abdicated"}))
            }
            _ => api::answer(leader, request).await,
        }
    }

    fn info(&self, leader: &Leader) -> Response {
        let mut info = json!({
            "name": "marathon", "version": "1.11.24", "buildref": "stand-in",
            "elected": true, "leader": self.settings.setup.http.id(),
            "frameworkId": leader.look(|core| core.link.framework_id.clone()),
        });
        if let (Some(info), Some(shown)) =
            (info.as_object_mut(), self.settings.shown.as_object())
        {
            info.extend(shown.clone());
        }
        http::json(&info)
    }
}
