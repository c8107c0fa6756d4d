//! Changes of groups.

use super::Core;
use super::changes::{Deployed, Fault, Refusal, is_version, refusal};
use crate::marathon::plan::{self, Step};
use jiff::Timestamp;
use marathon_rules::app::Record;
use marathon_rules::root::Root;
use marathon_rules::{Finding, id, shape};
use serde_json::Value;

impl Core {
    /// Makes a group that is not there.
    ///
    /// # Errors
    /// When it is there, or what it holds is refused.
    pub fn create_group(
        &mut self,
        group: &str,
        body: &Value,
        force: bool,
        now: Timestamp,
    ) -> Result<Deployed, Refusal> {
        if self.root.has_group(group) || self.root.apps.contains_key(group) {
            let text = format!(
                "Group {group} is already created. Use PUT to change this group."
            );
            return Err(Refusal::Exists(text));
        }
        let root = self.with_group(group, body, now)?;
        self.deploy(root, force, now)
    }

    /// Changes a group, or makes it.
    ///
    /// # Errors
    /// When what it holds is refused.
    pub fn change_group(
        &mut self,
        group: &str,
        body: &Value,
        force: bool,
        now: Timestamp,
    ) -> Result<Deployed, Refusal> {
        let root = self.with_group(group, body, now)?;
        self.deploy(root, force, now)
    }

    /// What a change of a group would do.
    ///
    /// # Errors
    /// As the change itself.
    pub fn try_group(
        &mut self,
        group: &str,
        body: &Value,
        now: Timestamp,
    ) -> Result<Vec<Step>, Refusal> {
        let root = self.with_group(group, body, now)?;
        plan::steps(&self.root, &root).map_err(|plan::Cycle| {
            let text = "Dependency graph has cyclic dependencies.";
            Refusal::Invalid(vec![Fault::new("/", text)])
        })
    }

    /// Takes away a group with all that is in it.
    ///
    /// # Errors
    /// When it does not exist or is held.
    pub fn delete_group(
        &mut self,
        group: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<Deployed, Refusal> {
        if !self.root.has_group(group) {
            return Err(no_group(group));
        }
        let mut root = Root { version: self.new_version(now), ..self.root.clone() };
        root.remove_group(group);
        self.deploy(root, force, now)
    }

    fn with_group(
        &mut self,
        group: &str,
        body: &Value,
        now: Timestamp,
    ) -> Result<Root, Refusal> {
        let version = self.new_version(now);
        let mut root = Root { version, ..self.root.clone() };
        let (update, found) = shape::read("group", body);
        check(found)?;
        if ["version", "scaleBy"].iter().any(|key| update.contains_key(*key))
            && update.len() > 1
        {
            return Err(invalid("/", "a version or a factor stands alone"));
        }
        if let Some(wanted) = update.get("version").and_then(Value::as_str) {
            if !self.root.has_group(group) || !is_version(wanted) {
                return Err(invalid("/version", "there is no such version"));
            }
            self.restore(&mut root, group, wanted)?;
        } else if let Some(factor) = update.get("scaleBy").and_then(Value::as_f64) {
            root.scale_group(group, factor);
        } else {
            check(root.put_group(group, body, &self.app_rules()))?;
        }
        Ok(root)
    }

    /// Puts a group back to what it was.
    fn restore(&self, root: &mut Root, group: &str, wanted: &str) -> Result<(), Refusal> {
        let note = self.history.get(wanted);
        let note = note.ok_or_else(|| Refusal::Invalid(Vec::new()))?;
        let current = root.clone();
        root.remove_group(group);
        for (name, kept) in note.groups.iter().filter(|(name, _)| id::within(name, group))
        {
            root.groups.insert(name.clone(), kept.clone());
        }
        for (app, version) in note.apps.iter().filter(|(app, _)| id::within(app, group)) {
            let old = self.version_of(app, version)?;
            let next = match current.apps.get(app) {
                Some(now) => now.next(old.spec.clone(), &root.version),
                None => Record::new(old.spec.clone(), &root.version),
            };
            root.put_app(app, next);
        }
        Ok(())
    }
}

fn invalid(path: &str, text: &str) -> Refusal {
    Refusal::Invalid(vec![Fault::new(path, text)])
}

/// Refuses what Marathon refuses.
fn check(found: Vec<Finding>) -> Result<(), Refusal> {
    let refused = found.into_iter().filter(|finding| finding.kind.refuses());
    match refused.collect::<Vec<_>>() {
        refused if refused.is_empty() => Ok(()),
        refused => Err(refusal(refused)),
    }
}

/// The refusal of a group that does not exist.
pub(super) fn no_group(group: &str) -> Refusal {
    Refusal::NotFound(format!("Group '{group}' does not exist"))
}
