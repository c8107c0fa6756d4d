//! Takes up what an earlier leader has left in the store.

use super::{Core, Deployment};
use crate::framework::store::{Unreadable, below, read, read_if_kept};
use crate::marathon::instance::{Instance, is_terminal};
use marathon_rules::app::Record;
use marathon_rules::root::{Root, RootNote};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Core {
    /// Tasks are as they were when last heard of; the master is to be asked.
    pub(super) fn recover(
        &mut self,
        kept: &BTreeMap<String, Vec<u8>>,
    ) -> Result<(), Unreadable> {
        self.link.framework_id = read_if_kept(kept, "framework-id")?;
        for path in below(kept, "apps/") {
            let record: Record = read(kept, path)?;
            let app = record.spec.get("id").and_then(Value::as_str).unwrap_or_default();
            let versions = self.records.entry(app.to_owned()).or_default();
            versions.insert(record.version.clone(), Arc::new(record));
        }
        for path in below(kept, "roots/") {
            let note: RootNote = read(kept, path)?;
            self.history.insert(note.version.clone(), note);
        }
        if let Some(note) = read_if_kept(kept, "root")? {
            self.root = self.root_of(note);
        }
        for path in below(kept, "deployments/") {
            self.deployments.push(read::<Deployment>(kept, path)?);
        }
        self.deployments.sort_by(|a, b| a.version.cmp(&b.version));
        for path in below(kept, "instances/") {
            let instance: Instance = read(kept, path)?;
            if is_terminal(&instance.state) {
                self.ended.push(instance);
                continue;
            }
            let record = self.record_of(&instance.app, &instance.version);
            let n_checks = record.map_or(0, |record| record.app().health_checks.len());
            self.instances.insert(instance.task.clone(), instance.restored(n_checks));
        }
        for path in below(kept, "failures/") {
            let failure: Value = read(kept, path)?;
            let app = failure["appId"].as_str().unwrap_or_default().to_owned();
            self.failures.insert(app, failure);
        }
        let versions = self.history.keys().next_back();
        if let Some(Ok(latest)) = versions.map(|version| version.parse()) {
            self.last_version = latest;
        }
        Ok(())
    }

    fn root_of(&self, note: RootNote) -> Root {
        let record = |(app, version): (String, String)| {
            let found = self.records.get(&app)?.get(&version)?.clone();
            Some((app, found))
        };
        Root {
            apps: note.apps.into_iter().filter_map(record).collect(),
            groups: note.groups,
            version: note.version,
        }
    }
}
