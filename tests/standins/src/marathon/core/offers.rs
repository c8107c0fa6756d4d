//! Uses offers for what is to be started, and gives the rest back.

use super::{Core, Queued};
use crate::framework::leader::Core as _;
use crate::framework::offer::{Offer, Pool};
use crate::framework::stamp;
use crate::marathon::instance::{Instance, Readiness};
use crate::marathon::matching::{self, REASONS, Reason, Room};
use crate::marathon::task::{self, Naming};
use jiff::Timestamp;
use marathon_rules::app::{App, Record};
use marathon_rules::check::divides_by_zero;
use marathon_rules::id;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

impl Core {
    /// Takes what offers have room for.
    pub fn offers(&mut self, offers: Vec<Offer>, now: Timestamp) {
        if self.is_stuck {
            return;
        }
        for queued in self.queue.values_mut() {
            queued.rejected.clear();
            queued.in_round = 0;
        }
        let most = self.rules.max_per_offer;
        self.use_offers(offers, |core, offer, pool| {
            std::iter::from_fn(|| core.launch_one(offer, pool, now)).take(most).collect()
        });
        self.advance(now);
    }

    fn launch_one(
        &mut self,
        offer: &Offer,
        pool: &mut Pool,
        now: Timestamp,
    ) -> Option<Value> {
        let apps: Vec<String> = self.wanted.keys().cloned().collect();
        for name in apps {
            let Some(record) = self.root.apps.get(&name).cloned() else { continue };
            let waits = self.backoffs.get(&name).is_some_and(|b| b.until(now).is_some());
            if waits || self.wanted.get(&name).is_none_or(|n| *n == 0) {
                continue;
            }
            let app = record.app();
            if app.constraints.iter().any(|words| divides_by_zero(words)) {
                self.is_stuck = true;
                return None;
            }
            let found = self.room(&app, offer, pool);
            self.note_offer(&name, offer, found.as_ref().err().copied(), now);
            if let Ok((uuid, room)) = found {
                return Some(self.launch((&record, &app), offer, (uuid, room), now));
            }
        }
        None
    }

    fn room(
        &self,
        app: &App,
        offer: &Offer,
        pool: &mut Pool,
    ) -> Result<(Uuid, Room), Reason> {
        if self.rules.maintenance_mode && offer.in_maintenance() {
            return Err("AgentMaintenance");
        }
        let uuid = Uuid::new_v4();
        let spread = uuid.as_u128() as usize;
        let others = self.instances_of(&app.id).map(|instance| &instance.place);
        let others: Vec<_> = others.collect();
        let room = matching::take(app, offer, pool, &others, spread)?;
        Ok((uuid, room))
    }

    fn launch(
        &mut self,
        (record, app): (&Arc<Record>, &App),
        offer: &Offer,
        (uuid, room): (Uuid, Room),
        now: Timestamp,
    ) -> Value {
        let before = self.ended.iter().position(|instance| instance.app == app.id);
        let before = before.map(|index| self.ended.remove(index));
        if let Some(before) = &before {
            self.link.forget(format!("instances/{}", before.task));
        }
        let new = || format!("{}.instance-{uuid}._app.1", id::joined(&app.id, "_"));
        let task = before.as_ref().map_or_else(new, Instance::next_task);
        let naming = Naming {
            task: &task,
            agent: offer.agent(),
            host: &offer.hostname,
            version: &record.version,
            user: self.rules.user.as_deref(),
            prefix: self.rules.env_prefix.as_deref(),
        };
        let info = task::info(app, &naming, &room);
        let instance = Instance {
            task: task.clone(),
            app: app.id.clone(),
            version: record.version.clone(),
            agent: offer.agent().to_owned(),
            host: offer.hostname.clone(),
            attributes: offer.attributes(),
            domain: (offer.place("region"), offer.place("zone")),
            ports: room.ports.iter().copied().flatten().collect(),
            role: app.role.clone(),
            state: "TASK_STAGING".into(),
            staged_at: now,
            // What was found of its last task is said of this one, too, as there.
            health: before.map(|before| before.health).unwrap_or_default(),
            readiness: vec![Readiness::default(); app.readiness_checks.len()],
            ..Instance::default()
        };
        let instance = instance.restored(app.health_checks.len());
        self.publish_condition(
            &Instance { state: "TASK_PROVISIONED".into(), ..instance.clone() },
            now,
        );
        self.instances.insert(task.clone(), instance);
        self.save_instance(&task);
        if let Some(left) = self.wanted.get_mut(&app.id) {
            *left -= 1;
        }
        info
    }

    fn note_offer(
        &mut self,
        app: &str,
        offer: &Offer,
        against: Option<Reason>,
        now: Timestamp,
    ) {
        let Some(queued) = self.queue.get_mut(app) else { return };
        queued.processed += 1;
        queued.in_round += 1;
        match against {
            None => queued.last_used = Some(now),
            Some(reason) => {
                queued.unused += 1;
                queued.last_unused = Some(now);
                *queued.rejected.entry(reason).or_default() += 1;
                let shown = json!({
                    "offer": offer.shown(),
                    "reason": [reason], "timestamp": stamp(now),
                });
                queued.unused_offers.insert(offer.agent().to_owned(), shown);
            }
        }
    }

    /// What waits to be started, and why.
    pub fn queue_json(&self, with_offers: bool, now: Timestamp) -> Value {
        let shown = self.wanted.iter().filter_map(|(app, n)| {
            let (queued, record) = (self.queue.get(app)?, self.root.apps.get(app)?);
            let until = self.backoffs.get(app).and_then(|backoff| backoff.until(now));
            let left = until.map_or(0, |until| until.duration_since(now).as_secs());
            let mut shown = json!({
                "count": n, "delay": {"timeLeftSeconds": left, "overdue": until.is_none()},
                "since": queued.since.map(stamp), "role": record.app().role,
                "processedOffersSummary": summary(queued), "app": record.json(),
            });
            if with_offers {
                let offers: Value = queued.unused_offers.values().cloned().collect();
                shown["lastUnusedOffers"] = offers;
            }
            Some(shown)
        });
        json!({"queue": shown.collect::<Value>()})
    }

    /// Forgets the delay of an app; whether the app waits to be started.
    pub fn reset_delay(&mut self, app: &str, now: Timestamp) -> bool {
        let waits = self.wanted.contains_key(app);
        if waits {
            self.backoffs.remove(app);
            self.advance(now);
        }
        waits
    }
}

fn summary(queued: &Queued) -> Value {
    let mut total = queued.in_round;
    let mut reasons = Vec::new();
    for reason in REASONS {
        let declined = queued.rejected.get(&reason).copied().unwrap_or(0);
        reasons.push(json!({
            "reason": reason, "declined": declined, "processed": total,
        }));
        total -= declined;
    }
    let mut shown = json!({
        "processedOffersCount": queued.processed, "unusedOffersCount": queued.unused,
        "rejectSummaryLastOffers": reasons, "rejectSummaryLaunchAttempt": reasons,
    });
    let times = [
        ("lastUnusedOfferAt", queued.last_unused),
        ("lastUsedOfferAt", queued.last_used),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            shown[name] = stamp(time).into();
        }
    }
    shown
}
