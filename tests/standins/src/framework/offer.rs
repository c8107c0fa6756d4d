//! An offer: what an agent has to give, and taking from it.
//!
//! Pure. Reservations other than a role's own are left to others: resources of a disk with a
//! source or of a refined reservation are not taken.

use crate::mesos::list;
use crate::mesos::resources::Resources;
use crate::scheduler::Id;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What an agent offers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Offer {
    id: Id,
    agent_id: Id,
    /// The agent's host name.
    pub hostname: String,
    resources: Vec<Value>,
    attributes: Vec<Value>,
    domain: Value,
    unavailability: Value,
}

/// How much is needed of what counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Needs {
    /// Processors.
    pub cpus: f64,
    /// Memory, in MiB.
    pub mem: f64,
    /// Disk, in MiB.
    pub disk: f64,
    /// Graphics processors.
    pub gpus: f64,
}

impl Needs {
    /// Each with the name that Mesos has for it.
    pub fn named(&self) -> [(&'static str, f64); 4] {
        [("cpus", self.cpus), ("mem", self.mem), ("disk", self.disk), ("gpus", self.gpus)]
    }
}

impl Offer {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id.value
    }

    /// The agent's id.
    pub fn agent(&self) -> &str {
        &self.agent_id.value
    }

    /// Whether the agent is about to be taken out of service.
    pub fn in_maintenance(&self) -> bool {
        !self.unavailability.is_null()
    }

    /// The value of an attribute, as constraints see it.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.attributes.iter().find(|a| a["name"] == name).and_then(attribute_text)
    }

    /// All attributes, as constraints see them.
    pub fn attributes(&self) -> BTreeMap<String, String> {
        self.attributes
            .iter()
            .filter_map(|a| Some((a["name"].as_str()?.to_owned(), attribute_text(a)?)))
            .collect()
    }

    /// The region and zone of the agent's fault domain.
    pub fn place(&self, part: &str) -> Option<String> {
        self.domain["fault_domain"][part]["name"].as_str().map(str::to_owned)
    }

    /// As Marathon's queue shows it.
    pub fn shown(&self) -> Value {
        let resource = |resource: &Value| {
            let mut shown = json!({"name": resource["name"], "role": role_of(resource)});
            match resource["ranges"]["range"].as_array() {
                Some(ranges) => shown["ranges"] = json!(ranges),
                None => shown["scalar"] = resource["scalar"]["value"].clone(),
            }
            shown
        };
        let attribute =
            |(name, text): (&String, &String)| json!({"name": name, "text": text});
        json!({
            "id": self.id(), "hostname": self.hostname, "agentId": self.agent(),
            "resources": self.resources.iter().map(resource).collect::<Value>(),
            "attributes": self.attributes().iter().map(attribute).collect::<Value>(),
        })
    }

    /// All of it that can be taken.
    pub fn pool(&self) -> Pool {
        let usable = |resource: &&Value| {
            resource["disk"].is_null()
                && resource["shared"].is_null()
                && resource["revocable"].is_null()
        };
        let mut pool = Pool::default();
        for resource in self.resources.iter().filter(usable) {
            pool.add(resource);
        }
        pool
    }
}

fn role_of(resource: &Value) -> &str {
    let refined = resource["reservations"].as_array().and_then(|all| all.last());
    let refined = refined.and_then(|last| last["role"].as_str());
    refined.or(resource["role"].as_str()).unwrap_or("*")
}

fn attribute_text(attribute: &Value) -> Option<String> {
    match attribute["type"].as_str()? {
        "TEXT" => attribute["text"]["value"].as_str().map(str::to_owned),
        "SCALAR" => {
            attribute["scalar"]["value"].as_f64().map(|number| number.to_string())
        }
        "RANGES" => {
            let ranges = attribute["ranges"]["range"].as_array()?;
            let all = ranges.iter().map(|r| format!("{}-{}", r["begin"], r["end"]));
            Some(format!("[{}]", all.collect::<Vec<_>>().join(",")))
        }
        _ => None,
    }
}

#[cfg(test)]
impl Offer {
    /// What an agent of a host may offer, in tests.
    pub(crate) fn sample(host: &str, cpus: f64, mem: f64) -> Self {
        let amounts = [("cpus", cpus), ("mem", mem), ("disk", 8000.0)];
        let scalar = |(name, value)| json!({"name": name, "scalar": {"value": value}});
        let mut resources: Vec<Value> = amounts.map(scalar).into();
        resources.push(json!({
            "name": "ports", "ranges": {"range": [{"begin": 31000, "end": 31003}]},
        }));
        let named = |value: String| Id { value };
        let (id, agent_id) = (named("O".into()), named(format!("S-{host}")));
        Self { id, agent_id, hostname: host.into(), resources, ..Self::default() }
    }
}

/// The roles whose resources may be taken.
#[derive(Clone, Debug)]
pub struct Roles(Vec<String>);

impl Roles {
    /// These and no others.
    pub fn new(roles: impl IntoIterator<Item = String>) -> Self {
        Self(roles.into_iter().collect())
    }

    fn admit(&self, role: &str) -> bool {
        self.0.iter().any(|admitted| admitted == role)
    }
}

/// Resources of an offer that are not taken yet, by their roles; in thousandths, as Mesos counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool(Vec<(String, Resources)>);

