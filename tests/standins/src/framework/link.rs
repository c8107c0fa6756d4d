//! What joins a leader to the master and to the store: its id as a framework, and what it wants
//! done. Pure.

use super::effect::{Call, Effect};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// A leader's link to the master and to the store.
#[derive(Debug, Default)]
pub struct Link {
    /// The framework's id, once there is one.
    pub framework_id: Option<String>,
    /// Whether the master knows us.
    pub is_subscribed: bool,
    /// When offers were asked for last, since the master knows us.
    revived: Option<Timestamp>,
    /// What is to be done, in this order.
    pub effects: Vec<Effect>,
}

impl Link {
    /// Keeps a value.
    pub fn save(&mut self, path: impl Into<String>, value: Value) {
        self.effects.push(Effect::Save(path.into(), value));
    }

    /// Forgets a value.
    pub fn forget(&mut self, path: impl Into<String>) {
        self.effects.push(Effect::Forget(path.into()));
    }

    /// Calls the master.
    pub fn call(&mut self, call: Call) {
        self.effects.push(Effect::Call(call));
    }

    /// The master knows us by this id, which is kept at this path when it is new.
    pub fn subscribed(&mut self, framework_id: &str, path: &str) {
        if self.framework_id.as_deref() != Some(framework_id) {
            self.framework_id = Some(framework_id.to_owned());
            self.save(path, framework_id.into());
        }
        self.is_subscribed = true;
        self.revived = None;
    }

    /// Asks for offers, unless the master does not know us or was asked less than `interval` ago.
    /// Returns whether it asks.
    pub fn revive(&mut self, interval: SignedDuration, now: Timestamp) -> bool {
        let rested = self.revived.is_none_or(|last| now.duration_since(last) >= interval);
        let asks = self.is_subscribed && rested;
        if asks {
            self.revived = Some(now);
            self.call(Call::Revive);
        }
        asks
    }
}
