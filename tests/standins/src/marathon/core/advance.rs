//! Brings what is there nearer to what is wanted.

use super::{Call, Core, Deployment};
use crate::marathon::goal::{self, Aim, Seen};
use crate::marathon::instance::Instance;
use crate::marathon::plan::{Action, Doing};
use jiff::{SignedDuration, Timestamp};
use marathon_rules::app::Record;
use serde_json::json;
use std::sync::Arc;

/// An end that does not come is asked for again after this long.
const KILL_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// A leader gives up tasks that it cannot reach only when it has led so long, in seconds.
const EXPUNGES_AFTER: f64 = 300.0;

impl Core {
    /// Decides for every app what to start and what to end, and moves deployments on.
    pub fn advance(&mut self, now: Timestamp) {
        self.expunge_lost(now);
        while self.move_deployments(now) {}
        let mut apps: Vec<String> = self.root.apps.keys().cloned().collect();
        let known = self.instances.values().chain(&self.ended);
        apps.extend(known.map(|instance| instance.app.clone()));
        apps.sort();
        apps.dedup();
        self.wanted.clear();
        for app in apps {
            let Some(aim) = self.aim(&app) else { continue };
            let decision = goal::decide(aim, &self.seen(&app, now));
            for task in decision.kill {
                self.leave(&task, now);
            }
            self.forget_ended(&app, decision.launch as usize);
            if decision.launch > 0 {
                self.queue.entry(app.clone()).or_default().since.get_or_insert(now);
                self.wanted.insert(app, decision.launch);
            }
        }
        let wanted = &self.wanted;
        self.queue.retain(|app, _| wanted.contains_key(app));
        self.ask_for_offers(now);
    }

    /// What happens with time alone: ends that do not come, starts that do not come, delays.
    pub fn tick(&mut self, now: Timestamp) {
        let overdue = |instance: &&Instance| {
            let asked = instance.kill_sent.map(|sent| now.duration_since(sent));
            instance.killing && asked.is_none_or(|since| since >= KILL_AGAIN_AFTER)
        };
        let again = self.instances.values().filter(overdue);
        let again: Vec<_> = again.map(|instance| instance.task.clone()).collect();
        for task in again {
            self.send_kill(&task, now);
        }
        let timeout = self.rules.launch_timeout;
        let late = |i: &&Instance| {
            !i.killing
                && i.started_at.is_none()
                && i.unreachable_since.is_none()
                && now.duration_since(i.staged_at) > timeout
        };
        let late: Vec<_> =
            self.instances.values().filter(late).map(|i| i.task.clone()).collect();
        for task in late {
            self.leave(&task, now);
        }
        self.advance(now);
    }

    /// Ends a task whose place nobody takes.
    pub(super) fn leave(&mut self, task: &str, now: Timestamp) {
        if let Some(instance) = self.instances.get_mut(task) {
            instance.leaving = true;
        }
        self.kill_instance(task, now);
    }

    /// Forgets ended tasks of an app beyond those that are to be started again.
    fn forget_ended(&mut self, app: &str, n_kept: usize) {
        let own = |instance: &&Instance| instance.app == app;
        let surplus = self.ended.iter().filter(own).skip(n_kept);
        let surplus: Vec<String> =
            surplus.map(|instance| instance.task.clone()).collect();
        self.ended.retain(|instance| !surplus.contains(&instance.task));
        for task in surplus {
            self.link.forget(format!("instances/{task}"));
        }
    }

    /// Ends a task, and says so to the master.
    pub(super) fn kill_instance(&mut self, task: &str, now: Timestamp) {
        let Some(instance) = self.instances.get_mut(task) else { return };
        if !instance.killing {
            instance.killing = true;
            self.save_instance(task);
            self.send_kill(task, now);
        }
    }

    fn send_kill(&mut self, task: &str, now: Timestamp) {
        let Some(instance) = self.instances.get_mut(task) else { return };
        instance.kill_sent = Some(now);
        let agent = Some(instance.agent.clone());
        self.link.call(Call::Kill { task: task.to_owned(), agent });
    }