impl Pool {
    fn add(&mut self, resource: &Value) {
        let role = role_of(resource);
        let more = Resources::from_json(&json!([resource]));
        match self.0.iter_mut().find(|(known, _)| known == role) {
            Some((_, all)) => all.add(&more),
            None => self.0.push((role.to_owned(), more)),
        }
    }

    fn of<'a>(&'a self, roles: &'a Roles) -> impl Iterator<Item = &'a Resources> {
        self.0.iter().filter(|(role, _)| roles.admit(role)).map(|(_, all)| all)
    }

    /// Whether there is anything for those roles.
    pub fn has_any(&self, roles: &Roles) -> bool {
        self.of(roles).next().is_some()
    }

    /// The first of what is needed of which there is less for those roles.
    pub fn short(&self, needs: &Needs, roles: &Roles) -> Option<&'static str> {
        let left = |name: &str| self.of(roles).map(|all| all.amount(name)).sum::<f64>();
        let short = |(name, needed): &(&str, f64)| left(name) + 1e-9 < *needed;
        needs.named().into_iter().find(short).map(|(name, _)| name)
    }

    /// Every port that is left to those roles, lowest first for each role.
    pub fn ports(&self, roles: &Roles) -> Vec<u32> {
        let ranges = self.of(roles).flat_map(|all| all.ranges("ports"));
        let ports = ranges.flat_map(|(begin, end)| *begin..=*end);
        ports.filter_map(|port| port.try_into().ok()).collect()
    }

    /// Takes what is needed, as resources of a task; `None`, and nothing is taken, when there
    /// is not enough.
    pub fn take(
        &mut self,
        needs: &Needs,
        ports: &[u32],
        roles: &Roles,
    ) -> Option<Vec<Value>> {
        let free = self.ports(roles);
        if self.short(needs, roles).is_some()
            || !ports.iter().all(|port| free.contains(port))
        {
            return None;
        }
        let mut taken = Vec::new();
        let mut give = |role: &str, all: &mut Resources, part: &Resources| {
            all.subtract(part);
            taken.extend_from_slice(list(&part.full(&json!({"role": role}))));
        };
        for (name, mut amount) in needs.named() {
            for (role, all) in self.0.iter_mut().filter(|(role, _)| roles.admit(role)) {
                let mut part = Resources::default();
                part.set(name, amount.clamp(0.0, all.amount(name)));
                if !part.is_empty() {
                    amount -= part.amount(name);
                    give(role, all, &part);
                }
            }
        }
        for port in ports {
            let mut part = Resources::default();
            part.set_ranges("ports", vec![((*port).into(), (*port).into())]);
            if let Some((role, all)) =
                self.0.iter_mut().find(|(_, all)| all.contains(&part))
            {
                give(role, all, &part);
            }
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        serde_json::from_value(json!({
            "id": {"value": "O1"}, "agent_id": {"value": "S1"}, "hostname": "w1",
            "attributes": [
                {"name": "rack", "type": "TEXT", "text": {"value": "a"}},
                {"name": "size", "type": "SCALAR", "scalar": {"value": 2.0}},
            ],
            "domain": {"fault_domain": {"region": {"name": "r"}, "zone": {"name": "z"}}},
            "resources": [
                {"name": "cpus", "type": "SCALAR", "scalar": {"value": 2.0}, "role": "*"},
                {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}, "role": "db"},
                {"name": "mem", "type": "SCALAR", "scalar": {"value": 512.0}},
                {"name": "ports", "type": "RANGES", "role": "*",
                 "ranges": {"range": [{"begin": 31000, "end": 31002}]}},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn what_an_offer_says_of_its_agent() {
        let offer = offer();
        assert_eq!((offer.id(), offer.agent()), ("O1", "S1"));
        assert_eq!(offer.attribute("rack").as_deref(), Some("a"));
        assert_eq!(offer.attribute("size").as_deref(), Some("2"));
        assert_eq!(offer.place("zone").as_deref(), Some("z"));
        assert!(!offer.in_maintenance());
    }

    fn roles(words: &str) -> Roles {
        Roles::new(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn only_admitted_roles_count() {
        let needs = Needs { cpus: 2.5, ..Needs::default() };
        assert_eq!(offer().pool().short(&needs, &roles("*")), Some("cpus"));
        assert_eq!(offer().pool().short(&needs, &roles("* db")), None);
        assert!(!offer().pool().has_any(&roles("web")));
    }

    #[test]
    fn taking_splits_amounts_and_port_ranges() {
        let mut pool = offer().pool();
        let needs = Needs { cpus: 2.5, mem: 512.0, ..Needs::default() };
        let taken = pool.take(&needs, &[31001], &roles("* db")).unwrap();
        assert_eq!(taken.len(), 4);
        assert_eq!(taken[1]["role"], "db");
        let left = Needs { cpus: 0.5, ..Needs::default() };
        assert_eq!(pool.short(&left, &roles("db")), None);
        assert_eq!(pool.ports(&roles("*")), [31000, 31002]);
    }

    #[test]
    fn too_little_takes_nothing() {
        let mut pool = offer().pool();
        let before = pool.clone();
        let all = roles("* db");
        assert_eq!(pool.take(&Needs { cpus: 4.0, ..Needs::default() }, &[], &all), None);
        assert_eq!(pool.take(&Needs::default(), &[1], &all), None);
        assert_eq!(pool, before);
    }
}
