//! Gives service ports to those who did not choose. Pure.
//!
//! Ports that were chosen are taken as they are: whether two apps chose the same is not asked,
//! as Marathon has not asked since 1.3.

use crate::Spec;
use crate::normal::network_mode;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// No port is left in the range.
#[derive(Debug, PartialEq, Eq)]
pub struct NoPortLeft;

/// The service ports of an app; 0 where none is given yet.
pub fn of(spec: &Spec) -> Vec<u32> {
    let mut copy = spec.clone();
    let all = slots(&mut copy);
    all.into_iter().map(|slot| number(slot)).collect()
}

/// Those that tasks are shown with: none of the host's own ports.
pub fn shown(spec: &Spec) -> Vec<u32> {
    if network_mode(spec) == "host" { Vec::new() } else { of(spec) }
}

/// Gives a port to each slot that is 0: first those that the app had before, then the lowest
/// that no app has.
///
/// # Errors
/// When the range is used up.
pub fn assign(
    spec: &mut Spec,
    before: Option<&Spec>,
    others: &BTreeSet<u32>,
    range: RangeInclusive<u32>,
) -> Result<(), NoPortLeft> {
    let chosen: BTreeSet<u32> = of(spec).into_iter().filter(|port| *port != 0).collect();
    let had = before.map(of).unwrap_or_default();
    let own = had.iter().copied().filter(|p| range.contains(p) && !chosen.contains(p));
    let taken =
        |port: &u32| others.contains(port) || chosen.contains(port) || had.contains(port);
    let mut free = own.chain(range.clone().filter(|port| !taken(port)));
    for slot in slots(spec) {
        if number(slot) == 0 {
            *slot = free.next().ok_or(NoPortLeft)?.into();
        }
    }
    Ok(())
}

fn number(slot: &Value) -> u32 {
    slot.as_u64().and_then(|port| u32::try_from(port).ok()).unwrap_or_default()
}

fn slots(spec: &mut Spec) -> Vec<&mut Value> {
    let (list, key) = match network_mode(spec) {
        "host" => (spec.get_mut("portDefinitions"), "port"),
        _ => {
            let container = spec.get_mut("container");
            (container.and_then(|c| c.get_mut("portMappings")), "servicePort")
        }
    };
    let items = list.and_then(Value::as_array_mut).into_iter().flatten();
    items.filter_map(|item| item.get_mut(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn app(ports: &[u32]) -> Spec {
        let ports: Vec<_> = ports.iter().map(|port| json!({"port": port})).collect();
        json!({"portDefinitions": ports}).as_object().unwrap().clone()
    }

    fn check(ports: &[u32], before: Option<&[u32]>, others: &[u32], expected: &[u32]) {
        let mut spec = app(ports);
        let before = before.map(app);
        let others = others.iter().copied().collect();
        assign(&mut spec, before.as_ref(), &others, 10000..=10004).unwrap();
        assert_eq!(of(&spec), expected);
    }

    #[test]
    fn the_lowest_free_port_is_given() {
        check(&[0, 0], None, &[10000], &[10001, 10002]);
        check(&[0, 10000], None, &[], &[10001, 10000]);
    }

    #[test]
    fn an_app_keeps_its_ports() {
        check(&[0], Some(&[10003]), &[], &[10003]);
        check(&[0, 10003], Some(&[10003]), &[], &[10000, 10003]);
        check(&[0], Some(&[9]), &[], &[10000]);
    }

    #[test]
    fn chosen_ports_are_not_asked_about() {
        check(&[80, 80], None, &[80], &[80, 80]);
    }

    #[test]
    fn a_used_up_range_is_an_error() {
        let mut spec = app(&[0]);
        let others = (10000..=10004).collect();
        assert_eq!(assign(&mut spec, None, &others, 10000..=10004), Err(NoPortLeft));
    }
}