    /// Moves deployments whose step is done; whether any moved.
    fn move_deployments(&mut self, now: Timestamp) -> bool {
        for index in 0..self.deployments.len() {
            let deployment = &self.deployments[index];
            let Some(step) = deployment.steps.get(deployment.current) else {
                self.finish(index, now);
                return true;
            };
            let actions = step.actions.clone();
            if actions.iter().all(|action| self.reached(action, now)) {
                self.complete_step(index, &actions, now);
                return true;
            }
        }
        false
    }

    fn reached(&self, action: &Action, now: Timestamp) -> bool {
        let aim = match (action.action, self.root.apps.get(&action.app)) {
            (Doing::Start, _) | (Doing::Scale | Doing::Restart, None) => return true,
            (Doing::Stop, _) => Aim::Stop,
            (Doing::Scale, Some(record)) => Aim::Keep(record.instances()),
            (Doing::Restart, Some(record)) => replace(record),
        };
        goal::decide(aim, &self.seen(&action.app, now)).reached
    }

    fn complete_step(&mut self, index: usize, actions: &[Action], now: Timestamp) {
        for action in actions.iter().filter(|action| action.action == Doing::Stop) {
            if !self.root.apps.contains_key(&action.app) {
                self.forget_app(&action.app);
                self.publish(
                    "remove_health_check_event",
                    json!({"appId": action.app}),
                    now,
                );
                self.publish("app_terminated_event", json!({"appId": action.app}), now);
            }
        }
        let deployment = &mut self.deployments[index];
        deployment.current += 1;
        let body = json!({
            "plan": deployment.plan_json(), "currentStep": {"actions": actions},
        });
        self.save_deployment(index);
        self.publish("deployment_step_success", body, now);
        self.announce(index, now);
    }

    /// Tells of the step that a deployment comes to.
    pub(super) fn announce(&mut self, index: usize, now: Timestamp) {
        let deployment = &self.deployments[index];
        if let Some(step) = deployment.steps.get(deployment.current) {
            let body = json!({"plan": deployment.plan_json(), "currentStep": step});
            self.publish("deployment_info", body, now);
        }
    }

    fn finish(&mut self, index: usize, now: Timestamp) {
        let deployment = self.deployments.remove(index);
        self.link.forget(format!("deployments/{}", deployment.id));
        let body = json!({"id": deployment.id, "plan": deployment.plan_json()});
        self.publish("deployment_success", body, now);
        let body = json!({"groupId": "/", "version": deployment.version});
        self.publish("group_change_success", body, now);
    }

    /// Ends a deployment where it is.
    pub(super) fn stop_deployment(&mut self, index: usize, now: Timestamp) {
        let stopped = self.deployments.remove(index);
        self.link.forget(format!("deployments/{}", stopped.id));
        let plan = stopped.plan_json();
        let body =
            json!({"id": stopped.id, "plan": plan, "reason": "DeploymentCanceled"});
        self.publish("deployment_failed", body, now);
    }

    fn forget_app(&mut self, app: &str) {
        // Its versions are kept, and are those of the next app of this id, too.
        self.backoffs.remove(app);
        self.failures.remove(app);
    }

    /// What is to become of an app now; nothing while a deployment has yet to come to it.
    fn aim(&self, app: &str) -> Option<Aim> {
        let keep =
            self.root.apps.get(app).map_or(Aim::Stop, |r| Aim::Keep(r.instances()));
        let Some(deployment) = self.deployments_of(app).last() else { return Some(keep) };
        let steps = deployment.steps.iter().enumerate();
        let mut own = steps.flat_map(|(index, step)| {
            step.actions.iter().filter(|a| a.app == app).map(move |a| (index, a.action))
        });
        let (index, doing) = own.rfind(|(index, _)| *index <= deployment.current)?;
        if index < deployment.current {
            return own_is_over(deployment, app).then_some(keep);
        }
        match (doing, self.root.apps.get(app)) {
            (Doing::Start, _) => None,
            (Doing::Stop, None) => Some(Aim::Stop),
            (Doing::Restart, Some(record)) => Some(replace(record)),
            _ => Some(keep),
        }
    }

