//! What clients may change: apps, their instances, deployments.

use super::{Core, Deployment, Rules};
use crate::marathon::plan::{self, Cycle};
use jiff::Timestamp;
use marathon_rules::app::Record;
use marathon_rules::change::with_id;
use marathon_rules::root::{Root, RootNote};
use marathon_rules::{Finding, Kind, id, normal};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// There is no such thing; the whole message.
    NotFound(String),
    /// There is one already; the whole message.
    Exists(String),
    /// Deployments, by id, hold it.
    Locked(Vec<String>),
    /// Understood, and wrong.
    Invalid(Vec<Fault>),
    /// Not of the right shape.
    Shape(Vec<Fault>),
    /// Too many deployments.
    TooMany(usize),
    /// What the real one fails over; the whole message.
    Internal(String),
}

/// A change that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// The version that it brings.
    pub version: String,
    /// The deployment.
    pub id: String,
}

impl Deployed {
    /// How it is shown.
    pub fn json(&self) -> Value {
        json!({"version": self.version, "deploymentId": self.id})
    }
}

/// How tasks are to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Killing {
    /// Fewer are wanted afterwards.
    pub scale: bool,
    /// They are forgotten at once.
    pub wipe: bool,
    /// Deployments that hold their apps are stopped.
    pub force: bool,
}

pub use marathon_rules::Change as AppChange;

/// What is wrong, and where, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where, such as `/container/docker/image`.
    pub path: String,
    /// What.
    pub errors: Vec<String>,
}

impl Fault {
    /// One fault.
    pub fn new(path: impl Into<String>, error: impl Into<String>) -> Self {
        Self { path: path.into(), errors: vec![error.into()] }
    }
}

impl Core {
    /// Changes one app. Returns whether it is new, too.
    ///
    /// # Errors
    /// When the app, or the change, is refused; then nothing changed.
    pub fn change_app(
        &mut self,
        app: &str,
        body: &Value,
        (change, force): (AppChange, bool),
        now: Timestamp,
    ) -> Result<(bool, Deployed), Refusal> {
        let before = self.root.apps.get(app).cloned();
        match (change, &before) {
            (AppChange::Create, Some(_)) => {
                return Err(Refusal::Exists(format!(
                    "An app with id [{app}] already exists."
                )));
            }
            // What is sent is looked at first.
            (AppChange::Patch, None) => {
                self.record(app, body, change, &self.root)?;
                return Err(no_app(app));
            }
            _ => {}
        }
        let version = self.new_version(now);
        let mut root = Root { version: version.clone(), ..self.root.clone() };
        let record = match (version_only(body), &before) {
            (Some(wanted), Some(before)) => {
                let old = self.version_of(app, wanted)?;
                before.next(old.spec.clone(), &version)
            }
            _ => self.record(app, body, change, &root)?,
        };
        root.put_app(app, record);
        let deployed = self.deploy(root, force, now)?;
        let uri = format!("/v2/apps{app}");
        let event = json!({"clientIp": "", "uri": uri, "appDefinition": self.root.apps[app].json()});
        self.publish("api_post_event", event, now);
        Ok((before.is_none(), deployed))
    }

    /// Changes many apps with one deployment.
    ///
    /// # Errors
    /// When any is refused; then nothing changed.
    pub fn change_apps(
        &mut self,
        bodies: &[Value],
        (change, force): (AppChange, bool),
        now: Timestamp,
    ) -> Result<Deployed, Refusal> {
        let mut root = Root { version: self.new_version(now), ..self.root.clone() };
        for (index, body) in bodies.iter().enumerate() {
            let path = format!("({index})/id");
            let name = body["id"].as_str();
            let name = name.ok_or_else(|| {
                Refusal::Shape(vec![Fault::new(path, "error.path.missing")])
            })?;
            let app = id::absolute(name, "/");
            if change == AppChange::Patch && !root.apps.contains_key(&app) {
                return Err(no_app(&app));
            }
            let mut body = body.clone();
            let is_plain = |key: &str| body.get(key).is_none();
            if !root.apps.contains_key(&app)
                && ["ports", "portDefinitions", "networks", "container"]
                    .iter()
                    .all(|key| is_plain(key))
            {
                // One that a list makes has no port by itself, as there.
                body["portDefinitions"] = json!([]);
            }
            let record = self.record(&app, &body, change, &root)?;
            root.put_app(&app, record);
        }
        self.deploy(root, force, now)
    }

