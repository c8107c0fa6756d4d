//! What a client sends for an app, and the app that Marathon makes of it. Pure.

use crate::app::{App, Record};
use crate::finding::Finding;
use crate::path::Path;
use crate::root::Root;
use crate::{Spec, check, id, normal, service_ports, shape};
use serde_json::Value;
use std::ops::RangeInclusive;

/// What the flags of a Marathon decide.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The role of apps that name none.
    pub role: String,
    /// Where service ports are taken from.
    pub service_ports: RangeInclusive<u32>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { role: "*".to_owned(), service_ports: 10_000..=20_000 }
    }
}

/// How an app is to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It must not exist.
    Create,
    /// What is not named goes back to its default.
    Replace,
    /// What is not named stays.
    Merge,
    /// What is not named stays, and it must exist.
    Patch,
}

/// An app that a body makes, and what is to be said of the body.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The app in its one form; of no use where something is refused.
    pub spec: Spec,
    /// What is to be said.
    pub found: Vec<Finding>,
}

impl Judged {
    /// What Marathon refuses it for.
    pub fn refusals(&self) -> Vec<Finding> {
        self.found.iter().filter(|finding| finding.kind.refuses()).cloned().collect()
    }
}

/// Gives an app that a body does not name its id.
#[must_use]
pub fn with_id(body: &Value, app: &str) -> Value {
    let mut body = body.clone();
    if let Some(members) = body.as_object_mut() {
        members.entry("id").or_insert_with(|| app.into());
    }
    body
}

impl Root {
    /// Judges the body of one app. Relative dependencies count from `base`.
    pub fn judge(
        &self,
        app: &str,
        body: &Value,
        (change, base): (Change, &str),
        rules: &Rules,
    ) -> Judged {
        let before = self.apps.get(app);
        let (sent, mut found) = shape::read("app", body);
        let wrong: Vec<Path> = found
            .iter()
            .filter(|finding| finding.kind.refuses())
            .map(|finding| finding.path.clone())
            .collect();
        let mut update = normal::modernise(sent, &mut found);
        if update.remove("version").is_some() && change != Change::Create {
            let text = "`version` stands with `id` alone, to go back to that version";
            found.push(Finding::invalid(Path::of(&["version"]), text));
        }
        if change == Change::Create && !normal::keeps_data(&update) {
            // Dropped here, and refused elsewhere.
            update.remove("residency");
        }
        if before.is_some() {
            update.remove("ports");
        }
        let mut spec = match (change, before) {
            (Change::Merge | Change::Patch, Some(before)) => merge(&before.spec, update),
            _ => update,
        };
        spec.insert("id".into(), app.into());
        let mut spec = normal::complete(spec, &self.role_in(app, rules), base);
        match App::read(&spec) {
            Ok(read) => {
                let faults = check::faults(&read, &spec).into_iter();
                found.extend(faults.filter(|fault| !follows(fault, &wrong)));
                found.extend(self.role_fault(app, &read.role, rules));
            }
            Err(error) if wrong.is_empty() => {
                found.push(Finding::invalid(Path::ROOT, error.to_string()));
            }
            Err(_) => {}
        }
        if self.apps_within(app).next().is_some() {
            let text = format!("there is a group `{app}` with apps");
            found.push(Finding::invalid(Path::of(&["id"]), text));
        }
        let taken = self.service_ports(app);
        let own = before.map(|record| &record.spec);
        let range = rules.service_ports.clone();
        if service_ports::assign(&mut spec, own, &taken, range).is_err() {
            let kind = crate::finding::Kind::Fails;
            let text = "No more available ports in the port range";
            found.push(Finding::new(Path::ROOT, kind, text));
        }
        Judged { spec, found }
    }

    /// The next record of an app.
    ///
    /// # Errors
    /// What it is refused for.
    pub fn next_record(
        &self,
        app: &str,
        body: &Value,
        how: (Change, &str),
        rules: &Rules,
    ) -> Result<Record, Vec<Finding>> {
        let judged = self.judge(app, body, how, rules);
        match judged.refusals() {
            refusals if !refusals.is_empty() => Err(refusals),
            _ => Ok(match self.apps.get(app) {
                Some(before) => before.next(judged.spec, &self.version),
                None => Record::new(judged.spec, &self.version),
            }),
        }
    }

    /// The role of an app that names none.
    fn role_in(&self, app: &str, rules: &Rules) -> String {
        let top = id::ancestors(app).get(1).copied();
        let enforces =
            |group: &&str| self.groups.get(*group).is_some_and(|it| it.enforce_role);
        let own = top.filter(enforces).map(|group| group.trim_start_matches('/'));
        own.unwrap_or(&rules.role).to_owned()
    }

    fn role_fault(&self, app: &str, role: &str, rules: &Rules) -> Option<Finding> {
        let default = self.role_in(app, rules);
        let group = id::ancestors(app).get(1).map(|group| group.trim_start_matches('/'));
        let fits = role == default || (default == rules.role && group == Some(role));
        let text = match group {
            Some(group) if default == rules.role => {
                format!(
                    "the role can only be `{default}`, or `{group}` as its top group is"
                )
            }
            _ => format!("the role can only be `{default}`"),
        };
        (!fits).then(|| Finding::invalid(Path::of(&["role"]), text))
    }

    /// The service ports of all apps but one.
    fn service_ports(&self, except: &str) -> std::collections::BTreeSet<u32> {
        let others = self.apps.iter().filter(|(app, _)| *app != except);
        others.flat_map(|(_, record)| service_ports::of(&record.spec)).collect()
    }
}

/// Whether a fault comes of a member of the wrong shape, which was left out.
fn follows(fault: &Finding, wrong: &[Path]) -> bool {
    let first = |path: &Path| path.keys().first().map(|key| (*key).to_owned());
    let of_all = [Some("cmd"), Some("args"), Some("container"), None];
    wrong.iter().map(first).any(|wrong| match first(&fault.path) {
        None => of_all.contains(&wrong.as_deref()),
        same => same == wrong,
    })
}

/// What an update leaves of an app; limits that it does not repeat are gone.
fn merge(before: &Spec, update: Spec) -> Spec {
    let mut merged = before.clone();
    merged.remove("resourceLimits");
    merged.extend(update);
    merged
}
