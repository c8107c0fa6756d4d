//! The schedule of maintenance: which machines are to be left alone, from when, and for how long.
//!
//! Pure: checks what an operator sends and shows what the registry holds.

use serde_json::{Map, Value, json};

use super::registry::Registry;
use crate::mesos::{list, text};

/// The machine of an agent, by its host name and its address `slave(1)@ip:port`.
pub(super) fn machine(hostname: &str, pid: &str) -> Value {
    let (_, address) = pid.split_once('@').unwrap_or_default();
    let ip = address.rsplit_once(':').map_or(address, |(ip, _)| ip);
    json!({"hostname": hostname.to_lowercase(), "ip": ip})
}

/// When a machine is unavailable, where it is in the schedule.
pub(super) fn unavailability(registry: &Registry, machine: &Value) -> Option<Value> {
    let windows = list(&registry.schedule["windows"]).iter();
    let mut concerned =
        windows.filter(|window| list(&window["machine_ids"]).contains(machine));
    Some(concerned.next()?["unavailability"].clone())
}

/// Checks a schedule and brings it into the form that is kept.
///
/// # Errors
/// When it is refused, with the text of the refusal.
pub(super) fn checked(schedule: &Value, registry: &Registry) -> Result<Value, String> {
    if !schedule.is_object() {
        return Err("Expected a JSON object".to_owned());
    }
    let mut machines: Vec<Value> = Vec::new();
    let mut windows = Vec::new();
    for (i, window) in list(&schedule["windows"]).iter().enumerate() {
        let unavailability = &window["unavailability"];
        if unavailability.is_null() {
            return Err(format!("Missing required fields: windows[{i}].unavailability"));
        }
        if unavailability["start"]["nanoseconds"].as_i64().is_none() {
            return Err(format!(
                "Missing required fields: windows[{i}].unavailability.start"
            ));
        }
        let own = checked_machines(&window["machine_ids"], &mut machines)?;
        windows.push(json!({"machine_ids": own, "unavailability": unavailability}));
    }
    match registry.down.iter().find(|machine| !machines.contains(machine)) {
        Some(machine) => Err(format!(
            "Machine '{machine}' is deactivated and cannot be removed from the schedule"
        )),
        None if windows.is_empty() => Ok(json!({})),
        None => Ok(json!({"windows": windows})),
    }
}

fn checked_machines(ids: &Value, known: &mut Vec<Value>) -> Result<Vec<Value>, String> {
    let mut own = Vec::new();
    for id in list(ids) {
        let machine = normal(id)?;
        if known.contains(&machine) {
            return Err(format!(
                "Machine '{machine}' appears more than once in the schedule"
            ));
        }
        known.push(machine.clone());
        own.push(machine);
    }
    if own.is_empty() {
        return Err("List of machines is empty".to_owned());
    }
    Ok(own)
}

fn normal(id: &Value) -> Result<Value, String> {
    let mut machine = Map::new();
    for member in ["hostname", "ip"] {
        let value = text(id, member).to_lowercase();
        if !value.is_empty() {
            machine.insert(member.to_owned(), json!(value));
        }
    }
    if machine.is_empty() {
        return Err("Both 'hostname' and 'ip' for a machine are empty".to_owned());
    }
    Ok(Value::Object(machine))
}

/// The machines that are down once these are down too.
///
/// # Errors
/// When one is not scheduled, or down already.
pub(super) fn taken_down(
    machines: &Value,
    registry: &Registry,
) -> Result<Vec<Value>, String> {
    let named = checked_machines(machines, &mut Vec::new())?;
    for machine in &named {
        let is_scheduled = unavailability(registry, machine).is_some();
        if !is_scheduled || registry.down.contains(machine) {
            return Err(format!(
                "Machine '{machine}' is not in DRAINING mode and cannot be brought down"
            ));
        }
    }
    Ok(registry.down.iter().chain(&named).cloned().collect())
}