    /// Takes an app away.
    ///
    /// # Errors
    /// When it does not exist or is held.
    pub fn delete_app(
        &mut self,
        app: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<Deployed, Refusal> {
        if !self.root.apps.contains_key(app) {
            return Err(no_app(app));
        }
        let mut root = Root { version: self.new_version(now), ..self.root.clone() };
        root.remove_app(app);
        self.deploy(root, force, now)
    }

    /// Starts an app anew.
    ///
    /// # Errors
    /// When it does not exist or is held.
    pub fn restart_app(
        &mut self,
        app: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<Deployed, Refusal> {
        let before = self.root.apps.get(app).cloned().ok_or_else(|| no_app(app))?;
        let version = self.new_version(now);
        let mut root = Root { version: version.clone(), ..self.root.clone() };
        root.put_app(app, before.restarted(&version));
        self.deploy(root, force, now)
    }

    /// Ends tasks. With `scale` fewer instances are wanted afterwards, and there is a deployment.
    ///
    /// # Errors
    /// When a deployment holds one of the apps.
    pub fn kill(
        &mut self,
        tasks: &[String],
        how: Killing,
        now: Timestamp,
    ) -> Result<Option<Deployed>, Refusal> {
        let deployed = match how.scale {
            true => Some(self.scale_down(tasks, how.force, now)?),
            false => None,
        };
        for task in tasks {
            self.kill_instance(task, now);
            if how.wipe {
                self.drop_instance(task);
            }
        }
        self.advance(now);
        Ok(deployed)
    }

    fn scale_down(
        &mut self,
        tasks: &[String],
        force: bool,
        now: Timestamp,
    ) -> Result<Deployed, Refusal> {
        let version = self.new_version(now);
        let mut root = Root { version: version.clone(), ..self.root.clone() };
        for task in tasks {
            let Some(instance) = self.instances.get(task) else { continue };
            let Some(record) = root.apps.get(&instance.app).cloned() else { continue };
            let scaled = record.scaled(record.instances().saturating_sub(1), &version);
            root.put_app(&instance.app, scaled);
        }
        // The named tasks must be on their way out before the deployment picks its own.
        self.locks(&self.root, &root, force)?;
        for task in tasks {
            self.leave(task, now);
        }
        self.deploy(root, force, now)
    }

    /// Ends a deployment: with `force` it only stops, otherwise another takes things back.
    ///
    /// # Errors
    /// When there is no such deployment.
    pub fn cancel(
        &mut self,
        deployment: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<Option<Deployed>, Refusal> {
        let index = self.deployments.iter().position(|d| d.id == deployment);
        let index = index.ok_or_else(|| {
            Refusal::NotFound(format!("DeploymentPlan {deployment} does not exist"))
        })?;
        if force {
            self.stop_deployment(index, now);
            self.advance(now);
            return Ok(None);
        }
        let cancelled = self.deployments[index].clone();
        let version = self.new_version(now);
        let mut root = Root { version: version.clone(), ..self.root.clone() };
        for app in plan::affected(&cancelled.steps) {
            match cancelled.original.apps.get(&app).map(|old| self.version_of(&app, old))
            {
                Some(old) => {
                    let old = old?.clone();
                    let next = match root.apps.get(&app) {
                        Some(current) => current.next(old.spec, &version),
                        None => old,
                    };
                    root.put_app(&app, next);
                }
                None => root.remove_app(&app),
            }
        }
        self.deploy(root, true, now).map(Some)
    }

    /// Wants another tree, and begins the deployment that brings it.
    pub(super) fn deploy(
        &mut self,
        root: Root,
        force: bool,
        now: Timestamp,
    ) -> Result<Deployed, Refusal> {
        self.can_run(&root)?;
        let steps = plan::steps(&self.root, &root).map_err(|Cycle| {
            let text = "Dependency graph has cyclic dependencies.";
            Refusal::Invalid(vec![Fault::new("/", text)])
        })?;
        let in_the_way = self.locks(&self.root, &root, force)?;
        if self.deployments.len() - in_the_way.len() >= self.rules.max_deployments {
            return Err(Refusal::TooMany(self.rules.max_deployments));
        }
        for id in in_the_way {
            if let Some(index) = self.deployments.iter().position(|d| d.id == id) {
                self.stop_deployment(index, now);
            }
        }
        let deployment = Deployment {
            id: Uuid::new_v4().to_string(),
            version: root.version.clone(),
            steps,
            current: 0,
            original: self.root.note(),
        };
        let deployed =
            Deployed { version: root.version.clone(), id: deployment.id.clone() };
        self.keep_root(root);
        self.deployments.push(deployment);
        self.save_deployment(self.deployments.len() - 1);
        self.announce(self.deployments.len() - 1, now);
        self.advance(now);
        Ok(deployed)
    }

    /// Refuses what a real one would run, and this one cannot.
    fn can_run(&self, root: &Root) -> Result<(), Refusal> {
        let is_new = |app: &str| !self.root.apps.contains_key(app);
        let refuse =
            |path: &str, text: &str| Err(Refusal::Invalid(vec![Fault::new(path, text)]));
        for (_, record) in root.apps.iter().filter(|(app, _)| is_new(app)) {
            if normal::keeps_data(&record.spec) {
                return refuse("/container/volumes", "this stand-in keeps no volumes");
            }
            if record.spec["role"] != self.rules.role.as_str() {
                return refuse("/role", "this stand-in has one role");
            }
        }
        Ok(())
    }

    /// The deployments that a change would have to stop.
    fn locks(&self, old: &Root, new: &Root, force: bool) -> Result<Vec<String>, Refusal> {
        let steps = plan::steps(old, new).unwrap_or_default();
        let mut locks: Vec<String> = Vec::new();
        for app in plan::affected(&steps) {
            locks.extend(
                self.deployments_of(&app).map(|deployment| deployment.id.clone()),
            );
        }
        locks.sort();
        locks.dedup();
        match force || locks.is_empty() {
            true => Ok(locks),
            false => Err(Refusal::Locked(locks)),
        }
    }

    fn keep_root(&mut self, root: Root) {
        for (app, record) in &root.apps {
            let versions = self.records.entry(app.clone()).or_default();
            if !versions.contains_key(&record.version) {
                versions.insert(record.version.clone(), record.clone());
                let path = super::record_path(app, &record.version);
                self.link.save(path, json!(record.as_ref()));
                let checks = record.spec.get("healthChecks").and_then(Value::as_array);
                for check in checks.into_iter().flatten() {
                    let body = json!({
                        "appId": app, "version": record.version, "healthCheck": check,
                        "eventType": "add_health_check_event", "timestamp": root.version,
                    });
                    self.link
                        .effects
                        .push(super::Effect::Publish("add_health_check_event", body));
                }
            }
        }
        self.history.insert(self.root.version.clone(), self.root.note());
        let note = root.note();
        self.link.save(format!("roots/{}", note.version), json!(note));
        self.link.save("root", json!(note));
        self.history.insert(note.version.clone(), note);
        self.root = root;
        self.prune();
    }

    /// Forgets versions beyond those that are kept and those that something needs.
    fn prune(&mut self) {
        let most = self.rules.max_versions;
        while self.history.len() > most
            && let Some((version, _)) = self.history.pop_first()
        {
            self.link.forget(format!("roots/{version}"));
        }
        let in_use = |app: &str, version: &str| {
            let holds =
                |note: &RootNote| note.apps.get(app).is_some_and(|v| v == version);
            self.root.apps.get(app).is_some_and(|record| record.version == version)
                || self.deployments.iter().any(|deployment| holds(&deployment.original))
                || self.instances_of(app).any(|instance| instance.version == version)
        };
        let mut old = Vec::new();
        for (app, versions) in &self.records {
            let surplus = versions.len().saturating_sub(most);
            let surplus =
                versions.keys().take(surplus).filter(|version| !in_use(app, version));
            old.extend(surplus.map(|version| (app.clone(), version.clone())));
        }
        for (app, version) in old {
            if let Some(versions) = self.records.get_mut(&app) {
                versions.remove(&version);
            }
            self.link.forget(super::record_path(&app, &version));
        }
    }

    /// A version of an app.
    pub(super) fn version_of(
        &self,
        app: &str,
        version: &str,
    ) -> Result<&Record, Refusal> {
        if !is_version(version) {
            return Err(Refusal::Invalid(Vec::new()));
        }
        let found = self.records.get(app).and_then(|versions| versions.get(version));
        found.map(AsRef::as_ref).ok_or_else(|| {
            Refusal::NotFound(format!("App '{app}' does not exist in version {version}"))
        })
    }

    /// An app from what a client sent.
    pub(super) fn record(
        &self,
        app: &str,
        body: &Value,
        change: AppChange,
        root: &Root,
    ) -> Result<Record, Refusal> {
        if body["version"].as_str().is_some_and(|text| !is_version(text)) {
            let fault = Fault::new("/version", "error.expected.date.isoformat");
            return Err(Refusal::Shape(vec![fault]));
        }
        let base = if change == AppChange::Create { "/" } else { app };
        let body = with_id(body, app);
        root.next_record(app, &body, (change, base), &self.app_rules()).map_err(refusal)
    }

    /// What the flags decide of apps.
    pub(super) fn app_rules(&self) -> marathon_rules::Rules {
        let Rules { role, service_ports, .. } = self.rules.clone();
        marathon_rules::Rules { role, service_ports }
    }
}

/// Whether a text is a time, as versions are.
pub(super) fn is_version(text: &str) -> bool {
    text.parse::<Timestamp>().is_ok()
}

/// A body that names a version and nothing else but an id: go back to that version.
fn version_only(body: &Value) -> Option<&str> {
    let fields = body.as_object()?;
    let alone = fields.keys().all(|key| key == "version" || key == "id");
    body["version"].as_str().filter(|_| alone)
}

/// What is answered where something is refused: the shape is looked at first.
pub(super) fn refusal(found: Vec<Finding>) -> Refusal {
    let failed = found.iter().find(|finding| finding.kind == Kind::Fails);
    let shape: Vec<Fault> = found.iter().filter_map(shape_fault).collect();
    if !shape.is_empty() {
        return Refusal::Shape(shape);
    }
    match failed {
        Some(finding) => Refusal::Internal(finding.message.clone()),
        None => {
            let fault = |it: Finding| Fault::new(it.path.to_string(), it.message);
            Refusal::Invalid(found.into_iter().map(fault).collect())
        }
    }
}

fn shape_fault(finding: &Finding) -> Option<Fault> {
    match finding.kind {
        Kind::Shape(word) => Some(Fault::new(finding.path.to_string(), word)),
        _ => None,
    }
}

/// The refusal of an app that does not exist.
pub(super) fn no_app(app: &str) -> Refusal {
    Refusal::NotFound(format!("App '{app}' does not exist"))
}
