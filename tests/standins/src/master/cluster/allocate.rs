//! Who is offered what: all that is free of an agent goes to the framework that has least.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Cluster, Framework, Offer};
use crate::mesos::resources::Resources;
use crate::mesos::{copy_members, wrapped};

impl Cluster {
    /// Offers what is free.
    pub(in crate::master) fn allocate(&mut self) {
        let now = Instant::now();
        for framework in self.frameworks.values_mut() {
            framework.filters.retain(|_, (_, until)| *until > now);
        }
        let active: Vec<String> = self
            .agents
            .iter()
            .filter(|(_, agent)| agent.is_active())
            .map(|(id, _)| id.clone())
            .collect();
        for agent_id in active {
            let free = self.free(&agent_id);
            if free.is_offerable()
                && let Some(framework_id) = self.next_in_turn(&agent_id, &free)
            {
                self.offer(&framework_id, &agent_id, free);
            }
        }
    }

    fn free(&self, agent_id: &str) -> Resources {
        let mut free =
            self.agents.get(agent_id).map(|a| a.total.clone()).unwrap_or_default();
        free.subtract(&self.used(agent_id));
        free.subtract(&self.offered(agent_id));
        free
    }

    /// The framework with the least share that wants this.
    fn next_in_turn(&self, agent_id: &str, free: &Resources) -> Option<String> {
        let wants = |framework: &Framework| {
            let filtered = framework.filters.get(agent_id);
            framework.stream.is_some()
                && !framework.suppressed
                && !filtered.is_some_and(|(declined, _)| declined.contains(free))
        };
        let share = |id: &str, framework: &Framework| {
            let mut share = framework.used();
            let offers = self.offers.values().filter(|offer| offer.framework == id);
            offers.for_each(|offer| share.add(&offer.resources));
            (share.amount("cpus") * 1000.0) as u64
        };
        let candidates = self.frameworks.iter().filter(|(_, framework)| wants(framework));
        let least = candidates.min_by_key(|(id, framework)| share(id, framework));
        least.map(|(id, _)| id.clone())
    }

    fn offer(&mut self, framework_id: &str, agent_id: &str, resources: Resources) {
        let offer_id = format!("{}-O{}", self.master_id, self.next_offer);
        self.next_offer += 1;
        let offer = Offer {
            framework: framework_id.to_owned(),
            agent: agent_id.to_owned(),
            resources,
        };
        let event = self.offer_event(&offer_id, &offer);
        self.offers.insert(offer_id, offer);
        if let Some(framework) = self.frameworks.get(framework_id) {
            framework.send(event);
        }
    }

    fn offer_event(&self, offer_id: &str, offer: &Offer) -> Value {
        let role = self.frameworks.get(&offer.framework).map_or("*", Framework::role);
        let extra = json!({"role": "*", "allocation_info": {"role": role}});
        let mut message = json!({
            "id": wrapped(offer_id),
            "framework_id": wrapped(&offer.framework),
            "agent_id": wrapped(&offer.agent),
            "resources": offer.resources.full(&extra),
            "allocation_info": {"role": role},
        });
        if let Some(agent) = self.agents.get(&offer.agent) {
            let (_, address) = agent.pid.split_once('@').unwrap_or_default();
            let ip = address.rsplit_once(':').map_or(address, |(ip, _)| ip);
            message["hostname"] = agent.info["hostname"].clone();
            message["url"] = json!({
                "scheme": "http",
                "address": {
                    "hostname": agent.info["hostname"],
                    "ip": ip,
                    "port": agent.info["port"],
                },
                "path": "/slave(1)",
            });
            copy_members(&agent.info, &mut message, &["attributes", "domain"]);
            if let Some(unavailability) = &agent.unavailability {
                message["unavailability"] = unavailability.clone();
            }
        }
        json!({"type": "OFFERS", "offers": {"offers": [message]}})
    }

    /// Takes back the offers of an agent.
    pub(in crate::master) fn rescind_agent(&mut self, agent_id: &str) {
        self.rescind(|offer| offer.agent == agent_id);
    }

    pub(super) fn rescind_framework(&mut self, framework_id: &str) {
        self.rescind(|offer| offer.framework == framework_id);
    }

    fn rescind(&mut self, concerned: impl Fn(&Offer) -> bool) {
        let frameworks = &self.frameworks;
        self.offers.retain(|id, offer| {
            let is_concerned = concerned(offer);
            if is_concerned && let Some(framework) = frameworks.get(&offer.framework) {
                let event =
                    json!({"type": "RESCIND", "rescind": {"offer_id": wrapped(id)}});
                framework.send(event);
            }
            !is_concerned
        });
    }
}