    /// The instances of an app, in the order in which they are to be ended.
    fn seen(&self, app: &str, now: Timestamp) -> Vec<Seen> {
        let record = self.root.apps.get(app);
        let mut own: Vec<_> = self.instances_of(app).collect();
        let oldest_first =
            record.is_some_and(|r| r.app().kill_selection == "OLDEST_FIRST");
        own.sort_by(|a, b| {
            let age = a.staged_at.cmp(&b.staged_at);
            let age = if oldest_first { age } else { age.reverse() };
            is_ready(a).cmp(&is_ready(b)).then(age)
        });
        own.into_iter().map(|instance| self.see(instance, record, now)).collect()
    }

    fn see(
        &self,
        instance: &Instance,
        record: Option<&Arc<Record>>,
        now: Timestamp,
    ) -> Seen {
        let (inactive, _) = self.lost(instance, now);
        Seen {
            task: instance.task.clone(),
            current: record.is_some_and(|r| instance.version >= r.last_config),
            ready: is_ready(instance),
            killing: instance.killing,
            lost: inactive,
        }
    }

    /// Whether an unreachable instance no longer counts, and whether it is given up.
    fn lost(&self, instance: &Instance, now: Timestamp) -> (bool, bool) {
        let Some(since) = instance.unreachable_since else { return (false, false) };
        let record = self.record_of(&instance.app, &instance.version);
        let limits = record.map_or(Some((0.0, 0.0)), |r| r.app().unreachable_seconds());
        let Some((inactive, expunge)) = limits else { return (false, false) };
        let seconds = now.duration_since(since).as_secs_f64();
        let leads = now.duration_since(self.leads_since).as_secs_f64();
        let expunges = expunge == 0.0 || leads >= EXPUNGES_AFTER;
        (seconds >= inactive, seconds >= expunge && expunges)
    }

    fn expunge_lost(&mut self, now: Timestamp) {
        let lost = self.instances.values().filter(|i| self.lost(i, now).1);
        let lost: Vec<_> = lost.map(|instance| instance.task.clone()).collect();
        for task in lost {
            self.drop_instance(&task);
        }
    }

    /// Forgets an instance.
    pub(super) fn drop_instance(&mut self, task: &str) {
        if self.instances.remove(task).is_some() {
            self.link.forget(format!("instances/{task}"));
        }
    }

    /// Asks for offers when something is to be started, for none when nothing is.
    fn ask_for_offers(&mut self, now: Timestamp) {
        if !self.link.is_subscribed {
            return;
        }
        let delayed = |app: &String| {
            self.backoffs.get(app).is_some_and(|backoff| backoff.until(now).is_some())
        };
        let wanting = self.wanted.keys().any(|app| !delayed(app));
        if wanting && self.link.revive(self.rules.min_revive_interval, now) {
            self.suppressed = false;
        } else if self.wanted.is_empty() && !self.suppressed && self.rules.suppress {
            self.suppressed = true;
            self.link.call(Call::Suppress);
        }
    }
}

fn replace(record: &Record) -> Aim {
    Aim::Replace(record.instances(), record.app().upgrade_strategy)
}

fn is_ready(instance: &Instance) -> bool {
    let ready = instance.readiness.iter().all(|check| check.ready);
    instance.runs() && instance.healthy() && ready && !instance.killing
}

/// Whether no later step of a deployment touches an app.
fn own_is_over(deployment: &Deployment, app: &str) -> bool {
    let later = deployment.steps.iter().skip(deployment.current);
    !later.flat_map(|step| &step.actions).any(|action| action.app == app)
}
