//! A sink that remembers all events, for tests and for counting what a run costs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::{Event, Sink};
use crate::host::HostName;

/// Keeps every event in memory.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    /// The events so far, in order.
    pub fn events(&self) -> Vec<Event> {
        self.locked().clone()
    }

    /// How many connections were made to each host; hosts without one are absent.
    pub fn connections(&self) -> BTreeMap<HostName, usize> {
        self.count(|event| match event {
            Event::Connected { host, .. } => Some(host),
            _ => None,
        })
    }

    /// How many commands were sent to each host; hosts without one are absent.
    pub fn executions(&self) -> BTreeMap<HostName, usize> {
        self.count(|event| match event {
            Event::Executed { host, .. } => Some(host),
            _ => None,
        })
    }

    fn count(
        &self,
        host_of: impl Fn(&Event) -> Option<&HostName>,
    ) -> BTreeMap<HostName, usize> {
        let mut counts = BTreeMap::new();
        for host in self.locked().iter().filter_map(host_of) {
            *counts.entry(host.clone()).or_default() += 1;
        }
        counts
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Recorder {
    fn take(&self, event: &Event) {
        self.locked().push(event.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn connections_and_commands_are_counted_per_host() {
        let recorder = Recorder::default();
        let host = |name: &str| name.parse::<HostName>().unwrap();
        for name in ["a", "b"] {
            recorder.take(&Event::Connected { host: host(name), took: Duration::ZERO });
        }
        for purpose in ["probe", "apply base"] {
            recorder
                .take(&Event::Executed { host: host("a"), purpose: purpose.to_owned() });
        }
        assert_eq!(recorder.connections(), [(host("a"), 1), (host("b"), 1)].into());
        assert_eq!(recorder.executions(), [(host("a"), 2)].into());
    }
}
