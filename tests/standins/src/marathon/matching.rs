//! Whether an offer has room for one more instance of an app, and which ports it gets. Pure.

use super::constraint::{self, Place};
use crate::framework::offer::{Needs, Offer, Pool, Roles};
use marathon_rules::app::App;
use serde_json::Value;

/// Why an offer is declined, as the queue names it.
pub type Reason = &'static str;

/// All reasons, in the order in which they are looked at.
pub const REASONS: [Reason; 10] = [
    "UnfulfilledRole",
    "UnfulfilledConstraint",
    "NoCorrespondingReservationFound",
    "AgentMaintenance",
    "InsufficientCpus",
    "InsufficientMemory",
    "InsufficientDisk",
    "InsufficientGpus",
    "InsufficientPorts",
    "DeclinedScarceResources",
];

/// What one instance of an app needs.
pub fn needs(app: &App) -> Needs {
    Needs { cpus: app.cpus, mem: app.mem, disk: app.disk, gpus: app.gpus }
}

/// What an instance is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Room {
    /// Resources of the task.
    pub resources: Vec<Value>,
    /// The host's port for each of the app's ports; none where it has none.
    pub ports: Vec<Option<u32>>,
}

/// The roles whose resources an app may use.
pub fn roles(app: &App) -> Roles {
    match app.accepted_resource_roles.is_empty() {
        true => Roles::new(["*".to_owned(), app.role.clone()]),
        false => Roles::new(app.accepted_resource_roles.iter().cloned()),
    }
}

/// Takes room for one instance from the pool of an offer. `spread` says where among the free
/// ports to begin, so that a port just let go is not taken at once.
///
/// # Errors
/// The first reason against it; then nothing is taken.
pub fn take(
    app: &App,
    offer: &Offer,
    pool: &mut Pool,
    others: &[&Place],
    spread: usize,
) -> Result<Room, Reason> {
    let place = Place::of(offer);
    if offer.in_maintenance() {
        return Err("AgentMaintenance");
    }
    if app.constraints.iter().any(|c| !constraint::holds(c, &place, others)) {
        return Err("UnfulfilledConstraint");
    }
    let roles = roles(app);
    if let Some(reason) = short(app, pool, &roles) {
        return Err(reason);
    }
    let free = pool.ports(&roles);
    let ports = ports(app, free, spread).ok_or("InsufficientPorts")?;
    let taken: Vec<u32> = ports.iter().copied().flatten().collect();
    let resources = pool.take(&needs(app), &taken, &roles).ok_or("InsufficientPorts")?;
    Ok(Room { resources, ports })
}

fn short(app: &App, pool: &Pool, roles: &Roles) -> Option<Reason> {
    if !pool.has_any(roles) {
        return Some("UnfulfilledRole");
    }
    pool.short(&needs(app), roles).map(|name| match name {
        "cpus" => "InsufficientCpus",
        "mem" => "InsufficientMemory",
        "disk" => "InsufficientDisk",
        _ => "InsufficientGpus",
    })
}

fn ports(app: &App, mut free: Vec<u32>, spread: usize) -> Option<Vec<Option<u32>>> {
    let wanted: Vec<Option<u32>> = app.ports().iter().map(|port| port.host).collect();
    let fixed: Vec<u32> =
        wanted.iter().copied().flatten().filter(|port| *port != 0).collect();
    if !fixed.iter().all(|port| free.contains(port)) {
        return None;
    }
    free.retain(|port| !fixed.contains(port));
    if !free.is_empty() {
        let middle = spread % free.len();
        free.rotate_left(middle);
    }
    let mut free = free.into_iter();
    let mut found = Vec::new();
    for port in wanted {
        found.push(match port {
            Some(0) => Some(free.next()?),
            other => other,
        });
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use marathon_rules::normal;
    use serde_json::json;

    fn app(value: Value) -> App {
        let mut spec = json!({"id": "/a", "cmd": "x", "cpus": 1, "mem": 10});
        for (key, field) in value.as_object().unwrap() {
            spec[key] = field.clone();
        }
        App::read(&normal::complete(spec.as_object().unwrap().clone(), "*", "/")).unwrap()
    }

    fn check(value: Value, expected: Result<Vec<Option<u32>>, Reason>) {
        let app = app(value);
        let offer = Offer::sample("w1", 2.0, 100.0);
        let mut pool = offer.pool();
        let here = Place::of(&offer);
        let found = take(&app, &offer, &mut pool, &[&here], 1);
        assert_eq!(found.map(|room| room.ports), expected);
    }

    #[test]
    fn any_port_is_one_of_the_offer() {
        check(json!({}), Ok(vec![Some(31001)]));
        check(
            json!({"portDefinitions": [{"port": 80, "protocol": "tcp"}]}),
            Ok(vec![Some(31001)]),
        );
    }

    #[test]
    fn a_port_that_must_be_is_had_or_not() {
        let fixed = |port: u32| {
            json!({"requirePorts": true,
            "portDefinitions": [{"port": port}, {"port": 0}]})
        };
        check(fixed(31001), Ok(vec![Some(31001), Some(31002)]));
        check(fixed(80), Err("InsufficientPorts"));
    }

    #[test]
    fn containers_on_their_own_network_need_no_port() {
        check(
            json!({"networks": [{"mode": "container", "name": "n"}],
                   "container": {"docker": {"image": "i"}}}),
            Ok(vec![None]),
        );
    }

    #[test]
    fn the_reason_against_an_offer() {
        check(json!({"cpus": 3}), Err("InsufficientCpus"));
        check(json!({"mem": 300}), Err("InsufficientMemory"));
        check(json!({"gpus": 1}), Err("InsufficientGpus"));
        check(
            json!({"constraints": [["hostname", "UNIQUE"]]}),
            Err("UnfulfilledConstraint"),
        );
        check(json!({"acceptedResourceRoles": ["db"]}), Err("UnfulfilledRole"));
    }
}
