//! Watches one connection: its host key, and its end.

use std::sync::{Arc, OnceLock};

use russh::client::{self, DisconnectReason};
use russh::keys::PublicKeyOrCertificate;

use crate::remote::known_hosts::Key;

use super::host_keys::{Guard, Rejection};
use super::shown::Shown;

/// Checks the host's key, and keeps the reason why the connection ended.
pub(super) struct Watcher {
    guard: Guard,
    admitted: Option<Key>,
    ended: Arc<OnceLock<String>>,
}

impl Watcher {
    /// Watches one connection; `ended` gets the reason for its end.
    pub(super) fn new(guard: Guard, ended: Arc<OnceLock<String>>) -> Self {
        Self { guard, admitted: None, ended }
    }
}

/// Why a connection ends early.
pub(super) enum Closed {
    Rejected(Rejection),
    Ssh(russh::Error),
}

impl From<russh::Error> for Closed {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl std::fmt::Debug for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rejected(_) => f.write_str("the host key was rejected"),
            Self::Ssh(error) => error.fmt(f),
        }
    }
}

impl client::Handler for Watcher {
    type Error = Closed;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Closed> {
        let shown = Shown::new(shown).ok_or(russh::Error::UnknownKey)?;
        let key = shown.key.clone();
        // Keys are renegotiated after a gigabyte or an hour: the host must still be the same.
        match &self.admitted {
            Some(admitted) => return Ok(*admitted == key),
            None => self.guard.judge(shown).await.map_err(Closed::Rejected)?,
        }
        self.admitted = Some(key);
        Ok(true)
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<Closed>,
    ) -> Result<(), Closed> {
        let (why, result) = match reason {
            DisconnectReason::ReceivedDisconnect(info) => (info.message, Ok(())),
            DisconnectReason::Error(Closed::Ssh(error)) => {
                (tell_end(&error), Err(Closed::Ssh(error)))
            }
            DisconnectReason::Error(closed) => (format!("{closed:?}"), Err(closed)),
        };
        // Only the first reason counts.
        let _ = self.ended.set(why);
        result
    }
}

fn tell_end(error: &russh::Error) -> String {
    match error {
        russh::Error::KeepaliveTimeout => "it no longer answers".to_owned(),
        russh::Error::InactivityTimeout => "it accepts no more data".to_owned(),
        russh::Error::Disconnect | russh::Error::HUP => {
            "it closed the connection".to_owned()
        }
        error => error.to_string(),
    }
}