/// The schedule and the machines that are down once these are up again.
///
/// # Errors
/// When one is not down.
pub(super) fn brought_up(
    machines: &Value,
    registry: &Registry,
) -> Result<(Value, Vec<Value>), String> {
    let named = checked_machines(machines, &mut Vec::new())?;
    if let Some(machine) = named.iter().find(|machine| !registry.down.contains(machine)) {
        return Err(format!(
            "Machine '{machine}' is not in DOWN mode and cannot be brought up"
        ));
    }
    let is_left = |machine: &&Value| !named.contains(machine);
    let mut windows = list(&registry.schedule["windows"]).to_vec();
    for window in &mut windows {
        let left: Vec<Value> =
            list(&window["machine_ids"]).iter().filter(is_left).cloned().collect();
        window["machine_ids"] = json!(left);
    }
    windows.retain(|window| !list(&window["machine_ids"]).is_empty());
    let schedule =
        if windows.is_empty() { json!({}) } else { json!({"windows": windows}) };
    Ok((schedule, registry.down.iter().filter(is_left).cloned().collect()))
}

/// The schedule as it is shown.
pub(super) fn schedule(registry: &Registry) -> Value {
    if registry.schedule.is_null() { json!({}) } else { registry.schedule.clone() }
}

/// The status of all scheduled machines as it is shown.
pub(super) fn status(registry: &Registry) -> Value {
    let windows = list(&registry.schedule["windows"]).iter();
    let scheduled = windows.flat_map(|window| list(&window["machine_ids"]));
    let draining: Vec<Value> = scheduled
        .filter(|machine| !registry.down.contains(machine))
        .map(|machine| json!({"id": machine}))
        .collect();
    let mut status = json!({});
    if !draining.is_empty() {
        status["draining_machines"] = json!(draining);
    }
    if !registry.down.is_empty() {
        status["down_machines"] = json!(registry.down);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"hostname":"127.0.1.21","ip":"127.0.1.21"}"#;

    fn id() -> Value {
        serde_json::from_str(TEXT).unwrap()
    }

    fn scheduled() -> Registry {
        let start = json!({"start": {"nanoseconds": 1}});
        let wish = json!({"windows": [{"machine_ids": [id()], "unavailability": start}]});
        let schedule = checked(&wish, &Registry::default()).unwrap();
        Registry { schedule, ..Registry::default() }
    }

    #[test]
    fn faulty_schedules_are_refused_in_the_recorded_words() {
        let check = |wish: Value| checked(&wish, &Registry::default()).unwrap_err();
        assert_eq!(
            check(json!({"windows": [{"machine_ids": [id()]}]})),
            "Missing required fields: windows[0].unavailability"
        );
        let twice = json!({"machine_ids": [id(), id()],
            "unavailability": {"start": {"nanoseconds": 1}}});
        assert_eq!(
            check(json!({"windows": [twice]})),
            format!("Machine '{TEXT}' appears more than once in the schedule")
        );
    }

    #[test]
    fn a_machine_goes_down_and_up_in_turn() {
        let mut registry = scheduled();
        assert_eq!(status(&registry), json!({"draining_machines": [{"id": id()}]}));
        registry.down = taken_down(&json!([id()]), &registry).unwrap();
        assert_eq!(status(&registry), json!({"down_machines": [id()]}));
        assert_eq!(
            checked(&json!({"windows": []}), &registry).unwrap_err(),
            format!(
                "Machine '{TEXT}' is deactivated and cannot be removed from the schedule"
            )
        );
        (registry.schedule, registry.down) =
            brought_up(&json!([id()]), &registry).unwrap();
        assert_eq!((schedule(&registry), status(&registry)), (json!({}), json!({})));
        assert_eq!(
            brought_up(&json!([id()]), &registry).unwrap_err(),
            format!("Machine '{TEXT}' is not in DOWN mode and cannot be brought up")
        );
        assert_eq!(
            taken_down(&json!([id()]), &registry).unwrap_err(),
            format!(
                "Machine '{TEXT}' is not in DRAINING mode and cannot be brought down"
            )
        );
    }
}
