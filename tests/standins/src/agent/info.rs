//! What an agent says it is, and whether it may still be the one that it was.
//!
//! Pure. `AgentInfo` is the JSON of Mesos' v1 API, without the id.

use serde_json::{Value, json};

use crate::mesos::list;
use crate::mesos::resources::Resources;

/// Which changes of an agent's info keep its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// None.
    Equal,
    /// Those that take nothing away.
    Additive,
}

/// A change that the policy forbids, and what it is a change of.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("Incompatible agent info detected: {0}")]
pub struct Incompatible(String);

/// Puts the info together.
pub fn agent_info(
    hostname: &str,
    port: u16,
    resources: &Resources,
    attributes: Value,
    domain: Option<&Value>,
) -> Value {
    let resources = resources.full(&json!({}));
    let mut info = json!({"hostname": hostname, "port": port, "resources": resources});
    if !list(&attributes).is_empty() {
        info["attributes"] = attributes;
    }
    info["checkpoint"] = true.into();
    if let Some(domain) = domain {
        info["domain"] = domain.clone();
    }
    info
}

/// Whether an agent that was `old` may go on as `new`.
///
/// # Errors
/// When the policy forbids the change.
pub fn check_change(
    policy: Policy,
    old: &Value,
    new: &Value,
) -> Result<(), Incompatible> {
    let refused = |what: &str| Err(Incompatible(what.to_owned()));
    for field in ["hostname", "port"] {
        if old[field] != new[field] {
            return refused(&format!(
                "{field} changed from {} to {}",
                old[field], new[field]
            ));
        }
    }
    let may_add = policy == Policy::Additive;
    if old["domain"] != new["domain"] && !(may_add && old["domain"].is_null()) {
        return refused("the domain changed");
    }
    let (old_list, new_list) = (list(&old["attributes"]), list(&new["attributes"]));
    let attributes_fit = if may_add {
        old_list.iter().all(|attribute| is_kept(attribute, new_list))
    } else {
        same_set(old_list, new_list)
    };
    if !attributes_fit {
        return refused("attributes changed");
    }
    let (old, new) = (resources(&old["resources"]), resources(&new["resources"]));
    let resources_fit = new.contains(&old) && (may_add || old.contains(&new));
    if resources_fit { Ok(()) } else { refused("resources changed") }
}

fn resources(value: &Value) -> Resources {
    Resources::from_json(value)
}

fn same_set(old: &[Value], new: &[Value]) -> bool {
    old.len() == new.len() && old.iter().all(|attribute| new.contains(attribute))
}

/// Whether an attribute is there as it was; a range may have grown.
fn is_kept(old: &Value, new: &[Value]) -> bool {
    new.iter().any(|new| {
        let is_range = old["type"] == "RANGES" && new["type"] == "RANGES";
        new == old
            || is_range
                && new["name"] == old["name"]
                && resources(&json!([new])).contains(&resources(&json!([old])))
    })
}

#[cfg(test)]
mod tests {
    use super::super::resources::{Machine, parse};
    use super::*;
    use crate::mesos::attributes as parse_attributes;

    fn info(resources: &str, attributes: &str, domain: Option<&str>) -> Value {
        let machine = Machine { n_cpus: 1, memory: 0, disk: 0 };
        agent_info(
            "a",
            5051,
            &parse(Some(resources), machine).unwrap(),
            parse_attributes(attributes).unwrap(),
            domain
                .map(|name| json!({"fault_domain": {"region": {"name": name}}}))
                .as_ref(),
        )
    }

    /// Whether (equal, additive) let the change pass.
    fn verdicts(old: &Value, new: &Value) -> (bool, bool) {
        let check = |policy| check_change(policy, old, new).is_ok();
        (check(Policy::Equal), check(Policy::Additive))
    }

    #[test]
    fn additive_lets_pass_what_takes_nothing_away() {
        let old = info("cpus:2;mem:100;ports:[10-20]", "rack:r1;v:[1-2]", None);
        assert_eq!(verdicts(&old, &old.clone()), (true, true));
        for (resources, attributes, domain, additive) in [
            ("cpus:3;mem:100;ports:[10-20]", "rack:r1;v:[1-2]", None, true),
            ("cpus:2;mem:100;ports:[10-30]", "rack:r1;v:[1-3];zone:a", None, true),
            ("cpus:2;mem:100;ports:[10-20]", "rack:r1;v:[1-2]", Some("r"), true),
            ("cpus:1;mem:100;ports:[10-20]", "rack:r1;v:[1-2]", None, false),
            ("cpus:2;mem:100;ports:[10-20]", "rack:r2;v:[1-2]", None, false),
            ("cpus:2;mem:100;ports:[10-20]", "v:[1-2]", None, false),
        ] {
            let new = info(resources, attributes, domain);
            assert_eq!(
                verdicts(&old, &new),
                (false, additive),
                "{resources} {attributes}"
            );
        }
    }

    #[test]
    fn host_name_port_and_a_set_domain_stay() {
        let old = info("cpus:1", "", Some("r1"));
        assert_eq!(verdicts(&old, &info("cpus:1", "", Some("r2"))), (false, false));
        let mut new = old.clone();
        new["hostname"] = "b".into();
        assert_eq!(verdicts(&old, &new), (false, false));
        let error = check_change(Policy::Equal, &old, &new).unwrap_err().to_string();
        assert!(error.starts_with("Incompatible agent info detected"), "{error}");
    }
}
