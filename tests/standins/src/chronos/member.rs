//! One Chronos of several: how it passes on what it is asked while another leads.

use super::answer::page;
use super::api;
use super::core::Core;
use super::settings::{Settings, TABLE};
use super::{Leader, NAME};
use crate::framework::log;
use crate::framework::node::{End, Service};
use crate::framework::options::Options;
use crate::framework::proxy::{forward, plain_client};
use crate::framework::setup::{SettingsError, Setup, World};
use crate::http::bare;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;
use std::time::Duration;

/// How long the leader may take to answer. The real one would wait for ever.
const PROXY_DEADLINE: Duration = Duration::from_secs(30);

/// A Chronos.
#[derive(Debug)]
pub struct Chronos {
    settings: Settings,
    client: reqwest::Client,
}

impl Service for Chronos {
    type Core = Core;
    const NAME: &'static str = NAME;
    const TABLE: &'static str = TABLE;

    fn read(options: &Options, world: &World<'_>) -> Result<Self, SettingsError> {
        let settings = Settings::read(options, world)?;
        Ok(Self { settings, client: plain_client() })
    }

    fn exit_code(end: End) -> u8 {
        match end {
            // What a shell says of a process that SIGTERM ended.
            End::Terminated => 143,
            End::WrongFlags => 1,
            end => {
                log(NAME, &format!("exiting: {end:?}"));
                1
            }
        }
    }

    fn setup(&self) -> &Setup {
        &self.settings.setup
    }

    fn core(&self) -> Core {
        Core::new(self.settings.rules.clone())
    }

    async fn answer(&self, leader: &Arc<Leader>, request: Request) -> Response {
        api::answer(leader, &self.settings.setup.http.id(), request).await
    }

    /// Of a refusal only the status comes back: the real one reads no answers but good ones.
    async fn pass_on(&self, request: Request, leader: Option<&str>) -> Response {
        let Some(leader) = leader else { return self.not_ready() };
        let sent = forward(&self.client, request, leader, PROXY_DEADLINE, None).await;
        match sent {
            Ok(answer) if answer.status().is_success() => answer,
            Ok(answer) => bare(answer.status()),
            Err(_) => self.not_ready(),
        }
    }

    fn bare(status: StatusCode) -> Response {
        page(status, status.canonical_reason().unwrap_or_default())
    }

    fn not_ready(&self) -> Response {
        page(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Error proxying request to leader (maybe the leadership just changed?)",
        )
    }
}
