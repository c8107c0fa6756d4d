//! What masters must not forget: admitted, unreachable and gone agents, drains, maintenance.
//!
//! Pure values. Which copy of a registry counts is decided by `replica`, not here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The whole registry; changed by `Change` alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Registry {
    /// Agents that may take part, by id.
    pub(super) admitted: BTreeMap<String, Admitted>,
    /// Agents that stopped answering, by id, with the time of it.
    pub(super) unreachable: BTreeMap<String, Unreachable>,
    /// Agents that may never come back, by id, with the time of it.
    pub(super) gone: BTreeMap<String, f64>,
    /// Windows of maintenance as an operator gave them.
    pub(super) schedule: Value,
    /// Machines that are down for maintenance.
    pub(super) down: Vec<Value>,
}

/// An admitted agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Admitted {
    /// Its `AgentInfo`.
    pub(super) info: Value,
    /// Whether an operator took it out of use.
    pub(super) deactivated: bool,
    /// How far draining has come, where it is being drained.
    pub(super) drain: Option<Drain>,
}

/// An agent that stopped answering.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Unreachable {
    /// What it was before.
    pub(super) admitted: Admitted,
    /// Since when, in seconds since 1970.
    pub(super) since: f64,
}

/// The draining of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Drain {
    /// `DrainConfig`, as it is shown.
    pub(super) config: Value,
    /// Whether it is over.
    pub(super) drained: bool,
    /// When it began, in seconds since 1970; not known to later masters.
    #[serde(skip)]
    pub(super) started: Option<f64>,
}

impl Drain {
    /// `DRAINING` or `DRAINED`.
    pub(super) fn state(&self) -> &'static str {
        if self.drained { "DRAINED" } else { "DRAINING" }
    }

    /// Whether the agent is to be gone when it is drained.
    pub(super) fn marks_gone(&self) -> bool {
        self.config["mark_gone"].as_bool().unwrap_or_default()
    }
}

/// One change of the registry.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// An agent is admitted, or its info has changed.
    Admit(Value),
    /// An agent stopped answering at this time.
    MarkUnreachable(String, f64),
    /// An agent is gone for good since this time.
    MarkGone(String, f64),
    /// An agent said good-bye.
    Remove(String),
    /// An agent is drained from now on.
    Drain(String, Drain),
    /// An agent's draining is over.
    Drained(String),
    /// An agent gets no more offers.
    Deactivate(String),
    /// An agent gets offers again, drained or not.
    Reactivate(String),
    /// Another schedule of maintenance.
    Schedule(Value),
    /// Other machines are down.
    Down(Vec<Value>),
}

impl Registry {
    /// Applies one change; one that concerns no known agent changes nothing.
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Admit(info) => self.admit(info),
            Change::MarkUnreachable(id, since) => {
                if let Some(admitted) = self.admitted.remove(id) {
                    let unreachable = Unreachable { admitted, since: *since };
                    self.unreachable.insert(id.clone(), unreachable);
                }
            }
            Change::MarkGone(id, since) => {
                self.forget(id);
                self.gone.insert(id.clone(), *since);
            }
            Change::Remove(id) => self.forget(id),
            Change::Schedule(schedule) => self.schedule = schedule.clone(),
            Change::Down(machines) => self.down.clone_from(machines),
            Change::Drain(id, _)
            | Change::Drained(id)
            | Change::Deactivate(id)
            | Change::Reactivate(id) => {
                if let Some(agent) = self.agent_mut(id) {
                    agent.apply(change);
                }
            }
        }
    }

    fn admit(&mut self, info: &Value) {
        let id = crate::mesos::id(info, "id").to_owned();
        let known = self.admitted.remove(&id);
        let known = known.or_else(|| Some(self.unreachable.remove(&id)?.admitted));
        let (deactivated, drain) =
            known.map_or((false, None), |agent| (agent.deactivated, agent.drain));
        self.admitted.insert(id, Admitted { info: info.clone(), deactivated, drain });
    }

    fn forget(&mut self, id: &str) {
        self.admitted.remove(id);
        self.unreachable.remove(id);
    }

    fn agent_mut(&mut self, id: &str) -> Option<&mut Admitted> {
        let unreachable = self.unreachable.get_mut(id).map(|agent| &mut agent.admitted);
        self.admitted.get_mut(id).or(unreachable)
    }

    /// An agent that is admitted or unreachable.
    pub(super) fn agent(&self, id: &str) -> Option<&Admitted> {
        let unreachable = self.unreachable.get(id).map(|agent| &agent.admitted);
        self.admitted.get(id).or(unreachable)
    }
}

impl Admitted {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Drain(_, drain) => {
                self.deactivated = true;
                self.drain = Some(drain.clone());
            }
            Change::Drained(_) => {
                if let Some(drain) = &mut self.drain {
                    drain.drained = true;
                }
            }
            Change::Deactivate(_) => self.deactivated = true,
            Change::Reactivate(_) => {
                self.deactivated = false;
                self.drain = None;
            }
            _ => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn registry(changes: &[Change]) -> Registry {
        let mut registry = Registry::default();
        let admit = Change::Admit(json!({"id": {"value": "S0"}, "hostname": "h"}));
        std::iter::once(&admit).chain(changes).for_each(|change| registry.apply(change));
        registry
    }

    fn drain() -> Change {
        let config = json!({"mark_gone": false});
        Change::Drain("S0".into(), Drain { config, drained: false, started: Some(1.0) })
    }

    #[test]
    fn a_drain_outlives_silence_and_ends_by_reactivation() {
        let away = [drain(), Change::MarkUnreachable("S0".into(), 1.0)];
        let mut registry = registry(&away);
        assert!(registry.admitted.is_empty());
        registry.apply(&Change::Admit(json!({"id": {"value": "S0"}, "hostname": "h"})));
        registry.apply(&Change::Drained("S0".into()));
        let agent = &registry.admitted["S0"];
        assert!(agent.deactivated && agent.drain.as_ref().unwrap().drained);
        registry.apply(&Change::Reactivate("S0".into()));
        let agent = &registry.admitted["S0"];
        assert!(!agent.deactivated && agent.drain.is_none());
    }

    #[test]
    fn what_is_gone_is_neither_admitted_nor_unreachable() {
        let registry = registry(&[
            Change::MarkUnreachable("S0".into(), 1.0),
            Change::MarkGone("S0".into(), 2.0),
        ]);
        assert!(registry.agent("S0").is_none());
        assert_eq!(registry.gone["S0"], 2.0);
    }
}
