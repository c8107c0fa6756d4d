//! Changes of groups.

use super::Core;
use super::changes::{AppChange, Deployed, Refusal, is_version};
use crate::marathon::app::Record;
use crate::marathon::id;
use crate::marathon::normal::Spec;
use crate::marathon::plan::{self, Step};
use crate::marathon::root::Root;
use crate::marathon::shape::{self, Fault};
use jiff::Timestamp;
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
        let update = read(body)?;
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
            scale(&mut root, group, factor);
        } else {
            self.put_group(&mut root, group, &update)?;
        }
        Ok(root)
    }

    /// Lists of apps and groups that are given stand for all there is; those left out stay.
    fn put_group(
        &self,
        root: &mut Root,
        group: &str,
        update: &Spec,
    ) -> Result<(), Refusal> {
        self.put_self(root, group, update)?;
        if let Some(apps) = update.get("apps").and_then(Value::as_array) {
            let named = names(apps, group)?;
            let gone: Vec<String> =
                root.apps_in(group).map(|(app, _)| app.clone()).collect();
            for app in gone.iter().filter(|app| !named.contains(app)) {
                root.remove_app(app);
            }
            for (app, body) in named.iter().zip(apps) {
                let record = self.record(app, body, AppChange::Replace, root)?;
                root.put_app(app, record);
            }
        }
        if let Some(groups) = update.get("groups").and_then(Value::as_array) {
            let named = names(groups, group)?;
            for gone in
                root.groups_in(group).iter().filter(|other| !named.contains(other))
            {
                root.remove_group(gone);
            }
            for (name, body) in named.iter().zip(groups) {
                self.put_group(root, name, &read(body)?)?;
            }
        }
        Ok(())
    }

    fn put_self(
        &self,
        root: &mut Root,
        group: &str,
        update: &Spec,
    ) -> Result<(), Refusal> {
        let names_itself = update.contains_key("id") && update.contains_key("apps");
        let known = self.root.has_group(group) && names_itself;
        let enforces = update.get("enforceRole") == Some(&true.into());
        if (known || enforces) && !id::is_top_level(group) {
            return Err(invalid(
                "/enforceRole",
                "only groups of the top level may have it",
            ));
        }
        if group == "/" {
            return Ok(());
        }
        if let Some(error) = id::fault(group) {
            return Err(invalid("/id", &error));
        }
        if root.apps.contains_key(group) {
            let text = format!("App with id {group} already exists.");
            return Err(invalid("/id", &text));
        }
        let version = root.version.clone();
        let kept = root.groups.entry(group.to_owned()).or_default();
        kept.version = version;
        if let Some(dependencies) = update.get("dependencies").and_then(Value::as_array) {
            let texts = dependencies.iter().filter_map(Value::as_str).map(str::to_owned);
            kept.dependencies = texts.collect();
        }
        kept.enforce_role = enforces;
        Ok(())
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

fn scale(root: &mut Root, group: &str, factor: f64) {
    let apps: Vec<_> =
        root.apps_within(group).map(|(app, r)| (app.clone(), r.clone())).collect();
    let version = root.version.clone();
    for (app, record) in apps {
        let wanted = (f64::from(record.instances()) * factor.max(0.0)).ceil();
        root.put_app(&app, record.scaled(wanted as u32, &version));
    }
}

fn invalid(path: &str, text: &str) -> Refusal {
    Refusal::Invalid(vec![Fault::new(path, text)])
}

fn read(body: &Value) -> Result<Spec, Refusal> {
    shape::read("group", body).map_err(Refusal::Shape)
}

fn names(items: &[Value], group: &str) -> Result<Vec<String>, Refusal> {
    let name = |(index, item): (usize, &Value)| {
        let name = item["id"].as_str().map(|name| id::absolute(name, group));
        let name = name.ok_or_else(|| Refusal::Internal("None.get".to_owned()))?;
        match id::parent(&name) == group {
            true => Ok(name),
            false => Err(Refusal::Invalid(vec![Fault::new(
                format!("/apps({index})/id"),
                format!(
                    "identifier {name} is not child of '{group}'. Hint: use relative paths."
                ),
            )])),
        }
    };
    items.iter().enumerate().map(name).collect()
}

/// The refusal of a group that does not exist.
pub(super) fn no_group(group: &str) -> Refusal {
    Refusal::NotFound(format!("Group '{group}' does not exist"))
}
